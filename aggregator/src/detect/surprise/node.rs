//! How many of a node's series are mildly unusual at a time, against the fleet.
//!
//! A mild signal of one series means nothing; a count over many cancels the false ones and costs
//! nothing once the signals exist. In windows of five minutes, with the window before counted
//! half, the number of series with a mild signal has an exact binomial tail under the fleet's
//! share. Series of a node are not independent, so the tail is too small by far where one event
//! moves many; its square root goes through the same memory of habits as a series' score.

use super::episodes::Episodes;
use super::tuning::Tuning;

/// A surprise that counts as mild.
pub(super) const MILD: f32 = 4.0;
const WINDOW_MS: i64 = 300_000;
/// Of a smaller node nothing is said.
const MIN_SERIES: f32 = 20.0;
/// Fewer mild signals are nothing.
const MIN_MILD: f32 = 4.0;
/// Nor before so many windows.
const LEARNING: u32 = 24;
/// Square root of -log10 of the tail that makes an alert: a tail of 1e-16.
const ALERT: f32 = 4.0;
/// Weight of a window in the fleet's share.
const FLEET_WEIGHT: f32 = 0.002;
/// The fleet's share is taken to be at least and at most this.
const SHARES: (f32, f32) = (0.001, 0.2);
/// Windows in a row that are usual again end a finding; so many end it in any case.
const CALM: u8 = 3;
const HOLD: u32 = 24;

/// The share of series with a mild signal, over all nodes that this detector sees.
#[derive(Debug)]
pub(super) struct Fleet {
    share: f32,
    windows: f32,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { share: 0.01, windows: 10.0 }
    }
}

/// One node.
#[derive(Debug, Default)]
pub(super) struct NodeRate {
    /// Number of the window, and of how many series it has judged steps and mild signals.
    window: i64,
    seen: f32,
    mild: f32,
    /// The same with the windows before.
    past: (f32, f32),
    windows: u32,
    episodes: Episodes,
    fired: bool,
    fired_window: u32,
    calm: u8,
}

/// What a window began or ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    Fire { mild: f32, seen: f32, usual: f32, score: f32 },
    Recovered,
    Learned,
}

/// In which window of a series' own count a time lies: enough to tell neighbours apart.
pub(super) fn window_mark(time_ms: i64) -> u8 {
    u8::try_from(time_ms.div_euclid(WINDOW_MS).rem_euclid(255) + 1).unwrap_or(u8::MAX)
}

impl NodeRate {
    /// Counts a series once a window.
    pub(super) fn saw(&mut self) {
        self.seen += 1.0;
    }

    /// Counts its mild signal once a window.
    pub(super) fn saw_mild(&mut self) {
        self.mild += 1.0;
    }

    /// It had fired before a restart.
    pub(super) fn restored(&mut self) {
        (self.fired, self.fired_window) = (true, self.windows);
    }

    /// Goes on to the window of a time.
    pub(super) fn advance(
        &mut self,
        time_ms: i64,
        fleet: &mut Fleet,
        tuning: &Tuning,
    ) -> Option<Change> {
        let window = time_ms.div_euclid(WINDOW_MS);
        if window <= self.window {
            return None;
        }
        let change = if self.window > 0 { self.close(fleet, tuning) } else { None };
        if window > self.window + 1 {
            self.past = (0.0, 0.0);
        }
        (self.window, self.seen, self.mild) = (window, 0.0, 0.0);
        change
    }

