//! Records the host that this runs on, with the agent's own host collector.
//!
//! A recording is published, so it says nothing about whose machine it is: a label's value that
//! is not on the list below is replaced by the label's name and a number. Values of samples stay
//! as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use sextant_agent::clock::{Stop, Ticks, now_ms};
use sextant_agent::collectors::host::{Host, HostConfig};
use sextant_agent::collectors::{Collector as _, Paths};
use sextant_agent::sample::Batch;
use sextant_proto::layout;
use sextant_proto::v1::{Label, Layout};

use super::recording::Writer;

/// Between two readings.
const INTERVAL: Duration = Duration::from_secs(1);
/// Only the root file system: other mounts say what a machine is used for.
const MOUNT_POINTS_EXCLUDED: &str = "^/.";
/// Devices that come and go with containers and tests: each time would be another layout.
const NETDEVS_EXCLUDED: &str = "^(veth|br-|docker|cali|tap|tun|dummy|v[A-Z]|[a-z]\\d)";
/// Labels whose values are the kernel's words, numbers, or devices by their kind.
const HARMLESS: [&str; 20] = [
    "chip",
    "clocksource",
    "cpu",
    "device",
    "fstype",
    "mode",
    "mountpoint",
    "name",
    "node",
    "operstate",
    "policy",
    "protocol",
    "queue",
    "reason",
    "resource",
    "sensor",
    "state",
    "time_zone",
    "type",
    "zone",
];

/// Reads the host every second until `duration` is over or `stop` says so; the recording's bytes
/// and how many ticks it has. A tick that came too late is left out.
///
/// # Errors
/// When the host cannot be read at all.
pub fn record_host(duration: Duration, stop: &Stop) -> anyhow::Result<(Vec<u8>, u64)> {
    let config = HostConfig {
        interval: INTERVAL,
        slow_interval: INTERVAL,
        filesystem_mount_points_exclude: MOUNT_POINTS_EXCLUDED.into(),
        netdev_exclude: NETDEVS_EXCLUDED.into(),
        netclass_exclude: NETDEVS_EXCLUDED.into(),
        ..HostConfig::default()
    };
    let mut host = Host::new(&config, &Paths::default());
    let mut batch = Batch::default();
    let mut writer = Writer::default();
    let mut names = Names::default();
    let mut last: Option<(u64, Layout)> = None;
    let mut ticks = Ticks::new(INTERVAL, now_ms());
    let end_ms = now_ms() + i64::try_from(duration.as_millis())?;
    let mut count = 0;
    while now_ms() < end_ms && !stop.is_stopped() {
        stop.sleep_until(ticks.due_ms.min(end_ms));
        let Some((time_ms, _)) = ticks.take(now_ms()) else { continue };
        batch.begin();
        host.collect(0, &mut batch).context("read the host")?;
        let interval_ms = u32::try_from(INTERVAL.as_millis())?;
        let tick = batch.finish(host.name(), interval_ms);
        let (hash, bytes) = tick.layout;
        if last.as_ref().is_none_or(|(known, _)| *known != hash) {
            let mut layout = layout::decode(hash, &bytes)?;
            names.scrub(&mut layout);
            last = Some((hash, layout));
        }
        if let Some((_, layout)) = &last {
            writer.push(layout, time_ms, tick.values);
            count += 1;
        }
    }
    Ok((writer.finish()?, count))
}

/// What stands for values that are not published.
#[derive(Debug, Default)]
struct Names(BTreeMap<(String, String), usize>);

impl Names {
    fn scrub(&mut self, layout: &mut Layout) {
        for entity in &mut layout.entities {
            let own = entity.series.iter_mut().flat_map(|series| &mut series.labels);
            entity.labels.iter_mut().chain(own).for_each(|label| self.replace(label));
        }
    }

    fn replace(&mut self, label: &mut Label) {
        if HARMLESS.contains(&label.name.as_str()) || label.value.is_empty() {
            return;
        }
        let next = self.0.len();
        let key = (label.name.clone(), std::mem::take(&mut label.value));
        let number = *self.0.entry(key).or_insert(next);
        label.value = format!("{}-{number}", label.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_machine_is_replaced_by_the_same_each_time() {
        let mut names = Names::default();
        let mut replaced = |name: &str, value: &str| {
            let mut label = Label { name: name.into(), value: value.into() };
            names.replace(&mut label);
            label.value
        };
        assert_eq!(replaced("nodename", "secret"), "nodename-0");
        assert_eq!(replaced("address", "02:00"), "address-1");
        assert_eq!(replaced("nodename", "secret"), "nodename-0");
        assert_eq!(replaced("mode", "idle"), "idle");
    }

    #[test]
    fn a_moment_of_this_host_is_a_recording() {
        let (bytes, ticks) = record_host(Duration::from_millis(1500), &Stop::default()).unwrap();
        let recording = super::super::Recording::parse(&bytes).unwrap();
        assert_eq!(u64::try_from(recording.ticks()).unwrap(), ticks);
        assert!(ticks >= 1 && recording.samples() > 100, "{ticks}");
    }
}
