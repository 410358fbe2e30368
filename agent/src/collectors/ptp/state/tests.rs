//! The ways of a clock through its states.

use super::*;

const GOOD: Condition = Condition::Tracking { sample: Some(50.0) };
const BAD: Condition = Condition::Tracking { sample: Some(-150.0) };
const NOTHING_NEW: Condition = Condition::Tracking { sample: None };
const LISTENING: Condition = Condition::Lost("LISTENING");

/// Steps once a second through a list, and says what changed when: "second STATE reason".
fn way(conditions: &[(Condition, u32)]) -> Vec<String> {
    way_with(profiles::budget("default").unwrap(), conditions)
}

fn way_with(limits: Limits, conditions: &[(Condition, u32)]) -> Vec<String> {
    let mut machine = Machine::new(limits);
    let steps = conditions.iter().flat_map(|(what, times)| (0..*times).map(|_| *what));
    let mut changes = Vec::new();
    for (second, condition) in steps.enumerate() {
        let before = machine.state();
        let now = Duration::from_secs(second as u64);
        let Some(change) = machine.step(now, condition) else {
            assert_eq!(machine.state(), before);
            continue;
        };
        assert_eq!((Some(change.state), change.previous), (machine.state(), before));
        changes.push(format!("{second} {} {}", change.state.name(), change.reason));
    }
    assert_eq!(machine.changes(), changes.len().saturating_sub(1) as u64);
    changes
}

#[test]
fn locks_after_three_new_samples_in_range() {
    assert_eq!(way(&[(Condition::Pending, 2), (GOOD, 5)]), ["4 LOCKED locked"]);
    assert_eq!(way(&[(GOOD, 2), (NOTHING_NEW, 3), (GOOD, 1)]), ["5 LOCKED locked"]);
    assert_eq!(way(&[(GOOD, 2), (BAD, 1), (GOOD, 3)]), ["5 LOCKED locked"]);
    assert_eq!(way(&[(LISTENING, 1), (GOOD, 3)]), ["0 FREERUN LISTENING", "3 LOCKED locked"]);
    let one = Limits { samples_to_lock: 1, ..profiles::budget("default").unwrap() };
    assert_eq!(way_with(one, &[(GOOD, 1)]), ["0 LOCKED locked"]);
}

#[test]
fn offset_out_of_range_needs_three_samples_in_a_row() {
    assert_eq!(way(&[(GOOD, 3), (BAD, 2), (GOOD, 1), (BAD, 2)]), ["2 LOCKED locked"]);
    let all = way(&[(GOOD, 3), (BAD, 4)]);
    assert_eq!(all, ["2 LOCKED locked", "5 FREERUN offset"]);
    assert_eq!(way(&[(BAD, 3)]), ["2 FREERUN offset"]);
    let one = Limits { samples_out_of_range: 1, ..profiles::budget("default").unwrap() };
    assert_eq!(way_with(one, &[(GOOD, 3), (BAD, 1)]).last().unwrap(), "3 FREERUN offset");
}

#[test]
fn offset_that_left_the_range_locks_again_only_well_within_it() {
    let edge = Condition::Tracking { sample: Some(90.0) };
    let all = way(&[(edge, 3), (BAD, 3), (edge, 9), (GOOD, 3), (BAD, 1), (edge, 9)]);
    assert_eq!(all, ["2 LOCKED locked", "5 FREERUN offset", "17 LOCKED locked"]);
}

#[test]
fn lost_reference_is_holdover_for_its_time_then_freerun_then_recovers() {
    let all = way(&[(GOOD, 3), (LISTENING, 8), (GOOD, 3)]);
    let want = ["2 LOCKED locked", "3 HOLDOVER LISTENING", "8 FREERUN holdover_over"];
    assert_eq!(all, [&want[..], &["13 LOCKED locked"]].concat());
    // Whatever the reason: starved, faulty, unreachable; a change of reason does not prolong it.
    for reason in ["starved", "FAULTY", "unreachable"] {
        let all = way(&[(GOOD, 3), (Condition::Lost(reason), 3), (LISTENING, 5)]);
        assert_eq!(all, [want[0], &format!("3 HOLDOVER {reason}"), want[2]]);
    }
}

