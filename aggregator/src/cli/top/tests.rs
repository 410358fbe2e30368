use std::sync::Arc;
use std::sync::atomic::Ordering;

use sextant_proto::v1::InstantSample;

use super::rows::Sampler;
use crate::cli::fake::{Fake, NOW_MS, series};
use crate::cli::tests::{answer, assert_text, command, context};
use crate::cli::{Command, Context};

fn sample(time_ms: i64, value: f64) -> Vec<InstantSample> {
    let series = Some(series("x_total", &[]));
    vec![InstantSample { series, time_unix_ms: time_ms, value }]
}

#[test]
fn rate_is_by_the_times_of_the_samples_and_survives_a_reset() {
    let mut sampler = Sampler::default();
    let mut f = |time_ms: i64, value: f64, want: Option<f64>| {
        let rates = sampler.rates("x_total", sample(NOW_MS + time_ms, value));
        assert_eq!(rates.first().map(|s| s.value), want, "{time_ms} {value}");
    };
    f(0, 100.0, None);
    f(2_000, 110.0, Some(5.0));
    f(2_000, 110.0, Some(5.0));
    f(12_000, 110.0, Some(0.0));
    f(14_000, 6.0, Some(3.0));
}

#[test]
fn series_that_is_gone_leaves_nothing_behind() {
    let mut sampler = Sampler::default();
    sampler.rates("x_total", sample(0, 1.0));
    assert!(sampler.rates("x_total", Vec::new()).is_empty());
    assert!(sampler.rates("x_total", sample(1_000, 2.0)).is_empty());
}

fn busy_node() -> Fake {
    let mut fake = Fake::with_nodes();
    let mut add = |metric: &str, labels: &[(&str, &str)], samples: &[(i64, f64)]| {
        let samples = samples.iter().map(|(ago, v)| (NOW_MS - ago * 1000, *v)).collect();
        fake.series.push((series(metric, labels), samples));
    };
    for (cpu, idle) in [("0", 10.0), ("1", 5.0)] {
        let labels = [("cpu", cpu), ("mode", "idle")];
        add("node_cpu_seconds_total", &labels, &[(21, 0.0), (1, idle)]);
    }
    add("node_memory_MemTotal_bytes", &[], &[(1, 1000.0)]);
    add("node_memory_MemAvailable_bytes", &[], &[(1, 250.0)]);
    add("node_load1", &[], &[(1, 1.5)]);
    for (of, waited) in [("cpu", 1.0), ("io", 3.0)] {
        let name = format!("node_pressure_{of}_waiting_seconds_total");
        add(&name, &[], &[(21, 0.0), (1, waited)]);
    }
    for (device, bytes) in [("eth0", 204_800.0), ("lo", 1e9)] {
        let samples = [(30, 0.0), (10, bytes)];
        add("node_network_receive_bytes_total", &[("device", device)], &samples);
    }
    for (disk, busy) in [("sda", 2.0), ("sdb", 9.0)] {
        let samples = [(30, 0.0), (10, busy)];
        add("node_disk_io_time_seconds_total", &[("device", disk)], &samples);
    }
    for (at, kind, free) in
        [("/", "ext4", 40.0), ("/var/lib", "xfs", 10.0), ("/snap", "squashfs", 0.0)]
    {
        let labels = [("device", at), ("fstype", kind), ("mountpoint", at)];
        add("node_filesystem_size_bytes", &labels, &[(10, 100.0)]);
        add("node_filesystem_avail_bytes", &labels, &[(10, free)]);
    }
    fake
}

#[tokio::test]
async fn top_shows_what_there_is_and_dashes_for_the_rest() {
    assert_text(
        &answer(busy_node(), &["top", "--once"]).await,
        r#"
NODE   STATE       CPU  MEM  LOAD1  PRESSURE    RX/s  TX/s  DISK    FULLEST FS  ANOMALIES
lab/a  ok          62%  75%   1.50    io 15%  10 KiB     -   45%  /var/lib 90%          2
lab/b  gone 2h 5m    -    -      -         -       -     -     -             -          -
"#,
    );
    let mut fake = busy_node();
    fake.nodes[0].active_anomalies = 5;
    let sorted = answer(fake, &["top", "--sort", "anomalies", "--cluster", "lab"]).await;
    assert!(sorted.lines().nth(1).is_some_and(|line| line.starts_with("lab/b")), "{sorted}");
}

#[tokio::test]
async fn live_top_fits_the_terminal_and_leaves_it_as_it_was() {
    let mut fake = busy_node();
    fake.nodes.resize(22, fake.nodes[0].clone());
    let fake = Arc::new(fake);
    let endpoint = fake.serve().await;
    let Command::Top(args) = command(&endpoint, &["top", "--interval", "1ms"]) else {
        panic!("not top");
    };
    let context = Context { interactive: true, ..context() };
    let stop = async {
        while fake.node_lists.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
    };
    let mut out = Vec::new();
    super::run_until(&args, &context, stop, &mut out).await.expect("stopped");
    let text = String::from_utf8(out).expect("text");
    assert!(text.starts_with("\x1b[?1049h\x1b[?25l"), "{text:?}");
    assert!(text.ends_with("\x1b[?25h\x1b[?1049l"), "{text:?}");
    let screen =
        text.split("\x1b[H\x1b[2J").nth(1).expect("a screen").replace(&endpoint, "ENDPOINT");
    let lines: Vec<_> = screen.split("\r\n").collect();
    assert_eq!(lines[0], "2023-11-14T22:13:20Z  ENDPOINT  1 of 22 nodes connected, 2 anomalies");
    assert!(lines[3].starts_with("lab/a  ok"), "{screen}");
    assert_eq!((lines.len(), lines[9]), (10, "… 16 more nodes"));
}
