//! What the node is (kernel, operating system, machine) and what the kernel has of entropy and
//! open files.

use std::path::PathBuf;

use super::buffer::{Buffer, malformed};
use super::listing::{Due, RELIST, names};
use super::metrics::system as m;
use super::parse::{number, words};
use super::syscalls::{Syscalls, Uname};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// Entropy and open files: numbers below /proc/sys.
pub(super) struct Kernel {
    entropy: PathBuf,
    pool: PathBuf,
    files: PathBuf,
}

impl Kernel {
    pub(super) fn new(paths: &Paths) -> Self {
        let sys = paths.proc.join("sys");
        Self {
            entropy: sys.join("kernel/random/entropy_avail"),
            pool: sys.join("kernel/random/poolsize"),
            files: sys.join("fs/file-nr"),
        }
    }
}

impl Source for Kernel {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let mut node = batch.node();
        let bits = [(&self.entropy, &m::ENTROPY_AVAILABLE), (&self.pool, &m::ENTROPY_POOL_SIZE)];
        for (file, metric) in bits {
            if let Ok(text) = buffer.file(file) {
                let bits = number(text.trim()).ok_or_else(|| malformed(file, "not a number"))?;
                node.set(metric, bits);
            }
        }
        // Allocated, free (always 0 since Linux 2.6), maximum.
        let mut columns = words(buffer.file(&self.files)?).map(number);
        let (Some(Some(allocated)), Some(Some(maximum))) = (columns.next(), columns.nth(1)) else {
            return Err(malformed(&self.files, "not three numbers"));
        };
        node.set(&m::FILES_ALLOCATED, allocated).set(&m::FILES_MAXIMUM, maximum);
        Ok(())
    }
}

/// Whether SELinux is on, and enforces.
pub(super) struct Selinux {
    dir: PathBuf,
}

impl Selinux {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { dir: paths.sys.join("fs/selinux") }
    }
}

impl Source for Selinux {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let enforces = buffer.number(&self.dir, "enforce");
        let mut node = batch.node();
        node.set(&m::SELINUX_ENABLED, f64::from(u8::from(enforces.is_some())));
        if let Some(enforces) = enforces {
            node.set(&m::SELINUX_CURRENT_MODE, enforces);
        }
        Ok(())
    }
}

/// The kernel's and machine's names.
pub(super) struct Names {
    uname: fn() -> Uname,
    due: Due,
    last: Uname,
}

impl Names {
    pub(super) fn new(syscalls: &Syscalls) -> Self {
        Self { uname: syscalls.uname, due: Due::default(), last: Uname::default() }
    }
}

impl Source for Names {
    fn read(&mut self, batch: &mut Batch, _: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.last = (self.uname)();
        }
        let uname = &self.last;
        let labels = [
            ("domainname", uname.domainname.as_str()),
            ("machine", &uname.machine),
            ("nodename", &uname.nodename),
            ("release", &uname.release),
            ("sysname", &uname.sysname),
            ("version", &uname.version),
        ];
        batch.node().set_with(&m::UNAME, &labels, 1.0);
        Ok(())
    }
}

/// The labels of `node_os_info` and the keys of os-release that they are.
const OS_KEYS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];
const ID: usize = 1;
const ID_LIKE: usize = 2;
const NAME: usize = 5;
const VERSION_ID: usize = 11;

/// os-release(5), read again once a minute.
pub(super) struct OsRelease {
    files: [PathBuf; 2],
    due: Due,
    values: [String; 12],
    support_end: Option<f64>,
}

impl OsRelease {
    pub(super) fn new(paths: &Paths) -> Self {
        Self {
            files: ["etc/os-release", "usr/lib/os-release"].map(|f| paths.root.join(f)),
            due: Due::default(),
            values: Default::default(),
            support_end: None,
        }
    }

    fn parse(&mut self, text: &str) {
        self.values = Default::default();
        self.support_end = None;
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let value = unquote(value);
            if key == "SUPPORT_END" {
                self.support_end = midnight(&value);
            } else if let Some(index) = OS_KEYS.iter().position(|(_, k)| *k == key) {
                self.values[index] = value;
            }
        }
    }
}

impl Source for OsRelease {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            let text = match buffer.file(&self.files[0]) {
                Ok(text) => text.to_owned(),
                Err(_) => buffer.file(&self.files[1]).inspect_err(|_| self.due.reset())?.to_owned(),
            };
            self.parse(&text);
        }
        let label = |i: usize| (OS_KEYS[i].0, self.values[i].as_str());
        let labels: [_; 12] = std::array::from_fn(label);
        let mut node = batch.node();
        node.set_with(&m::OS_INFO, &labels, 1.0);
        if let Some(version) = major_minor(&self.values[VERSION_ID]) {
            node.set_with(&m::OS_VERSION, &[label(ID), label(ID_LIKE), label(NAME)], version);
        }
        if let Some(end) = self.support_end {
            node.set(&m::OS_SUPPORT_END, end);
        }
        Ok(())
    }
}

