//! Copies of a data directory, taken while an aggregator runs or not, and put back.
//!
//! All files of a copy are of one instant: the main database is copied first, then the others,
//! of which what was sealed or compacted after it is taken out again (its frames are in the
//! journal of the copy). The maintenance lock keeps compaction and retention from deleting
//! anything meanwhile; commits and seals go on. `MANIFEST` comes last, with the length and
//! CRC-32 of every file: without it, a copy is not one.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::file::{io_error, open_reader, open_writer, remove_if_exists, sql_error};
use super::files::{self, FileId, Summary};
use super::migrate::{Format, MAIN};
use super::seal::{roll_back, unmerge};
use crate::storage::StoreError;

/// The list of a copy's files.
const MANIFEST: &str = "MANIFEST";
const MAIN_NAME: &str = "sextant.db";

/// What a backup or a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    pub files: usize,
    pub bytes: u64,
}

/// Copies the store of a directory into a new or empty one.
///
/// # Errors
/// When there is no store, another backup or check has it, the target is not empty, or a file
/// cannot be read or written; the target has no manifest then.
pub fn backup(directory: &Path, target: &Path) -> Result<Copied, StoreError> {
    let main = directory.join(MAIN_NAME);
    fs::metadata(&main).map_err(io_error(&main, "open"))?;
    fs::create_dir_all(target).map_err(io_error(target, "create directory"))?;
    let mut entries = fs::read_dir(target).map_err(io_error(target, "list"))?;
    if entries.next().is_some() {
        let source = io::Error::from(io::ErrorKind::DirectoryNotEmpty);
        return Err(StoreError::Io { what: "back up into", path: target.into(), source });
    }
    let _held = super::hold_maintenance(directory)?;
    let copy = target.join(MAIN_NAME);
    copy_database(&main, &copy, &MAIN)?;
    let (sealed, compacted) = numbers(&copy)?;
    let mut names = vec![MAIN_NAME.to_owned()];
    for id in files::list(directory)? {
        let copy = id.path(target);
        copy_database(&id.path(directory), &copy, id.kind.format())?;
        take_back(id, &copy, sealed, compacted)?;
        names.push(id.name());
    }
    let mut copied = Copied { files: 0, bytes: 0 };
    let mut manifest = String::from("sextant backup 1\n");
    for name in names {
        let path = target.join(&name);
        let (bytes, crc) = sum(&path)?;
        File::open(&path).and_then(|file| file.sync_all()).map_err(io_error(&path, "sync"))?;
        manifest.push_str(&format!("{crc:08x} {bytes} {name}\n"));
        copied.files += 1;
        copied.bytes += bytes;
    }
    let path = target.join(MANIFEST);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(manifest.as_bytes())?;
        file.sync_all()
    });
    written.map_err(io_error(&path, "write"))?;
    sync_directory(target)?;
    Ok(copied)
}

/// Puts a copy into a directory that has no store.
///
/// # Errors
/// When the copy is not whole (nothing was written), the directory has a store or an aggregator,
/// or a file cannot be written: without `sextant.db`, which comes last, nothing starts on it.
pub fn restore(copy: &Path, directory: &Path) -> Result<Copied, StoreError> {
    let files = verify(copy)?;
    fs::create_dir_all(directory).map_err(io_error(directory, "create directory"))?;
    let _lock = super::lock(directory)?;
    let main = directory.join(MAIN_NAME);
    let there = main.try_exists().map_err(io_error(&main, "look for"))?;
    if there || !files::list(directory)?.is_empty() {
        let source = io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it has a store: move the whole directory away first",
        );
        return Err(StoreError::Io { what: "restore into", path: directory.into(), source });
    }
    let mut copied = Copied { files: 0, bytes: 0 };
    let (last, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|(n, _)| n == MAIN_NAME);
    for (name, bytes) in others.into_iter().chain(last) {
        let (from, to) = (copy.join(&name), directory.join(&name));
        for suffix in ["-wal", "-shm"] {
            remove_if_exists(&directory.join(format!("{name}{suffix}")))?;
        }
        let draft = directory.join(format!("{name}.new"));
        fs::copy(&from, &draft).map_err(io_error(&draft, "write"))?;
        File::open(&draft).and_then(|f| f.sync_all()).map_err(io_error(&draft, "sync"))?;
        fs::rename(&draft, &to).map_err(io_error(&to, "create"))?;
        copied.files += 1;
        copied.bytes += bytes;
    }
    sync_directory(directory)?;
    Ok(copied)
}

