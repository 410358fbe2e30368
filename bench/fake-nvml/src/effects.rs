//! A GPU's conditions at this moment, laid out so that a call finds what is about it by index.

use std::collections::HashMap;

use crate::code::Code;
use crate::scenario::{Conditions, Scenario};
use crate::symbols::{self, Symbol};

/// What a scenario gets wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake(pub String);

/// How long a function takes: milliseconds, and up to that many more.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Delay {
    pub ms: f64,
    pub jitter_ms: f64,
}

/// Conditions, compiled.
#[derive(Debug)]
pub(crate) struct Effects {
    pub conditions: Conditions,
    codes: [Option<Code>; symbols::COUNT],
    delays: [Option<Delay>; symbols::COUNT],
    hangs: [bool; symbols::COUNT],
    /// By the driver's number.
    pub field_codes: HashMap<u32, Code>,
    pub field_values: HashMap<u32, f64>,
}

impl Effects {
    /// Of the scenario as such and of `conditions`.
    pub(crate) fn new(scenario: &Scenario, conditions: Conditions) -> Result<Self, Mistake> {
        let mut made = Self {
            conditions,
            codes: [None; symbols::COUNT],
            delays: [None; symbols::COUNT],
            hangs: [false; symbols::COUNT],
            field_codes: HashMap::new(),
            field_values: HashMap::new(),
        };
        let conditions = &made.conditions;
        for (word, code) in scenario.status.iter().chain(&conditions.status) {
            functions(word)?.into_iter().for_each(|at| made.codes[at] = Some(*code));
        }
        if let Some(code) = conditions.code {
            made.codes = [Some(code); symbols::COUNT];
        }
        for word in &scenario.omit {
            for at in functions(word)? {
                made.codes[at] = Some(Code::FUNCTION_NOT_FOUND);
            }
        }
        for latency in &conditions.latency {
            for at in functions(&latency.call)? {
                made.delays[at] = Some(Delay { ms: latency.ms, jitter_ms: latency.jitter_ms });
            }
        }
        for word in &conditions.hang {
            functions(word)?.into_iter().for_each(|at| made.hangs[at] = true);
        }
        for (word, code) in scenario.fields.iter().chain(&conditions.fields) {
            made.field_codes.insert(field(word)?, *code);
        }
        for (word, value) in &conditions.values {
            if let Ok(id) = word.parse() {
                made.field_values.insert(id, *value);
            } else if !VALUES.contains(&word.as_str()) {
                return Err(Mistake(format!("no value is called {word}")));
            }
        }
        Ok(made)
    }

    pub(crate) fn code(&self, symbol: Symbol) -> Option<Code> {
        self.codes[symbol as usize]
    }

    pub(crate) fn delay(&self, symbol: Symbol) -> Option<Delay> {
        self.delays[symbol as usize]
    }

    pub(crate) fn hangs(&self, symbol: Symbol) -> bool {
        self.hangs[symbol as usize]
    }

    /// A value that the scenario puts in place of the model's.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        if self.conditions.values.is_empty() {
            return None;
        }
        self.conditions.values.get(name).copied()
    }
}

/// The values that `values` may replace, besides fields by number.
const VALUES: [&str; 12] = [
    "temperature",
    "power_mw",
    "utilization",
    "memory_utilization",
    "sm_clock",
    "memory_clock",
    "performance_state",
    "energy_mj",
    "margin",
    "memory_used",
    "memory_total",
    "fan",
];

fn functions(word: &str) -> Result<Vec<usize>, Mistake> {
    symbols::matching(word).ok_or_else(|| Mistake(format!("no exported function is called {word}")))
}

fn field(word: &str) -> Result<u32, Mistake> {
    word.parse().map_err(|_| Mistake(format!("{word} is no field number")))
}
