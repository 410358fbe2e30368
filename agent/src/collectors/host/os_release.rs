//! os-release(5): which operating system this is, and until when it is supported.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST};
use super::metrics::system as m;
use super::parse::number;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

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

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
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
}
