//! Okapi BM25 over short documents with weighted fields (BM25F: a term's frequencies are added
//! up by the weight of their fields before they saturate).
//!
//! The tokeniser keeps what names things here: `gpu_power_watts` and `CrashLoopBackOff` are
//! terms, whole and in parts; a number after "Xid", "exit code" or "clockClass" is a term with
//! it, so that "Xid (PCI:0000:3b:00): 79" and "xid 79" are the same.

use std::collections::{BTreeMap, BTreeSet};

/// BM25's saturation of frequency and its weight of length, as Robertson and Zaragoza (2009)
/// recommend.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Words of a query that are looked at.
const MAX_QUERY_WORDS: usize = 400;
/// A hit with less of the query's weight is none.
const MIN_RELEVANCE: f64 = 0.08;
/// Words that say nothing of a subject.
const STOP: &[&str] = &[
    "a", "about", "after", "again", "all", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "but", "by", "can", "cannot", "could", "did", "do", "does", "doing", "for",
    "from", "get", "gets", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its",
    "just", "keep", "me", "my", "no", "not", "of", "on", "or", "our", "out", "over", "since", "so",
    "some", "than", "that", "the", "their", "them", "then", "there", "they", "this", "to", "too",
    "up", "us", "was", "we", "were", "what", "when", "where", "which", "while", "who", "why",
    "will", "with", "would", "you", "your", "please", "help",
];
/// A number that follows one of these belongs to it; words and signs may stand between.
const NUMBERED: &[(&str, usize)] =
    &[("xid", 5), ("sxid", 5), ("code", 1), ("clockclass", 1), ("class", 1), ("status", 1)];

/// What is searched: texts with their weights.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) fields: Vec<(f64, String)>,
}

/// A document that matches.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub(super) document: usize,
    /// The score as a share of what a document full of the query's words would have.
    pub(super) relevance: f64,
    /// The query's words that it has.
    pub(super) words: Vec<String>,
}

/// An inverted index.
#[derive(Debug)]
pub(super) struct Index {
    /// Term to documents and weighted frequencies.
    terms: BTreeMap<String, Vec<(usize, f64)>>,
    lengths: Vec<f64>,
    mean_length: f64,
}

impl Index {
    /// Indexes documents.
    pub(super) fn new(documents: impl Iterator<Item = Document>) -> Self {
        let mut terms: BTreeMap<String, Vec<(usize, f64)>> = BTreeMap::new();
        let mut lengths = Vec::new();
        for (number, document) in documents.enumerate() {
            let mut frequencies: BTreeMap<String, f64> = BTreeMap::new();
            for (weight, text) in &document.fields {
                for token in tokens(text) {
                    *frequencies.entry(token).or_default() += weight;
                }
            }
            lengths.push(frequencies.values().sum());
            for (term, frequency) in frequencies {
                terms.entry(term).or_default().push((number, frequency));
            }
        }
        let total: f64 = lengths.iter().sum();
        Self { terms, mean_length: total / count(lengths.len()).max(1.0), lengths }
    }

    /// The documents that match, best first.
    #[must_use]
    pub(super) fn search(&self, query: &str) -> Vec<Hit> {
        let mut words: Vec<String> = tokens(query);
        words.truncate(MAX_QUERY_WORDS);
        let words: BTreeSet<String> = words.into_iter().collect();
        let documents = count(self.lengths.len());
        let mut scores: BTreeMap<usize, (f64, Vec<(f64, String)>)> = BTreeMap::new();
        let mut possible = 0.0;
        for word in words {
            let found = self.terms.get(&word).map_or(&[][..], Vec::as_slice);
            let n = count(found.len());
            let idf = (1.0 + (documents - n + 0.5) / (n + 0.5)).ln();
            // A word that no document has tells less of the subject than of its writer.
            possible += if found.is_empty() { 0.25 * idf } else { idf } * (K1 + 1.0);
            for (document, frequency) in found {
                let norm = 1.0 - B + B * self.lengths[*document] / self.mean_length;
                let score = idf * frequency * (K1 + 1.0) / (frequency + K1 * norm);
                let entry = scores.entry(*document).or_default();
                entry.0 += score;
                entry.1.push((score, word.clone()));
            }
        }
        let hit = |(document, (score, mut words)): (usize, (f64, Vec<(f64, String)>))| {
            words.sort_by(|a, b| b.0.total_cmp(&a.0));
            let words = words.into_iter().map(|(_, word)| word).collect();
            Hit { document, relevance: (score / possible).clamp(0.0, 1.0), words }
        };
        let mut hits: Vec<Hit> = scores.into_iter().map(hit).collect();
        hits.retain(|h| h.relevance >= MIN_RELEVANCE);
        hits.sort_by(|a, b| b.relevance.total_cmp(&a.relevance).then(a.document.cmp(&b.document)));
        hits
    }
}

#[expect(clippy::cast_precision_loss, reason = "some hundred documents")]
fn count(n: usize) -> f64 {
    n as f64
}

