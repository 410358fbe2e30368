//! A random walk from effects to their causes. It starts at each symptom as often as that is
//! surprising, and ends up where most ways lead; where rules have no opinion, that decides.

use super::Suspect;

/// How often the walk goes on instead of starting anew.
const DAMPING: f64 = 0.85;
const ITERATIONS: usize = 15;

/// Where the walk is found, one value a suspect, the largest 1. `explained` has a row a suspect
/// and a column a facet.
pub(super) fn walk(explained: &[Vec<f64>], surprise: &[f64], list: &[Suspect]) -> Vec<f64> {
    let mut at: Vec<f64> = vec![0.0; list.len()];
    let total: f64 = surprise.iter().sum();
    if total <= 0.0 || list.is_empty() {
        return at;
    }
    // The suspect that each facet is itself.
    let mut facets: Vec<usize> = list.iter().filter_map(|s| s.facet).collect();
    facets.sort_unstable();
    let column_of = |suspect: &Suspect| suspect.facet.and_then(|f| facets.binary_search(&f).ok());
    let columns: Vec<Option<usize>> = list.iter().map(column_of).collect();
    let start: Vec<f64> = columns
        .iter()
        .map(|c| c.and_then(|c| surprise.get(c)).map_or(0.0, |s| s / total))
        .collect();
    // How much all suspects but the facet itself claim of it.
    let claimed: Vec<f64> = (0..surprise.len())
        .map(|f| {
            explained
                .iter()
                .zip(&columns)
                .filter(|(_, c)| **c != Some(f))
                .map(|(row, _)| row[f])
                .sum()
        })
        .collect();
    at.clone_from(&start);
    for _ in 0..ITERATIONS {
        let mut next: Vec<f64> = start.iter().map(|s| s * (1.0 - DAMPING)).collect();
        for (from, weight) in at.iter().enumerate() {
            let Some(f) = columns[from].filter(|f| *f < claimed.len() && claimed[*f] > 0.0) else {
                // Nothing explains it: the walk stays.
                next[from] += DAMPING * weight;
                continue;
            };
            // What claims little of it, leaves the rest to itself.
            let stays = (1.0 - claimed[f]).max(0.0);
            let spread = claimed[f] + stays;
            next[from] += DAMPING * weight * stays / spread;
            for (to, row) in explained.iter().enumerate() {
                if columns[to] != Some(f) && row[f] > 0.0 {
                    next[to] += DAMPING * weight * row[f] / spread;
                }
            }
        }
        at = next;
    }
    let most = at.iter().copied().fold(0.0, f64::max);
    if most > 0.0 {
        at.iter_mut().for_each(|value| *value /= most);
    }
    at
}
