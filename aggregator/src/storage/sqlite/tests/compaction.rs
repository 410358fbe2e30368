use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::tempdir;

use super::{names, open};
use crate::storage::tests::compaction::{HOUR, LATER, compact_all, rolled, samples, tens};
use crate::storage::tests::{DAY, MIDNIGHT, columns, frames, inventory};
use crate::storage::{Change, Chunk, Resolution, Store, StoreError};

/// Two days of chunks of twenty minutes.
fn chunks() -> Vec<Chunk> {
    (0..20)
        .map(|i| {
            let at = i64::try_from(i).unwrap();
            tens(i + 1..=i + 1, MIDNIGHT + at % 2 * DAY + at * 600_000, 60)
        })
        .collect()
}

fn fill(store: &dyn Store) {
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=100, 1)).unwrap();
    store.seal(&chunks()).unwrap();
}

#[test]
fn compaction_that_ends_at_any_step_loses_and_doubles_nothing() {
    let whole = tempdir().unwrap();
    let (before, minutes) = {
        let store = open(whole.path());
        fill(&store);
        let before = samples(&store, 0);
        compact_all(&store, LATER);
        (before, rolled(&store, 0, Resolution::Minutes))
    };
    let mut last = 0;
    for fails_after in 0..200 {
        let directory = tempdir().unwrap();
        let store = open(directory.path());
        fill(&store);
        // Two hours first, then the days: every kind of step.
        store.compactor.lock().fail_after = Some(fails_after);
        let mut ended = true;
        for now in [MIDNIGHT + 12 * HOUR, LATER - HOUR, LATER] {
            // What the call before found settled.
            loop {
                match store.compact(now) {
                    Ok(done) if done.more => {}
                    Ok(_) => break,
                    Err(error) => {
                        assert!(error.to_string().contains("a test stops here"), "{error}");
                        ended = false;
                        break;
                    }
                }
                assert!(samples(&store, 0) == before, "under way, step {fails_after}");
            }
            if !ended {
                break;
            }
        }
        assert!(samples(&store, 0) == before, "failed at step {fails_after}");
        if fails_after % 2 == 0 {
            // The same process tries again.
            store.compactor.lock().fail_after = None;
            compact_all(&store, LATER);
            assert!(samples(&store, 0) == before, "tried again after step {fails_after}");
        }
        drop(store);
        let store = open(directory.path());
        assert!(samples(&store, 0) == before, "opened after step {fails_after}");
        compact_all(&store, LATER);
        assert!(samples(&store, 0) == before, "done after step {fails_after}");
        assert_eq!(rolled(&store, 0, Resolution::Minutes), minutes);
        assert_eq!(store.size().unwrap().blocks, 0);
        last = fails_after;
        if ended {
            break;
        }
    }
    assert!((12..199).contains(&last), "{last} steps");
}

#[test]
fn sample_of_an_instant_that_came_later_stays() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=100, 1)).unwrap();
    let first = tens(1..=10, MIDNIGHT + HOUR, 60);
    let mut second = tens(11..=20, MIDNIGHT + HOUR + 5000, 30);
    second.ticks_ms[29] = first.ticks_ms[30];
    second.columns[1][29] = sextant_proto::frame::ABSENT;
    store.seal(&[first.clone(), second.clone()]).unwrap();
    compact_all(&store, LATER);
    let at = |column| {
        let all = samples(&store, column);
        let found = all.iter().find(|(tick, _)| *tick == first.ticks_ms[30]).unwrap();
        (all.len(), f64::from_bits(found.1))
    };
    assert_eq!(at(0), (89, second.columns[0][29]));
    assert_eq!(at(1).1, first.columns[1][30], "what is absent replaces nothing");
}

