//! The files of samples. Each holds what began in a period of UTC time, so that retention is an
//! unlink: a day of blocks, a day of minutes, sixteen days of hours. What a query must know to
//! pass a file by is kept in memory, from its `summary`.
//!
//! A node whose clock is far off must not make a file for each of its days: what began long
//! before it arrived, or after, goes to the odd file of the day that it arrived on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::dates::{civil, days_from_civil};
use super::file::io_error;
use super::migrate::{DAY, Format, ROLLUPS};
use crate::storage::StoreError;

/// Length of a day, milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;
/// Days of one file of hours: few files, and retention is late by no more than these.
const HOURS_DAYS: i64 = 16;
/// Samples that began so many days before they arrived have a file of their own day: longer than
/// any spool keeps them.
const MAX_DAYS_BEHIND: i64 = 32;
/// The same for days after: clocks that are a little ahead around midnight.
const MAX_DAYS_AHEAD: i64 = 1;

/// What a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Samples, by the day of their first tick.
    Blocks,
    /// Samples of clocks that are far off, by the day of their arrival.
    Odd,
    /// Rollups of a minute.
    Minutes,
    /// Rollups of an hour.
    Hours,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Blocks, Kind::Odd, Kind::Minutes, Kind::Hours];

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Odd => "odd",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
        }
    }

    /// Days of one file.
    fn days(self) -> i64 {
        if self == Self::Hours { HOURS_DAYS } else { 1 }
    }

    /// Whether it has the blocks that seals make.
    pub(super) fn is_sealed_into(self) -> bool {
        matches!(self, Self::Blocks | Self::Odd)
    }

    pub(super) fn format(self) -> &'static Format {
        if self.is_sealed_into() { &DAY } else { &ROLLUPS }
    }

    /// The file that has a day.
    pub(super) fn of_day(self, day: i64) -> FileId {
        FileId { kind: self, day: day - day.rem_euclid(self.days()) }
    }
}

/// A file: what it has, and the first day of its period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId {
    pub(super) kind: Kind,
    pub(super) day: i64,
}

impl FileId {
    /// The file for samples that began at a time and arrived at another (0: not known).
    pub(super) fn of_samples(first_ms: i64, arrived_ms: i64) -> Self {
        let (day, arrived) = (day_of(first_ms), day_of(arrived_ms));
        let near = arrived - MAX_DAYS_BEHIND..=arrived + MAX_DAYS_AHEAD;
        if arrived_ms == 0 || near.contains(&day) {
            Kind::Blocks.of_day(day)
        } else {
            Kind::Odd.of_day(arrived)
        }
    }

    /// When its period ends.
    pub(super) fn end_ms(self) -> i64 {
        self.day.saturating_add(self.kind.days()).saturating_mul(DAY_MS)
    }

    pub(super) fn path(self, directory: &Path) -> PathBuf {
        directory.join(self.name())
    }

    pub(super) fn name(self) -> String {
        let (year, month, day) = civil(self.day);
        format!("{}-{year:04}-{month:02}-{day:02}.db", self.kind.prefix())
    }

    fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".db")?;
        let kind = KINDS.into_iter().find(|kind| {
            stem.strip_prefix(kind.prefix()).is_some_and(|rest| rest.starts_with('-'))
        })?;
        let mut parts = stem[kind.prefix().len() + 1..].rsplitn(3, '-').map(str::parse::<i64>);
        let mut next = || parts.next()?.ok();
        let (day, month, year) = (next()?, next()?, next()?);
        let found = kind.of_day(days_from_civil(year, month, day)?);
        (found.name() == name).then_some(found)
    }
}

/// What a file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// The largest seal of its blocks.
    pub(super) seal: i64,
    /// The largest compaction of its merged rows.
    pub(super) born: i64,
    /// Blocks that seals made; compaction takes them.
    pub(super) blocks: i64,
    /// The first tick.
    pub(super) first_ms: i64,
    /// The latest tick.
    pub(super) last_ms: i64,
    /// The longest time from a row's first to its last tick.
    pub(super) span_ms: i64,
}

impl Summary {
    /// Reads it from the file.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT seal, born, blocks, first_ms, last_ms, span_ms FROM summary";
        connection.prepare_cached(sql)?.query_one([], |row| {
            Ok(Self {
                seal: row.get(0)?,
                born: row.get(1)?,
                blocks: row.get(2)?,
                first_ms: row.get(3)?,
                last_ms: row.get(4)?,
                span_ms: row.get(5)?,
            })
        })
    }

    /// Writes it to the file.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE summary SET seal = ?1, born = ?2, blocks = ?3, first_ms = ?4,
            last_ms = ?5, span_ms = ?6";
        let Self { seal, born, blocks, first_ms, last_ms, span_ms } = *self;
        let values = [seal, born, blocks, first_ms, last_ms, span_ms];
        connection.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// Takes a row's time in.
    pub(super) fn cover(&mut self, first_ms: i64, last_ms: i64) {
        self.first_ms = self.first_ms.min(first_ms);
        self.last_ms = self.last_ms.max(last_ms);
        self.span_ms = self.span_ms.max(last_ms.saturating_sub(first_ms));
    }
}

