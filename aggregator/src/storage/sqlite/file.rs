//! Opening database files. A file under its final name is always complete: it is made under
//! another name and renamed, so an empty or missing one is damage and never a fresh start.
//! Nothing in a file is changed before its version is known to be ours.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error as SqlError, ErrorCode, OpenFlags};

use super::migrate::{Format, migrate};
use crate::storage::StoreError;

/// How long a connection waits for another's lock. Only short ones are ever held.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the write-ahead log that start a checkpoint.
const CHECKPOINT_BYTES: u32 = 16 << 20;
/// What the write-ahead log is cut back to after it grew beyond.
const WAL_LIMIT_BYTES: u32 = 16 << 20;
/// `auto_vacuum`: pages that are free can be given back, a few at a time.
const INCREMENTAL: u32 = 2;
/// Bytes of a file that a reader maps rather than copies: of those that are never cut while they
/// have a name, but written anew beside it.
const MAPPED_BYTES: i64 = 2 << 30;
/// Prepared statements kept by a connection.
const STATEMENTS: usize = 64;

/// Names the file and what was tried; bytes that are not SQLite's become [`StoreError::Corrupt`].
pub(super) fn sql_error<'a>(
    path: &'a Path,
    what: &'static str,
    format: &Format,
) -> impl Fn(SqlError) -> StoreError + use<'a> {
    let remedy = format.remedy;
    move |source| {
        let path = path.to_path_buf();
        let damaged = matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
        ) || matches!(
            source,
            SqlError::FromSqlConversionFailure(..)
                | SqlError::IntegralValueOutOfRange(..)
                | SqlError::InvalidColumnType(..)
                | SqlError::Utf8Error(..)
        );
        if damaged {
            return StoreError::Corrupt { path, what: source.to_string(), remedy };
        }
        StoreError::Sqlite { what, path, source }
    }
}

/// Says that a file's bytes are not what was written.
pub(super) fn corrupt(path: &Path, what: impl Into<String>, format: &Format) -> StoreError {
    StoreError::Corrupt { path: path.to_path_buf(), what: what.into(), remedy: format.remedy }
}

/// Names the file or directory and what was tried.
pub(super) fn io_error(path: &Path, what: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io { what, path: path.to_path_buf(), source }
}

/// Makes a new, empty database; there is none of that name.
pub(super) fn create(path: &Path, format: &Format) -> Result<(), StoreError> {
    let draft = with_suffix(path, ".new");
    for name in [draft.clone(), with_suffix(&draft, "-wal"), with_suffix(&draft, "-shm")] {
        remove_if_exists(&name)?;
    }
    let failed = sql_error(&draft, "create", format);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&draft, flags).map_err(&failed)?;
    connection.pragma_update(None, "page_size", format.page_bytes).map_err(&failed)?;
    if format.shrinks {
        connection.pragma_update(None, "auto_vacuum", INCREMENTAL).map_err(&failed)?;
    }
    write_ahead(&connection).map_err(&failed)?;
    migrate(&mut connection, &draft, 0, format)?;
    connection.close().map_err(|(_, source)| failed(source))?;
    // A log without its database belongs to one that is gone: SQLite would replay it into ours.
    remove_if_exists(&with_suffix(path, "-wal"))?;
    remove_if_exists(&with_suffix(path, "-shm"))?;
    fs::rename(&draft, path).map_err(io_error(path, "create"))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(io_error(directory, "sync"))
}

/// Opens a database for writing and brings it to our version.
pub(super) fn open_writer(path: &Path, format: &Format) -> Result<Connection, StoreError> {
    let bytes = fs::metadata(path).map_err(io_error(path, "open"))?.len();
    if bytes == 0 {
        return Err(corrupt(path, "the file is empty", format));
    }
    let log = fs::metadata(with_suffix(path, "-wal")).map_or(0, |log| log.len());
    let failed = sql_error(path, "open", format);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep_log, log > 0).map_err(&failed)?;
    let found: u32 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&failed)?;
    if found > format.version() {
        let path = path.to_path_buf();
        return Err(StoreError::NewerSchema { path, found, known: format.version() });
    }
    if found == 0 {
        return Err(corrupt(path, "it was not made by Sextant", format));
    }
    connection.set_db_config(keep_log, false).map_err(&failed)?;
    configure(&connection, format).map_err(&failed)?;
    migrate(&mut connection, path, found, format)?;
    Ok(connection)
}

/// Opens a database for reading only.
pub(super) fn open_reader(path: &Path, format: &Format) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        prepare_for_use(&connection)?;
        if !format.shrinks {
            connection.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
        }
        Ok(connection)
    };
    open().map_err(sql_error(path, "open", format))
}

fn prepare_for_use(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Otherwise every other value that is bound to a statement has it planned anew, which costs
    // more than what most of ours do.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn configure(connection: &Connection, format: &Format) -> rusqlite::Result<()> {
    prepare_for_use(connection)?;
    write_ahead(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_BYTES / format.page_bytes)?;
    connection.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)
}

fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")
}

/// The same path with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Deletes a file that may not be there.
pub(super) fn remove_if_exists(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(path, "delete")(error))
        }
        _ => Ok(()),
    }
}
