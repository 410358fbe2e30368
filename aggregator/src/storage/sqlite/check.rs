//! A look at everything that a data directory has: pages, checksums, references, and whether
//! rollups say what the samples say. It changes nothing, and works beside a running aggregator.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, MAIN_DB};
use sextant_proto::frame::is_absent;

use super::block::BlockReader;
use super::file::{io_error, open_reader, sql_error};
use super::files::{self, FileId, Kind, Summary};
use super::migrate::{Format, MAIN};
use super::write::journal_crc;
use crate::storage::StoreError;

/// Faults that are told of one file; more are only counted.
const MAX_FAULTS: usize = 20;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub path: PathBuf,
    pub what: String,
    pub remedy: &'static str,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub files: usize,
    pub bytes: u64,
    pub frames: u64,
    /// Blocks, merged ones and rollups.
    pub blocks: u64,
    pub samples: u64,
    /// Layouts and days whose rollups were compared with their samples.
    pub compared: u64,
    pub faults: Vec<Fault>,
    /// Faults beyond those.
    pub more: usize,
}

impl Report {
    /// Whether all is as it was written.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, path: &Path, format: &Format, what: impl Into<String>) {
        if self.faults.iter().filter(|fault| fault.path == path).count() >= MAX_FAULTS {
            self.more += 1;
            return;
        }
        let fault = Fault { path: path.into(), what: what.into(), remedy: format.remedy };
        self.faults.push(fault);
    }
}

/// How many samples a layout has on a day in each column, and their sum.
type Totals = BTreeMap<(u32, i64, u32), (f64, f64)>;

/// Looks at everything in a data directory.
///
/// # Errors
/// When there is none, another backup or check has it, or it is of a newer version. Damage is
/// no error but part of the report.
pub fn check(directory: &Path) -> Result<Report, StoreError> {
    let main = directory.join("sextant.db");
    fs::metadata(&main).map_err(io_error(&main, "open"))?;
    let _held = super::hold_maintenance(directory)?;
    let mut report = Report::default();
    let ids = files::list(directory)?;
    let numbers = check_main(&main, &mut report)?;
    let (mut samples, mut minutes, mut hours) = (Totals::new(), Totals::new(), Totals::new());
    for id in ids {
        let totals = match id.kind {
            Kind::Blocks | Kind::Odd => &mut samples,
            Kind::Minutes => &mut minutes,
            Kind::Hours => &mut hours,
        };
        check_file(directory, id, numbers, totals, &mut report)?;
    }
    for (kind, rollups) in [(Kind::Minutes, &minutes), (Kind::Hours, &hours)] {
        compare(directory, kind, &samples, rollups, &mut report);
    }
    Ok(report)
}

/// Opens a file that this version knows; damage becomes a fault.
fn open(
    path: &Path,
    format: &Format,
    report: &mut Report,
) -> Result<Option<Connection>, StoreError> {
    report.files += 1;
    report.bytes += fs::metadata(path).map_or(0, |metadata| metadata.len());
    let look = || {
        let connection = open_reader(path, format)?;
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0));
        Ok((connection, version.map_err(sql_error(path, "read", format))?))
    };
    match look() {
        Ok((_, found)) if found > format.version() => {
            let (path, known) = (path.to_path_buf(), format.version());
            Err(StoreError::NewerSchema { path, found, known })
        }
        Ok((_, found)) if found < format.version() => {
            let what =
                format!("it has schema {found}: start this version's aggregator on it first");
            report.fault(path, format, what);
            Ok(None)
        }
        Ok((connection, _)) => Ok(Some(connection)),
        Err(StoreError::Corrupt { what, .. }) => {
            report.fault(path, format, what);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn integrity(
    connection: &Connection,
    path: &Path,
    format: &Format,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            report.fault(path, format, said);
        }
    }
    Ok(())
}

/// What SQLite itself cannot read on is one more fault of the file.
fn caught(
    path: &Path,
    format: &Format,
    report: &mut Report,
    outcome: rusqlite::Result<()>,
) -> Result<(), StoreError> {
    match outcome.map_err(sql_error(path, "check", format)) {
        Err(StoreError::Corrupt { what, .. }) => {
            report.fault(path, format, what);
            Ok(())
        }
        other => other,
    }
}

