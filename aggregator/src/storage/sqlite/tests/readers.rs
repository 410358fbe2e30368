use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::tempdir;

use super::super::files::DAY_MS;
use super::restart::{filled, two_days};
use super::{names, open};
use crate::storage::Store;
use crate::storage::tests::{MIDNIGHT, chunk, columns, cutoff, frames};

#[test]
fn retention_unlinks_the_files_of_old_days() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.seal(&two_days()).unwrap();
    assert_eq!(columns(&store, 1).len(), 2, "readers are open");
    store.prune(cutoff(MIDNIGHT + 2 * DAY_MS, 0)).unwrap();
    assert!(!names(directory.path()).iter().any(|name| name.contains("2026-11-21")));
    assert_eq!(columns(&store, 1).len(), 1);
    drop(store);
    assert_eq!(columns(&open(directory.path()), 1).len(), 1);
}

#[test]
fn many_days_are_read_with_few_files_open() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.commit(&frames(1, 21..=40, 1)).unwrap();
    for (day, seq) in (0i64..40).zip(1u64..) {
        store.seal(&[chunk(1, seq..=seq, MIDNIGHT + day * DAY_MS)]).unwrap();
    }
    let firsts: Vec<_> = columns(&store, 1).iter().map(|s| s.first_seq).collect();
    assert_eq!(firsts, (1..=40).collect::<Vec<_>>());
    let marker = directory.path().to_str().unwrap();
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    let days =
        targets.filter(|t| t.to_str().is_some_and(|t| t.starts_with(marker) && t.ends_with(".db")));
    assert!(days.count() <= 24 + 6 + 2, "idle readers, day writers, the main database");
}

#[test]
fn readers_see_all_of_a_seal_or_nothing() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.commit(&frames(1, 21..=400, 1)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut most = 0;
                    while !done.load(Ordering::Relaxed) {
                        let seen = columns(&store, 1).len();
                        assert!(
                            seen.is_multiple_of(2) && seen >= most,
                            "{seen} chunks after {most}"
                        );
                        most = seen;
                    }
                })
            })
            .collect();
        for (pair, seq) in (0i64..).zip((1..=399).step_by(2)) {
            let at = MIDNIGHT + pair * 20_000;
            let pair = [chunk(1, seq..=seq, at), chunk(1, seq + 1..=seq + 1, at + DAY_MS)];
            store.seal(&pair).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a reader sees no half");
        }
    });
    assert_eq!(columns(&store, 1).len(), 400);
}

#[test]
fn readers_pass_over_days_that_go() {
    let directory = tempdir().unwrap();
    let store = filled(directory.path());
    store.commit(&frames(1, 21..=100, 1)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert!(columns(&store, 1).len() <= 1);
                    }
                })
            })
            .collect();
        for seq in 1..=100 {
            // The same day again and again: late data makes it anew.
            store.seal(&[chunk(1, seq..=seq, MIDNIGHT)]).unwrap();
            store.prune(cutoff(MIDNIGHT + 2 * DAY_MS, 0)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("a day that went is no error");
        }
    });
    assert_eq!(columns(&store, 1), []);
}
