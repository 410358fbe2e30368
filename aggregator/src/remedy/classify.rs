//! What kind of error a text tells of: expressions of `knowledge/errors.toml`, compiled once,
//! tried line by line. The regex engine is linear in the text, whatever the expressions are.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;
use sextant_proto::v1::{self, Urgency};

use super::redact::redact;
use super::runbook::placeholder::Names;

/// The largest text that is taken.
pub const MAX_TEXT_BYTES: usize = 10 << 20;
/// Of a longer text so much of its head and of its tail is read.
const READ_BYTES: usize = 32 << 10;
/// What an answer shows of a line.
const MAX_LINE_CHARS: usize = 300;
/// What the compiled expressions may take.
const MAX_COMPILED_BYTES: usize = 64 << 20;
const ERRORS: &str = include_str!("../../knowledge/errors.toml");

/// Words of texts that tell of trouble, whatever it is.
const TROUBLE: &str = r"\b(?:errors?|err|fail(?:ed|ures?|s|ing)?|fatal|panic(?:ked)?|exceptions?|traceback|denied|refused|rejected|time(?:d|s)? ?out|timeouts?|kill(?:ed|s|ing)?|crash(?:ed|es|ing)?|abort(?:ed|s)?|unable|cannot|can'?t|could(?: not|n'?t)|does(?: not|n'?t)|won'?t|unreachable|invalid|corrupt(?:ed|ion)?|broken|hangs?|hanging|hung|stuck|lost|dead|down|slow(?:er|ly)?|unhealthy|critical|warn(?:ing)?|degraded|missing|expired|exceed(?:ed|s)?|overheat\w*|hot|segfault|core dumped|oom|evicted|pending|throttl\w*|flap\w*|drop(?:s|ped|ping)?|unsynchroni[sz]ed|drift\w*|not (?:found|ready|working|responding|answering|reachable|available|locked|running|starting)|wrong|bad|full|leak\w*|reset|restart(?:ed|ing)|fell|fallen|bug|problem|issue|xid|fault(?:y|s|ed)?|mismatch|unknown|insufficient)\b";
/// What takes their trouble from such words.
const HARMLESS: &str = r#"\b(?:no|0|zero|without|without any|no more) (?:known )?(?:errors?|failures?|warnings?|issues?|problems?|timeouts?|restarts|drops|dropped|lost|failed|faults?|crashes)\b|\b(?:errors?|failures?|failed|warnings?|unreachable|dropped|lost|restarts|killed|aborted|drops|timeouts?)\s*[=:]\s*0\b|\btimeout["' :=]+\d+\s*(?:ms|s|m|h)?\b|\b(?:fail|error)[ -]?(?:over|safe)\b"#;
/// Before an expression's match: there is none of it.
const NEGATED: &str = r"(?:^|[\s,;:(])(?:no|zero|without|0)(?: \w+){0,2} $";

/// A class of errors.
#[derive(Debug)]
pub struct Class {
    pub name: String,
    pub severity: Urgency,
    pub rank: u8,
    pub confidence: f64,
    /// Beginnings of names of rules whose findings go with it.
    pub related: Vec<String>,
    pub cause: String,
    pub explanation: String,
    pub source: String,
    general: bool,
    unless: Vec<Regex>,
}

impl Class {
    /// Whether findings of a rule go with it.
    #[must_use]
    pub fn is_related(&self, rule: &str) -> bool {
        self.related.iter().any(|beginning| rule.starts_with(beginning.as_str()))
    }

    /// Whether it is what follows from something else, not the thing itself.
    #[must_use]
    pub fn is_symptom(&self) -> bool {
        self.rank < 60
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    error: Vec<Spec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    class: String,
    severity: String,
    rank: u8,
    confidence: f64,
    related: Vec<String>,
    patterns: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    #[serde(default)]
    captures: Vec<String>,
    #[serde(default)]
    general: bool,
    cause: String,
    explanation: String,
    source: String,
}

/// All classes and their expressions.
struct Classes {
    classes: Vec<Class>,
    set: RegexSet,
    /// Of each expression of the set: its class and itself.
    patterns: Vec<(usize, Regex)>,
    captures: Vec<(usize, Regex)>,
    trouble: Regex,
    harmless: Regex,
    negated: Regex,
}

static CLASSES: LazyLock<Classes> = LazyLock::new(|| {
    let file: File = toml::from_str(ERRORS).expect("a constant, and a test reads it");
    let compiled = |text: &str| regex(text).expect("constants, and a test compiles them");
    let (mut classes, mut patterns, mut captures) = (Vec::new(), Vec::new(), Vec::new());
    let mut texts = Vec::new();
    for spec in file.error {
        let number = classes.len();
        patterns.extend(spec.patterns.iter().map(|p| (number, compiled(p))));
        captures.extend(spec.captures.iter().map(|p| (number, compiled(p))));
        texts.extend(spec.patterns);
        classes.push(Class {
            name: spec.class,
            severity: urgency(&spec.severity).expect("a constant, and a test reads it"),
            rank: spec.rank,
            confidence: spec.confidence,
            related: spec.related,
            cause: spec.cause,
            explanation: spec.explanation,
            source: spec.source,
            general: spec.general,
            unless: spec.unless.iter().map(|p| compiled(p)).collect(),
        });
    }
    let set = RegexSetBuilder::new(&texts)
        .unicode(false)
        .case_insensitive(true)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .expect("each compiles alone");
    Classes {
        classes,
        set,
        patterns,
        captures,
        trouble: compiled(TROUBLE),
        harmless: compiled(HARMLESS),
        negated: compiled(NEGATED),
    }
});

fn regex(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).unicode(false).case_insensitive(true).build()
}

