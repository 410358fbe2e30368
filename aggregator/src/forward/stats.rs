//! The numbers of a target, as they stand at `/metrics/self`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::stats::Counter;
use crate::text_format::{put, sample};

/// What became of a target's samples.
#[derive(Debug, Default)]
pub struct TargetStats {
    pub sent: Counter,
    /// Requests without success, by why; they are made again, or refused.
    pub failed: Mutex<BTreeMap<&'static str, u64>>,
    /// Samples that never go, by why.
    pub dropped: Mutex<BTreeMap<&'static str, u64>>,
    /// How far the newest sample is ahead of what was taken.
    pub backlog_ms: AtomicI64,
    /// About how many samples that is.
    pub backlog_samples: AtomicI64,
    /// 0 for never.
    pub last_success_ms: AtomicI64,
}

impl TargetStats {
    pub(super) fn fail(&self, why: &'static str) {
        *self.failed.lock().entry(why).or_default() += 1;
    }

    pub(super) fn lose(&self, why: &'static str, samples: u64) {
        if samples > 0 {
            *self.dropped.lock().entry(why).or_default() += samples;
        }
    }
}

/// All targets' numbers.
#[derive(Debug, Default)]
pub struct ForwardStats(Mutex<Vec<(String, Arc<TargetStats>)>>);

impl ForwardStats {
    pub(super) fn add(&self, name: &str) -> Arc<TargetStats> {
        let stats = Arc::new(TargetStats::default());
        self.0.lock().push((name.to_owned(), Arc::clone(&stats)));
        stats
    }

    /// Prometheus text; nothing without targets.
    pub fn render(&self, out: &mut String) {
        let targets = self.0.lock();
        if targets.is_empty() {
            return;
        }
        let mut family =
            |name: &str, kind: &str, help: &str, values: &dyn Fn(&TargetStats) -> Values| {
                put(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
                for (target, stats) in targets.iter() {
                    for (reason, value) in values(stats) {
                        let reason = reason.map(|reason| ("reason", reason));
                        let labels = [("target", &**target)].into_iter().chain(reason);
                        sample(out, name, labels, value);
                    }
                }
            };
        family(
            "sextant_forward_samples_sent_total",
            "counter",
            "Samples that the target took.",
            &|s| one(s.sent.get() as f64),
        );
        family(
            "sextant_forward_requests_failed_total",
            "counter",
            "Requests that the target did not take.",
            &|s| reasons(&s.failed),
        );
        family(
            "sextant_forward_samples_dropped_total",
            "counter",
            "Samples that are not forwarded.",
            &|s| reasons(&s.dropped),
        );
        family(
            "sextant_forward_backlog_seconds",
            "gauge",
            "How far the newest sample is ahead of what the target took.",
            &|s| one(s.backlog_ms.load(Relaxed) as f64 / 1e3),
        );
        family(
            "sextant_forward_backlog_samples",
            "gauge",
            "About how many samples the target has still to take.",
            &|s| one(s.backlog_samples.load(Relaxed) as f64),
        );
        family(
            "sextant_forward_last_success_timestamp_seconds",
            "gauge",
            "When the target took something.",
            &|s| match s.last_success_ms.load(Relaxed) {
                0 => Values::new(),
                ms => one(ms as f64 / 1e3),
            },
        );
    }
}

type Values = Vec<(Option<&'static str>, f64)>;

fn one(value: f64) -> Values {
    vec![(None, value)]
}

fn reasons(counts: &Mutex<BTreeMap<&'static str, u64>>) -> Values {
    counts.lock().iter().map(|(reason, count)| (Some(*reason), *count as f64)).collect()
}
