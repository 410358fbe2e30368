//! /proc/diskstats, and what udev knows of the disks: names, serial numbers, file systems.
//!
//! udev's database is read when a disk appears and once a minute after that.

use std::path::PathBuf;

use super::buffer::{Buffer, malformed};
use super::filter::Filter;
use super::listing::{Due, RELIST};
use super::metrics::storage as m;
use super::parse::{number, words};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, EntityValues, Metric};

/// The kernel's sector in this file, whatever the disk's own is.
const SECTOR_BYTES: f64 = 512.0;

/// What udev knows of a disk; empty is not known.
#[derive(Default)]
struct Udev {
    path: String,
    wwn: String,
    model: String,
    revision: String,
    ident_serial: String,
    serial_short: String,
    serial: String,
    fs: [String; 4],
    mapper: [String; 5],
    ata: bool,
    /// Write cache, write cache enabled, rotation rate.
    ata_values: [Option<f64>; 3],
}

static ATA: [&Metric; 3] =
    [&m::DISK_ATA_WRITE_CACHE, &m::DISK_ATA_WRITE_CACHE_ENABLED, &m::DISK_ATA_ROTATION];

impl Udev {
    /// Parses a record of udev's database: properties are the lines that start with "E:".
    fn parse(text: &str) -> Self {
        let mut udev = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.strip_prefix("E:").and_then(|l| l.split_once('=')) else {
                continue;
            };
            let slot = match key {
                "ID_PATH" => &mut udev.path,
                "ID_WWN" => &mut udev.wwn,
                "ID_MODEL" => &mut udev.model,
                "ID_REVISION" => &mut udev.revision,
                "SCSI_IDENT_SERIAL" => &mut udev.ident_serial,
                "ID_SERIAL_SHORT" => &mut udev.serial_short,
                "ID_SERIAL" => &mut udev.serial,
                "ID_FS_TYPE" => &mut udev.fs[0],
                "ID_FS_USAGE" => &mut udev.fs[1],
                "ID_FS_UUID" => &mut udev.fs[2],
                "ID_FS_VERSION" => &mut udev.fs[3],
                "DM_NAME" => &mut udev.mapper[0],
                "DM_UUID" => &mut udev.mapper[1],
                "DM_VG_NAME" => &mut udev.mapper[2],
                "DM_LV_NAME" => &mut udev.mapper[3],
                "DM_LV_LAYER" => &mut udev.mapper[4],
                "ID_ATA" => {
                    udev.ata = !value.is_empty();
                    continue;
                }
                "ID_ATA_WRITE_CACHE" => {
                    udev.ata_values[0] = number(value);
                    continue;
                }
                "ID_ATA_WRITE_CACHE_ENABLED" => {
                    udev.ata_values[1] = number(value);
                    continue;
                }
                "ID_ATA_ROTATION_RATE_RPM" => {
                    udev.ata_values[2] = number(value);
                    continue;
                }
                _ => continue,
            };
            value.clone_into(slot);
        }
        udev
    }

    /// What is printed on the disk, or the best there is: virtual disks only have ID_SERIAL.
    fn serial(&self) -> &str {
        let serials = [&self.ident_serial, &self.serial_short, &self.serial];
        serials.into_iter().find(|s| !s.is_empty()).map_or("", String::as_str)
    }

    fn set(&self, disk: &mut EntityValues<'_>, major: &str, minor: &str) {
        let info = [
            ("major", major),
            ("minor", minor),
            ("path", self.path.as_str()),
            ("wwn", &self.wwn),
            ("model", &self.model),
            ("serial", self.serial()),
            ("revision", &self.revision),
        ];
        disk.set_with(&m::DISK_INFO, &info, 1.0);
        let [fs, usage, uuid, version] = &self.fs;
        if !fs.is_empty() {
            let labels = [("type", fs), ("usage", usage), ("uuid", uuid), ("version", version)];
            disk.set_with(&m::DISK_FILESYSTEM, &labels.map(|(n, v)| (n, v.as_str())), 1.0);
        }
        let [name, uuid, vg, lv, layer] = &self.mapper;
        if !name.is_empty() {
            let labels = [
                ("name", name),
                ("uuid", uuid),
                ("vg_name", vg),
                ("lv_name", lv),
                ("lv_layer", layer),
            ];
            disk.set_with(&m::DISK_DEVICE_MAPPER, &labels.map(|(n, v)| (n, v.as_str())), 1.0);
        }
        if self.ata {
            for (metric, value) in ATA.iter().zip(self.ata_values) {
                if let Some(value) = value {
                    disk.set(metric, value);
                }
            }
        }
    }
}

struct Disk {
    name: String,
    number: String,
    udev: Udev,
}

pub(super) struct Diskstats {
    path: PathBuf,
    udev: PathBuf,
    exclude: Filter,
    due: Due,
    disks: Vec<Disk>,
}

