//! The table's format, and what makes a table wrong: unknown names, values out of range, a rule
//! or event in two classes, causes that cause each other in a circle.

use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::{Causes, CausesError, Class, ClassId, Edge, OTHER, Patterns};
use crate::incident::topology::Relation;

/// Classes of one table.
const MAX_CLASSES: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    families: FxHashMap<String, String>,
    #[serde(default)]
    class: Vec<ClassSpec>,
    #[serde(default)]
    edge: Vec<EdgeSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassSpec {
    name: String,
    title: String,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    metrics: Vec<String>,
    prior: f64,
    #[serde(default, with = "humantime_serde")]
    delay: Duration,
    #[serde(default)]
    siblings: Vec<String>,
    #[serde(default = "yes")]
    page: bool,
    #[serde(default)]
    change: bool,
    on: Option<String>,
    least: Option<usize>,
    #[serde(default)]
    check: String,
    #[serde(default)]
    action: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeSpec {
    cause: String,
    effects: Vec<String>,
    via: String,
    lag: [String; 2],
    weight: f64,
    #[serde(default)]
    expected: bool,
    /// Where it comes from; for readers of the table.
    #[serde(rename = "source")]
    _source: String,
}

fn yes() -> bool {
    true
}

fn wrong<T>(entry: &str, what: impl Into<String>) -> Result<T, CausesError> {
    Err(CausesError::Entry { entry: entry.into(), what: what.into() })
}

pub(super) fn parse(text: &str) -> Result<Causes, CausesError> {
    let table: Table = toml::from_str(text).map_err(|e| CausesError::Syntax(e.to_string()))?;
    let mut classes = Vec::new();
    let mut patterns = [Patterns::default(), Patterns::default(), Patterns::default()];
    for spec in table.class {
        if !spec.prior.is_finite() || spec.prior.abs() > 5.0 {
            return wrong(&spec.name, "prior must be -5 to 5");
        }
        let id = next_id(&classes, &spec.name)?;
        let lists = [&spec.rules, &spec.events, &spec.metrics];
        if spec.on.is_some() != spec.least.is_some() || spec.least == Some(0) {
            return wrong(&spec.name, "on and least go together, least is 1 or more");
        }
        if spec.on.is_some() == lists.iter().any(|list| !list.is_empty()) {
            return wrong(&spec.name, "needs rules, events or metrics, or on and least");
        }
        for (patterns, names) in patterns.iter_mut().zip(lists) {
            for name in names {
                patterns.add(name, id, &spec.name)?;
            }
        }
        let mut siblings = Relation::NONE;
        for name in &spec.siblings {
            siblings = siblings | relation(&spec.name, name)?;
        }
        classes.push(Class {
            name: spec.name,
            title: spec.title,
            prior: spec.prior,
            delay_ms: i64::try_from(spec.delay.as_millis()).unwrap_or(i64::MAX),
            siblings,
            page: spec.page,
            change: spec.change,
            latent: spec.on.zip(spec.least),
            check: spec.check,
            action: spec.action,
        });
    }
    let families = families(table.families, &mut classes)?;
    let other = next_id(&classes, OTHER)?;
    classes.push(unknown(OTHER));
    let [rules, events, metrics] = patterns.map(Patterns::sorted);
    let mut causes = Causes {
        edges: vec![Vec::new(); classes.len()],
        classes,
        pairs: FxHashMap::default(),
        rules,
        events,
        metrics,
        families,
        other,
    };
    add_edges(&mut causes, &table.edge)?;
    Ok(causes)
}

fn next_id(classes: &[Class], name: &str) -> Result<ClassId, CausesError> {
    if name.split_once('.').is_none_or(|(family, rest)| family.is_empty() || rest.is_empty()) {
        return wrong(name, "is not FAMILY.NAME");
    }
    if classes.iter().any(|c| c.name == name) {
        return wrong(name, "is there twice");
    }
    match u16::try_from(classes.len()) {
        Ok(id) if classes.len() < MAX_CLASSES => Ok(ClassId(id)),
        _ => wrong(name, format!("is over the limit of {MAX_CLASSES} classes")),
    }
}

/// The class of what is only known by its family.
fn unknown(name: &str) -> Class {
    let family = name.split_once('.').map_or(name, |(family, _)| family);
    Class {
        name: name.into(),
        title: format!("something of {family} is unusual on {{component}}"),
        prior: -0.8,
        delay_ms: 120_000,
        siblings: Relation::NONE,
        page: true,
        change: false,
        latent: None,
        check: String::new(),
        action: String::new(),
    }
}

fn families(
    given: FxHashMap<String, String>,
    classes: &mut Vec<Class>,
) -> Result<Patterns, CausesError> {
    let mut patterns = Patterns::default();
    let mut sorted: Vec<_> = given.into_iter().collect();
    sorted.sort();
    for (prefix, family) in sorted {
        let name = format!("{family}.other");
        let known = classes.iter().position(|c| c.name == name).and_then(|n| u16::try_from(n).ok());
        let id = match known {
            Some(id) => ClassId(id),
            None => {
                let id = next_id(classes, &name)?;
                classes.push(unknown(&name));
                id
            }
        };
        patterns.prefixes.push((prefix, id));
    }
    Ok(patterns.sorted())
}

fn relation(entry: &str, name: &str) -> Result<Relation, CausesError> {
    match Relation::by_name(name) {
        Some(relation) => Ok(relation),
        None => wrong(entry, format!("no relation {name:?}")),
    }
}

impl Patterns {
    fn add(&mut self, name: &str, id: ClassId, class: &str) -> Result<(), CausesError> {
        let taken = match name.strip_suffix('*') {
            Some(prefix) => {
                let taken = self.prefixes.iter().any(|(p, _)| p == prefix);
                self.prefixes.push((prefix.into(), id));
                taken
            }
            None => self.exact.insert(name.into(), id).is_some(),
        };
        if taken { wrong(class, format!("{name:?} is of another class, too")) } else { Ok(()) }
    }

    fn sorted(mut self) -> Self {
        self.prefixes.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        self
    }
}

/// Signed: "-30s" is before.
fn lag_ms(entry: &str, text: &str) -> Result<i64, CausesError> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let parsed = humantime::parse_duration(rest).ok();
    match parsed.and_then(|d| i64::try_from(d.as_millis()).ok()) {
        Some(ms) => Ok(sign * ms),
        None => wrong(entry, format!("{text:?} is not a time")),
    }
}

