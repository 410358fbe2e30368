//! What a sender has done, from its ledger, over all of its lives.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What the product says that it has given up or cannot tell, since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) full: u64,
    pub(super) age: u64,
    pub(super) io: u64,
    pub(super) corrupt: u64,
    pub(super) too_big: u64,
    pub(super) refused: u64,
    pub(super) in_doubt: u64,
    pub(super) moves: u64,
}

impl Counts {
    /// Frames given up.
    pub(super) fn dropped(&self) -> u64 {
        self.full + self.age + self.io + self.corrupt + self.too_big + self.refused
    }
}

/// A line of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Line {
    /// A life begins: the spool knows that it was acknowledged up to this seq, and holds so many
    /// frames after it.
    Open { acked: u64, held: u64 },
    /// A number is about to be pushed.
    Intent(u64),
    /// It has been, as this seq.
    Push(u64, u64),
    /// The spool has turned it away.
    TooBig(u64),
    /// What has changed.
    State { acked: u64, connected: bool, counts: Counts },
    /// All is acknowledged, and the process ends.
    Drained,
}

/// Where a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A kill came before it was known that it was in the spool, or before it was on disk: it
    /// may be stored, and need not be.
    Open,
    /// It was in the spool, and not yet acknowledged.
    Spooled,
    /// The spool was told that it is stored.
    Acked,
}

/// A ledger, read.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) fates: HashMap<u64, Fate>,
    /// All lives together.
    pub(super) counts: Vec<Counts>,
    pub(super) acked: u64,
    pub(super) connected: bool,
    pub(super) drained: bool,
    pub(super) lives: usize,
    /// What may be in the spool, oldest first: number, seq.
    pushed: Vec<(u64, u64)>,
    /// How many of them are acknowledged, from the front.
    settled: usize,
    next: u64,
}

impl Ledger {
    /// Reads a ledger; one that is not there is empty. A last line that is not whole is not
    /// there.
    ///
    /// # Errors
    /// When it cannot be read, or another line cannot be understood.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| path.display().to_string())?,
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut ledger = Self::default();
        for line in whole.lines() {
            ledger.take(serde_json::from_str(line).with_context(|| path.display().to_string())?);
        }
        Ok(ledger)
    }

    /// The number that was never used.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Samples of these fates.
    pub(super) fn count(&self, fate: Fate) -> u64 {
        self.fates.values().filter(|known| **known == fate).count() as u64
    }

    /// Adds what a line says.
    pub(super) fn take(&mut self, line: Line) {
        match line {
            Line::Open { acked, held } => {
                // Frames go to disk in order: what was in memory at the kill are the last.
                let held = usize::try_from(held).unwrap_or(usize::MAX);
                let gone = self.pushed.iter().filter(|(_, seq)| *seq > acked).skip(held);
                for (number, _) in gone {
                    if let Some(fate @ Fate::Spooled) = self.fates.get_mut(number) {
                        *fate = Fate::Open;
                    }
                }
                let fates = &self.fates;
                self.pushed.retain(|(number, _)| fates.get(number) != Some(&Fate::Open));
                self.lives += 1;
                self.acked = 0;
                (self.connected, self.drained) = (false, false);
                self.counts.push(Counts::default());
            }
            Line::Intent(number) => {
                self.fates.insert(number, Fate::Open);
                self.next = self.next.max(number + 1);
            }
            Line::Push(number, seq) => {
                self.fates.insert(number, Fate::Spooled);
                self.pushed.push((number, seq));
            }
            Line::TooBig(number) => {
                self.fates.insert(number, Fate::Spooled);
            }
            Line::State { acked, connected, counts } => {
                (self.acked, self.connected) = (acked, connected);
                if let Some(last) = self.counts.last_mut() {
                    *last = counts;
                }
                while let Some((number, seq)) = self.pushed.get(self.settled) {
                    if *seq > acked {
                        break;
                    }
                    self.fates.insert(*number, Fate::Acked);
                    self.settled += 1;
                }
            }
            Line::Drained => self.drained = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(acked: u64) -> Line {
        Line::State { acked, connected: true, counts: Counts::default() }
    }

    #[test]
    fn numbers_that_a_kill_took_from_memory_are_open_and_those_on_disk_are_not() {
        let mut ledger = Ledger::default();
        let open = |acked, held| Line::Open { acked, held };
        let lines = [open(0, 0), Line::Intent(0), Line::Push(0, 1), Line::Intent(1)];
        let more = [Line::Push(1, 2), state(1), Line::Intent(2)];
        lines.into_iter().chain(more).for_each(|line| ledger.take(line));
        assert_eq!((ledger.fates[&0], ledger.fates[&1]), (Fate::Acked, Fate::Spooled));
        assert_eq!((ledger.fates[&2], ledger.next()), (Fate::Open, 3));
        // The ack was not on disk either.
        ledger.take(open(0, 1));
        assert_eq!(ledger.fates[&1], Fate::Open);
        // Seqs go on beyond all that were given.
        [Line::Intent(3), Line::Push(3, 1 << 40), state(1 << 40)]
            .into_iter()
            .for_each(|l| ledger.take(l));
        assert_eq!((ledger.fates[&3], ledger.fates[&1]), (Fate::Acked, Fate::Open));
        assert_eq!((ledger.lives, ledger.count(Fate::Acked)), (2, 2));
    }

    #[test]
    fn a_line_that_was_cut_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        assert_eq!(Ledger::read(&path).unwrap().next(), 0);
        std::fs::write(&path, "{\"Intent\":7}\n{\"Inte").unwrap();
        assert_eq!(Ledger::read(&path).unwrap().next(), 8);
        std::fs::write(&path, "{\"Inte\n{\"Intent\":7}\n").unwrap();
        assert!(Ledger::read(&path).is_err());
    }
}
