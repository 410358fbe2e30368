//! Summaries and actions with the numbers filled in.
//!
//! `{value}`, `{threshold}`, the same as `{value%}` and `{threshold%}` for ratios, `{node}`,
//! `{labels.NAME}`, `{info.NAME}` of the entity's info series (both empty where there is no such
//! label), and `{message}`, the text of an event.

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
    Info(String),
    Message,
}

/// What a template is filled with.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) node: &'a str,
    pub(super) label: &'a dyn Fn(&str) -> Option<&'a str>,
    pub(super) info: Option<&'a Series>,
    pub(super) message: &'a str,
    pub(super) value: f64,
    pub(super) threshold: f64,
}

impl Template {
    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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
                "message" => Part::Message,
                _ => match name.split_once('.') {
                    Some(("labels", label)) if !label.is_empty() => Part::Label(label.into()),
                    Some(("info", label)) if !label.is_empty() => Part::Info(label.into()),
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

    /// Whether it says something of the entity's info series.
    pub(super) fn has_info(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Info(_)))
    }

    /// The labels, and the labels of info series, that it names.
    #[cfg(test)]
    pub(super) fn labels(&self) -> (Vec<&str>, Vec<&str>) {
        let (mut own, mut info) = (Vec::new(), Vec::new());
        for part in &self.0 {
            match part {
                Part::Label(name) => own.push(&**name),
                Part::Info(name) => info.push(&**name),
                _ => {}
            }
        }
        (own, info)
    }

    pub(super) fn render(&self, facts: Facts<'_>) -> String {
        let numeral = |value: f64, percent: bool| {
            if percent { format!("{} %", number(value * 100.0)) } else { number(value) }
        };
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value { percent } => out.push_str(&numeral(facts.value, *percent)),
                Part::Threshold { percent } => out.push_str(&numeral(facts.threshold, *percent)),
                Part::Node => out.push_str(facts.node),
                Part::Label(name) => out.push_str((facts.label)(name).unwrap_or_default()),
                Part::Info(name) => {
                    out.push_str(facts.info.and_then(|i| i.label(name)).unwrap_or_default());
                }
                Part::Message => out.push_str(facts.message),
            }
        }
        out
    }
}