/// The numbers of the last seal and compaction; `None` when it cannot tell them.
fn check_main(path: &Path, report: &mut Report) -> Result<Option<(i64, i64)>, StoreError> {
    let Some(connection) = open(path, &MAIN, report)? else { return Ok(None) };
    let checked = integrity(&connection, path, &MAIN, report);
    caught(path, &MAIN, report, checked)?;
    let mut numbers = None;
    let mut look = || {
        let sql = "SELECT seal, compacted FROM sealed";
        numbers = Some(connection.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?);
        let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            report.fault(path, &MAIN, format!("a row of {table} refers to none of {parent}"));
        }
        let sql = "SELECT journal.spool, journal.seq, journal.crc, journal.payload, committed_seq,
            journal.key FROM journal JOIN spools ON spools.id = journal.spool";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            report.frames += 1;
            let (spool, seq, committed): (u32, i64, i64) = (row.get(0)?, row.get(1)?, row.get(4)?);
            if seq > committed {
                let what = format!("frame {seq} of spool {spool} is beyond its committed seq");
                report.fault(path, &MAIN, what);
            }
            let sum = journal_crc(row.get_ref(3)?.as_blob()?, row.get_ref(5)?.as_blob()?);
            if sum != row.get::<_, u32>(2)? {
                report.fault(path, &MAIN, format!("checksum of frame {seq} of spool {spool}"));
            }
        }
        Ok(())
    };
    let looked = look();
    caught(path, &MAIN, report, looked)?;
    Ok(numbers)
}

/// The numbers as they are now.
fn read_numbers(directory: &Path) -> Option<(i64, i64)> {
    let connection = open_reader(&directory.join("sextant.db"), &MAIN).ok()?;
    let sql = "SELECT seal, compacted FROM sealed";
    connection.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

fn check_file(
    directory: &Path,
    id: FileId,
    numbers: Option<(i64, i64)>,
    totals: &mut Totals,
    report: &mut Report,
) -> Result<(), StoreError> {
    let path = id.path(directory);
    let format = id.kind.format();
    let Some(connection) = open(&path, format, report)? else { return Ok(()) };
    let checked = integrity(&connection, &path, format, report);
    caught(&path, format, report, checked)?;
    let mut look = || {
        let summary = Summary::read(&connection)?;
        let is_older = |(sealed, compacted): (i64, i64)| {
            summary.seal > sealed + 1 || summary.born > compacted + 1
        };
        // Seals go on: what counts is the number after the file was looked at.
        if numbers.is_some_and(is_older) && read_numbers(directory).is_none_or(is_older) {
            report.fault(&path, format, "sextant.db is older than this file");
        }
        let compacted = numbers.map_or(i64::MAX, |numbers| numbers.1);
        if id.kind.is_sealed_into() {
            let sql = "SELECT id, layout, first_ms, last_ms, ticks FROM blocks";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let about = About::read(row, 1)?;
                let read = block(&connection, "blocks", row.get(0)?, &about, None);
                tell(&path, format, report, row.get(0)?, &about, read?);
            }
        }
        let sql = "SELECT id, layout, first_ms, last_ms, ticks, first_column, columns, day
            FROM merged WHERE born <= ?1 AND NOT EXISTS (SELECT 1 FROM replaced
                WHERE merged = 1 AND replaced.id = merged.id AND at <= ?1)";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([compacted])?;
        while let Some(row) = rows.next()? {
            let about = About::read(row, 1)?;
            let place = Place { first: row.get(5)?, columns: row.get(6)?, day: row.get(7)? };
            let read = block(&connection, "merged", row.get(0)?, &about, Some((&place, totals)));
            tell(&path, format, report, row.get(0)?, &about, read?);
        }
        Ok(())
    };
    let looked = look();
    caught(&path, format, report, looked)
}

