//! Summaries and actions with the numbers filled in.
//!
//! `{value}`, `{threshold}`, the same as `{value%}` and `{threshold%}` for ratios, `{node}` and
//! `{labels.NAME}` (empty where the series has no such label).

use crate::detect::text::number;
use crate::series::Series;

/// A parsed template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value { percent: bool },
    Threshold { percent: bool },
    Node,
    Label(String),
}

impl Template {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) =
                after.split_once('}').ok_or_else(|| format!("`{{{after}` has no closing brace"))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(match name {
                "value" => Part::Value { percent: false },
                "value%" => Part::Value { percent: true },
                "threshold" => Part::Threshold { percent: false },
                "threshold%" => Part::Threshold { percent: true },
                "node" => Part::Node,
                _ => match name.strip_prefix("labels.") {
                    Some(label) if !label.is_empty() => Part::Label(label.into()),
                    _ => return Err(format!("`{{{name}}}` is not known")),
                },
            });
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    pub(super) fn render(&self, series: &Series, value: f64, threshold: f64) -> String {
        let numeral = |value: f64, percent: bool| {
            if percent { format!("{} %", number(value * 100.0)) } else { number(value) }
        };
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value { percent } => out.push_str(&numeral(value, *percent)),
                Part::Threshold { percent } => out.push_str(&numeral(threshold, *percent)),
                Part::Node => out.push_str(&series.node.name),
                Part::Label(name) => out.push_str(series.label(name).unwrap_or_default()),
            }
        }
        out
    }
}