/// The terms of a text.
fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut numbered: Option<(&str, usize)> = None;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for word in text.split(|c: char| !is_word(c)).filter(|w| !w.is_empty()) {
        let lower = word.to_lowercase();
        if lower.bytes().all(|b| b.is_ascii_digit()) {
            let number = lower.trim_start_matches('0');
            if let Some((name, _)) = numbered.filter(|_| number.len() <= 3 && !number.is_empty()) {
                found.push(format!("{name}{number}"));
            }
            // The parts of a PCI address stand between.
            numbered = numbered.and_then(|(n, left)| (left > 1).then_some((n, left - 1)));
            continue;
        }
        let after = NUMBERED.iter().find(|(name, _)| *name == lower).copied();
        numbered = after.or_else(|| numbered.and_then(|(n, l)| (l > 1).then_some((n, l - 1))));
        let parts: Vec<String> = parts(word);
        if parts.len() > 1 {
            found.push(lower);
            found.extend(parts.iter().filter(|p| p.len() > 1).map(|p| stem(p)));
        } else if !STOP.contains(&&*lower) {
            found.push(stem(&lower));
        }
    }
    found.retain(|t| !STOP.contains(&&**t));
    found
}

/// The parts of `snake_case` and `CamelCase`, in small letters.
fn parts(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    let mut letters = word.chars().peekable();
    while let Some(c) = letters.next() {
        let lower_next = letters.peek().is_some_and(|n| n.is_lowercase());
        let begins =
            c.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && lower_next));
        let digit_edge = c.is_ascii_digit() != before.is_ascii_digit() && before != '_';
        if c == '_' || begins || (digit_edge && c.is_ascii_digit() && word.len() > 6) {
            parts.push(String::new());
        }
        if c != '_'
            && let Some(last) = parts.last_mut()
        {
            last.extend(c.to_lowercase());
        }
        before = c;
    }
    parts.retain(|p| !p.is_empty());
    parts
}

/// A word without its English ending: plural, "-ing", "-ed".
fn stem(word: &str) -> String {
    let long = |rest: &&str| rest.len() >= 3 && rest.contains(|c| "aeiouy".contains(c));
    let cut = |end: &str| word.strip_suffix(end).filter(long);
    if let Some(base) = word.strip_suffix("ies").filter(|b| b.len() > 1) {
        return format!("{base}y");
    }
    let base = if let Some(base) = cut("ings").or_else(|| cut("ing")).or_else(|| cut("ed")) {
        // "dropped" is "drop"; "killed" and "passed" are "kill" and "pass".
        let last = base.chars().last().unwrap_or_default();
        let twice = base.len() > 3 && base.ends_with(&format!("{last}{last}"));
        if twice && !"ls".contains(last) { &base[..base.len() - 1] } else { base }
    } else if ["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word
    } else if ["xes", "ches", "shes", "sses"].iter().any(|end| word.ends_with(end)) {
        &word[..word.len() - 2]
    } else {
        word.strip_suffix('s').filter(|b| b.len() >= 2).unwrap_or(word)
    };
    base.strip_suffix('e').filter(|b| b.len() >= 3).unwrap_or(base).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_what_names_things() {
        let f = |text: &str, want: &[&str]| {
            let got = tokens(text);
            assert!(want.iter().all(|w| got.iter().any(|g| g == w)), "{text}: {got:?}");
        };
        f("NVRM: Xid (PCI:0000:3b:00): 79, pid=1", &["xid79", "nvrm", "xid", "pci"]);
        f("xid 79", &["xid79"]);
        f("Exit Code: 137", &["exit", "code137"]);
        f("CrashLoopBackOff", &["crashloopbackoff", "crash", "loop", "back"]);
        f("gpu_power_watts", &["gpu_power_watts", "gpu", "power", "watt"]);
        f("clockClass 7", &["clock", "class"]);
        assert_eq!(stem("policies"), "policy");
        assert_eq!(stem("dropped"), stem("drops"));
        assert_eq!(stem("throttling"), stem("throttled"));
        assert_eq!(stem("address"), "address");
        assert!(tokens("what is the").is_empty());
    }

    #[test]
    fn rare_words_and_heavy_fields_count_more() {
        let one = |title: &str, body: &str| Document {
            fields: vec![(4.0, title.to_owned()), (1.0, body.to_owned())],
        };
        let index = Index::new(
            [one("disk full", "the node"), one("node memory", "the disk"), one("clock", "node")]
                .into_iter(),
        );
        let best = |query: &str| index.search(query).first().map(|h| h.document);
        assert_eq!(best("disk"), Some(0));
        assert_eq!(best("memory of my disk"), Some(1));
        assert_eq!(best("clock on a node"), Some(2));
        assert_eq!(best("my dog ate it"), None);
        assert_eq!(best(""), None);
        assert_eq!(index.search("disk")[0].words, ["disk"]);
    }

    #[test]
    fn relevance_is_within_zero_and_one_and_grows_with_what_matches() {
        let text = |t: &str| Document { fields: vec![(1.0, t.to_owned())] };
        let index = Index::new(["a b c d xid", "fan speed", "fan noise"].map(text).into_iter());
        let relevance = |q: &str| index.search(q).first().map_or(0.0, |h| h.relevance);
        assert!(relevance("fan speed") > relevance("fan banana apple"));
        assert!((0.0..=1.0).contains(&relevance("fan speed noise")));
    }
}