impl Diskstats {
    pub(super) fn new(paths: &Paths, exclude: Filter) -> Self {
        Self {
            path: paths.proc.join("diskstats"),
            udev: paths.run.join("udev/data"),
            exclude,
            due: Due::default(),
            disks: Vec::new(),
        }
    }

    /// Reads udev's records of the disks that there are now.
    fn list(&mut self, buffer: &mut Buffer) -> Result<(), CollectError> {
        self.disks.clear();
        for line in buffer.file(&self.path)?.lines() {
            let mut words = words(line);
            if let (Some(major), Some(minor), Some(name)) =
                (words.next(), words.next(), words.next())
                && !self.exclude.excludes(name)
            {
                let number = format!("{major}:{minor}");
                self.disks.push(Disk { name: name.into(), number, udev: Udev::default() });
            }
        }
        for disk in &mut self.disks {
            let record = buffer.file(&self.udev.join(format!("b{}", disk.number)));
            disk.udev = record.map(Udev::parse).unwrap_or_default();
        }
        Ok(())
    }

    /// The disk of a line; they come in the same order every time.
    fn find(&self, at: &mut usize, name: &str, major: &str, minor: &str) -> Option<&Disk> {
        let disk = self.disks.get(*at)?;
        *at += 1;
        let same = disk.number.split_once(':') == Some((major, minor));
        (disk.name == name && same).then_some(disk)
    }

    /// Sets everything, or says that the disks are not those of the list.
    fn set(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<bool, CollectError> {
        let (mut at, mut known) = (0, true);
        let text = buffer.file(&self.path)?;
        for line in text.lines() {
            let mut words = words(line);
            let (Some(major), Some(minor), Some(name)) = (words.next(), words.next(), words.next())
            else {
                return Err(malformed(&self.path, "a line without a name"));
            };
            if self.exclude.excludes(name) {
                continue;
            }
            let mut entity = batch.entity("disk", &[("device", name)]);
            match self.find(&mut at, name, major, minor) {
                Some(disk) => disk.udev.set(&mut entity, major, minor),
                None => {
                    known = false;
                    Udev::default().set(&mut entity, major, minor);
                }
            }
            for (field, word) in m::DISKSTATS.iter().zip(words) {
                let Some(value) = number(word) else { break };
                let scale = match field.key {
                    "sectors" => SECTOR_BYTES,
                    "ms" => 1.0 / 1000.0,
                    _ => 1.0,
                };
                entity.set(&field.metric, value * scale);
            }
        }
        Ok(known && at == self.disks.len())
    }
}

impl Source for Diskstats {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.list(buffer)?;
        }
        if !self.set(batch, buffer)? {
            self.due.reset();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    fn source(text: &Text) -> Diskstats {
        Diskstats::new(&text.paths, Filter::new("^ram[0-9]+$").unwrap())
    }

    #[test]
    fn columns_that_a_kernel_lacks_are_left_out() {
        for (columns, samples) in [(0, 1), (1, 2), (11, 12), (15, 16), (17, 18), (30, 18)] {
            let line = format!("8 0 sda {}\n1 0 ram0 1\n", "1 ".repeat(columns));
            let text = Text::new("diskstats", &line);
            assert_eq!(rows(&mut source(&text)).len(), samples, "{columns}");
        }
    }

    #[test]
    fn odd_text_never_panics() {
        for (content, good) in [("", true), ("8 0", false), ("8 0 sda x y", true), ("\n", false)] {
            let text = Text::new("diskstats", content);
            assert_eq!(tick(&mut source(&text)).1.is_ok(), good, "{content:?}");
        }
    }

    #[test]
    fn serial_is_the_best_there_is() {
        let record = "E:ID_SERIAL=a\n";
        assert_eq!(Udev::parse(record).serial(), "a");
        let record = format!("{record}E:ID_SERIAL_SHORT=b\n");
        assert_eq!(Udev::parse(&record).serial(), "b");
        assert_eq!(Udev::parse(&format!("E:SCSI_IDENT_SERIAL=c\n{record}")).serial(), "c");
    }

    #[test]
    fn new_disk_is_looked_up_at_the_next_tick() {
        let text = Text::new("diskstats", "8 0 sda 1\n");
        text.write("udev/data/b8:16", "N:sdb\nE:ID_MODEL=Fast\nE:ID_SERIAL=s\nE:BAD\n");
        let mut source = source(&text);
        rows(&mut source);
        text.write("diskstats", "8 0 sda 1\n8 16 sdb 1\n");
        let model =
            |rows: Vec<String>| rows.iter().any(|r| r.contains("model=\"Fast\",serial=\"s\""));
        assert!(!model(rows(&mut source)));
        assert!(model(rows(&mut source)));
    }
}
