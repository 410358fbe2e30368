//! The store on disk: a directory that one process owns.
//!
//! `sextant.db` has the inventory, the journal, events and anomalies; `blocks-YYYY-MM-DD.db`
//! the sealed columns. All are SQLite databases with a write-ahead log and `synchronous=FULL`.
//!
//! A seal writes to several files and still happens at one instant: its blocks carry the
//! number of the seal and count only once the main database says so, in the transaction that
//! takes the frames out of the journal. Blocks of a seal that did not get there are removed
//! before the next one, or on open: the journal still has their frames.

mod block;
mod days;
mod file;
mod incidents;
mod migrate;
mod prune;
mod read;
mod records;
mod seal;
#[cfg(test)]
mod tests;
mod write;

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use rustix::fs::{FlockOperation, flock};
use sextant_proto::v1;

use self::days::{Days, Pool};
use self::file::{corrupt, io_error, open_reader, open_writer, sql_error, with_suffix};
use self::migrate::{Format, MAIN};
use self::seal::DayWriters;
use super::{
    AnomalyQuery, Change, Chunk, ColumnQuery, Cutoff, EventQuery, FrameRecord, IncidentInventory,
    IncidentQuery, Inventory, Segment, Store, StoreError, StoreSize,
};

/// Idle read connections to the main database; more readers at a time open their own.
const IDLE_READERS: usize = 4;
/// Idle read connections to days.
const IDLE_DAY_READERS: usize = 16;
/// Small tables that a start checks page by page.
const CHECKED_TABLES: [&str; 5] = ["nodes", "metrics", "layouts", "spools", "sealed"];

/// A [`Store`] in a directory.
pub struct SqliteStore {
    directory: PathBuf,
    main: PathBuf,
    readers: Pool<()>,
    /// By day and incarnation.
    day_readers: Pool<(i64, u64)>,
    /// After the readers, so that it closes last and empties the write-ahead logs.
    writer: Mutex<Writer>,
    days: RwLock<Days>,
    journal_frames: AtomicU64,
    /// Held as long as the store lives; the last field, so that it is released last.
    _lock: File,
}

/// What only one thread at a time does.
struct Writer {
    main: Connection,
    days: DayWriters,
}

impl SqliteStore {
    /// Opens the store of a directory, or makes an empty one in a directory that has none.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::NewerSchema`],
    /// [`StoreError::Corrupt`] with the file's name, [`StoreError::Io`] when the directory
    /// cannot be used. Nothing is deleted or repaired by guessing.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_as(directory, &MAIN)
    }

    fn open_as(directory: &Path, format: &Format) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(io_error(directory, "create directory"))?;
        let lock = lock(directory)?;
        let main = directory.join("sextant.db");
        let listed = days::list(directory)?;
        if !main.try_exists().map_err(io_error(&main, "look for"))? {
            let log = fs::metadata(with_suffix(&main, "-wal")).map_or(0, |log| log.len());
            if !listed.is_empty() || log > 0 {
                return Err(corrupt(&main, "the file is missing, others of it are there", format));
            }
            file::create(&main, format)?;
        }
        let connection = open_writer(&main, format)?;
        quick_check(&connection, &main, format)?;
        let number = |sql| {
            let number: rusqlite::Result<i64> = connection.query_one(sql, [], |row| row.get(0));
            number.map_err(sql_error(&main, "read", format))
        };
        let sealed = number("SELECT seal FROM sealed")?;
        let frames = number("SELECT count(*) FROM journal")?;
        let (days, writers) = seal::open_days(directory, &main, &listed, sealed)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            main,
            writer: Mutex::new(Writer { main: connection, days: writers }),
            days: RwLock::new(days),
            readers: Pool::new(IDLE_READERS),
            day_readers: Pool::new(IDLE_DAY_READERS),
            journal_frames: AtomicU64::new(frames.try_into().unwrap_or(0)),
            _lock: lock,
        })
    }

    /// Reads from the main database, on a connection of its own.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = match self.readers.take(&()) {
            Some(connection) => connection,
            None => open_reader(&self.main, &MAIN)?,
        };
        let result = read(&connection)?;
        self.readers.put((), connection);
        Ok(result)
    }

    /// Names the main database in an error.
    fn failed(&self, what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<'_> {
        sql_error(&self.main, what, &MAIN)
    }
}

/// The lock is the kernel's, so it goes with the process however that ends.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io_error(&path, "open"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked(directory.to_path_buf())),
        Err(error) => Err(io_error(&path, "lock")(error.into())),
    }
}

fn quick_check(connection: &Connection, path: &Path, format: &Format) -> Result<(), StoreError> {
    for table in CHECKED_TABLES {
        let sql = format!("PRAGMA quick_check({table})");
        let said: String = connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(sql_error(path, "check", format))?;
        if said != "ok" {
            return Err(corrupt(path, said, format));
        }
    }
    Ok(())
}

impl Store for SqliteStore {
    fn load(&self) -> Result<Inventory, StoreError> {
        self.load_inventory()
    }

    fn replay(&self, each: &mut dyn FnMut(FrameRecord)) -> Result<(), StoreError> {
        self.replay_journal(each)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.write_changes(changes)
    }

    fn seal(&self, chunks: &[Chunk]) -> Result<(), StoreError> {
        self.seal_chunks(chunks)
    }

    fn columns(&self, query: &ColumnQuery) -> Result<Vec<Segment>, StoreError> {
        self.read_columns(query)
    }

    fn events(&self, query: &EventQuery) -> Result<Vec<v1::StoredEvent>, StoreError> {
        self.find_events(query)
    }

    fn anomalies(&self, query: &AnomalyQuery) -> Result<Vec<v1::Anomaly>, StoreError> {
        self.find_anomalies(query)
    }

    fn prune(&self, cutoff: Cutoff) -> Result<u64, StoreError> {
        let days = self.prune_days(cutoff.samples_ms)?;
        let records = self.prune_records(cutoff.events_ms)?;
        Ok(days + records + self.prune_incidents(cutoff.events_ms)?)
    }

    fn load_incidents(&self) -> Result<IncidentInventory, StoreError> {
        self.incident_inventory()
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<Vec<v1::Incident>, StoreError> {
        self.find_incidents(query)
    }

    fn incident(
        &self,
        id: u64,
    ) -> Result<Option<(v1::Incident, Vec<v1::IncidentEntry>)>, StoreError> {
        self.one_incident(id)
    }

    fn size(&self) -> Result<StoreSize, StoreError> {
        let failed = io_error(&self.directory, "list");
        let mut bytes = 0;
        for entry in fs::read_dir(&self.directory).map_err(&failed)? {
            // A write-ahead log may go between the listing and the question.
            bytes += entry.map_err(&failed)?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(StoreSize {
            bytes,
            journal_frames: self.journal_frames.load(Ordering::Relaxed),
            blocks: self.days.read().blocks(),
        })
    }
}