/// The files of a copy and their lengths, if all are as they were written.
fn verify(copy: &Path) -> Result<Vec<(String, u64)>, StoreError> {
    let path = copy.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(io_error(&path, "read"))?;
    let damaged = |path: &Path, what: &str| StoreError::Corrupt {
        path: path.to_path_buf(),
        what: what.to_owned(),
        remedy: "use another backup",
    };
    let mut lines = text.lines();
    if lines.next() != Some("sextant backup 1") {
        return Err(damaged(&path, "it is not the manifest of a backup"));
    }
    let mut files = Vec::new();
    for line in lines {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (crc, bytes, name) = (word(), word(), word());
        let is_ours = name == MAIN_NAME || FileId::parse(name).is_some();
        let (Ok(crc), Ok(bytes), true) =
            (u32::from_str_radix(crc, 16), bytes.parse::<u64>(), is_ours)
        else {
            return Err(damaged(&path, &format!("line {line:?}")));
        };
        let file = copy.join(name);
        if sum(&file)? != (bytes, crc) {
            return Err(damaged(&file, "it is not as the manifest says"));
        }
        files.push((name.to_owned(), bytes));
    }
    if !files.iter().any(|(name, _)| name == MAIN_NAME) {
        return Err(damaged(&path, "it does not name sextant.db"));
    }
    Ok(files)
}

/// Copies what a database is now, its log included, in one transaction.
fn copy_database(from: &Path, to: &Path, format: &Format) -> Result<(), StoreError> {
    let source = open_reader(from, format)?;
    let failed = sql_error(from, "copy", format);
    let copy = || {
        let mut copy = Connection::open(to)?;
        let backup = rusqlite::backup::Backup::new(&source, &mut copy)?;
        // All pages at once: in steps, every commit would start it again.
        while !matches!(backup.step(-1)?, rusqlite::backup::StepResult::Done) {}
        drop(backup);
        copy.close().map_err(|(_, error)| error)
    };
    copy().map_err(failed)
}

/// The last seal and compaction that a main database counts.
pub(super) fn numbers(main: &Path) -> Result<(i64, i64), StoreError> {
    let connection = open_writer(main, &MAIN)?;
    let sql = "SELECT seal, compacted FROM sealed";
    let numbers = connection.query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    numbers.map_err(sql_error(main, "read", &MAIN))
}

/// Takes out of a copied file what came after the main database was copied.
fn take_back(id: FileId, path: &Path, sealed: i64, compacted: i64) -> Result<(), StoreError> {
    let format = id.kind.format();
    let failed = sql_error(path, "write to", format);
    let mut connection = open_writer(path, format)?;
    let summary = Summary::read(&connection).map_err(&failed)?;
    if summary.seal > sealed {
        roll_back(&mut connection, sealed).map_err(&failed)?;
    }
    if summary.born > compacted {
        unmerge(&mut connection, compacted).map_err(&failed)?;
    }
    connection.close().map_err(|(_, error)| failed(error))
}

/// Length and CRC-32 of a file.
fn sum(path: &Path) -> Result<(u64, u32), StoreError> {
    let failed = io_error(path, "read");
    let mut file = File::open(path).map_err(&failed)?;
    let (mut bytes, mut hasher) = (0, crc32fast::Hasher::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(&failed)?;
        if read == 0 {
            return Ok((bytes, hasher.finalize()));
        }
        bytes += read as u64;
        hasher.update(&buffer[..read]);
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let path: PathBuf = path.into();
    File::open(&path).and_then(|directory| directory.sync_all()).map_err(io_error(&path, "sync"))
}