#[test]
fn recovery_within_holdover_goes_straight_to_locked() {
    let all = way(&[(GOOD, 3), (LISTENING, 2), (GOOD, 4)]);
    assert_eq!(all, ["2 LOCKED locked", "3 HOLDOVER LISTENING", "7 LOCKED locked"]);
    // Samples at the very end of holdover are counted to the end.
    let all = way(&[(GOOD, 3), (LISTENING, 4), (GOOD, 4)]);
    assert_eq!(all, ["2 LOCKED locked", "3 HOLDOVER LISTENING", "9 LOCKED locked"]);
    let all = way(&[(GOOD, 3), (LISTENING, 2), (BAD, 3)]);
    assert_eq!(all, ["2 LOCKED locked", "3 HOLDOVER LISTENING", "7 FREERUN offset"]);
    // A port that is SLAVE again without a sample does not stop the time.
    let all = way(&[(GOOD, 3), (LISTENING, 2), (NOTHING_NEW, 5)]);
    assert_eq!(all.last().unwrap(), "8 FREERUN holdover_over");
}

#[test]
fn holdover_left_runs_down() {
    let mut machine = Machine::new(profiles::budget("default").unwrap());
    let second = Duration::from_secs(1);
    for tick in 0..3 {
        machine.step(second * tick, GOOD);
    }
    assert_eq!(machine.holdover_left(second * 3), None);
    machine.step(second * 3, LISTENING);
    assert_eq!(machine.holdover_left(second * 3), Some(second * 5));
    assert_eq!(machine.holdover_left(second * 5), Some(second * 3));
    assert!(machine.is_unsettled());
    machine.step(second * 8, LISTENING);
    assert_eq!(machine.holdover_left(second * 8), None);
    assert!(!machine.is_unsettled());
}

#[test]
fn no_holdover_means_freerun_at_once() {
    let limits = Limits { holdover: Duration::ZERO, ..profiles::budget("default").unwrap() };
    let all = way_with(limits, &[(GOOD, 3), (LISTENING, 1)]);
    assert_eq!(all, ["2 LOCKED locked", "3 FREERUN LISTENING"]);
}

#[test]
fn grandmaster_is_what_its_clock_class_says() {
    let f = |class: u8, want: State| {
        let mut machine = Machine::new(profiles::budget("default").unwrap());
        machine.step(Duration::ZERO, Condition::Grandmaster { class });
        assert_eq!(machine.state(), Some(want), "class {class}");
        assert_eq!(machine.holdover_left(Duration::ZERO), None);
    };
    f(6, State::Locked);
    f(13, State::Locked);
    f(7, State::Holdover);
    f(14, State::Holdover);
    f(135, State::Holdover);
    for class in [52, 58, 140, 150, 160, 165, 187, 193, 248, 255] {
        f(class, State::Freerun);
    }
    let gm = |class| Condition::Grandmaster { class };
    let all = way(&[(gm(6), 2), (gm(7), 20), (gm(140), 2), (gm(6), 1)]);
    let want = ["0 LOCKED clock_class", "2 HOLDOVER clock_class", "22 FREERUN clock_class"];
    assert_eq!(all, [&want[..], &["24 LOCKED clock_class"]].concat());
    // In holdover by its class, then it is none any more.
    let all = way(&[(gm(7), 1), (LISTENING, 7)]);
    assert_eq!(all, ["0 HOLDOVER clock_class", "6 FREERUN holdover_over"]);
}

#[test]
fn software_time_stamps_have_a_hundred_times_the_limit() {
    let limits = profiles::budget("default").unwrap().for_software();
    let sample = |offset| Condition::Tracking { sample: Some(offset) };
    let all = way_with(limits, &[(sample(9_000.0), 3), (sample(11_000.0), 3)]);
    assert_eq!(all, ["2 LOCKED locked", "5 FREERUN offset"]);
}

#[test]
fn worst_is_freerun_then_holdover() {
    use State::{Freerun, Holdover, Locked};
    assert_eq!(worst([]), None);
    assert_eq!(worst([Locked]), Some(Locked));
    assert_eq!(worst([Locked, Holdover, Locked]), Some(Holdover));
    assert_eq!(worst([Holdover, Freerun, Locked]), Some(Freerun));
    assert_eq!([Freerun, Locked, Holdover].map(State::number), [0.0, 1.0, 2.0]);
}