    fn close(&mut self, fleet: &mut Fleet, tuning: &Tuning) -> Option<Change> {
        if self.seen == 0.0 {
            return None;
        }
        self.windows += 1;
        let usual = fleet.share.clamp(SHARES.0, SHARES.1);
        fleet.windows += 1.0;
        let weight = FLEET_WEIGHT.max(1.0 / fleet.windows);
        fleet.share += weight * (self.mild / self.seen - fleet.share);
        let (seen, mild) = (self.past.0 / 2.0 + self.seen, self.past.1 / 2.0 + self.mild);
        self.past = (seen, mild);
        let score = tail(mild, seen, usual).sqrt();
        if self.fired {
            self.calm = if score < ALERT / 2.0 { self.calm + 1 } else { 0 };
            let long = self.windows.saturating_sub(self.fired_window) >= HOLD;
            if self.calm < CALM && !long {
                return None;
            }
            (self.fired, self.calm) = (false, 0);
            return Some(if score < ALERT / 2.0 { Change::Recovered } else { Change::Learned });
        }
        if self.windows < LEARNING || seen < MIN_SERIES || mild < MIN_MILD {
            return None;
        }
        let score = self.episodes.score(score, self.windows, tuning, ALERT);
        if score < ALERT {
            return None;
        }
        (self.fired, self.fired_window) = (true, self.windows);
        Some(Change::Fire { mild: self.mild, seen: self.seen, usual, score })
    }
}

/// -log10 of the chance that at least `hits` of `count` happen, each with the chance `share`:
/// the exact binomial sum, from its first term. Counts are rounded.
fn tail(hits: f32, count: f32, share: f32) -> f32 {
    let (hits, count) = (hits.round(), count.round().max(hits.round()));
    if hits <= count * share {
        return 0.0;
    }
    let (n, k, p) = (f64::from(count), f64::from(hits), f64::from(share));
    // The logarithm of the first term's binomial coefficient, as a sum: hundreds of terms.
    let mut coefficient = 0.0;
    let mut i = 1.0;
    while i <= k {
        coefficient += ((n - k + i) / i).ln();
        i += 1.0;
    }
    let first = coefficient + k * p.ln() + (n - k) * (1.0 - p).ln();
    let (mut sum, mut term, mut at) = (1.0, 1.0, k);
    while at < n && term > 1e-12 {
        term *= (n - at) / (at + 1.0) * p / (1.0 - p);
        sum += term;
        at += 1.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most some thousands")]
    let tail = (-(first + f64::ln(sum)) / std::f64::consts::LN_10).max(0.0) as f32;
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_that_of_the_binomial_distribution() {
        // 1 - 0.99^100 = 0.63397; P(X >= 5) of Bin(100, 0.01) = 0.0034321.
        for (hits, want) in [(2.0, 0.264_238), (5.0, 0.003_432_1), (100.0, 1e-200)] {
            let got = tail(hits, 100.0, 0.01);
            let want = -f64::log10(want);
            assert!((f64::from(got) - want).abs() < 1e-3 * want.max(1.0), "{hits}: {got} {want}");
        }
        assert_eq!(tail(1.0, 100.0, 0.01), 0.0);
    }

    fn window(rate: &mut NodeRate, fleet: &mut Fleet, number: i64, mild: u32) -> Option<Change> {
        let change = rate.advance(number * WINDOW_MS, fleet, &Tuning::default());
        for _ in 0..200 {
            rate.saw();
        }
        for _ in 0..mild {
            rate.saw_mild();
        }
        change
    }

    #[test]
    fn many_at_once_are_found_and_end() {
        let (mut rate, mut fleet) = (NodeRate::default(), Fleet::default());
        let mut changes = Vec::new();
        for number in 1..200 {
            let mild = if (100..104).contains(&number) { 60 } else { u32::from(number % 3 == 0) };
            if let Some(change) = window(&mut rate, &mut fleet, number, mild) {
                changes.push((number, change));
            }
        }
        let [(101, Change::Fire { mild, .. }), (over, Change::Recovered)] = changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(mild, 60.0);
        assert!((105..115).contains(&over), "{over}");
    }

    #[test]
    fn what_comes_back_again_and_again_is_a_habit() {
        let (mut rate, mut fleet) = (NodeRate::default(), Fleet::default());
        let mut fires = Vec::new();
        for number in 1..3000 {
            let mild = if number % 50 == 0 { 12 } else { 0 };
            if let Some(Change::Fire { .. }) = window(&mut rate, &mut fleet, number, mild) {
                fires.push(number);
            }
        }
        assert!(fires.len() <= 12, "{fires:?}");
    }
}