/// What a row says of its block.
struct About {
    layout: u32,
    first_ms: i64,
    last_ms: i64,
    ticks: i64,
}

impl About {
    fn read(row: &rusqlite::Row<'_>, from: usize) -> rusqlite::Result<Self> {
        let (layout, first_ms) = (row.get(from)?, row.get(from + 1)?);
        Ok(Self { layout, first_ms, last_ms: row.get(from + 2)?, ticks: row.get(from + 3)? })
    }
}

/// Where the columns of a merged row belong.
struct Place {
    first: u32,
    columns: u32,
    day: i64,
}

fn tell(
    path: &Path,
    format: &Format,
    report: &mut Report,
    id: i64,
    about: &About,
    read: Result<u64, String>,
) {
    report.blocks += 1;
    match read {
        Ok(samples) => report.samples += samples,
        Err(what) => {
            report.fault(path, format, format!("block {id} of layout {}: {what}", about.layout));
        }
    }
}

/// Reads all of a block; the samples in it, or what is wrong.
fn block(
    connection: &Connection,
    table: &str,
    id: i64,
    about: &About,
    mut sums: Option<(&Place, &mut Totals)>,
) -> rusqlite::Result<Result<u64, String>> {
    let blob = connection.blob_open(MAIN_DB, table, "data", id, true)?;
    let read = || -> Result<u64, String> {
        let mut block = BlockReader::open(blob).map_err(|error| error.to_string())?;
        let ticks = block.ticks();
        let rolled = block.is_rollup();
        let count = i64::try_from(ticks.len()).unwrap_or(i64::MAX);
        let ends = (ticks.first().copied(), ticks.last().copied());
        // The row of a rollup has the ends of its steps, the block their starts.
        let as_said = rolled || ends == (Some(about.first_ms), Some(about.last_ms));
        if count != about.ticks || !as_said {
            return Err("its ticks are not those of its row".into());
        }
        let columns = u32::try_from(block.column_count()).unwrap_or(u32::MAX);
        if sums.as_ref().is_some_and(|(place, _)| place.columns != columns) {
            return Err("its columns are not those of its row".into());
        }
        let mut values = Vec::new();
        for column in 0..columns {
            let (count, sum) = if rolled {
                let rollup = block.rollup(column).map_err(|error| error.to_string())?;
                let present = rollup.sum.iter().filter(|sum| !is_absent(**sum));
                (rollup.count.iter().sum(), present.sum())
            } else {
                block.column(column, &mut values).map_err(|error| error.to_string())?;
                let present = values.iter().filter(|value| !is_absent(**value));
                (present.clone().count() as f64, present.sum::<f64>())
            };
            if let Some((place, totals)) = &mut sums {
                let key = (about.layout, place.day, place.first + column);
                let total = totals.entry(key).or_default();
                *total = (total.0 + count, total.1 + sum);
            }
        }
        Ok(if rolled { 0 } else { u64::from(columns) * about.ticks.unsigned_abs() })
    };
    Ok(read())
}

/// Whether rollups have what the samples have, where both are there.
fn compare(directory: &Path, kind: Kind, samples: &Totals, rollups: &Totals, report: &mut Report) {
    let mut told = None;
    for (&(layout, day, column), &(count, sum)) in samples {
        let file = kind.of_day(day);
        let path = file.path(directory);
        let Some(&rolled) = rollups.get(&(layout, day, column)) else {
            // Retention of the rollups may be the shorter one, or the file was moved away.
            continue;
        };
        if told != Some((layout, day)) {
            report.compared += 1;
        }
        let same_sum = sum.is_nan() && rolled.1.is_nan()
            || sum == rolled.1
            || (sum - rolled.1).abs() <= 1e-6 * sum.abs().max(rolled.1.abs()).max(count);
        if (count != rolled.0 || !same_sum) && told != Some((layout, day)) {
            let what = format!(
                "rollups of layout {layout}, column {column} have {} samples of sum {}, the \
                 samples are {count} of sum {sum}",
                rolled.0, rolled.1
            );
            report.fault(&path, file.kind.format(), what);
        }
        told = Some((layout, day));
    }
}
