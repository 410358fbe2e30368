//! Sensors of /sys/class/hwmon: temperatures, voltages, fans, power.
//!
//! A chip's files are listed once a minute. Readings and alarms are read at every tick, limits
//! with the listing: a sensor behind a slow bus should not be asked for what does not change.

use std::path::{Path, PathBuf};

use sextant_proto::frame::ABSENT;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, names};
use super::metrics::hwmon::{self as m, SENSORS, Scale, Sensor};
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

/// Files with a value for the whole chip, as they are or in milliseconds.
static WHOLE_CHIP: [(&str, &Metric); 3] = [
    ("beep_enable", &m::BEEP_ENABLED),
    ("vrm", &m::REGULATOR_VERSION),
    ("update_interval", &m::UPDATE_INTERVAL),
];

struct Reading {
    dir: PathBuf,
    file: String,
    metric: &'static Metric,
    scale: Scale,
    live: bool,
    last: Option<f64>,
}

struct SensorReadings {
    name: String,
    label: Option<String>,
    readings: Vec<Reading>,
}

struct Chip {
    id: String,
    name: Option<String>,
    sensors: Vec<SensorReadings>,
}

pub(super) struct Hwmon {
    dir: PathBuf,
    due: Due,
    chips: Vec<Chip>,
}

impl Hwmon {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { dir: paths.sys.join("class/hwmon"), due: Due::default(), chips: Vec::new() }
    }
}

impl Source for Hwmon {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            let dirs = names(&self.dir);
            self.chips = dirs.iter().map(|n| chip(&self.dir.join(n), buffer)).collect();
        }
        for chip in &mut self.chips {
            let mut entity = batch.entity("hwmon", &[("chip", &chip.id)]);
            if let Some(name) = &chip.name {
                entity.set_with(&m::CHIP_NAMES, &[("chip_name", name)], 1.0);
            }
            for sensor in &mut chip.sensors {
                if let Some(label) = &sensor.label {
                    let labels = [("sensor", sensor.name.as_str()), ("label", label)];
                    entity.set_with(&m::SENSOR_LABEL, &labels, 1.0);
                }
                for reading in &mut sensor.readings {
                    if reading.live {
                        reading.last = buffer.number(&reading.dir, &reading.file);
                        if reading.last.is_none() && !reading.dir.exists() {
                            self.due.reset();
                        }
                    }
                    // A sensor that does not answer now has no value now.
                    let value = reading.last.map_or(ABSENT, |v| reading.scale.apply(v));
                    entity.set_with(reading.metric, &[("sensor", &sensor.name)], value);
                }
            }
        }
        Ok(())
    }
}

impl Scale {
    fn apply(self, value: f64) -> f64 {
        match self {
            Self::One => value,
            Self::Milli => value * 0.001,
            Self::Micro => value / 1_000_000.0,
        }
    }
}

/// Reads the files of a chip, and those of its device, where old drivers have them.
fn chip(dir: &Path, buffer: &mut Buffer) -> Chip {
    let name = buffer.attribute(dir, "name").map(clean).filter(|n| !n.is_empty());
    let mut sensors: Vec<SensorReadings> = Vec::new();
    for dir in [dir.to_owned(), dir.join("device")] {
        for file in names(&dir) {
            let Some((kind, id, attribute)) = split(&file) else { continue };
            let reading = match reading(&dir, &file, kind, attribute, buffer) {
                Some(reading) => Some(reading),
                None if attribute == "label" => None,
                None => continue,
            };
            let name = format!("{kind}{id}");
            let index = sensors.iter().position(|s| s.name == name).unwrap_or_else(|| {
                sensors.push(SensorReadings { name, label: None, readings: Vec::new() });
                sensors.len() - 1
            });
            let sensor = &mut sensors[index];
            match reading {
                Some(reading) => sensor.readings.push(reading),
                None => {
                    let label = buffer.attribute(&dir, &file).filter(|l| !l.is_empty());
                    sensor.label = label.map(str::to_owned);
                }
            }
        }
    }
    let id = id(dir).or_else(|| name.clone()).unwrap_or_else(|| {
        let last = dir.file_name().and_then(|n| n.to_str());
        clean(last.unwrap_or_default())
    });
    Chip { id, name, sensors }
}

