//! Whether the aggregator does its job: the reasons why it does not, for `/ready`.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// What is wrong now, by part. Empty: ready.
#[derive(Debug)]
pub struct Health {
    reasons: Mutex<BTreeMap<&'static str, String>>,
}

impl Health {
    /// Not ready, because it starts.
    #[must_use]
    pub fn starting() -> Self {
        let reasons = BTreeMap::from([("start", "replaying the journal".to_owned())]);
        Self { reasons: Mutex::new(reasons) }
    }

    /// A part stopped working, or has another reason now. Returns whether that is news.
    pub fn fail(&self, part: &'static str, reason: String) -> bool {
        self.reasons.lock().insert(part, reason).is_none()
    }

    /// A part works. Returns whether that is news.
    pub fn recover(&self, part: &'static str) -> bool {
        self.reasons.lock().remove(part).is_some()
    }

    /// "part: reason" for everything that does not work.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.reasons.lock().iter().map(|(part, reason)| format!("{part}: {reason}")).collect()
    }
}