/// A file that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Tells a file from an earlier one of the same name.
    pub(super) incarnation: u64,
    pub(super) summary: Summary,
}

/// All files, and which rows of them count.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) entries: BTreeMap<FileId, Entry>,
    /// Blocks of a later seal are not in the store yet: their frames are in the journal.
    pub(super) sealed: i64,
    /// Rows of a later compaction are not in the store yet: what they were made of is.
    pub(super) compacted: i64,
    /// Days before these have no samples, and no minutes, any more: coarser ones answer.
    pub(super) kept_from: Kept,
    incarnations: u64,
}

/// The first day that retention has left, of what can be told in a coarser way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) blocks: i64,
    pub(super) minutes: i64,
}

impl Default for Kept {
    fn default() -> Self {
        Self { blocks: i64::MIN, minutes: i64::MIN }
    }
}

impl Files {
    /// No files yet.
    pub(super) fn new(sealed: i64, compacted: i64, kept_from: Kept) -> Self {
        Self { sealed, compacted, kept_from, ..Self::default() }
    }

    /// Sets a file's summary; a new file gets a new incarnation.
    pub(super) fn set(&mut self, id: FileId, summary: Summary) {
        self.incarnations += 1;
        let new = Entry { incarnation: self.incarnations, summary };
        self.entries.entry(id).or_insert(new).summary = summary;
    }

    /// Another file has the name now.
    pub(super) fn replace(&mut self, id: FileId) {
        self.incarnations += 1;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.incarnation = self.incarnations;
        }
    }

    /// Blocks that seals made, in all files.
    pub(super) fn blocks(&self) -> u64 {
        let blocks: i64 = self.entries.values().map(|entry| entry.summary.blocks).sum();
        blocks.try_into().unwrap_or(0)
    }
}

/// Connections that nobody uses now, for who comes next; over its bound, the oldest goes.
pub(super) struct Pool<K> {
    idle: Mutex<Vec<(K, Connection)>>,
    limit: usize,
}

impl<K: PartialEq> Pool<K> {
    pub(super) fn new(limit: usize) -> Self {
        Self { idle: Mutex::new(Vec::with_capacity(limit + 1)), limit }
    }

    /// An idle connection to this file.
    pub(super) fn take(&self, key: &K) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let at = idle.iter().rposition(|(other, _)| other == key)?;
        Some(idle.remove(at).1)
    }

    /// Gives back a connection that works.
    pub(super) fn put(&self, key: K, connection: Connection) {
        let mut idle = self.idle.lock();
        idle.push((key, connection));
        let oldest = (idle.len() > self.limit).then(|| idle.remove(0));
        drop(idle);
        drop(oldest);
    }

    /// Closes the idle connections to files that went.
    pub(super) fn retain(&self, mut keep: impl FnMut(&K) -> bool) {
        self.idle.lock().retain(|(key, _)| keep(key));
    }
}

/// The day of an instant, counted from 1970-01-01.
pub(super) fn day_of(time_ms: i64) -> i64 {
    time_ms.div_euclid(DAY_MS)
}

/// The files of samples in a directory.
pub(super) fn list(directory: &Path) -> Result<Vec<FileId>, StoreError> {
    let failed = io_error(directory, "list");
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(&failed)? {
        files.extend(entry.map_err(&failed)?.file_name().to_str().and_then(FileId::parse));
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_names_of_their_dates() {
        for (kind, day, name) in [
            (Kind::Blocks, 0, "blocks-1970-01-01.db"),
            (Kind::Blocks, -1, "blocks-1969-12-31.db"),
            (Kind::Odd, 11_016, "odd-2000-02-29.db"),
            (Kind::Minutes, 20_778, "minutes-2026-11-21.db"),
            (Kind::Hours, 20_778, "hours-2026-11-11.db"),
            (Kind::Hours, 20_768, "hours-2026-11-11.db"),
        ] {
            assert_eq!(kind.of_day(day).name(), name);
            assert_eq!(FileId::parse(name), Some(kind.of_day(day)));
        }
    }

    #[test]
    fn other_files_are_none_of_ours() {
        for name in [
            "sextant.db",
            "blocks-2026-11-21.db-wal",
            "blocks-2026-11-21.db.new",
            "blocks-2026-02-30.db",
            "blocks-2026-13-01.db",
            "blocks-2026-1-01.db",
            "blocks-9223372036854775807-01-01.db",
            "blocks-.db",
            "hours-2026-11-12.db",
        ] {
            assert_eq!(FileId::parse(name), None, "{name}");
        }
    }

    #[test]
    fn clocks_that_are_far_off_share_a_file() {
        let now = 20_778 * DAY_MS + 5;
        let f = |first_ms, name| assert_eq!(FileId::of_samples(first_ms, now).name(), name);
        f(now, "blocks-2026-11-21.db");
        f(now + DAY_MS, "blocks-2026-11-22.db");
        f(now - 32 * DAY_MS, "blocks-2026-10-20.db");
        f(now + 2 * DAY_MS, "odd-2026-11-21.db");
        f(0, "odd-2026-11-21.db");
        f(i64::MIN, "odd-2026-11-21.db");
        f(i64::MAX, "odd-2026-11-21.db");
    }
}
