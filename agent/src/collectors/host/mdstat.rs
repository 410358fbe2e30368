//! /proc/mdstat: software RAID.
//!
//! A device is a line `md0 : active raid1 sda1[0] sdb1[1](F)`, a line with its size and
//! `[disks/active] [U_]`, and, while it is being repaired, a line with its progress.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::metrics::storage as m;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// The words of the label `state`, in the order in which they are looked for.
const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

#[derive(Debug, PartialEq)]
struct Device<'a> {
    name: &'a str,
    state: &'static str,
    active: f64,
    required: f64,
    failed: f64,
    spare: f64,
    blocks: f64,
    synced: f64,
}

pub(super) struct Mdstat {
    path: PathBuf,
}

impl Mdstat {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { path: paths.proc.join("mdstat") }
    }
}

impl Source for Mdstat {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let text = buffer.file(&self.path)?;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let skipped = ["Personalities", "unused", " "];
            if line.trim().is_empty() || skipped.iter().any(|s| line.starts_with(s)) {
                continue;
            }
            let mut rest = [""; 3];
            for slot in &mut rest {
                // A device's lines are indented; the next device's are not.
                match lines.next_if(|l| l.starts_with([' ', '\t'])) {
                    Some(line) => *slot = line,
                    None => break,
                }
            }
            if let Some(device) = parse(line, rest) {
                device.set(batch);
            }
        }
        Ok(())
    }
}

fn count(line: &str, what: &str) -> f64 {
    line.matches(what).count() as f64
}

fn parse<'a>(line: &'a str, rest: [&str; 3]) -> Option<Device<'a>> {
    let mut fields = words(line);
    let (name, _, state) = (fields.next()?, fields.next()?, fields.next()?);
    let state = STATES.iter().find(|s| **s == state).copied()?;
    let blocks = words(rest[0]).next().and_then(number)?;
    let (required, active) = if line.contains("raid0") || line.contains("linear") {
        (count(line, "["), count(line, "["))
    } else if state == "inactive" {
        (0.0, 0.0)
    } else {
        disks(rest[0])?
    };
    let progress = if rest[1].contains("bitmap") { rest[2] } else { rest[1] };
    let work = [("recovery", 2), ("check", 4), ("resync", 3)];
    let work = work.iter().find(|(word, _)| progress.contains(word)).map(|(_, i)| STATES[*i]);
    let synced = match work {
        None => blocks,
        Some(_) if progress.contains("PENDING") || progress.contains("DELAYED") => 0.0,
        Some(_) => done(progress)?,
    };
    Some(Device {
        name,
        state: work.unwrap_or(state),
        active,
        required,
        failed: count(line, "(F)"),
        spare: count(line, "(S)"),
        blocks,
        synced,
    })
}

/// The numbers of "[2/1]": disks that the device needs, and has.
fn disks(line: &str) -> Option<(f64, f64)> {
    line.split('[').skip(1).find_map(|part| {
        let (required, active) = part.split_once(']')?.0.split_once('/')?;
        Some((number(required)?, number(active)?))
    })
}

/// The first number of "(12345/67890)".
fn done(line: &str) -> Option<f64> {
    let part = line.split_once('(')?.1;
    number(part.split_once('/')?.0)
}

impl Device<'_> {
    fn set(&self, batch: &mut Batch) {
        let mut entity = batch.entity("disk", &[("device", self.name)]);
        for state in STATES {
            let is = f64::from(u8::from(state == self.state));
            entity.set_with(&m::MD_STATE, &[("state", state)], is);
        }
        let disks = [("active", self.active), ("failed", self.failed), ("spare", self.spare)];
        for (state, count) in disks {
            entity.set_with(&m::MD_DISKS, &[("state", state)], count);
        }
        entity.set(&m::MD_DISKS_REQUIRED, self.required);
        entity.set(&m::MD_BLOCKS, self.blocks).set(&m::MD_BLOCKS_SYNCED, self.synced);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn devices_are_read_as_the_kernel_writes_them() {
        let cases = [
            (
                "md0 : active raid1 sda1[0] sdb1[1](F) sdc1[2](S)",
                [
                    "      1000 blocks super 1.2 [2/1] [U_]",
                    "      [=>...]  recovery = 12.6% (126/1000) finish=1.0min speed=9K/sec",
                    "",
                ],
                Some(("recovering", [1.0, 2.0, 1.0, 1.0, 1000.0, 126.0])),
            ),
            (
                "md1 : active raid0 sda2[0] sdb2[1]",
                ["      2000 blocks super 1.2 512k chunks", "", ""],
                Some(("active", [2.0, 2.0, 0.0, 0.0, 2000.0, 2000.0])),
            ),
            (
                "md2 : active raid6 a[0] b[1] c[2] d[3]",
                [
                    "      4000 blocks super 1.2 level 6 [4/4] [UUUU]",
                    "      bitmap: 0/1 pages",
                    "      resync=PENDING",
                ],
                Some(("resync", [4.0, 4.0, 0.0, 0.0, 4000.0, 0.0])),
            ),
            (
                "md3 : inactive sda3[0](S)",
                ["      10 blocks", "", ""],
                Some(("inactive", [0.0, 0.0, 0.0, 1.0, 10.0, 10.0])),
            ),
            ("md4 : active raid1 a[0]", ["      10 blocks [x/y]", "", ""], None),
            ("md5 : active", ["", "", ""], None),
            ("md6", ["", "", ""], None),
        ];
        for (line, rest, expected) in cases {
            let found = parse(line, rest)
                .map(|d| (d.state, [d.active, d.required, d.failed, d.spare, d.blocks, d.synced]));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn truncated_file_gives_the_devices_that_are_whole() {
        let text = "Personalities : [raid1]\nmd0 : active raid1 a[0] b[1]\n      10 blocks [2/2] [UU]\n\nmd1 : active raid1 a[0]";
        let text = Text::new("mdstat", text);
        let rows = rows(&mut Mdstat::new(&text.paths));
        assert!(rows.iter().all(|r| r.contains("md0")) && rows.len() == 11, "{rows:?}");
    }
}
