//! Compares what was found with what was true.
//!
//! A finding belongs to a fault when it is said from the fault's begin until ten minutes after
//! its end, about its root or what it is expected to affect. The first one of a fault is its
//! detection, further ones are duplicates, and what belongs to no fault is false. A finding that
//! was open before the fault began does not count for it.

use std::collections::BTreeMap;

use super::fault::{Component, Fault};
use super::method::{Cost, Found, Level};
use super::plan::Calm;
use super::spec::{Class, Group};

/// After its end a fault may still be found.
const AFTER_MS: i64 = 600_000;

/// What a run was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    Faults,
    Clean,
    Confusers,
}

impl Sort {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Clean => "clean",
            Self::Confusers => "confusers",
        }
    }
}

/// One run as one method saw it.
pub(crate) struct Outcome {
    pub(crate) sort: Sort,
    pub(crate) seed: u64,
    pub(crate) node_days: f64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) calm: Vec<Calm>,
    pub(crate) found: Vec<Found>,
    pub(crate) cost: Cost,
}

/// What was found of one fault.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) class: Class,
    pub(crate) group: Group,
    pub(crate) mild: bool,
    pub(crate) page: bool,
    pub(crate) info: bool,
    pub(crate) incidents: usize,
    pub(crate) delay_s: Option<f64>,
    /// Rank of the root in the causes of the first finding that has any, from 1.
    pub(crate) rank: Option<Rank>,
    /// The same by trivial rankings of what was found: earliest, strongest, most.
    pub(crate) trivial: Option<[Option<usize>; 3]>,
    /// Rules by which it was found, and how loud they were.
    pub(crate) rules: BTreeMap<(String, Level), usize>,
}

/// Where the root stands; `None` within: not among the causes.
pub(crate) type Rank = Option<usize>;

/// One method over all its runs.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) false_pages: BTreeMap<Sort, usize>,
    pub(crate) false_milds: BTreeMap<Sort, usize>,
    pub(crate) node_days: BTreeMap<Sort, f64>,
    /// Runs, and those of them in which nobody was called for nothing.
    pub(crate) quiet_runs: BTreeMap<Sort, (usize, usize)>,
    /// What was false, by rule.
    pub(crate) false_rules: BTreeMap<(Sort, String, Level), usize>,
    pub(crate) cost: Cost,
}

/// Scores a method's runs.
pub(crate) fn score(outcomes: &[Outcome]) -> Score {
    let mut score = Score::default();
    for outcome in outcomes {
        score.add(outcome);
    }
    score
}

impl Score {
    fn add(&mut self, outcome: &Outcome) {
        let Outcome { sort, faults, found, node_days, cost, .. } = outcome;
        *self.node_days.entry(*sort).or_default() += node_days;
        self.cost.cpu_ns += cost.cpu_ns;
        self.cost.samples += cost.samples;
        let mut of: Vec<Vec<&Found>> = faults.iter().map(|_| Vec::new()).collect();
        let mut pages = 0;
        for one in found {
            if let Some(fault) = belongs(faults, one) {
                of[fault].push(one);
                continue;
            }
            let rule = (*sort, one.rule.clone(), one.level);
            *self.false_rules.entry(rule).or_default() += 1;
            match one.level {
                Level::Info => {}
                Level::Mild => *self.false_milds.entry(*sort).or_default() += 1,
                Level::Page => {
                    pages += 1;
                    *self.false_pages.entry(*sort).or_default() += 1;
                }
            }
        }
        let runs = self.quiet_runs.entry(*sort).or_default();
        runs.0 += 1;
        runs.1 += usize::from(pages == 0);
        for (fault, found) in faults.iter().zip(of) {
            self.verdicts.push(verdict(fault, &found));
        }
    }

    /// Faults that are meant, and how many of them hold.
    pub(crate) fn share(
        &self,
        of: impl Fn(&&Verdict) -> bool,
        holds: impl Fn(&Verdict) -> bool,
    ) -> (usize, usize) {
        let meant: Vec<_> = self.verdicts.iter().filter(of).collect();
        (meant.iter().filter(|v| holds(v)).count(), meant.len())
    }

    /// Pages that were right, and all pages, each fault's first one counted only. A page about
    /// what nobody may be called for is wrong.
    pub(crate) fn precision(&self) -> (usize, usize) {
        let is_quiet = |v: &&Verdict| v.group == Group::Quiet;
        let (right, _) = self.share(|v| !is_quiet(v), |v| v.page);
        let (quiet, _) = self.share(is_quiet, |v| v.page);
        (right, right + quiet + self.false_pages.values().sum::<usize>())
    }

