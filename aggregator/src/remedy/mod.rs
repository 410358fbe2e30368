//! What to do: what an error means, which runbook answers it, how healthy a cluster is.
//!
//! [`Remedies`] has the questions; gRPC and the rest are skins over it. Answers are made of
//! rules, expressions and runbooks, so the same question at the same state has the same answer.
//! A language model, where one is configured, adds words beside an answer and never a command.
//!
//! `classify` knows errors, `runbook` what to do, `scene` what is known around an error,
//! `diagnose` joins them, `suggest` and `search` find runbooks, `health` judges a cluster.

pub mod classify;
pub mod diagnose;
pub mod facts;
pub mod health;
pub mod json;
pub mod redact;
pub mod runbook;
pub mod scene;
mod search;
pub mod suggest;
pub mod wording;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sextant_proto::v1::{
    self, ClusterHealthResponse, Diagnosis, ListRunbooksResponse, SuggestRunbookResponse,
};

use self::facts::{ClusterFacts, Connection, NotConnected};
use self::runbook::{Known, RunbookError, Runbooks};
use self::scene::{Scene, Subject};
use self::suggest::Topic;
use self::wording::Wording;
use crate::clock;
use crate::config::Config;
use crate::detect::{self, DetectError};
use crate::query::{Queries, QueryError};
use crate::storage::AnomalyQuery;

/// Runbooks that a suggestion has when nobody says how many, and at most.
const TOP: usize = 3;
const MAX_TOP: usize = 20;

/// The `[knowledge]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnowledgeConfig {
    /// A directory with runbooks beside those that come with the aggregator. What changes there
    /// is read again.
    pub runbooks_dir: Option<PathBuf>,
}

