use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sextant_proto::frame::{ABSENT, is_absent};

use super::{DAY, MIDNIGHT, columns, cutoff, frames, inventory, on_every_store, segments};
use crate::storage::{Change, Chunk, Cutoff, PLANES, Resolution, Store, StoreError, Unused};

on_every_store! {
    compacted_samples_are_the_same
    rollups_say_what_the_samples_were
    late_samples_are_rolled_up_with_the_others
    coarser_rollups_answer_when_the_samples_are_gone
    clocks_that_are_far_off_are_read_like_others
    what_has_no_data_is_reported_and_forgotten
}

pub(in crate::storage) const HOUR: i64 = 3_600_000;
/// When everything of the first days is old enough for every step.
pub(in crate::storage) const LATER: i64 = MIDNIGHT + 5 * DAY;

/// Ticks of ten seconds: a value that grows, one that is sometimes absent, a constant.
pub(in crate::storage) fn tens(seqs: RangeInclusive<u64>, start_ms: i64, ticks: i64) -> Chunk {
    let at = |t: i64| (start_ms + t * 10_000 - MIDNIGHT) as f64 / 1000.0;
    let sometimes = |t: i64| if t % 3 == 1 { ABSENT } else { 0.25 * at(t) };
    Chunk {
        layout: 1,
        spool: 1,
        arrived_ms: 0,
        first_seq: *seqs.start(),
        last_seq: *seqs.end(),
        ticks_ms: (0..ticks).map(|t| start_ms + t * 10_000).collect(),
        columns: vec![
            (0..ticks).map(at).collect(),
            (0..ticks).map(sometimes).collect(),
            (0..ticks).map(|_| 7.0).collect(),
        ],
    }
}

pub(in crate::storage) fn compact_all(store: &dyn Store, now_ms: i64) {
    // A day that was sealed into rests; what one call finds settled the next one does.
    for earlier in [HOUR, HOUR, 0] {
        store.compact(now_ms - earlier).expect("compacts");
    }
    for _ in 0..1000 {
        if !store.compact(now_ms).expect("compacts").more
            && !store.compact(now_ms).expect("compacts").more
        {
            return;
        }
    }
    panic!("compaction does not end");
}

/// All samples of a column, by time; the bits of each.
pub(in crate::storage) fn samples(store: &dyn Store, column: usize) -> Vec<(i64, u64)> {
    let mut found = BTreeMap::new();
    for segment in columns(store, 1) {
        assert_eq!(segment.step_ms, 0);
        for (slot, &which) in segment.which.iter().enumerate() {
            for (&tick, value) in segment.ticks_ms.iter().zip(&segment.columns[slot]) {
                if which == column && !is_absent(*value) {
                    found.insert(tick, value.to_bits());
                }
            }
        }
    }
    found.into_iter().collect()
}

/// What rollups of a length say of a column: end of the step, then its planes.
pub(in crate::storage) fn rolled(
    store: &dyn Store,
    column: u32,
    resolution: Resolution,
) -> BTreeMap<i64, [f64; PLANES]> {
    let mut found: BTreeMap<i64, [f64; PLANES]> = BTreeMap::new();
    let all = segments(store, 1, &[column], i64::MIN, i64::MAX, resolution).expect("reads");
    for segment in all {
        assert_eq!(segment.step_ms, resolution.step_ms());
        for (at, &end) in segment.ticks_ms.iter().enumerate() {
            let [last, count, min, max, sum] = [0, 1, 2, 3, 4].map(|p| segment.columns[p][at]);
            if count == 0.0 {
                continue;
            }
            let step = found.entry(end).or_insert([last, 0.0, min, max, 0.0]);
            let both = [last, step[1] + count, step[2].min(min), step[3].max(max), step[4] + sum];
            *step = both;
        }
    }
    found
}

/// The same of the samples themselves.
fn expected(chunks: &[&Chunk], column: usize, length: i64) -> BTreeMap<i64, [f64; PLANES]> {
    let mut all = BTreeMap::new();
    for chunk in chunks {
        all.extend(chunk.ticks_ms.iter().copied().zip(chunk.columns[column].iter().copied()));
    }
    let mut found: BTreeMap<i64, [f64; PLANES]> = BTreeMap::new();
    for (tick, value) in all.into_iter().filter(|(_, value)| !is_absent(*value)) {
        let end = (tick - 1).div_euclid(length) * length + length;
        let step = found.entry(end).or_insert([value, 0.0, value, value, 0.0]);
        *step = [value, step[1] + 1.0, step[2].min(value), step[3].max(value), step[4] + value];
    }
    found
}

