//! Series by metric and entity, to find the one that goes with another.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::rule::Operand;
use crate::series::{LabelPair, Series};

/// The labels of what other series are looked for: a series, or an entity alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) entity: &'a [LabelPair],
    /// All, those of the entity included.
    pub(super) labels: &'a [LabelPair],
}

impl<'a> Whose<'a> {
    pub(super) fn series(series: &'a Series) -> Self {
        Self { entity: &series.entity, labels: &series.labels }
    }

    fn has(self, name: &str, value: &str) -> bool {
        self.labels.iter().any(|(n, v)| **n == *name && **v == *value)
    }
}

type OfEntity<T> = FxHashMap<Vec<LabelPair>, Vec<(Arc<Series>, T)>>;

/// Series with something about each.
#[derive(Debug)]
pub(super) struct Index<T> {
    by_metric: FxHashMap<Arc<str>, OfEntity<T>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { by_metric: FxHashMap::default() }
    }
}

impl<T: Copy> Index<T> {
    /// Adds a series; one that is there is replaced.
    pub(super) fn add(&mut self, series: &Arc<Series>, about: T) {
        let entities = self.by_metric.entry(Arc::clone(&series.metric)).or_default();
        let list = entities.entry(sorted(&series.entity)).or_default();
        match list.iter_mut().find(|(known, _)| known.id == series.id) {
            Some(known) => known.1 = about,
            None => list.push((Arc::clone(series), about)),
        }
    }

    /// Drops what is not wanted any more.
    pub(super) fn retain(&mut self, keep: impl Fn(&Series) -> bool) {
        self.by_metric.retain(|_, entities| {
            entities.retain(|_, list| {
                list.retain(|(series, _)| keep(series));
                !list.is_empty()
            });
            !entities.is_empty()
        });
    }

    /// The series that the operand means, those with the most labels first: of the same entity,
    /// else of what it is part of (an instance of a port, the node of a disk).
    pub(super) fn find(&self, operand: &Operand, whose: Whose<'_>) -> Vec<(&Arc<Series>, T)> {
        let takes = |series: &Series| operand.takes(series, |n, v| whose.has(n, v));
        self.nearest(&operand.metric, whose, takes)
    }

    /// The info series of an entity: its own labels say what the entity is.
    pub(super) fn find_info(&self, metric: &str, whose: Whose<'_>) -> Vec<(&Arc<Series>, T)> {
        self.nearest(metric, whose, |_| true)
    }

    fn nearest(
        &self,
        metric: &str,
        whose: Whose<'_>,
        takes: impl Fn(&Series) -> bool,
    ) -> Vec<(&Arc<Series>, T)> {
        let Some(entities) = self.by_metric.get(metric) else { return Vec::new() };
        let fitting =
            |list: &'_ Vec<(Arc<Series>, T)>| list.iter().filter(|(s, _)| takes(s)).count() > 0;
        let same = entities.get(&sorted(whose.entity)).filter(|list| fitting(list));
        let list = same.or_else(|| {
            let around = entities.iter().filter(|(labels, list)| {
                labels.len() < whose.labels.len()
                    && labels.iter().all(|(n, v)| whose.has(n, v))
                    && fitting(list)
            });
            around.max_by_key(|(labels, _)| labels.len()).map(|(_, list)| list)
        });
        let fits = list.into_iter().flatten().filter(|(s, _)| takes(s));
        let mut found: Vec<_> = fits.map(|(series, about)| (series, *about)).collect();
        found.sort_by_key(|(series, _)| std::cmp::Reverse(series.labels.len()));
        found
    }
}

fn sorted(labels: &[LabelPair]) -> Vec<LabelPair> {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    labels
}