/// Why there are no remedies.
#[derive(Debug, thiserror::Error)]
pub enum RemedyError {
    #[error(transparent)]
    Detect(#[from] DetectError),
    #[error(transparent)]
    Runbook(#[from] RunbookError),
    #[error(transparent)]
    Wording(#[from] wording::WordingError),
}

/// Checks the runbooks of a configuration.
///
/// # Errors
/// The first thing that is wrong in them, with its file and line.
pub fn load_runbooks(
    knowledge: &KnowledgeConfig,
    detect: &detect::DetectConfig,
) -> Result<Runbooks, RemedyError> {
    let known = Known { rules: detect::rule_names(detect)?, errors: classify::names() };
    Ok(Runbooks::load(knowledge.runbooks_dir.clone(), known)?)
}

/// Answers what to do.
#[derive(Clone)]
pub struct Remedies {
    pub queries: Queries,
    pub runbooks: Arc<Runbooks>,
    pub facts: Arc<dyn ClusterFacts>,
    /// Where a model is configured.
    pub wording: Option<Arc<Wording>>,
    /// A node whose last data is older does not report.
    pub stale_after_ms: i64,
}

/// A question of what an error means.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub text: String,
    pub subject: Subject,
    pub include_cluster_health: bool,
}

impl Remedies {
    /// Those of a configuration, with nobody who asks Kubernetes. Reads the runbooks.
    ///
    /// # Errors
    /// When runbooks or the endpoint of the words cannot be used.
    pub fn new(config: &Config, queries: Queries) -> Result<Self, RemedyError> {
        let stale = i64::try_from(config.detect.stale_after.as_millis()).unwrap_or(i64::MAX);
        Ok(Self {
            queries,
            runbooks: Arc::new(load_runbooks(&config.knowledge, &config.detect)?),
            facts: Arc::new(NotConnected),
            wording: Wording::new(&config.wording)?.map(Arc::new),
            stale_after_ms: stale,
        })
    }

    /// What an error means and what to do. Blocks.
    ///
    /// # Errors
    /// When there is no question, it is too long, or the store cannot be read.
    pub fn diagnose(&self, question: &Question) -> Result<Diagnosis, QueryError> {
        if question.text.len() > classify::MAX_TEXT_BYTES {
            let what = format!("the text is over {} bytes", classify::MAX_TEXT_BYTES);
            return Err(QueryError::Limit(what));
        }
        let s = &question.subject;
        if question.text.trim().is_empty()
            && [&s.node, &s.pod, &s.deployment].iter().all(|name| name.is_empty())
        {
            let what = "an error text is needed, or a node, pod or deployment".into();
            return Err(QueryError::Invalid(what));
        }
        let now_ms = clock::now_ms();
        let reading = classify::read(&question.text);
        let scene = Scene::look(&self.queries, &*self.facts, s, &reading.names, now_ms)?;
        let library = self.runbooks.now(now_ms);
        let mut answer = diagnose::diagnose(&reading, &scene, &library, now_ms);
        if question.include_cluster_health {
            answer.cluster_health = Some(self.cluster_health(&scene.subject.cluster)?);
        }
        Ok(answer)
    }

    /// The runbooks that answer a topic. Blocks.
    #[must_use]
    pub fn suggest(&self, topic: &Topic<'_>, top: usize) -> SuggestRunbookResponse {
        let library = self.runbooks.now(clock::now_ms());
        let mut results = suggest::of_topic(&library, topic);
        let total_matched = u32::try_from(results.len()).unwrap_or(u32::MAX);
        results.truncate(if top == 0 { TOP } else { top.min(MAX_TOP) });
        let query = match topic {
            Topic::Text(text) => {
                redact::redact(text.chars().take(200).collect::<String>().trim(), false)
            }
            Topic::Rule(rule) => (*rule).to_owned(),
            Topic::Anomalies(all) => {
                all.iter().map(|a| a.id.to_string()).collect::<Vec<_>>().join(",")
            }
        };
        SuggestRunbookResponse { query, results, total_matched }
    }

    /// The anomalies of these ids, open or closed. Blocks.
    ///
    /// # Errors
    /// When one is not there, or the store cannot be read.
    pub fn anomalies(&self, ids: &[u64]) -> Result<Vec<v1::Anomaly>, QueryError> {
        let open = AnomalyQuery { active_only: true, ..AnomalyQuery::default() };
        let mut known = self.queries.anomalies(open)?;
        if !ids.iter().all(|id| known.iter().any(|a| a.id == *id)) {
            known.extend(self.queries.anomalies(AnomalyQuery::default())?);
        }
        let find = |id: &u64| {
            let found = known.iter().find(|a| a.id == *id).cloned();
            found.ok_or_else(|| QueryError::Invalid(format!("there is no anomaly {id}")))
        };
        ids.iter().map(find).collect()
    }

    /// All runbooks, without their details. Blocks.
    #[must_use]
    pub fn list(&self) -> ListRunbooksResponse {
        let library = self.runbooks.now(clock::now_ms());
        let runbooks = library.all().iter().map(|book| book.to_wire(false)).collect();
        ListRunbooksResponse { runbooks, reload_error: self.runbooks.error() }
    }

    /// One runbook. Blocks.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<v1::Runbook> {
        Some(self.runbooks.now(clock::now_ms()).get(id)?.to_wire(true))
    }

    /// How healthy a cluster is (empty: all together). Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn cluster_health(&self, cluster: &str) -> Result<ClusterHealthResponse, QueryError> {
        let now_ms = clock::now_ms();
        let of_cluster = (!cluster.is_empty()).then(|| cluster.to_owned());
        let anomalies = self.queries.anomalies(AnomalyQuery {
            cluster: of_cluster,
            active_only: true,
            limit: usize::MAX,
            ..AnomalyQuery::default()
        })?;
        let connection = self.facts.connection(cluster);
        let kubernetes = match connection {
            Connection::Connected => self.facts.nodes(cluster),
            _ => Vec::new(),
        };
        let known = health::Known {
            nodes: &self.queries.nodes(cluster),
            anomalies: &anomalies,
            kubernetes: &kubernetes,
            connection,
            now_ms,
            stale_after_ms: self.stale_after_ms,
        };
        Ok(health::assess(&known, &self.runbooks.now(now_ms)))
    }
}
