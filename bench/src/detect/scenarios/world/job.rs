//! Jobs: gangs of GPUs that step together and wait for their slowest, and single GPUs that serve
//! requests by the time of day. They start, pause for checkpoints, end, and come again.

use super::super::rng::Rng;
use super::super::spec::{JobMix, Vary};

/// A row of jobs on the same GPUs.
#[derive(Debug)]
pub(crate) struct Gang {
    /// Node and GPU.
    pub(crate) members: Vec<(usize, usize)>,
    jobs: Vec<Job>,
    /// Down until then: one of its GPUs failed, or it is restarted.
    down_until_s: i64,
    /// How much slower than without a fault a step is, 1 or more.
    pub(crate) pace: f64,
    restart_s: i64,
}

#[derive(Debug)]
struct Job {
    begin_s: i64,
    end_s: i64,
    intensity: f64,
    collective: f64,
    checkpoint_every_s: i64,
    checkpoint_s: i64,
}

/// What a gang does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    Idle,
    /// Reads data and builds graphs.
    Starting,
    Running {
        intensity: f64,
        collective: f64,
    },
    Checkpoint,
}

impl Gang {
    fn plan(
        members: Vec<(usize, usize)>,
        (start_s, end_s): (i64, i64),
        vary: &Vary,
        rng: &mut Rng,
    ) -> Self {
        let get = |name| vary.job.get(name);
        let mut jobs = Vec::new();
        // Some are under way when the run begins.
        let mut at = start_s - seconds(rng.between(0.0, 1.5 * 3600.0));
        while at < end_s {
            let length = seconds(rng.between(0.4, 1.6) * get("hours") * 3600.0);
            jobs.push(Job {
                begin_s: at,
                end_s: at + length,
                intensity: rng.vary(get("intensity"), 0.15).min(0.95),
                collective: get("collective_share"),
                checkpoint_every_s: seconds(rng.vary(get("checkpoint_every_min") * 60.0, 0.3)),
                checkpoint_s: seconds(rng.vary(get("checkpoint_s"), 0.3)),
            });
            at += length + seconds(rng.between(0.3, 2.0) * get("gap_minutes") * 60.0);
        }
        let restart_s = seconds(get("restart_min") * 60.0);
        Self { members, jobs, down_until_s: 0, pace: 1.0, restart_s }
    }

    /// What it does at a time.
    pub(crate) fn phase(&self, now_s: i64) -> Phase {
        let Some(job) = self.jobs.iter().find(|j| (j.begin_s..j.end_s).contains(&now_s)) else {
            return Phase::Idle;
        };
        if now_s < self.down_until_s {
            return Phase::Idle;
        }
        let begin = job.begin_s.max(self.down_until_s);
        if now_s < begin + 90 {
            return Phase::Starting;
        }
        let into = (now_s - begin) % job.checkpoint_every_s;
        if into >= job.checkpoint_every_s - job.checkpoint_s {
            return Phase::Checkpoint;
        }
        Phase::Running { intensity: job.intensity, collective: job.collective }
    }

    /// One of its processes died: it is restarted.
    pub(crate) fn abort(&mut self, now_s: i64) {
        self.down_until_s = self.down_until_s.max(now_s + self.restart_s);
    }

    /// Whether it steps from one time to another without an end or a start between.
    pub(crate) fn runs(&self, from_s: i64, to_s: i64) -> bool {
        self.jobs.iter().any(|j| j.begin_s + 600 <= from_s && to_s <= j.end_s)
    }
}

/// The jobs of a fleet: the gangs, and for each node and GPU which gang it belongs to, if any.
pub(crate) fn plan(
    (nodes, gpus): (usize, usize),
    span_s: (i64, i64),
    mix: &JobMix,
    vary: &Vary,
    rng: &mut Rng,
) -> (Vec<Gang>, Vec<Vec<Option<usize>>>) {
    let all: Vec<(usize, usize)> =
        (0..nodes).flat_map(|node| (0..gpus).map(move |gpu| (node, gpu))).collect();
    let mut owner = vec![vec![None; gpus]; nodes];
    let mut gangs = Vec::new();
    let mut rest = all.as_slice();
    for share in &mix.sizes {
        let size = count(*share * all.len() as f64).clamp(2.min(rest.len()), rest.len());
        let (members, after) = rest.split_at(size);
        rest = after;
        if members.is_empty() {
            break;
        }
        for (node, gpu) in members {
            owner[*node][*gpu] = Some(gangs.len());
        }
        gangs.push(Gang::plan(members.to_vec(), span_s, vary, rng));
    }
    (gangs, owner)
}

#[expect(clippy::cast_possible_truncation, reason = "durations of hours")]
pub(crate) fn seconds(value: f64) -> i64 {
    value.round() as i64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a fleet's GPUs"
)]
fn count(value: f64) -> usize {
    value.round().max(0.0) as usize
}
