//! What is usual at an hour of the day, working days and weekends apart: 48 values in a byte
//! each, of a unit that fits the largest.
//!
//! The hours are those of UTC: what matters is that they come back. Moves smaller than the unit
//! are made by chance, so that they are right on average.

use super::chance::Chance;

/// Working days, then weekends.
const SLOTS: usize = 48;
const NEVER: i8 = i8::MIN;
const LIMIT: f32 = 127.0;
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 86_400;

/// Deviations from a level, by the hour.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    unit: f32,
    slots: [i8; SLOTS],
}

impl Default for Profile {
    fn default() -> Self {
        Self { unit: 0.0, slots: [NEVER; SLOTS] }
    }
}

/// The slot of a time, Unix seconds. The first of January 1970 was a Thursday.
pub(super) fn slot(time_s: i64) -> usize {
    let hour = time_s.rem_euclid(DAY_S) / HOUR_S;
    let weekend = (time_s.div_euclid(DAY_S) + 3).rem_euclid(7) >= 5;
    usize::try_from(hour).unwrap_or(0) + if weekend { SLOTS / 2 } else { 0 }
}

impl Profile {
    /// What is usual in a slot; where nothing is known yet, in the same hour of the other kind of
    /// day.
    pub(super) fn get(&self, slot: usize) -> Option<f32> {
        [slot, (slot + SLOTS / 2) % SLOTS]
            .into_iter()
            .map(|slot| self.slots[slot])
            .find(|&code| code != NEVER)
            .map(|code| f32::from(code) * self.unit)
    }

    /// Sets a slot near to a value.
    pub(super) fn set(&mut self, slot: usize, value: f32, chance: &mut Chance) {
        let need = value.abs() / LIMIT;
        if need > self.unit {
            self.rescale((need * 1.5).max(f32::MIN_POSITIVE), chance);
        } else if need * 4.0 < self.unit && self.slots.iter().all(|&c| c == NEVER || c.abs() < 32) {
            self.rescale(self.unit / 2.0, chance);
        }
        self.slots[slot] = round(value / self.unit, chance);
    }

    /// Whether what is known is far from zero, for the size of the unit.
    pub(super) fn is_off(&self, level: f32) -> bool {
        self.unit > 0.0 && level.abs() > 48.0 * self.unit
    }

    /// Makes the slots deviations from another level, `by` above the one so far.
    pub(super) fn shift(&mut self, by: f32, chance: &mut Chance) {
        let moved = self.slots.map(|c| (c != NEVER).then(|| f32::from(c) * self.unit - by));
        let largest = moved.iter().flatten().fold(0.0_f32, |a, b| a.max(b.abs()));
        self.unit = (largest * 1.5 / LIMIT).max(f32::MIN_POSITIVE);
        for (code, value) in self.slots.iter_mut().zip(moved) {
            *code = value.map_or(NEVER, |value| round(value / self.unit, chance));
        }
    }

    fn rescale(&mut self, unit: f32, chance: &mut Chance) {
        let ratio = self.unit / unit;
        for code in self.slots.iter_mut().filter(|code| **code != NEVER) {
            *code = round(f32::from(*code) * ratio, chance);
        }
        self.unit = unit;
    }
}

fn round(value: f32, chance: &mut Chance) -> i8 {
    if value.is_nan() {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the type's range")]
    let code = (value + chance.unit()).floor().clamp(-LIMIT, LIMIT) as i8;
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_hours_of_working_days_and_of_weekends() {
        assert_eq!(slot(0), 0, "a Thursday");
        assert_eq!(slot(2 * DAY_S + 5 * HOUR_S + 59), 29, "a Saturday");
        assert_eq!(slot(4 * DAY_S + 23 * HOUR_S), 23, "a Monday");
        assert_eq!(slot(-1), 23, "a Wednesday");
    }

    #[test]
    fn unknown_hour_is_that_of_the_other_kind_of_day() {
        let mut profile = Profile::default();
        assert_eq!(profile.get(3), None);
        profile.set(27, 5.0, &mut Chance::new(1));
        let got = profile.get(3).expect("known from weekends");
        assert!((got - 5.0).abs() < 0.1, "{got}");
    }

    #[test]
    fn small_moves_add_up() {
        let (mut profile, mut chance) = (Profile::default(), Chance::new(7));
        profile.set(0, 100.0, &mut chance);
        profile.set(1, 0.0, &mut chance);
        for _ in 0..2000 {
            let now = profile.get(1).expect("set");
            profile.set(1, now + 0.02 * (50.0 - now), &mut chance);
        }
        let now = profile.get(1).expect("set");
        assert!((now - 50.0).abs() < 5.0, "{now}");
    }

    #[test]
    fn unit_follows_the_largest_up_and_down() {
        let (mut profile, mut chance) = (Profile::default(), Chance::new(3));
        profile.set(0, 1e9, &mut chance);
        profile.set(1, 1.0, &mut chance);
        for _ in 0..200 {
            profile.set(0, 2.0, &mut chance);
            profile.set(1, 1.0, &mut chance);
        }
        let (a, b) = (profile.get(0).expect("set"), profile.get(1).expect("set"));
        assert!((a - 2.0).abs() < 0.2 && (b - 1.0).abs() < 0.2, "{a} {b}");
    }
}
