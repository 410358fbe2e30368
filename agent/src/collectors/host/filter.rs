//! Which devices are left out: a regular expression, asked once per name.

use regex::{Regex, RegexBuilder};
use rustc_hash::FxHashMap;

/// Names whose answer is remembered; containers bring new interfaces for ever, so the memory is
/// emptied when it is full.
const REMEMBERED: usize = 4096;
/// Bytes that a compiled expression may take.
const COMPILED_BYTES: usize = 1 << 20;
/// Bytes that matching may cache. Names are short and asked for once.
const CACHED_BYTES: usize = 64 << 10;

/// A compiled exclusion and its answers; the default excludes nothing.
#[derive(Default)]
pub(super) struct Filter {
    exclude: Option<Regex>,
    answers: FxHashMap<String, bool>,
}

impl Filter {
    /// The exclusion that `pattern` says; empty excludes nothing.
    pub(super) fn new(pattern: &str) -> Result<Self, regex::Error> {
        let exclude = match pattern {
            "" | "^$" => None,
            pattern => {
                let mut builder = RegexBuilder::new(pattern);
                Some(builder.size_limit(COMPILED_BYTES).dfa_size_limit(CACHED_BYTES).build()?)
            }
        };
        Ok(Self { exclude, answers: FxHashMap::default() })
    }

    /// Whether `name` is left out.
    pub(super) fn excludes(&mut self, name: &str) -> bool {
        let Some(regex) = &self.exclude else { return false };
        if let Some(answer) = self.answers.get(name) {
            return *answer;
        }
        if self.answers.len() >= REMEMBERED {
            self.answers.clear();
        }
        let answer = regex.is_match(name);
        self.answers.insert(name.to_owned(), answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_patterns_compile_and_answers_stay_the_same_beyond_the_memory() {
        let mut filter = Filter::new("^(lo|veth.*)$").unwrap();
        for i in 0..2 * REMEMBERED {
            assert!(filter.excludes(&format!("veth{i}")));
            assert!(!filter.excludes("eth0"));
        }
        assert!(filter.answers.len() <= REMEMBERED);
        assert!(!Filter::new("").unwrap().excludes(""));
        assert!(Filter::new("(").is_err());
    }
}