#[test]
fn wide_and_long_layouts_are_cut_by_time_and_by_columns() {
    use crate::storage::tests::segments;
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.compactor.lock().limits.ticks = 900;
    store.compactor.lock().limits.samples = 40 * 800;
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=100, 1)).unwrap();
    let value = |column: u32, tick: u32| f64::from(if column % 10 == 9 { tick } else { column });
    for seq in 0..11u32 {
        let start = MIDNIGHT + i64::from(seq) * 2 * HOUR;
        let mut chunk = tens(u64::from(seq) + 1..=u64::from(seq) + 1, start, 120);
        chunk.ticks_ms = (0..120).map(|t| start + t * 60_000).collect();
        let wide = (0..50).map(|c| (0..120).map(|t| value(c, seq * 120 + t)).collect());
        chunk.columns = wide.collect();
        store.seal(&[chunk]).unwrap();
    }
    compact_all(&store, LATER);
    let ask = |columns: &[u32], resolution| {
        segments(&store, 1, columns, i64::MIN, i64::MAX, resolution).unwrap()
    };
    let mut seen = vec![0; 50];
    let parts = ask(&(0..50).collect::<Vec<_>>(), Resolution::Samples);
    for part in &parts {
        for (&which, column) in part.which.iter().zip(&part.columns) {
            for (&tick, &found) in part.ticks_ms.iter().zip(column) {
                let tick = u32::try_from((tick - MIDNIGHT) / 60_000).unwrap();
                assert_eq!(found, value(u32::try_from(which).unwrap(), tick));
            }
            seen[which] += column.len();
        }
    }
    assert!(seen.iter().all(|&samples| samples == 11 * 120), "each sample once");
    // Two by time, the longer one in two of columns.
    assert_eq!(parts.len(), 3);
    for (columns, parts) in [(vec![0], 2), (vec![49, 0], 3)] {
        assert_eq!(ask(&columns, Resolution::Samples).len(), parts);
    }
    for (resolution, parts, steps) in [(Resolution::Minutes, 1, 1320), (Resolution::Hours, 1, 23)] {
        let rolled = ask(&[19], resolution);
        assert_eq!(rolled.len(), parts);
        assert_eq!(rolled[0].ticks_ms.len(), steps);
        assert_eq!(rolled[0].columns[1].iter().sum::<f64>(), 1320.0);
    }
    // What is late goes into the rows that there are.
    let mut late = tens(20..=20, MIDNIGHT + 3000, 2);
    late.columns = vec![vec![1.0; 2]; 50];
    store.seal(&[late]).unwrap();
    compact_all(&store, LATER + HOUR);
    compact_all(&store, LATER + 2 * HOUR);
    assert_eq!(store.size().unwrap().blocks, 0);
    let hours = ask(&[19], Resolution::Hours);
    assert_eq!(hours.iter().flat_map(|h| &h.columns[1]).sum::<f64>(), 1322.0);
    let samples = ask(&[19], Resolution::Samples);
    assert_eq!(samples.iter().map(|part| part.ticks_ms.len()).sum::<usize>(), 1322);
}

#[test]
fn past_day_is_written_without_holes() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&inventory()).unwrap();
    store.commit(&frames(1, 1..=72, 1)).unwrap();
    let chunk = |seq: u64| {
        let column = |c: u32| (0..120).map(|t| f64::from(c * t).sin()).collect();
        let chunk = tens(seq..=seq, MIDNIGHT + i64::try_from(seq).unwrap() * 1_200_000, 120);
        Chunk { columns: (0..40u32).map(column).collect(), ..chunk }
    };
    store.seal(&(1..=72).map(chunk).collect::<Vec<_>>()).unwrap();
    let path = directory.path().join("blocks-2026-11-21.db");
    let before = columns(&store, 1).len();
    let mut freed = 0;
    for earlier in [HOUR, HOUR] {
        freed += store.compact(LATER - earlier).unwrap().bytes_freed;
    }
    loop {
        let done = store.compact(LATER).unwrap();
        freed += done.bytes_freed;
        if !done.more {
            break;
        }
    }
    assert!(freed > 100_000, "{freed}");
    assert!(before > 70 && columns(&store, 1).len() == 2, "one a day");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(ask("PRAGMA freelist_count"), 0);
    let data = ask("SELECT sum(length(data)) FROM merged");
    let all = ask("PRAGMA page_count") * 16_384;
    assert!(all - data < 16_384 * 12, "{all} for {data}");
    drop(connection);
    assert!(!names(directory.path()).iter().any(|name| name.contains(".new")));
    // Late samples find the new file.
    store.commit(&frames(1, 73..=73, 1)).unwrap();
    let mut late = tens(73..=73, MIDNIGHT + 77_000, 3);
    late.columns = vec![vec![1.0; 3]; 40];
    store.seal(&[late]).unwrap();
    assert_eq!(columns(&store, 1).len(), 3);
    drop(store);
    assert_eq!(columns(&open(directory.path()), 1).len(), 3);
}

