//! Who a spool directory is, and that one process at a time uses it.
//!
//! The file `identity` holds the spool's id, made at random with the directory, and an *epoch*,
//! one higher at every start and on disk before anything is spooled. A seq is
//! `epoch << 40 | n`: whatever a power cut lost, a seq is never used for two frames.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::SpoolError;

const FILE: &str = "identity";
const LOCK: &str = "lock";
/// Bits of a seq below the epoch: 17 years of 2000 frames a second.
const SEQ_BITS: u32 = 40;

/// A spool's name and how often it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) epoch: u64,
}

impl Identity {
    /// A new name.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub(super) fn random() -> Result<Self, SpoolError> {
        let path = Path::new("/dev/urandom");
        let mut bytes = [0; 16];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
        read.map_err(|source| SpoolError::Open { path: path.to_owned(), source })?;
        Ok(Self { id: bytes.iter().map(|b| format!("{b:02x}")).collect(), epoch: 1 })
    }

    /// The seq before the first of this epoch.
    pub(super) fn base(&self) -> u64 {
        self.epoch << SEQ_BITS
    }

    /// What the directory says; `None` when it says nothing that can be believed.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (content, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        if crc != checksum(content) {
            return None;
        }
        let (id, epoch) = content.split_once('\n')?;
        Some(Self { id: id.to_owned(), epoch: epoch.parse().ok()? })
    }

    /// Puts it on disk: in whole or not at all, and there after a power cut.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let content = format!("{}\n{}", self.id, self.epoch);
        let new = dir.join("identity.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{content}\n{}", checksum(&content))?;
        file.sync_all()?;
        std::fs::rename(&new, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }
}

fn checksum(content: &str) -> String {
    format!("{:08x}", crc32fast::hash(content.as_bytes()))
}

/// The epoch of a seq.
pub(super) fn epoch_of(seq: u64) -> u64 {
    seq >> SEQ_BITS
}

/// Takes the directory's lock, which lasts as long as the file is open.
pub(super) fn lock(dir: &Path) -> Result<File, LockError> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| LockError::Io { path: path.clone(), source })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Taken),
        Err(errno) => Err(LockError::Io { path, source: errno.into() }),
    }
}

/// Why the lock was not had.
#[derive(Debug)]
pub(super) enum LockError {
    Taken,
    Io { path: PathBuf, source: io::Error },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_survives_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), None);
        let made = Identity { epoch: 7, ..Identity::random().unwrap() };
        made.write(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(made.clone()));
        assert_eq!(epoch_of(made.base() + 1), 7);
        let good = std::fs::read(dir.path().join(FILE)).unwrap();
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 4;
            assert_eq!(Identity::parse(&bad), None, "byte {byte}");
            assert_eq!(Identity::parse(&good[..byte]), None, "cut at {byte}");
        }
    }
}