fn stored(store: &dyn Store, chunks: &[Chunk]) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=100, 1)).unwrap();
    store.seal(chunks).unwrap();
}

fn compacted_samples_are_the_same(store: &dyn Store) {
    // Four hours and a half, then the next day, with a gap and chunks that cut minutes.
    let mut chunks: Vec<Chunk> = (0..14)
        .map(|i| tens(i + 1..=i + 1, MIDNIGHT + i64::try_from(i).unwrap() * 1_200_003, 120))
        .collect();
    chunks.push(tens(15..=15, MIDNIGHT + DAY + 5 * HOUR + 7000, 50));
    stored(store, &chunks);
    let before: Vec<_> = (0..3).map(|column| samples(store, column)).collect();
    assert_eq!((before[0].len(), before[1].len()), (1730, 1153));
    for now in [MIDNIGHT + 3 * HOUR, MIDNIGHT + 5 * HOUR, MIDNIGHT + 2 * DAY, LATER] {
        compact_all(store, now);
        let after: Vec<_> = (0..3).map(|column| samples(store, column)).collect();
        assert!(after == before, "as of {now}");
    }
    assert_eq!(store.size().unwrap().blocks, 0);
    assert!(!store.compact(LATER).unwrap().more, "what is done is left alone");
}

fn rollups_say_what_the_samples_were(store: &dyn Store) {
    let chunks: Vec<Chunk> = (0..9)
        .map(|i| tens(i + 1..=i + 1, MIDNIGHT + i64::try_from(i).unwrap() * 1_200_003, 120))
        .collect();
    stored(store, &chunks);
    let all: Vec<&Chunk> = chunks.iter().collect();
    for now in [MIDNIGHT + 8 * HOUR, LATER] {
        compact_all(store, now);
        for column in 0..3 {
            for resolution in [Resolution::Minutes, Resolution::Hours] {
                let found = rolled(store, u32::try_from(column).unwrap(), resolution);
                let want = expected(&all, column, resolution.step_ms());
                assert_eq!(found.len(), want.len());
                for (end, want) in want {
                    let found = found[&end];
                    assert_eq!(found[..4], want[..4], "column {column} at {end}");
                    assert!((found[4] - want[4]).abs() <= 1e-9 * want[4].abs(), "sum at {end}");
                }
            }
        }
    }
}

fn late_samples_are_rolled_up_with_the_others(store: &dyn Store) {
    let first = tens(1..=10, MIDNIGHT + HOUR, 120);
    stored(store, std::slice::from_ref(&first));
    compact_all(store, LATER);
    // Between the ticks that are there.
    let late = tens(11..=20, MIDNIGHT + HOUR + 5000, 30);
    store.seal(std::slice::from_ref(&late)).unwrap();
    let raw = segments(store, 1, &[0], 0, i64::MAX, Resolution::Minutes).unwrap();
    assert!(raw.iter().any(|s| s.step_ms == 0), "what is not rolled up comes as it is");
    compact_all(store, LATER + HOUR);
    compact_all(store, LATER + 2 * HOUR);
    assert_eq!(store.size().unwrap().blocks, 0);
    assert_eq!(samples(store, 0).len(), 150);
    let minutes = rolled(store, 0, Resolution::Minutes);
    let counts: Vec<f64> = minutes.values().map(|step| step[1]).collect();
    assert_eq!(counts.iter().sum::<f64>(), 150.0);
    assert_eq!(counts[1..4], [12.0, 12.0, 12.0]);
}