#[test]
fn room_that_the_journal_has_left_is_given_back() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.commit(&inventory()).unwrap();
    let large = |mut change: Change| {
        if let Change::Frame(frame) = &mut change {
            frame.payload = vec![7; 20_000].into();
        }
        change
    };
    for first in 0..10 {
        let seqs = first * 40 + 1..=first * 40 + 40;
        let changes = frames(1, seqs, 1).into_iter().map(large).collect::<Vec<_>>();
        store.commit(&changes).unwrap();
    }
    store.seal(&[tens(1..=399, MIDNIGHT, 399)]).unwrap();
    let before = store.size().unwrap().bytes;
    compact_all(&store, LATER);
    let after = store.size().unwrap().bytes;
    assert!(before > 8_000_000 && after < 1_000_000, "{before} before, {after} after");
    let mut left = Vec::new();
    store.replay(&mut |frame| left.push((frame.seq, frame.payload.len()))).unwrap();
    assert_eq!(left, [(400, 20_000)]);
    drop(store);
    assert_eq!(samples(&open(directory.path()), 0).len(), 399);
}

#[test]
fn readers_see_the_same_while_everything_is_compacted() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    let before = samples(&store, 0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert!(samples(&store, 0) == before);
                        let counted = rolled_count(&store);
                        assert_eq!(counted, before.len() as f64, "each sample in one place");
                    }
                })
            })
            .collect();
        for hours in 0..120 {
            compact_all(&store, MIDNIGHT + hours * HOUR);
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a reader sees the same");
        }
    });
    assert_eq!(store.size().unwrap().blocks, 0);
}

/// Samples of column 0 as minutes and what is not rolled up have them.
fn rolled_count(store: &dyn Store) -> f64 {
    use crate::storage::tests::segments;
    let all = segments(store, 1, &[0], i64::MIN, i64::MAX, Resolution::Minutes).unwrap();
    let count = |s: &crate::storage::Segment| match s.step_ms {
        0 => s.ticks_ms.len() as f64,
        _ => s.columns[1].iter().sum(),
    };
    all.iter().map(count).sum()
}

#[test]
fn full_disk_is_left_alone_and_compaction_goes_on_with_room() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    let before = samples(&store, 0);
    store.compactor.lock().min_room = u64::MAX;
    store.compact(LATER - HOUR).unwrap();
    let done = store.compact(LATER).unwrap();
    assert!(done.no_room && !done.more && done.merged == 0);
    assert_eq!(store.size().unwrap().blocks, 20);
    store.compactor.lock().min_room = 0;
    compact_all(&store, LATER);
    assert!(samples(&store, 0) == before);
}

#[test]
fn damaged_block_stops_the_compaction_of_its_layout_only() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    store.commit(&frames(2, 1..=9, 2)).unwrap();
    let other = Chunk { layout: 2, spool: 2, ..tens(1..=9, MIDNIGHT + HOUR, 50) };
    store.seal(&[other]).unwrap();
    drop(store);
    let path = directory.path().join("blocks-2026-11-21.db");
    let day = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE blocks SET data = CAST(substr(data, 1, length(data) - 1) || x'5a' AS BLOB)
        WHERE id = (SELECT min(id) FROM blocks WHERE layout = 1)";
    assert_eq!(day.execute(sql, []).unwrap(), 1);
    drop(day);
    let store = open(directory.path());
    let failed = store.compact(LATER).unwrap_err();
    assert!(matches!(failed, StoreError::Corrupt { .. }), "{failed}");
    assert!(failed.to_string().contains("of layout 1"), "{failed}");
    compact_all(&store, LATER);
    assert_eq!(store.size().unwrap().blocks, 10, "those of that day and layout");
}
