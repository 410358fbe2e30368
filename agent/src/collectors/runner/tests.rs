use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Instant;

use sextant_proto::frame::{ChainDecoder, Decoded};
use sextant_proto::layout;

use super::*;
use crate::sample::Metric;
use crate::spool::Piece;

static VALUE: Metric = Metric::gauge("value", "", "A value.");
static OTHER: Metric = Metric::gauge("other", "", "Another value.");
const INTERVAL: Duration = Duration::from_millis(20);
const ALL: Piece = Piece { bytes: usize::MAX, frames: usize::MAX };
const LONG: Duration = Duration::from_secs(30);

/// Does at its nth call what the test says.
struct Scripted<F>(u64, F);

impl<F: FnMut(u64, &mut Batch) -> Result<(), CollectError> + Send> Collector for Scripted<F> {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        &[]
    }

    fn tiers(&self) -> Vec<Duration> {
        vec![INTERVAL]
    }

    fn collect(&mut self, _tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        self.0 += 1;
        (self.1)(self.0, batch)
    }
}

fn start<F>(stall_after: Duration, script: F) -> (Runner, Arc<Stats>)
where
    F: FnMut(u64, &mut Batch) -> Result<(), CollectError> + Send + 'static,
{
    let stats = Arc::new(Stats::new(Arc::new(Spool::memory(1 << 20).unwrap())));
    let runner = Runner::start(vec![Box::new(Scripted(0, script))], &stats, stall_after).unwrap();
    (runner, stats)
}

/// Calls again and again until it says yes.
fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "it did not happen");
        std::thread::yield_now();
    }
}

fn spooled(stats: &Stats) -> Vec<Decoded> {
    let mut decoder = ChainDecoder::new();
    let records = stats.spool.read_after(0, ALL);
    let decoded = records.iter().map(|record| {
        let columns = record
            .layout
            .as_ref()
            .map(|(hash, bytes)| layout::columns(&layout::decode(*hash, bytes).unwrap()));
        decoder.decode(&record.frame, |_| columns).unwrap()
    });
    decoded.collect()
}

fn join(runner: &Runner) {
    runner.stop();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(runner.stopped(LONG)), Vec::<&str>::new());
}

#[test]
fn ticks_are_aligned_and_stamp_values_and_events() {
    let (runner, stats) = start(LONG, |call, batch| {
        batch.node().set(&VALUE, call as f64);
        if call == 2 {
            batch.event(node_event("test.event", Severity::Info, "é".repeat(3_000)));
        }
        Ok(())
    });
    until(|| stats.spool.stats().frames >= 4);
    join(&runner);
    let frames = spooled(&stats);
    for (call, frame) in (1..).zip(&frames) {
        assert_eq!(frame.values, [f64::from(call)]);
        assert_eq!(frame.ticks_ms[0] % 20, 0);
    }
    assert!(frames.is_sorted_by(|a, b| a.ticks_ms[0] < b.ticks_ms[0]));
    let event = &frames[1].events[0];
    assert_eq!(event.time_unix_ms, frames[1].ticks_ms[0]);
    assert_eq!(event.message.len(), limits::MAX_MESSAGE_BYTES);
    let [collector] = &stats.collectors()[..] else { panic!("one collector") };
    assert_eq!(collector.health(), Health::Up);
    assert_eq!(collector.series.load(SeqCst), 1);
    assert_eq!(collector.ticks.load(SeqCst), frames.len() as u64);
}

#[test]
fn ticks_share_frames_while_the_uplink_is_behind_and_events_do_not_wait() {
    let (mut runner, stats) = start(LONG, |call, batch| {
        batch.node().set(&VALUE, call as f64);
        if call % 7 == 0 {
            batch.event(node_event("test.event", Severity::Info, "now".into()));
        }
        Ok(())
    });
    let mut encoder = ChainEncoder::new();
    for _ in 0..200 {
        stats.spool.push(None, encoder.encode(0, &[], &[], &[]), now_ms());
    }
    runner.watch();
    let collector = Arc::clone(&stats.collectors()[0]);
    until(|| collector.shared.load(SeqCst) >= 12);
    stats.spool.ack(u64::MAX);
    runner.watch();
    let caught_up = stats.spool.position().1;
    until(|| stats.spool.position().1 >= caught_up + 3);
    join(&runner);
    let frames = stats.spool.read_after(0, ALL);
    // The first brings what was held; its chain began earlier, so its ticks are counted by what
    // the collector says.
    assert!(frames.len() >= 3, "a frame for each tick again");
    let shared = collector.shared.load(SeqCst);
    let pushed = stats.spool.stats().pushed - 200;
    assert!(pushed + shared / 2 <= collector.ticks.load(SeqCst), "{pushed} frames, {shared}");
}

