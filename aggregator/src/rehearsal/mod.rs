//! Rules tried out on what is stored: the detector that runs on live ticks is given those of the
//! past, node by node, in the order of their time, and what it would have opened is told.
//!
//! Only the columns that the rules read are read, a few hours at a time, so that memory does not
//! grow with the time asked about. Events come from the store as they were.

mod history;

use std::collections::BTreeMap;
use std::sync::Arc;

use sextant_proto::v1::{Anomaly, Rehearsed, RehearsedRule};

use self::history::History;
use crate::detect::{Detector as _, Edge, NodeStatus, Rules, RulesError};
use crate::episode::Episodes;
use crate::nodes::Node;
use crate::query::{Queries, QueryError};

/// Samples that one rehearsal may look at: a minute or two of one core.
const MAX_SAMPLES: u64 = 2_000_000_000;
/// How often detectors are told the time, in the time of the samples.
const ELAPSE_MS: i64 = 1_000;

/// What to try out, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The text of a rules file, and its name for errors.
    pub rules: String,
    pub file: String,
    pub with_builtin: bool,
    /// Exact; empty for all.
    pub cluster: String,
    pub node: String,
    /// Both ends count.
    pub start_ms: i64,
    pub end_ms: i64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The rules cannot be used.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The question is wrong, over a limit, or the store cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Runs rules over the past. `each` gets what would have opened when it would have closed, or at
/// the end; false stops, and there is no summary.
///
/// # Errors
/// [`RehearsalError`]; what `each` got until then holds.
pub fn rehearse(
    queries: &Queries,
    what: &Rehearsal,
    each: &mut dyn FnMut(Anomaly) -> bool,
) -> Result<Option<Rehearsed>, RehearsalError> {
    if what.end_ms < what.start_ms {
        return Err(QueryError::Invalid("the range ends before it starts".into()).into());
    }
    let load = || Rules::of_text(&what.file, &what.rules, what.with_builtin);
    let mut run = Run { queries, what, each, done: Rehearsed::default(), last_id: 0 };
    let mut rules: BTreeMap<Arc<str>, RehearsedRule> = BTreeMap::new();
    for (name, severity) in load()?.names() {
        let rule = RehearsedRule {
            name: name.to_string(),
            severity: severity.into(),
            watched: 0,
            opened: 0,
        };
        rules.insert(name, rule);
    }
    for node in queries.nodes.all() {
        let wanted = |asked: &str, own: &str| asked.is_empty() || asked == own;
        if !wanted(&what.cluster, &node.key.cluster) || !wanted(&what.node, &node.key.name) {
            continue;
        }
        if !run.node(&node, load()?, &mut rules)? {
            return Ok(None);
        }
    }
    run.done.rules = rules.into_values().collect();
    Ok(Some(run.done))
}

struct Run<'a> {
    queries: &'a Queries,
    what: &'a Rehearsal,
    each: &'a mut dyn FnMut(Anomaly) -> bool,
    done: Rehearsed,
    last_id: u64,
}

impl Run<'_> {
    /// False: nobody wants more.
    fn node(
        &mut self,
        node: &Arc<Node>,
        mut detector: Rules,
        rules: &mut BTreeMap<Arc<str>, RehearsedRule>,
    ) -> Result<bool, RehearsalError> {
        let mut history = History::new(self.queries, node, &detector, self.what);
        for (rule, watched) in detector.watched(&history.layouts()) {
            if let Some(rule) = rules.get_mut(&rule) {
                rule.watched += watched;
            }
        }
        let episodes = Episodes::new(self.last_id, Arc::default());
        let (mut edges, mut told_ms) = (Vec::new(), i64::MIN);
        let mut status = NodeStatus {
            node: Arc::clone(&node.key),
            last_seen_ms: 0,
            interval_ms: history.shortest_interval_ms(),
        };
        let mut seen = false;
        while let Some(next) = history.next_step()? {
            seen = true;
            match next {
                history::Step::Tick(tick) => {
                    self.done.samples += tick.samples;
                    if self.done.samples > MAX_SAMPLES {
                        return Err(QueryError::Limit(format!(
                            "over the limit of {MAX_SAMPLES} samples a rehearsal: ask for one \
                             node, a shorter time or fewer rules"
                        ))
                        .into());
                    }
                    let time_ms = tick.tick.time_ms;
                    if time_ms.saturating_sub(told_ms) >= ELAPSE_MS {
                        told_ms = time_ms;
                        status.last_seen_ms = time_ms;
                        detector.elapse(time_ms, std::slice::from_ref(&status), &mut edges);
                    }
                    detector.observe(&tick.tick, &mut edges);
                }
                history::Step::Event(event) => {
                    self.done.events += 1;
                    for name in detector.about(&event.r#type) {
                        if let Some(rule) = rules.get_mut(name) {
                            rule.watched += 1;
                        }
                    }
                    detector.observe_event(&node.key, &event, &mut edges);
                }
            }
            for edge in edges.drain(..) {
                let opened = matches!(edge, Edge::Fire(_));
                let Some((_, anomaly)) = episodes.take(detector.name(), edge) else { continue };
                if opened {
                    self.last_id = self.last_id.max(anomaly.id);
                    if let Some(rule) = rules.get_mut(anomaly.rule.as_str()) {
                        rule.opened += 1;
                    }
                } else if anomaly.closed_unix_ms != 0 && !(self.each)(anomaly) {
                    return Ok(false);
                }
            }
        }
        self.done.nodes += u32::from(seen);
        Ok(episodes.open().into_iter().all(|open| (self.each)(open)))
    }
}
