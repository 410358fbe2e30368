//! Which columns help to code which: those whose steps rise and fall together. A column that
//! others refer to refers to none itself, so that reading one needs at most two more.

use super::predict::{Weights, usual};
use super::steps::cost;

/// Columns that are compared: neighbours in a layout are of the same device or file.
const WINDOW: usize = 160;
/// Ticks that are looked at, spread over the block.
const TICKS: usize = 2048;
/// Candidates that are tried, by correlation.
const TRIED: usize = 5;
/// Below it columns have nothing in common.
const LEAST_CORRELATION: f32 = 0.1;
/// A reference must save this part of a column, and these bits: it costs a read.
const LEAST_SHARE: f64 = 0.03;
const LEAST_BITS: f64 = 120.0;

/// What a column is coded with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    /// Other columns, by their place among the candidates.
    pub(super) sources: Vec<usize>,
    pub(super) weights: Option<Weights>,
    /// Whether others refer to it.
    pub(super) is_source: bool,
    /// A column that is as lively at the same ticks: worth a try where there is no source.
    pub(super) beside: Option<usize>,
}

/// Some ticks of a column, centred and of length one, for correlations.
struct Signal(Vec<f32>);

impl Signal {
    #[expect(clippy::cast_possible_truncation, reason = "half the digits do")]
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let scale = 1.0 / square.sqrt().max(1e-30);
        Self(values.iter().map(|value| ((value - mean) * scale) as f32).collect())
    }

    /// Of steps; those that stand out count as four times what is usual.
    fn of_steps(steps: impl Iterator<Item = i64> + Clone) -> Self {
        let most = 4.0 * usual(steps.clone());
        Self::new(steps.map(|step| (step as f64).clamp(-most, most)))
    }

    /// Of how many bits steps have.
    fn of_widths(steps: impl Iterator<Item = i64>) -> Self {
        Self::new(steps.map(|step| f64::from(super::residual::width(step))))
    }

    fn correlation(&self, other: &Self) -> f32 {
        let mut sums = [0f32; 8];
        let (ours, _) = self.0.as_chunks::<8>();
        let (theirs, _) = other.0.as_chunks::<8>();
        for (a, b) in ours.iter().zip(theirs) {
            for lane in 0..8 {
                sums[lane] += a[lane] * b[lane];
            }
        }
        sums.iter().sum()
    }
}

/// The ticks that are looked at.
fn looked_at(count: usize) -> impl Iterator<Item = usize> + Clone {
    // Odd, so that what happens every so many ticks is seen at all its phases.
    let stride = count.div_ceil(TICKS).max(1) | 1;
    (0..count).step_by(stride)
}

fn left(weights: &Weights, own: &[i64], sources: &[&[i64]]) -> f64 {
    cost(looked_at(own.len()).map(|at| own[at].wrapping_sub(weights.predict(own, sources, at))))
}

/// The best `count` of scored candidates.
fn best(scores: impl Iterator<Item = (f32, usize)>, count: usize) -> Vec<usize> {
    let mut scores: Vec<_> = scores.filter(|&(score, _)| score > LEAST_CORRELATION).collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scores.into_iter().take(count).map(|(_, index)| index).collect()
}

/// A reference that would pay.
struct Offer {
    saved: f64,
    from: usize,
    to: usize,
    weights: Weights,
}