#[test]
fn stopped_worker_spools_what_it_held() {
    let (mut runner, stats) = start(LONG, |call, batch| {
        batch.node().set(&VALUE, call as f64);
        if call == 9 {
            batch.event(node_event("test.event", Severity::Info, "now".into()));
        }
        Ok(())
    });
    let collector = Arc::clone(&stats.collectors()[0]);
    let mut encoder = ChainEncoder::new();
    until(|| collector.ticks.load(SeqCst) >= 2 && collector.running().is_none());
    for _ in 0..200 {
        stats.spool.push(None, encoder.encode(0, &[], &[], &[]), now_ms());
    }
    runner.watch();
    until(|| collector.ticks.load(SeqCst) >= 24);
    join(&runner);
    let frames = spooled(&stats);
    let values: Vec<_> = frames.iter().flat_map(|frame| frame.values.clone()).collect();
    let ticks = collector.ticks.load(SeqCst);
    assert_eq!(values, (1..=ticks).map(|tick| tick as f64).collect::<Vec<_>>());
    let told = frames.iter().find(|frame| frame.events.iter().any(|e| e.message == "now"));
    assert_eq!(told.and_then(|frame| frame.values.last().copied()), Some(9.0));
    assert!(frames.iter().any(|frame| frame.ticks_ms.len() > 1));
    assert!(frames.iter().all(|frame| frame.ticks_ms.len() <= hold::MAX_TICKS));
}

#[test]
fn failed_calls_are_counted_and_cost_only_their_tick() {
    let (runner, stats) = start(LONG, |call, batch| {
        batch.node().set(if call == 2 { &OTHER } else { &VALUE }, call as f64);
        match call {
            2 => Err(CollectError::Read { what: "x".into(), source: io::Error::other("gone") }),
            3 => {
                batch.fail("diskstats", &"odd line");
                Ok(())
            }
            _ => Ok(()),
        }
    });
    until(|| stats.spool.stats().frames >= 4);
    join(&runner);
    let [collector] = &stats.collectors()[..] else { panic!("one collector") };
    assert_eq!(collector.errors(), [("collect", 1), ("diskstats", 1)]);
    assert_eq!(collector.health(), Health::Up);
    let values: Vec<_> = spooled(&stats).iter().map(|frame| frame.values[0]).collect();
    assert_eq!(values[..4], [1.0, 3.0, 4.0, 5.0]);
    let records = stats.spool.read_after(0, ALL);
    assert!(records.iter().all(|record| record.layout == records[0].layout));
}

#[test]
fn absent_source_is_quiet_and_left_alone() {
    let (runner, stats) = start(LONG, |_, _| Err(CollectError::Absent("a card".into())));
    let collectors = stats.collectors();
    until(|| collectors[0].ticks.load(SeqCst) == 1 && collectors[0].running().is_none());
    join(&runner);
    assert_eq!(collectors[0].health(), Health::Unknown);
    assert_eq!(collectors[0].errors(), []);
    assert_eq!(collectors[0].ticks.load(SeqCst), 1);
    assert_eq!(stats.spool.stats().frames, 0);
}

#[test]
fn stalled_call_is_reported_once_and_so_is_its_return() {
    let (go, wait) = mpsc::channel::<()>();
    let (mut runner, stats) = start(Duration::from_millis(200), move |call, batch| {
        if call == 2 {
            wait.recv().expect("the test lets it go");
        }
        if call <= 3 {
            batch.node().set(&VALUE, call as f64);
        }
        Ok(())
    });
    let collector = Arc::clone(&stats.collectors()[0]);
    until(|| collector.ticks.load(SeqCst) == 2);
    until(|| {
        runner.watch();
        collector.stalled.load(SeqCst)
    });
    assert_eq!(collector.health(), Health::Down);
    runner.watch();
    // It does not hold up a stop that happens meanwhile.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(runner.stopped(Duration::from_millis(1))), ["scripted"]);
    go.send(()).unwrap();
    until(|| {
        runner.watch();
        collector.last_success_ms.load(SeqCst) > 0 && !collector.stalled.load(SeqCst)
    });
    assert_eq!(collector.health(), Health::Up);
    until(|| collector.ticks.load(SeqCst) >= 3 && collector.running().is_none());
    join(&runner);
    let frames = spooled(&stats);
    let kinds: Vec<_> =
        frames.iter().flat_map(|frame| &frame.events).map(|event| event.r#type.as_str()).collect();
    assert_eq!(kinds[..2], ["agent.collector_stalled", "agent.collector_recovered"]);
    assert!(collector.missed.load(SeqCst) > 0, "the ticks of 200 ms were missed");
}

#[test]
fn one_collector_does_not_wait_for_another() {
    struct Stuck(mpsc::Receiver<()>);
    impl Collector for Stuck {
        fn name(&self) -> &'static str {
            "stuck"
        }
        fn metrics(&self) -> &'static [&'static Metric] {
            &[]
        }
        fn tiers(&self) -> Vec<Duration> {
            vec![INTERVAL]
        }
        fn collect(&mut self, _tier: usize, _batch: &mut Batch) -> Result<(), CollectError> {
            // Ends when the test drops its end.
            let _ended = self.0.recv();
            Ok(())
        }
    }
    let (hold, wait) = mpsc::channel();
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let quick = Scripted(0, move |call, _: &mut Batch| {
        counted.store(call, SeqCst);
        Ok(())
    });
    let stats = Stats::new(Arc::new(Spool::memory(1 << 20).unwrap()));
    let runner = Runner::start(vec![Box::new(Stuck(wait)), Box::new(quick)], &stats, LONG).unwrap();
    until(|| calls.load(SeqCst) >= 3);
    assert!(stats.collectors()[0].running().is_some());
    drop(hold);
    join(&runner);
}
