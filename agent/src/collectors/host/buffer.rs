//! One buffer for everything that the host collector reads, so that a tick allocates nothing.
//!
//! Files of procfs are read to their end, attributes of sysfs with a single read: the kernel
//! gives those at most a page. Text that is not UTF-8 (DMI strings) is made so.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::listing::RELIST;
use crate::collectors::CollectError;

/// What a file of procfs mostly fits in; the buffer doubles when one does not.
const FIRST_BYTES: usize = 8192;
/// The kernel's largest sysfs attribute.
const ATTRIBUTE_BYTES: usize = 4096;
/// What the buffer keeps between files: one large file does not make it large for ever.
const KEPT_BYTES: usize = 1 << 20;
/// A file beyond this (a table of 100 000 sockets) is not read.
const MOST_BYTES: usize = 16 << 20;

/// The text last read, and the path it came from.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    lossy: String,
    path: PathBuf,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { bytes: vec![0; FIRST_BYTES], lossy: String::new(), path: PathBuf::new() }
    }
}

impl Buffer {
    /// The whole of a file.
    pub(super) fn file(&mut self, path: &Path) -> Result<&str, CollectError> {
        let used = File::open(path).and_then(|mut f| self.fill(|rest, _| f.read(rest)));
        let used = used.map_err(|e| failed(path, e))?;
        Ok(self.text(used))
    }

    /// The value of the attribute `name` of `dir`, without the space around it; `None` if it
    /// cannot be read, as many attributes of many drivers cannot.
    pub(super) fn attribute(&mut self, dir: &Path, name: &str) -> Option<&str> {
        self.try_attribute(dir, name).ok()
    }

    /// The same with the reason why it cannot be read.
    pub(super) fn try_attribute(&mut self, dir: &Path, name: &str) -> io::Result<&str> {
        self.path.as_mut_os_string().clear();
        self.path.push(dir);
        self.path.push(name);
        let mut file = File::open(&self.path)?;
        let used = loop {
            match file.read(&mut self.bytes[..ATTRIBUTE_BYTES]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        Ok(self.text(used).trim())
    }

    /// The number that an attribute is.
    pub(super) fn number(&mut self, dir: &Path, name: &str) -> Option<f64> {
        self.attribute(dir, name).and_then(super::parse::number)
    }

    fn fill(
        &mut self,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.bytes.len() > KEPT_BYTES {
            self.bytes.truncate(KEPT_BYTES);
            self.bytes.shrink_to_fit();
        }
        let mut used = 0;
        loop {
            if used >= MOST_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if used == self.bytes.len() {
                self.bytes.resize(used * 2, 0);
            }
            match read(&mut self.bytes[used..], used as u64) {
                Ok(0) => return Ok(used),
                Ok(n) => used += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn text(&mut self, used: usize) -> &str {
        let bytes = &self.bytes[..used];
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => {
                self.lossy = String::from_utf8_lossy(bytes).into_owned();
                &self.lossy
            }
        }
    }
}

/// A file of procfs that is read so often that it stays open. The kernel makes its text anew
/// whenever it is read from the start.
pub(super) struct Kept {
    path: PathBuf,
    file: Option<File>,
    /// When it was last looked for in vain.
    missed: Option<Instant>,
}

impl Kept {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, missed: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether to look for it: a file that was not there is looked for once a minute.
    pub(super) fn due(&self) -> bool {
        self.missed.is_none_or(|missed| missed.elapsed() >= RELIST)
    }

    /// The whole of the file, opened again if the last read failed.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut Buffer) -> Result<&'a str, CollectError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.path).map_err(|e| self.failed(e))?,
        };
        let used = buffer.fill(|rest, at| file.read_at(rest, at));
        let used = used.map_err(|e| self.failed(e))?;
        self.file = Some(file);
        self.missed = None;
        Ok(buffer.text(used))
    }

    fn failed(&mut self, source: io::Error) -> CollectError {
        let error = failed(&self.path, source);
        if matches!(error, CollectError::Absent(_)) {
            self.missed = Some(Instant::now());
        }
        error
    }
}

/// A file that is not there, or of a feature that is switched off, is absent.
pub(super) fn failed(path: &Path, source: io::Error) -> CollectError {
    let what = path.display().to_string();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::Unsupported => {
            CollectError::Absent(what)
        }
        _ => CollectError::Read { what, source },
    }
}

/// The file could be read but is not what it should be.
pub(super) fn malformed(path: &Path, why: &'static str) -> CollectError {
    let source = io::Error::new(io::ErrorKind::InvalidData, why);
    CollectError::Read { what: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_file_is_read_whole_and_again_when_kept_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        let long = "x".repeat(5 * FIRST_BYTES + 1);
        std::fs::write(&path, &long).unwrap();
        let mut buffer = Buffer::default();
        assert_eq!(buffer.file(&path).unwrap(), long);
        let mut kept = Kept::new(path.clone());
        assert_eq!(kept.read(&mut buffer).unwrap(), long);
        std::fs::write(&path, "short").unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap(), "short");
    }

    #[test]
    fn attribute_is_trimmed_and_made_utf8() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b" Dell\xff Inc. \n").unwrap();
        let mut buffer = Buffer::default();
        assert_eq!(buffer.attribute(dir.path(), "a"), Some("Dell\u{fffd} Inc."));
        assert_eq!(buffer.attribute(dir.path(), "b"), None);
        assert!(matches!(buffer.file(&dir.path().join("b")), Err(CollectError::Absent(_))));
    }
}
