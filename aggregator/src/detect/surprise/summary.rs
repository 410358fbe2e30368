//! What is said to people of a finding.

use super::model::Kind;
use super::series::Score;
use crate::detect::text::number;
use crate::series::Series;

/// One sentence: what it is, and what it usually is.
pub(super) fn of_series(series: &Series, counter: bool, score: &Score) -> String {
    let labels: Vec<_> = series.labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
    let of = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let (metric, node) = (&series.metric, &series.node.name);
    let (what, unit) = if counter { ("rate of ", " a second") } else { ("", "") };
    let value = number(score.value);
    let (low, high) = (number(score.low), number(score.high));
    let usual = if low == high { low } else { format!("{low} to {high}") };
    match score.kind {
        Kind::High | Kind::Low => {
            let far = if score.kind == Kind::High { "higher" } else { "lower" };
            format!(
                "{what}{metric}{of} on {node} is {value}{unit}, {far} than usual for it: about \
                 {usual} is expected at this time"
            )
        }
        Kind::Restless => format!(
            "{what}{metric}{of} on {node} moves much more than it used to: it is {value}{unit} \
             now, about {usual} is usual"
        ),
        Kind::Still => format!(
            "{what}{metric}{of} on {node} hardly moves any more: it stays near {value}{unit}, \
             and used to vary"
        ),
    }
}

/// The same of a node.
pub(super) fn of_node(node: &str, mild: f32, seen: f32, usual: f32) -> String {
    format!(
        "{} of {} series of {node} are somewhat unusual at the same time; in the fleet about {} \
         of so many are",
        number(f64::from(mild)),
        number(f64::from(seen)),
        number(f64::from((usual * seen).round())),
    )
}
