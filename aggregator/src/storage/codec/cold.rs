//! Columns that are kept for long: planned together, then each in the form that is smaller.

use super::column::Split;
use super::integers::Integers;
use super::mixed::Sources;
use super::relate::{Plan, plan};
use super::steps::Shape;

/// A column that is encoded.
struct Column {
    index: usize,
    split: Split,
    shape: Shape,
    steps: Vec<i64>,
    /// Where its plan is, when it has one.
    planned: Option<usize>,
}

/// The bytes of these columns, by their index.
pub(super) fn encode(columns: &[&[f64]], varying: &[usize]) -> Vec<(usize, Vec<u8>)> {
    let mut comparable = Vec::new();
    let mut prepared: Vec<Column> = Vec::with_capacity(varying.len());
    for &index in varying {
        let mut split = Split::default();
        split.of(columns[index]);
        let (shape, steps) = Shape::of(&split.kept);
        let planned = split.is_whole().then_some(comparable.len());
        if planned.is_some() {
            comparable.push(prepared.len());
        }
        prepared.push(Column { index, split, shape, steps, planned });
    }
    let steps: Vec<&[i64]> = comparable.iter().map(|&at| &prepared[at].steps[..]).collect();
    let plans = plan(&steps);
    let mut integers = Integers::default();
    let mut needed = vec![false; plans.len()];
    let mut encoded: Vec<Option<Vec<u8>>> = Vec::new();
    // Those that refer to others first: then it is known which are referred to.
    for column in &prepared {
        let plan = column.planned.map(|at| &plans[at]);
        encoded.push(match plan {
            Some(plan) if plan.is_source => None,
            Some(plan) => {
                let (bytes, used) = smallest(column, plan, &prepared, &comparable, &mut integers);
                used.iter().for_each(|&at| needed[at] = true);
                Some(bytes)
            }
            None => Some(smallest(column, &Plan::default(), &[], &[], &mut integers).0),
        });
    }
    let mut result = Vec::with_capacity(prepared.len());
    for (column, bytes) in prepared.iter().zip(encoded) {
        let bytes = bytes.unwrap_or_else(|| {
            let at = column.planned.expect("only planned columns are sources");
            if needed[at] {
                mixed(column, &plans[at], &[], &prepared, &comparable, &mut integers)
            } else {
                smallest(column, &plans[at], &prepared, &comparable, &mut integers).0
            }
        });
        result.push((column.index, bytes));
    }
    result
}

/// The smallest form of a column, and the candidates that it refers to.
fn smallest(
    column: &Column,
    plan: &Plan,
    prepared: &[Column],
    comparable: &[usize],
    integers: &mut Integers,
) -> (Vec<u8>, Vec<usize>) {
    let mut best = mixed(column, plan, &plan.sources, prepared, comparable, integers);
    let mut used = plan.sources.clone();
    if let Some(beside) = plan.beside {
        let other = mixed(column, plan, &[beside], prepared, comparable, integers);
        if other.len() < best.len() {
            (best, used) = (other, vec![beside]);
        }
    }
    let mut packed = Vec::new();
    column.split.put_packed(integers, &mut packed);
    if packed.len() <= best.len() { (packed, Vec::new()) } else { (best, used) }
}

fn mixed(
    column: &Column,
    plan: &Plan,
    sources: &[usize],
    prepared: &[Column],
    comparable: &[usize],
    integers: &mut Integers,
) -> Vec<u8> {
    let sources: Vec<&Column> = sources.iter().map(|&at| &prepared[comparable[at]]).collect();
    let indices: Vec<u32> =
        sources.iter().map(|source| u32::try_from(source.index).expect("few columns")).collect();
    let steps: Vec<&[i64]> = sources.iter().map(|source| &source.steps[..]).collect();
    let mut out = Vec::new();
    column.split.put_mixed(
        integers,
        (column.shape, &column.steps),
        plan.weights.as_ref(),
        &Sources { indices: &indices, steps: &steps },
        &mut out,
    );
    out
}
