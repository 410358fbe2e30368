use super::{
    DAY, MIDNIGHT, assert_same, chunk, columns, cutoff, frame, frames, inventory, journal,
    on_every_store, segments,
};
use crate::storage::{Chunk, Resolution, Store, StoreError};

on_every_store! {
    sealed_frames_move_from_the_journal_to_blocks
    sealing_again_changes_nothing
    failed_seal_moves_nothing
    columns_are_cut_to_the_range
    chunk_over_midnight_is_found_from_both_days
    size_counts_frames_and_blocks
}

fn sealed_frames_move_from_the_journal_to_blocks(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=30, 1)).unwrap();
    store.commit(&frames(2, 1..=5, 2)).unwrap();
    let first = chunk(1, 1..=10, MIDNIGHT);
    let second = chunk(1, 11..=24, MIDNIGHT + 100_000);
    let other = chunk(2, 1..=5, MIDNIGHT + 3 * DAY);
    store.seal(&[second.clone(), other.clone(), first.clone()]).unwrap();
    assert_eq!(journal(store), (25..=30).map(|seq| frame(1, seq, 1)).collect::<Vec<_>>());
    let read = columns(store, 1);
    assert_eq!(read.len(), 2);
    assert_same(&read[0], &first);
    assert_same(&read[1], &second);
    assert_same(&columns(store, 2)[0], &other);
    assert_eq!(columns(store, 3), []);
    let nothing = Chunk { ticks_ms: vec![], columns: vec![], ..chunk(1, 25..=29, 0) };
    store.seal(&[nothing]).unwrap();
    assert_eq!(journal(store), [frame(1, 30, 1)]);
    assert_eq!(columns(store, 1).len(), 2);
}

fn sealing_again_changes_nothing(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=10, 1)).unwrap();
    let chunks = [chunk(1, 1..=4, MIDNIGHT), chunk(1, 5..=10, MIDNIGHT + 40_000)];
    store.seal(&chunks).unwrap();
    let (read, size) = (columns(store, 1), store.size().unwrap());
    store.seal(&chunks).unwrap();
    store.seal(&chunks[1..]).unwrap();
    for (again, before) in columns(store, 1).iter().zip(&chunks) {
        assert_same(again, before);
    }
    assert_eq!(columns(store, 1).len(), read.len());
    assert_eq!(store.size().unwrap().blocks, size.blocks);
    assert_eq!(journal(store), []);
}

fn failed_seal_moves_nothing(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=10, 1)).unwrap();
    let good = chunk(1, 1..=5, MIDNIGHT);
    let later = chunk(1, 6..=10, MIDNIGHT + DAY);
    for bad in [
        Chunk { last_seq: 11, ..later.clone() },
        Chunk { first_seq: 9, last_seq: 8, ..later.clone() },
        Chunk { columns: vec![vec![1.0]], ..later.clone() },
        Chunk { ticks_ms: vec![1; later.ticks_ms.len()], ..later.clone() },
        Chunk { layout: 9, ..later.clone() },
        Chunk { spool: 2, ..later.clone() },
        good.clone(),
    ] {
        let refused = store.seal(&[good.clone(), bad]);
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        assert_eq!(journal(store).len(), 10);
        assert_eq!(columns(store, 1), []);
    }
    let whole = chunk(1, 1..=10, MIDNIGHT);
    store.seal(std::slice::from_ref(&whole)).unwrap();
    assert_eq!(columns(store, 1).len(), 1);
    assert_same(&columns(store, 1)[0], &whole);
    assert!(matches!(store.seal(&[good]), Err(StoreError::Invalid(_))));
}

fn columns_are_cut_to_the_range(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=30, 1)).unwrap();
    for start in 0u8..3 {
        let first = u64::from(start) * 10 + 1;
        let start_ms = MIDNIGHT + i64::from(start) * 200_000;
        store.seal(&[chunk(1, first..=first + 9, start_ms)]).unwrap();
    }
    let ask = |from: i64, to: i64, columns: &[u32]| {
        segments(store, 1, columns, MIDNIGHT + from, MIDNIGHT + to, Resolution::Samples)
    };
    let read = ask(98_000, 201_000, &[1, 0]).unwrap();
    let ticks: Vec<_> = read.iter().map(|s| (s.first_seq, &s.ticks_ms[..])).collect();
    let (one, two) = ([98_000, 99_000], [200_000, 201_000]);
    assert_eq!(ticks, [(1, &one.map(|t| t + MIDNIGHT)[..]), (11, &two.map(|t| t + MIDNIGHT)[..])]);
    assert_eq!(read[0].columns, [[98.0 * 0.1, 99.0 * 0.1], [1.0, 1.0]]);
    assert_eq!(read[1].columns, [[0.0, 0.1], [1.0, 1.0]]);
    assert_eq!(ask(99_001, 199_999, &[0]).unwrap(), []);
    assert_eq!(ask(99_000, 99_000, &[]).unwrap().len(), 1);
    assert_eq!(ask(500, 999, &[0]).unwrap(), [], "between two ticks");
    assert_eq!(ask(300_000, 100_000, &[0]).unwrap(), []);
    assert!(matches!(ask(0, 0, &[3]), Err(StoreError::Invalid(_))));
}

fn chunk_over_midnight_is_found_from_both_days(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=20, 1)).unwrap();
    let across = chunk(1, 1..=10, MIDNIGHT - 50_000);
    // A node that was off for days in the middle of a chunk.
    let mut late = chunk(1, 11..=20, MIDNIGHT + 60_000);
    *late.ticks_ms.last_mut().unwrap() += 5 * DAY;
    store.seal(&[across.clone(), late.clone()]).unwrap();
    let ask = |start_ms, end_ms| {
        let read = segments(store, 1, &[0], start_ms, end_ms, Resolution::Samples).unwrap();
        read.iter().map(|s| (s.first_seq, s.ticks_ms.len())).collect::<Vec<_>>()
    };
    assert_eq!(ask(MIDNIGHT - DAY, MIDNIGHT - 1), [(1, 50)]);
    assert_eq!(ask(MIDNIGHT, MIDNIGHT + 59_999), [(1, 50)]);
    assert_eq!(ask(MIDNIGHT + 4 * DAY, MIDNIGHT + 6 * DAY), [(11, 1)]);
}

fn size_counts_frames_and_blocks(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=10, 1)).unwrap();
    let size = store.size().unwrap();
    assert_eq!((size.journal_frames, size.blocks), (10, 0));
    assert!(size.bytes > 10 * frame(1, 1, 1).payload.len() as u64);
    store.seal(&[chunk(1, 1..=4, MIDNIGHT), chunk(1, 5..=7, MIDNIGHT + DAY)]).unwrap();
    let size = store.size().unwrap();
    assert_eq!((size.journal_frames, size.blocks), (3, 2));
    store.prune(cutoff(MIDNIGHT + 2 * DAY, 0)).unwrap();
    assert_eq!(store.size().unwrap().blocks, 1, "a day more, for its rollups");
}