fn add_edges(causes: &mut Causes, specs: &[EdgeSpec]) -> Result<(), CausesError> {
    // Families and "*" come last: they leave out what causes the cause.
    let mut wide = Vec::new();
    let mut direct: Vec<Vec<ClassId>> = vec![Vec::new(); causes.classes.len()];
    for (number, spec) in (0_u16..).zip(specs) {
        let entry = format!("edge from {}", spec.cause);
        let Some(cause) = causes.by_name(&spec.cause) else {
            return wrong(&entry, "its cause is no class");
        };
        if !(0.0..=1.0).contains(&spec.weight) || spec.weight == 0.0 {
            return wrong(&entry, "weight must be over 0 and at most 1");
        }
        let (min, max) = (lag_ms(&entry, &spec.lag[0])?, lag_ms(&entry, &spec.lag[1])?);
        if min > max {
            return wrong(&entry, "its lag ends before it begins");
        }
        let edge = |effect| Edge {
            effect,
            via: Relation::NONE,
            lag_min_ms: min,
            lag_max_ms: max,
            weight: spec.weight,
            expected: spec.expected.then_some(number),
        };
        let via = relation(&entry, &spec.via)?;
        if spec.effects.is_empty() {
            return wrong(&entry, "has no effects");
        }
        for name in &spec.effects {
            if let Some(prefix) = name.strip_suffix('*') {
                wide.push((cause, prefix.to_owned(), Edge { via, ..edge(cause) }));
                continue;
            }
            let Some(effect) = causes.by_name(name) else {
                return wrong(&entry, format!("{name:?} is no class"));
            };
            causes.link(cause, Edge { via, ..edge(effect) });
            if effect != cause {
                direct[usize::from(cause.0)].push(effect);
            }
        }
    }
    circle(causes, &direct)?;
    for (cause, prefix, edge) in wide {
        let effects: Vec<ClassId> = causes
            .classes()
            .filter(|(id, c)| {
                c.name.starts_with(&*prefix)
                    && *id != cause
                    && !c.change
                    && c.latent.is_none()
                    && !direct[usize::from(id.0)].contains(&cause)
            })
            .map(|(id, _)| id)
            .collect();
        if effects.is_empty() {
            let entry = format!("edge from {}", causes.class(cause).name);
            return wrong(&entry, format!("no class begins with {prefix:?}"));
        }
        for effect in effects {
            // What is said of a class itself says more than what is said of all.
            if causes.between(cause, effect).next().is_none() {
                causes.link(cause, Edge { effect, ..edge });
            }
        }
    }
    Ok(())
}

/// Which classes cause one, directly or not.
fn reaching(direct: &[Vec<ClassId>], target: ClassId) -> Vec<bool> {
    let mut reaches = vec![false; direct.len()];
    reaches[usize::from(target.0)] = true;
    loop {
        let mut more = false;
        for (cause, effects) in direct.iter().enumerate() {
            if !reaches[cause] && effects.iter().any(|e| reaches[usize::from(e.0)]) {
                (reaches[cause], more) = (true, true);
            }
        }
        if !more {
            return reaches;
        }
    }
}

/// Refuses causes that cause each other: with them nothing could be first.
fn circle(causes: &Causes, direct: &[Vec<ClassId>]) -> Result<(), CausesError> {
    let in_circle = |id: ClassId| {
        let before = reaching(direct, id);
        direct[usize::from(id.0)].iter().any(|effect| before[usize::from(effect.0)])
    };
    let stuck = causes.classes().filter(|(id, _)| in_circle(*id));
    let stuck: Vec<&str> = stuck.map(|(_, class)| &*class.name).collect();
    if stuck.is_empty() {
        return Ok(());
    }
    wrong(stuck[0], format!("causes go in a circle: {}", stuck.join(", ")))
}

impl Causes {
    fn link(&mut self, cause: ClassId, edge: Edge) {
        let edges = &mut self.edges[usize::from(cause.0)];
        let number = u16::try_from(edges.len()).unwrap_or(u16::MAX);
        self.pairs.entry((cause, edge.effect)).or_default().push(number);
        edges.push(edge);
    }
}