/// Plans for columns, given their steps.
pub(super) fn plan(columns: &[&[i64]]) -> Vec<Plan> {
    let signals: Vec<Signal> = columns
        .iter()
        .map(|steps| Signal::of_steps(looked_at(steps.len()).map(|at| steps[at])))
        .collect();
    let near = |index: usize| {
        let window = index.saturating_sub(WINDOW)..(index + WINDOW).min(columns.len());
        window.filter(move |&other| other != index)
    };
    let mut plans = Vec::with_capacity(columns.len());
    let mut costs = Vec::with_capacity(columns.len());
    let mut offers = Vec::new();
    for (from, &own) in columns.iter().enumerate() {
        let plain = cost(looked_at(own.len()).map(|at| own[at]));
        let scale = looked_at(own.len()).count() as f64 / own.len().max(1) as f64;
        let pays =
            |alone: f64, with: f64| alone - with > (alone * LEAST_SHARE).max(LEAST_BITS * scale);
        let own_weights = Weights::fit(own, &[], looked_at(own.len()))
            .map(|weights| (left(&weights, own, &[]), weights))
            .filter(|&(bits, _)| pays(plain, bits));
        let alone = own_weights.as_ref().map_or(plain, |&(bits, _)| bits);
        let scores = near(from).map(|to| (signals[from].correlation(&signals[to]).abs(), to));
        for to in best(scores, TRIED) {
            let sources = [columns[to]];
            let Some(weights) = Weights::fit(own, &sources, looked_at(own.len())) else {
                continue;
            };
            let with = left(&weights, own, &sources);
            if pays(alone, with) {
                offers.push(Offer { saved: alone - with, from, to, weights });
            }
        }
        costs.push(alone);
        plans.push(Plan { weights: own_weights.map(|(_, weights)| weights), ..Plan::default() });
    }
    offers.sort_by(|a, b| b.saved.total_cmp(&a.saved));
    for offer in offers {
        let (from, to) = (offer.from, offer.to);
        if plans[from].is_source || !plans[from].sources.is_empty() || !plans[to].sources.is_empty()
        {
            continue;
        }
        plans[to].is_source = true;
        plans[from].sources.push(to);
        plans[from].weights = Some(offer.weights);
        costs[from] -= offer.saved;
    }
    for from in 0..columns.len() {
        if let [first] = plans[from].sources[..] {
            second_source(columns, &signals, near(from), &mut plans, (from, first), costs[from]);
        }
    }
    lively(columns, near, &mut plans);
    plans
}

/// Gives a column a second source where that pays.
fn second_source(
    columns: &[&[i64]],
    signals: &[Signal],
    near: impl Iterator<Item = usize>,
    plans: &mut [Plan],
    (from, first): (usize, usize),
    with_one: f64,
) {
    let own = columns[from];
    let Some(weights) = plans[from].weights.clone() else { return };
    let one = [columns[first]];
    let residuals: Vec<i64> = looked_at(own.len())
        .map(|at| own[at].wrapping_sub(weights.predict(own, &one, at)))
        .collect();
    let signal = Signal::of_steps(residuals.iter().copied());
    let scores = near
        .filter(|&to| to != first && plans[to].sources.is_empty())
        .map(|to| (signal.correlation(&signals[to]).abs(), to));
    for to in best(scores, 1) {
        let both = [columns[first], columns[to]];
        let Some(weights) = Weights::fit(own, &both, looked_at(own.len())) else { continue };
        if with_one - left(&weights, own, &both) > with_one * LEAST_SHARE {
            plans[from].sources.push(to);
            plans[from].weights = Some(weights);
            plans[to].is_source = true;
        }
    }
}

/// Finds the column to go by for those that refer to none.
fn lively<I: Iterator<Item = usize>>(
    columns: &[&[i64]],
    near: impl Fn(usize) -> I,
    plans: &mut [Plan],
) {
    let signals: Vec<Signal> = columns
        .iter()
        .map(|steps| Signal::of_widths(looked_at(steps.len()).map(|at| steps[at])))
        .collect();
    for from in 0..columns.len() {
        if plans[from].is_source || !plans[from].sources.is_empty() {
            continue;
        }
        let free = near(from)
            .filter(|&to| plans[to].sources.is_empty() && plans[to].beside.is_none())
            .map(|to| (signals[from].correlation(&signals[to]), to));
        if let Some(to) = best(free, 1).pop() {
            plans[from].beside = Some(to);
            plans[to].is_source = true;
        }
    }
}