fn reading(
    dir: &Path,
    file: &str,
    kind: &str,
    attribute: &str,
    buffer: &mut Buffer,
) -> Option<Reading> {
    let whole = WHOLE_CHIP.iter().find(|(f, _)| *f == kind && attribute.is_empty());
    let (metric, scale, live) = match whole {
        Some((_, metric)) => {
            let milli = std::ptr::eq(*metric, &m::UPDATE_INTERVAL);
            (*metric, if milli { Scale::Milli } else { Scale::One }, false)
        }
        None => {
            let is = |s: &&Sensor| s.kind == kind && s.attribute == attribute;
            let sensor = SENSORS.iter().find(is)?;
            (&sensor.metric, sensor.scale, sensor.live)
        }
    };
    let mut last = buffer.number(dir, file)?;
    if std::ptr::eq(metric, &m::BEEP_ENABLED) {
        last = f64::from(u8::from(last == 1.0));
    }
    let (dir, file) = (dir.to_owned(), file.to_owned());
    Some(Reading { dir, file, metric, scale, live, last: Some(last) })
}

/// "temp1_max" is ("temp", 1, "max"), "pwm1" is ("pwm", 1, ""), "vrm" is ("vrm", 0, "").
fn split(file: &str) -> Option<(&str, u32, &str)> {
    if WHOLE_CHIP.iter().any(|(name, _)| *name == file) {
        return Some((file, 0, ""));
    }
    let start = file.find(|c: char| c.is_ascii_digit())?;
    let (kind, rest) = file.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (id, attribute) = rest.split_at(end);
    let attribute = if attribute.is_empty() { "" } else { attribute.strip_prefix('_')? };
    let known = SENSORS.iter().any(|s| s.kind == kind);
    known.then_some((kind, id.parse().ok()?, attribute))
}

/// Names a chip after the place of its device, because the numbers of hwmon follow the order in
/// which drivers were loaded: "platform_coretemp_0".
fn id(dir: &Path) -> Option<String> {
    let device = dir.join("device").canonicalize().ok()?;
    let part = |path: &Path| path.file_name().and_then(|n| n.to_str()).map(clean);
    let name = part(&device).filter(|n| !n.is_empty())?;
    match device.parent().and_then(part).filter(|bus| !bus.is_empty()) {
        Some(bus) => Some(format!("{bus}_{name}")),
        None => Some(name),
    }
}

/// Lower case, and "_" for whatever is not a letter, digit, ":" or "_".
fn clean(name: &str) -> String {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '_');
    let lower = name.to_lowercase();
    let replaced: String = lower.chars().map(|c| if valid(c) { c } else { '_' }).collect();
    replaced.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn file_names_are_split_or_refused() {
        let cases = [
            ("temp1_input", Some(("temp", 1, "input"))),
            ("in12_max_alarm", Some(("in", 12, "max_alarm"))),
            ("pwm1", Some(("pwm", 1, ""))),
            ("pwm2_auto_point1_pwm", Some(("pwm", 2, "auto_point1_pwm"))),
            ("beep_enable", Some(("beep_enable", 0, ""))),
            ("update_interval", Some(("update_interval", 0, ""))),
            ("temp99999999999_input", None),
            ("temp1x", None),
            ("name", None),
            ("2d", None),
            ("", None),
        ];
        for (file, expected) in cases {
            assert_eq!(split(file), expected, "{file}");
        }
    }

    #[test]
    fn names_are_cleaned() {
        let cases =
            [("Core 0", "core_0"), ("0000:01:00.0", "0000:01:00_0"), ("__", ""), ("°C", "c")];
        for (name, expected) in cases {
            assert_eq!(clean(name), expected);
        }
    }

    #[test]
    fn reading_that_fails_is_left_out_and_limits_are_kept() {
        let text = Text::new("class/hwmon/hwmon0/name", "k10temp\n");
        text.write("class/hwmon/hwmon0/temp1_input", "45500\n");
        text.write("class/hwmon/hwmon0/temp1_max", "90000\n");
        text.write("class/hwmon/hwmon0/temp2_input", "garbage\n");
        let mut source = Hwmon::new(&text.paths);
        let name = "node_hwmon_chip_names{chip=\"k10temp\",chip_name=\"k10temp\"} 1";
        let max = "node_hwmon_temp_max_celsius{chip=\"k10temp\",sensor=\"temp1\"} 90";
        let now = "node_hwmon_temp_celsius{chip=\"k10temp\",sensor=\"temp1\"} 45.5";
        assert_eq!(rows(&mut source), [name, now, max]);
        text.write("class/hwmon/hwmon0/temp1_max", "1\n");
        text.write("class/hwmon/hwmon0/temp1_input", "\n");
        assert_eq!(rows(&mut source), [name, max]);
    }
}