fn urgency(word: &str) -> Option<Urgency> {
    Some(match word {
        "info" => Urgency::Info,
        "low" => Urgency::Low,
        "medium" => Urgency::Medium,
        "high" => Urgency::High,
        "critical" => Urgency::Critical,
        _ => return None,
    })
}

/// The names of all classes.
#[must_use]
pub fn names() -> BTreeSet<String> {
    CLASSES.classes.iter().map(|c| c.name.clone()).collect()
}

/// All classes.
#[must_use]
pub fn classes() -> &'static [Class] {
    &CLASSES.classes
}

/// A class that a text has.
#[derive(Debug, Clone)]
pub struct Found {
    pub class: &'static Class,
    /// The first line that has it, without secrets.
    pub line: String,
}

impl Found {
    pub(super) fn to_wire(&self) -> v1::ClassifiedError {
        v1::ClassifiedError {
            class: self.class.name.clone(),
            severity: self.class.severity.into(),
            explanation: self.class.explanation.clone(),
            line: self.line.clone(),
            source: self.class.source.clone(),
        }
    }
}

/// What a text says.
#[derive(Debug, Default)]
pub struct Reading {
    /// The cause first, then what follows from it.
    pub found: Vec<Found>,
    /// Names that stand in it.
    pub names: Names,
    /// It tells of trouble, of a known class or not.
    pub trouble: bool,
    /// What was read of it.
    pub text: String,
    /// Bytes that were left out.
    pub skipped: usize,
}

/// Reads a text.
#[must_use]
pub fn read(text: &str) -> Reading {
    let all = &*CLASSES;
    let (text, skipped) = bounded(text);
    let text = plain(&text);
    let mut found: Vec<Option<Found>> = all.classes.iter().map(|_| None).collect();
    let mut names = Names::default();
    let mut trouble = false;
    for line in text.lines() {
        let bytes = line.as_bytes();
        let mut of_line: Vec<usize> = Vec::new();
        for number in all.set.matches(bytes) {
            let (class, pattern) = &all.patterns[number];
            let known = &all.classes[*class];
            let Some(groups) = pattern.captures(bytes) else { continue };
            let start = groups.get(0).map_or(0, |whole| whole.start());
            if known.unless.iter().any(|u| u.is_match(bytes))
                || all.negated.is_match(&bytes[..start])
            {
                continue;
            }
            offer(&mut names, pattern, &groups);
            of_line.push(*class);
        }
        let exact = |c: &usize| !all.classes[*c].general;
        let any_exact = of_line.iter().any(|c| exact(c) && all.classes[*c].name.starts_with("Gpu"));
        for class in of_line.into_iter().filter(|c| exact(c) || !any_exact) {
            found[class]
                .get_or_insert_with(|| Found { class: &all.classes[class], line: shown(line) });
        }
        trouble |= all.trouble.is_match(&all.harmless.replace_all(bytes, &b""[..]));
    }
    for (_, pattern) in all.captures.iter().filter(|(class, _)| found[*class].is_some()) {
        if let Some(groups) = pattern.captures(text.as_bytes()) {
            offer(&mut names, pattern, &groups);
        }
    }
    let mut found: Vec<Found> = found.into_iter().flatten().collect();
    found.sort_by_key(|f| std::cmp::Reverse(f.class.rank));
    trouble |= !found.is_empty();
    Reading { found, names, trouble, text, skipped }
}

fn offer(names: &mut Names, pattern: &Regex, groups: &regex::bytes::Captures<'_>) {
    for name in pattern.capture_names().flatten() {
        if let Some(value) = groups.name(name).and_then(|m| std::str::from_utf8(m.as_bytes()).ok())
        {
            names.offer(name, value);
        }
    }
}

/// Head and tail of a text that is too long, and how much is left out between them.
fn bounded(text: &str) -> (String, usize) {
    if text.len() <= 2 * READ_BYTES {
        return (text.to_owned(), 0);
    }
    let head = text.floor_char_boundary(READ_BYTES);
    let tail = text.ceil_char_boundary(text.len() - READ_BYTES);
    (format!("{}\n{}", &text[..head], &text[tail..]), tail - head)
}

/// Without colours and other control characters of terminals.
fn plain(text: &str) -> String {
    static COLOURS: LazyLock<Regex> =
        LazyLock::new(|| regex(r"\x1b\[[0-9;?]*[a-z]").expect("a constant"));
    let text = COLOURS.replace_all(text.as_bytes(), &b""[..]);
    let text = String::from_utf8_lossy(&text).replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// A line as an answer shows it.
fn shown(line: &str) -> String {
    let line = redact(line.trim(), false);
    let mut shown: String = line.chars().take(MAX_LINE_CHARS).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}
