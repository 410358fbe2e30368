//! The files of blocks, one per UTC day of a chunk's first tick, so that retention is an
//! unlink. What a query must know to pass a file by is kept in memory, from its `summary`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::file::io_error;
use crate::storage::StoreError;

/// Length of a day, milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;

/// What a day's file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// The largest seal of its blocks.
    pub(super) seal: i64,
    pub(super) blocks: i64,
    /// The latest tick.
    pub(super) last_ms: i64,
    /// The longest time from a block's first to its last tick.
    pub(super) span_ms: i64,
}

impl Summary {
    /// Reads it from the file.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT seal, blocks, last_ms, span_ms FROM summary";
        connection.prepare_cached(sql)?.query_one([], |row| {
            let (seal, blocks) = (row.get(0)?, row.get(1)?);
            Ok(Self { seal, blocks, last_ms: row.get(2)?, span_ms: row.get(3)? })
        })
    }

    /// Writes it to the file.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE summary SET seal = ?1, blocks = ?2, last_ms = ?3, span_ms = ?4";
        let values = [self.seal, self.blocks, self.last_ms, self.span_ms];
        connection.prepare_cached(sql)?.execute(values).map(drop)
    }
}

/// A day's file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    /// Tells a file from an earlier one of the same name.
    pub(super) incarnation: u64,
    pub(super) summary: Summary,
}

/// All days, and which blocks of them count.
#[derive(Debug, Default)]
pub(super) struct Days {
    pub(super) files: BTreeMap<i64, Day>,
    /// Blocks of a later seal are not in the store yet: their frames are in the journal.
    pub(super) sealed: i64,
    incarnations: u64,
}

impl Days {
    /// No days yet.
    pub(super) fn new(sealed: i64) -> Self {
        Self { sealed, ..Self::default() }
    }

    /// Sets a day's summary; a new day gets a new incarnation.
    pub(super) fn set(&mut self, day: i64, summary: Summary) {
        self.incarnations += 1;
        let new = Day { incarnation: self.incarnations, summary };
        self.files.entry(day).or_insert(new).summary = summary;
    }

    /// Blocks in all days.
    pub(super) fn blocks(&self) -> u64 {
        let blocks: i64 = self.files.values().map(|day| day.summary.blocks).sum();
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

/// The file of a day.
pub(super) fn day_path(directory: &Path, day: i64) -> PathBuf {
    directory.join(file_name(day))
}

/// The days that have a file.
pub(super) fn list(directory: &Path) -> Result<Vec<i64>, StoreError> {
    let failed = io_error(directory, "list");
    let mut days = Vec::new();
    for entry in fs::read_dir(directory).map_err(&failed)? {
        days.extend(entry.map_err(&failed)?.file_name().to_str().and_then(parse_name));
    }
    days.sort_unstable();
    Ok(days)
}

fn file_name(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("blocks-{year:04}-{month:02}-{day:02}.db")
}

fn parse_name(name: &str) -> Option<i64> {
    let date = name.strip_prefix("blocks-")?.strip_suffix(".db")?;
    let mut parts = date.rsplitn(3, '-').map(str::parse::<i64>);
    let mut next = || parts.next()?.ok();
    let (day, month, year) = (next()?, next()?, next()?);
    let found = days_from_civil(year, month, day)?;
    (file_name(found) == name).then_some(found)
}

/// Year, month and day of a day number: `civil_from_days` of Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms".
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The reverse; `None` for numbers that no date has.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let possible = year.abs() < 1_000_000_000 && (1..=12).contains(&month);
    if !possible || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_names_of_their_dates() {
        for (day, name) in [
            (0, "blocks-1970-01-01.db"),
            (-1, "blocks-1969-12-31.db"),
            (11_016, "blocks-2000-02-29.db"),
            (20_778, "blocks-2026-11-21.db"),
        ] {
            assert_eq!(file_name(day), name);
        }
    }

    #[test]
    fn names_read_back_whatever_a_clock_says() {
        let ends = [day_of(i64::MIN), day_of(i64::MAX), -719_529];
        for day in (-1_000_000..1_000_000).step_by(997).chain(ends) {
            assert_eq!(parse_name(&file_name(day)), Some(day));
        }
    }

    #[test]
    fn other_files_are_no_days() {
        for name in [
            "sextant.db",
            "blocks-2026-11-21.db-wal",
            "blocks-2026-11-21.db.new",
            "blocks-2026-02-30.db",
            "blocks-2026-13-01.db",
            "blocks-2026-1-01.db",
            "blocks-9223372036854775807-01-01.db",
            "blocks-.db",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