/// A value as a shell would read it: without quotes, backslashes taken away.
fn unquote(value: &str) -> String {
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(literal) = quoted('\'') {
        return literal.to_owned();
    }
    let value = quoted('"').unwrap_or(value);
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

/// The number that "22.04.1" begins with: 22.04.
fn major_minor(version: &str) -> Option<f64> {
    let mut points = 0;
    let end = version.find(|c: char| {
        points += usize::from(c == '.');
        !c.is_ascii_digit() && (c != '.' || points > 1)
    });
    let number = number(&version[..end.unwrap_or(version.len())])?;
    (number > 0.0).then_some(number)
}

/// The start of a day "2028-06-30" in UTC, in seconds since 1970.
fn midnight(date: &str) -> Option<f64> {
    let mut parts = date.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from civil, with the year starting in March.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) as f64 * 86_400.0)
}

/// The labels of `node_dmi_info` and the files that they are.
const DMI: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

/// DMI strings, which do not change while the node runs.
pub(super) struct Dmi {
    dir: PathBuf,
    values: Vec<(&'static str, String)>,
}

impl Dmi {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { dir: paths.sys.join("class/dmi/id"), values: Vec::new() }
    }
}

impl Source for Dmi {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.values.is_empty() {
            if names(&self.dir).is_empty() {
                return Err(CollectError::Absent(self.dir.display().to_string()));
            }
            for (label, file) in DMI {
                if let Some(value) = buffer.attribute(&self.dir, file) {
                    self.values.push((label, value.to_owned()));
                }
            }
        }
        let mut labels = [("", ""); DMI.len()];
        for (slot, (label, value)) in labels.iter_mut().zip(&self.values) {
            *slot = (label, value);
        }
        batch.node().set_with(&m::DMI_INFO, &labels[..self.values.len()], 1.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows, tick};
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        let cases = [
            ("1970-01-01", Some(0.0)),
            ("2000-03-01", Some(951_868_800.0)),
            ("2028-02-29", Some(1_835_395_200.0)),
            ("2028-13-01", None),
            ("2028-06", None),
            ("soon", None),
            ("99999999999999999999-01-01", None),
            ("", None),
        ];
        for (date, expected) in cases {
            assert_eq!(midnight(date), expected, "{date}");
        }
    }

    #[test]
    fn versions_are_cut_after_the_minor() {
        let cases = [
            ("22.04.1", Some(22.04)),
            ("12", Some(12.0)),
            ("9.", Some(9.0)),
            ("", None),
            ("sid", None),
            (".5", Some(0.5)),
        ];
        for (version, expected) in cases {
            assert_eq!(major_minor(version), expected, "{version}");
        }
    }

    #[test]
    fn values_are_unquoted() {
        let cases = [
            ("debian", "debian"),
            ("\"a b\"", "a b"),
            ("'a\\b'", "a\\b"),
            ("\"a\\\"b\"", "a\"b"),
            ("\"", "\""),
            ("a\\", "a\\"),
        ];
        for (value, expected) in cases {
            assert_eq!(unquote(value), expected);
        }
    }

    #[test]
    fn os_release_falls_back_to_usr_lib() {
        let text = Text::new(
            "usr/lib/os-release",
            "ID=x\nVERSION_ID=1.2.3\nSUPPORT_END=2000-03-01\nodd\n=\n",
        );
        let rows = rows(&mut OsRelease::new(&text.paths));
        assert_eq!(rows[1], "node_os_support_end_timestamp_seconds 951868800");
        assert_eq!(rows[2], "node_os_version{id=\"x\",id_like=\"\",name=\"\"} 1.2");
    }

    #[test]
    fn file_counts_that_are_short_are_an_error() {
        for (content, good) in
            [("1\t0\t9223372036854775807\n", true), ("1 0", false), ("", false), ("a b c", false)]
        {
            let text = Text::new("sys/fs/file-nr", content);
            assert_eq!(tick(&mut Kernel::new(&text.paths)).1.is_ok(), good, "{content:?}");
        }
    }

    #[test]
    fn dmi_has_a_label_per_file_and_is_absent_without() {
        let text = Text::new("class/dmi/id/sys_vendor", "ACME\n");
        assert_eq!(rows(&mut Dmi::new(&text.paths)), ["node_dmi_info{system_vendor=\"ACME\"} 1"]);
        assert!(rows(&mut Dmi::new(&Text::new("x", "").paths)).is_empty());
    }
}