    /// Seconds of delay of those that are meant, sorted.
    pub(crate) fn delays(&self, of: impl Fn(&&Verdict) -> bool) -> Vec<f64> {
        let mut all: Vec<f64> = self.verdicts.iter().filter(of).filter_map(|v| v.delay_s).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

/// The fault that a finding is about: the one whose root it is, or else the latest.
pub(crate) fn belongs(faults: &[Fault], found: &Found) -> Option<usize> {
    let meant = faults.iter().enumerate().filter(|(_, fault)| {
        fault.begin_s * 1000 <= found.begin_ms
            && found.begin_ms <= fault.end_s * 1000 + AFTER_MS
            && fault.concerns(found.component)
    });
    meant
        .max_by_key(|(_, fault)| (fault.root == found.component, fault.begin_s))
        .map(|(index, _)| index)
}

fn verdict(fault: &Fault, found: &[&Found]) -> Verdict {
    let at_least = |level: Level| found.iter().filter(move |f| f.level >= level);
    let first = at_least(Level::Mild).min_by_key(|f| f.begin_ms);
    let observable_ms = fault.observable_ms.unwrap_or(fault.begin_s * 1000);
    let delay = |f: &&Found| (f.begin_ms - observable_ms).max(0) as f64 / 1000.0;
    let ranked = at_least(Level::Mild)
        .filter(|f| !f.causes.is_empty())
        .min_by_key(|f| f.begin_ms)
        .map(|f| rank(&f.causes, fault.root));
    let mut rules = BTreeMap::new();
    for one in found {
        *rules.entry((one.rule.clone(), one.level)).or_default() += 1;
    }
    Verdict {
        class: fault.class,
        group: fault.group,
        mild: first.is_some(),
        page: at_least(Level::Page).next().is_some(),
        info: !found.is_empty(),
        incidents: at_least(Level::Mild).count(),
        delay_s: first.map(delay),
        rank: ranked,
        trivial: (!found.is_empty()).then(|| trivial(fault.root, found)),
        rules,
    }
}

fn rank(causes: &[Component], root: Component) -> Rank {
    causes.iter().position(|cause| *cause == root).map(|index| index + 1)
}

/// Where the root stands when components are ranked by who was first, strongest, or most often
/// among what was found of the fault.
fn trivial(root: Component, found: &[&Found]) -> [Option<usize>; 3] {
    #[derive(Default)]
    struct Seen {
        first_ms: i64,
        score: f64,
        count: i64,
    }
    let mut of: BTreeMap<Component, Seen> = BTreeMap::new();
    for one in found {
        let seen = of
            .entry(one.component)
            .or_insert_with(|| Seen { first_ms: one.begin_ms, ..Seen::default() });
        seen.first_ms = seen.first_ms.min(one.begin_ms);
        seen.score = seen.score.max(one.score.abs());
        seen.count += 1;
    }
    let ranked = |by: fn(&Seen) -> f64| {
        let mut all: Vec<(f64, Component)> = of.iter().map(|(c, seen)| (by(seen), *c)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let components: Vec<Component> = all.into_iter().map(|(_, component)| component).collect();
        rank(&components, root)
    };
    [ranked(|s| -(s.first_ms as f64)), ranked(|s| s.score), ranked(|s| s.count as f64)]
}

/// Shares of ranks that are at most 1 and 3, and the mean of those for 1 to 5.
pub(crate) fn accuracy(ranks: &[Option<usize>]) -> [f64; 3] {
    let n = ranks.len() as f64;
    let at = |k: usize| ranks.iter().filter(|r| r.is_some_and(|r| r <= k)).count() as f64 / n;
    [at(1), at(3), (1..=5).map(at).sum::<f64>() / 5.0]
}

/// Wilson's 95 % interval of a share.
pub(crate) fn wilson((hits, of): (usize, usize)) -> Option<[f64; 2]> {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return None;
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    Some([((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0)])
}

/// A quantile of a sorted list.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::scenarios::spec::Numbers;

    fn fault(begin_s: i64, root: Component) -> Fault {
        Fault {
            class: Class::Xid79,
            group: Group::Deterministic,
            begin_s,
            end_s: begin_s + 100,
            root,
            affected: vec![Component::Node(0)],
            parameters: Numbers::default(),
            draw: 0.0,
            strength: 0.0,
            observable_ms: Some(begin_s * 1000 + 2000),
        }
    }

    fn found(begin_s: i64, component: Component, level: Level) -> Found {
        let (rule, causes) = ("r".to_owned(), vec![Component::Node(0), component]);
        let begin_ms = begin_s * 1000;
        Found { begin_ms, end_ms: None, component, level, rule, score: 1.0, causes }
    }

    fn outcome(found: Vec<Found>) -> Outcome {
        let faults = vec![fault(1000, Component::Gpu(0, 1)), fault(5000, Component::Gpu(0, 2))];
        let (sort, seed, cost) = (Sort::Faults, 1, Cost::default());
        Outcome { sort, seed, node_days: 2.0, faults, calm: Vec::new(), found, cost }
    }

    #[test]
    fn first_finding_detects_later_ones_repeat_and_the_rest_is_false() {
        let gpu = Component::Gpu(0, 1);
        let score = score(&[outcome(vec![
            found(900, gpu, Level::Page),
            found(1012, gpu, Level::Page),
            found(1020, Component::Node(0), Level::Mild),
            found(1701, gpu, Level::Page),
            found(1700, gpu, Level::Info),
        ])]);
        assert_eq!(score.false_pages[&Sort::Faults], 2);
        let first = &score.verdicts[0];
        assert_eq!((first.incidents, first.page, first.delay_s), (2, true, Some(10.0)));
        assert_eq!(first.rank, Some(Some(2)));
        assert!(!score.verdicts[1].info);
        assert_eq!(score.precision(), (1, 3));
        assert_eq!(score.quiet_runs[&Sort::Faults], (1, 0));
    }

    #[test]
    fn finding_of_what_two_faults_share_goes_to_the_one_whose_root_it_is() {
        let faults = [fault(1000, Component::Node(0)), fault(1010, Component::Gpu(0, 1))];
        let one = found(1050, Component::Node(0), Level::Mild);
        assert_eq!(belongs(&faults, &one), Some(0));
    }

    #[test]
    fn accuracy_counts_ranks_and_what_is_not_ranked() {
        let [first, third, mean] = accuracy(&[Some(1), Some(2), None, Some(4)]);
        assert_eq!((first, third), (0.25, 0.5));
        assert!((mean - (0.25 + 0.5 + 0.5 + 0.75 + 0.75) / 5.0).abs() < 1e-12);
    }

    #[test]
    fn wilson_is_as_in_the_tables() {
        let [low, high] = wilson((30, 30)).expect("some");
        assert!((low - 0.886).abs() < 1e-3 && (high - 1.0).abs() < 1e-9);
        assert_eq!(wilson((0, 0)), None);
    }
}
