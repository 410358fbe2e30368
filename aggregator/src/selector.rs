//! Series selectors in Prometheus' syntax: `node_load1{node="a",cpu=~"0|1"}`.

use promql_parser::label::{MatchOp, Matcher as Parsed};
use promql_parser::parser::{self, Expr};
use regex::Regex;

/// Which series.
#[derive(Debug, Clone)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

/// One condition of a selector.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    value: String,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    Equal,
    NotEqual,
    Regex(Regex),
    NotRegex(Regex),
}

/// Not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a series selector: {why}")]
pub struct SelectorError {
    text: String,
    why: String,
}

impl Selector {
    /// Parses a selector.
    ///
    /// # Errors
    /// [`SelectorError`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let error = |why: String| SelectorError { text: text.into(), why };
        let Expr::VectorSelector(parsed) = parser::parse(text).map_err(error)? else {
            return Err(error("it is an expression of another kind".into()));
        };
        if parsed.offset.is_some() || parsed.at.is_some() || !parsed.matchers.or_matchers.is_empty()
        {
            return Err(error("offset, @ and \"or\" are not part of a selector".into()));
        }
        let named =
            parsed.name.map(|n| Matcher { name: "__name__".into(), value: n, how: How::Equal });
        let mut matchers: Vec<Matcher> = named.into_iter().collect();
        matchers.extend(parsed.matchers.matchers.into_iter().map(Matcher::from));
        Ok(Self { matchers })
    }

    /// Its conditions, all of which a series must meet.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }
}

impl Matcher {
    /// The label it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one value that it accepts, when there is just one.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        matches!(self.how, How::Equal).then_some(&self.value)
    }

    /// Whether a label with this value (empty: no such label) meets it.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match &self.how {
            How::Equal => value == self.value,
            How::NotEqual => value != self.value,
            How::Regex(regex) => regex.is_match(value),
            How::NotRegex(regex) => !regex.is_match(value),
        }
    }
}

impl From<Parsed> for Matcher {
    fn from(parsed: Parsed) -> Self {
        // The parser anchors expressions at both ends, as Prometheus does.
        let how = match parsed.op {
            MatchOp::Equal => How::Equal,
            MatchOp::NotEqual => How::NotEqual,
            MatchOp::Re(regex) => How::Regex(regex),
            MatchOp::NotRe(regex) => How::NotRegex(regex),
        };
        Self { name: parsed.name, value: parsed.value, how }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_selector_is_refused_with_its_text() {
        for text in ["", "a +", "rate(a[5m])", "a[5m]", "a offset 5m", "{", "a{b=~\"(\"}", "{}"] {
            let error = Selector::parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn expressions_match_whole_values() {
        let selector = Selector::parse("a{b=~\"x|y\"}").expect("parses");
        let matcher = &selector.matchers()[1];
        assert!(matcher.matches("x") && !matcher.matches("xx") && !matcher.matches(""));
    }
}
