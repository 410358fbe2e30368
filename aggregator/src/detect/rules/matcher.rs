//! Comparisons of numbers, and what labels must be.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Op {
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessEqual,
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
}

impl Op {
    pub(super) fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Greater => value > limit,
            Self::GreaterEqual => value >= limit,
            Self::Less => value < limit,
            Self::LessEqual => value <= limit,
            #[expect(clippy::float_cmp, reason = "states are whole numbers")]
            Self::Equal => value == limit,
            #[expect(clippy::float_cmp, reason = "states are whole numbers")]
            Self::NotEqual => value != limit,
        }
    }
}

/// What a label must be.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    Equal(String),
    NotEqual(String),
    Regex(Regex),
    NotRegex(Regex),
    /// None of these: what the cases of an event rule leave over.
    NoneOf(Vec<String>),
}

impl Matcher {
    fn parse(text: &str) -> Result<Self, String> {
        let regex = |pattern: &str| {
            Regex::new(&format!("^(?:{pattern})$")).map_err(|e| e.to_string().replace('\n', " "))
        };
        Ok(if let Some(pattern) = text.strip_prefix("!~") {
            Self::NotRegex(regex(pattern)?)
        } else if let Some(pattern) = text.strip_prefix('~') {
            Self::Regex(regex(pattern)?)
        } else if let Some(other) = text.strip_prefix('!') {
            Self::NotEqual(other.into())
        } else {
            Self::Equal(text.into())
        })
    }

    /// A label that is not there is empty.
    pub(super) fn takes(&self, value: &str) -> bool {
        match self {
            Self::Equal(want) => value == want,
            Self::NotEqual(other) => value != other,
            Self::Regex(regex) => regex.is_match(value),
            Self::NotRegex(regex) => !regex.is_match(value),
            Self::NoneOf(others) => !others.iter().any(|o| o == value),
        }
    }
}

/// Matchers by the labels that they look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Matchers(Vec<(String, Matcher)>);

impl Matchers {
    /// # Errors
    /// Which label's matcher is wrong, and how.
    pub(super) fn parse(texts: BTreeMap<String, String>) -> Result<Self, String> {
        let one = |(name, text): (String, String)| match Matcher::parse(&text) {
            Ok(matcher) => Ok((name, matcher)),
            Err(what) => Err(format!("{name}: {what}")),
        };
        texts.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// These, and one more.
    pub(super) fn and(mut self, name: &str, matcher: Matcher) -> Self {
        self.0.push((name.into(), matcher));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them looks at the label.
    pub(super) fn names(&self, label: &str) -> bool {
        self.0.iter().any(|(name, _)| name == label)
    }

    /// Whether all take the labels that `label` gives.
    pub(super) fn take<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|(name, matcher)| matcher.takes(label(name).unwrap_or_default()))
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Matcher)> {
        self.0.iter().map(|(n, m)| (&**n, m))
    }
}