fn coarser_rollups_answer_when_the_samples_are_gone(store: &dyn Store) {
    let chunks = [tens(1..=10, MIDNIGHT, 700), tens(11..=20, MIDNIGHT + 2 * DAY, 700)];
    stored(store, &chunks);
    compact_all(store, LATER);
    let whole = rolled(store, 0, Resolution::Hours);
    let steps = |resolution| -> Vec<(i64, i64)> {
        let all = segments(store, 1, &[0], i64::MIN, i64::MAX, resolution).unwrap();
        let mut steps: Vec<_> =
            all.iter().map(|s| (s.ticks_ms[0] / DAY * DAY, s.step_ms)).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    };
    let prune = |days: [i64; 3]| {
        let [samples_ms, minutes_ms, hours_ms] = days.map(|day| MIDNIGHT + day * DAY);
        store.prune(Cutoff { samples_ms, minutes_ms, hours_ms, events_ms: 0 }).unwrap().deleted
    };
    assert_eq!(steps(Resolution::Samples), [(MIDNIGHT, 0), (MIDNIGHT + 2 * DAY, 0)]);
    assert!(prune([1, 0, 0]) > 0);
    assert_eq!(steps(Resolution::Samples), [(MIDNIGHT, 60_000), (MIDNIGHT + 2 * DAY, 0)]);
    assert_eq!(steps(Resolution::Minutes), [(MIDNIGHT, 60_000), (MIDNIGHT + 2 * DAY, 60_000)]);
    prune([1, 1, 0]);
    assert_eq!(steps(Resolution::Samples), [(MIDNIGHT, HOUR), (MIDNIGHT + 2 * DAY, 0)]);
    assert_eq!(steps(Resolution::Minutes), [(MIDNIGHT, HOUR), (MIDNIGHT + 2 * DAY, 60_000)]);
    assert_eq!(rolled(store, 0, Resolution::Hours), whole);
    prune([40, 40, 40]);
    assert_eq!(steps(Resolution::Hours), []);
}

fn clocks_that_are_far_off_are_read_like_others(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=20, 1)).unwrap();
    let mut chunks = Vec::new();
    for (number, start) in (1..).zip([0, 40 * DAY, MIDNIGHT + 300 * DAY, MIDNIGHT - 31 * DAY]) {
        let chunk = tens(number..=number, start, 20);
        chunks.push(Chunk { arrived_ms: MIDNIGHT + HOUR, ..chunk });
    }
    store.seal(&chunks).unwrap();
    let times = || samples(store, 0).iter().map(|s| s.0).collect::<Vec<_>>();
    let mut want: Vec<i64> = chunks.iter().flat_map(|c| c.ticks_ms.clone()).collect();
    want.sort_unstable();
    assert_eq!(times(), want);
    compact_all(store, MIDNIGHT + DAY);
    assert_eq!(times(), want);
}

fn what_has_no_data_is_reported_and_forgotten(store: &dyn Store) {
    stored(store, &[tens(1..=100, MIDNIGHT, 10)]);
    let unused = store.prune(cutoff(0, 0)).unwrap().unused;
    let others = Unused { layouts: vec![2, 3], spools: vec![1, 2, 3], nodes: vec![2, 3] };
    assert_eq!(unused, others);
    assert_eq!(store.prune(cutoff(0, 0)).unwrap().unused, Unused::default(), "said once");
    let wrong = Unused { layouts: vec![1, 2], ..Unused::default() };
    assert!(matches!(store.forget(&wrong), Err(StoreError::Invalid(_))));
    let wrong = Unused { nodes: vec![2], ..Unused::default() };
    assert!(matches!(store.forget(&wrong), Err(StoreError::Invalid(_))), "its layout is there");
    let node = Unused { layouts: vec![2], spools: vec![2], nodes: vec![2] };
    store.forget(&node).unwrap();
    let ids = || {
        let loaded = store.load().unwrap();
        let nodes: Vec<_> = loaded.nodes.iter().map(|n| n.id).collect();
        (nodes, loaded.layouts.iter().map(|l| l.id).collect::<Vec<_>>(), loaded.spools.len())
    };
    assert_eq!(ids(), (vec![1, 3], vec![1, 3], 2));
    assert!(store.commit(&[Change::Frame(super::frame(2, 500, 2))]).is_err());
    let gone = store.prune(cutoff(MIDNIGHT + 3 * DAY, 0)).unwrap();
    assert_eq!(gone.unused.layouts, [1, 3]);
    store.forget(&gone.unused).unwrap();
    assert_eq!(ids(), (vec![], vec![], 0));
}
