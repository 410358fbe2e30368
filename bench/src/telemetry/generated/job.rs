//! What a node is used for: training on all GPUs at once, inference on each by itself, or
//! nothing for a while.
//!
//! Phases last as they do on shared clusters: training for hours with a checkpoint every ten
//! minutes, in which the GPUs wait for some 20 s; inference for an hour or so; gaps of minutes.
//! Half of the time goes to training, a third to inference. A node begins somewhere within a
//! phase, so that nodes of one fleet are in different ones.

use super::random::Random;

const CHECKPOINT_EVERY_S: f64 = 600.0;
const CHECKPOINT_TAKES_S: f64 = 20.0;

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Train,
    /// Training that writes its state: GPUs wait, the host does not.
    Checkpoint,
    Inference,
}

/// A node's phases.
#[derive(Debug)]
pub(super) struct Job {
    random: Random,
    phase: Phase,
    left_s: f64,
    /// Since training began.
    trained_s: f64,
}

impl Job {
    pub(super) fn new(mut random: Random) -> Self {
        let (phase, length_s) = draw(&mut random);
        let left_s = length_s * random.unit();
        let trained_s = random.unit() * CHECKPOINT_EVERY_S;
        Self { random, phase, left_s, trained_s }
    }

    /// Goes on by so many seconds; the phase then.
    pub(super) fn step(&mut self, seconds: f64) -> Phase {
        self.left_s -= seconds;
        self.trained_s += seconds;
        while self.left_s < 0.0 {
            let (phase, length_s) = draw(&mut self.random);
            (self.phase, self.trained_s) = (phase, 0.0);
            self.left_s += length_s;
        }
        let writes = self.trained_s % CHECKPOINT_EVERY_S > CHECKPOINT_EVERY_S - CHECKPOINT_TAKES_S;
        if self.phase == Phase::Train && writes { Phase::Checkpoint } else { self.phase }
    }
}

/// A phase and how long it lasts.
fn draw(random: &mut Random) -> (Phase, f64) {
    match random.unit() {
        part if part < 0.3 => (Phase::Train, random.between(3600.0, 4.0 * 3600.0)),
        part if part < 0.65 => (Phase::Inference, random.between(1800.0, 2.5 * 3600.0)),
        _ => (Phase::Idle, random.between(300.0, 3.0 * 3600.0)),
    }
}
