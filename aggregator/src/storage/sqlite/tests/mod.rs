//! What only the store on disk promises: it survives restarts, crashes, full disks and damage.

mod compaction;
mod damage;
mod kill;
mod migrate;
mod readers;
mod restart;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::SqliteStore;

fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory).expect("opens")
}

/// Length and CRC-32 of every file but the lock, by name.
fn contents(directory: &Path) -> BTreeMap<String, (usize, u32)> {
    let entries = fs::read_dir(directory).expect("lists").map(|entry| entry.expect("lists"));
    let file = |entry: fs::DirEntry| {
        let bytes = fs::read(entry.path()).expect("reads");
        let name = entry.file_name().into_string().expect("plain name");
        (name, (bytes.len(), crc32fast::hash(&bytes)))
    };
    entries.map(file).filter(|(name, _)| name != "lock").collect()
}

fn names(directory: &Path) -> Vec<String> {
    contents(directory).into_keys().collect()
}
