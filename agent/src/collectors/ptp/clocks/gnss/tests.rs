use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use super::super::tests::{has, noise, tick};
use super::*;

const VERSION: &str = r#"{"class":"VERSION","release":"3.22","rev":"3.22","proto_major":3}"#;
const BOTH: &str = r#"{"class":"DEVICES","devices":[{"class":"DEVICE","path":"/dev/gnss0",
"activated":"2026-11-22T08:00:00.000Z"},{"path":"/dev/ttyS0","activated":1.5}]}"#;
const ONE: &str = r#"{"class":"DEVICES","devices":[{"path":"/dev/ttyS0","activated":0},
{"path":"/dev/gnss0","activated":"2026-11-22T08:00:00.000Z"}]}"#;
const NONE: &str = r#"{"class":"DEVICES","devices":[{"class":"DEVICE","path":"/dev/gnss0"}]}"#;

fn fix(mode: u32) -> String {
    format!(r#"{{"class":"TPV","device":"/dev/gnss0","mode":{mode},"ept":0.005,"lat":52.1}}"#)
}

/// A gpsd at whose other end the test sits.
struct Daemon {
    listener: TcpListener,
    gnss: Gnss,
    now: Instant,
}

impl Daemon {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gnss = Gnss::new(Some(listener.local_addr().unwrap()));
        Self { listener, gnss, now: Instant::now() }
    }

    /// Lets the agent connect.
    fn accept(&mut self) -> BufReader<TcpStream> {
        self.read();
        let mut end = BufReader::new(self.listener.accept().unwrap().0);
        assert_eq!(line(&mut end), "?DEVICES;");
        end
    }

    fn read(&mut self) -> Vec<String> {
        let (gnss, now) = (&mut self.gnss, self.now);
        tick(|batch| {
            gnss.collect(batch, now, true);
            gnss.set(batch);
        })
    }

    /// Says something and gives what the agent makes of it, once it has come over the loopback.
    fn say(&mut self, end: &mut BufReader<TcpStream>, text: &str) -> Vec<String> {
        let before = self.gnss.link.as_ref().unwrap().stream.try_clone().unwrap();
        let text = text.replace('\n', "");
        end.get_mut().write_all(format!("{text}\r\n").as_bytes()).unwrap();
        before.set_nonblocking(false).unwrap();
        before.peek(&mut [0]).unwrap();
        before.set_nonblocking(true).unwrap();
        self.read()
    }
}

fn line(end: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    end.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn fake_gpsd_with_its_receivers_open_is_watched_and_its_fixes_told() {
    let mut daemon = Daemon::new();
    let mut end = daemon.accept();
    assert!(daemon.say(&mut end, VERSION).is_empty());
    daemon.say(&mut end, BOTH);
    assert_eq!(line(&mut end), r#"?WATCH={"enable":true,"json":true};"#);
    let rows = daemon.say(&mut end, &fix(3));
    has(&rows, "ptp_gnss_fix{device=/dev/gnss0} 3");
    has(&rows, "ptp_gnss_time_offset_seconds{device=/dev/gnss0} 0.005");
    assert_eq!(rows.len(), 2);
    let rows = daemon.say(&mut end, r#"{"class":"SKY","device":"/dev/gnss0","uSat":9}"#);
    has(&rows, "ptp_gnss_satellites_used{device=/dev/gnss0} 9");
    let list = r#"{"class":"SKY","device":"/dev/gnss0","satellites":[
        {"PRN":1,"used":true},{"PRN":2,"used":false},{"PRN":3,"used":true},{"PRN":4}]}"#;
    has(&daemon.say(&mut end, list), "ptp_gnss_satellites_used{device=/dev/gnss0} 2");
    daemon.now += SILENT;
    assert!(daemon.read().is_empty());
    assert_eq!(daemon.gnss.malformed(), 0);
}

#[test]
fn captured_reports_of_a_receiver_that_loses_its_fix_are_read() {
    let mut daemon = Daemon::new();
    let mut end = daemon.accept();
    let said: Vec<Vec<String>> =
        include_str!("captured.jsonl").lines().map(|line| daemon.say(&mut end, line)).collect();
    assert_eq!(line(&mut end), r#"?WATCH={"enable":true,"json":true};"#);
    // Satellites come before the first fix, from a receiver that is not known yet.
    has(&said[4], "ptp_gnss_fix{device=/dev/pts/0} 3");
    has(&said[4], "ptp_gnss_time_offset_seconds{device=/dev/pts/0} 0.005");
    has(&said[5], "ptp_gnss_satellites_used{device=/dev/pts/0} 8");
    let lost = "device=/dev/pts/0,state=FAILURE-NOFIX,previous=SYNCHRONIZED";
    has(&said[6], &format!("event ptp.gnss_state_changed {lost}"));
    has(&said[6], "ptp_gnss_fix{device=/dev/pts/0} 0");
    assert!(said[6].iter().all(|row| !row.contains("time_offset")), "{:?}", said[6]);
    assert_eq!(daemon.gnss.malformed(), 0);
    daemon.now += SILENT;
    let rows = daemon.say(&mut end, &fix(3).replace("/dev/gnss0", "/dev/pts/0"));
    assert!(rows.iter().all(|row| !row.contains("satellites")), "{rows:?}");
}

#[test]
fn receivers_that_are_not_open_are_never_watched() {
    let mut daemon = Daemon::new();
    let mut end = daemon.accept();
    daemon.say(&mut end, NONE);
    daemon.now += RETRY;
    daemon.read();
    assert_eq!(line(&mut end), "?DEVICES;");
    daemon.say(&mut end, ONE);
    assert_eq!(line(&mut end), r#"?WATCH={"enable":true,"json":true,"device":"/dev/gnss0"};"#);
}

#[test]
fn gain_and_loss_of_the_fix_are_events_in_o_rans_words() {
    let mut daemon = Daemon::new();
    let mut end = daemon.accept();
    let mut change = |mode| {
        let rows = daemon.say(&mut end, &fix(mode));
        rows.into_iter().find(|row| row.starts_with("event"))
    };
    let event = |state: &str, previous: &str| {
        let kind = "event ptp.gnss_state_changed device=/dev/gnss0";
        Some(format!("{kind},state={state},previous={previous}"))
    };
    assert_eq!(change(1), None);
    assert_eq!(change(3), event("SYNCHRONIZED", "ACQUIRING-SYNC"));
    assert_eq!(change(2), None);
    assert_eq!(change(1), event("FAILURE-NOFIX", "SYNCHRONIZED"));
    assert_eq!(change(0), None);
    assert_eq!(change(3), event("SYNCHRONIZED", "FAILURE-NOFIX"));
}

#[test]
fn without_a_running_gpsd_nobody_is_connected_to() {
    let mut daemon = Daemon::new();
    daemon.listener.set_nonblocking(true).unwrap();
    daemon.gnss.collect(&mut Batch::default(), daemon.now, false);
    assert_eq!(daemon.listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let mut off = Gnss::new(None);
    off.collect(&mut Batch::default(), daemon.now, true);
    assert!(off.link.is_none() && !off.any());
}

#[test]
fn gpsd_that_goes_takes_its_receivers_along_and_is_looked_for_again() {
    let mut daemon = Daemon::new();
    let mut end = daemon.accept();
    assert_eq!(daemon.say(&mut end, &fix(3)).len(), 2);
    end.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    let mut batch = Batch::default();
    batch.begin();
    daemon.gnss.collect(&mut batch, daemon.now, true);
    assert_eq!(batch.failures().len(), 1);
    assert!(daemon.read().is_empty() && daemon.gnss.link.is_none());
    daemon.now += RETRY;
    daemon.accept();
}

#[test]
fn lines_that_are_no_reports_are_counted_and_too_many_receivers_left_out() {
    let mut daemon = Daemon::new();
    let mut end = daemon.accept();
    daemon.say(&mut end, "hello");
    daemon.say(&mut end, r#"{"class":"TPV","mode":"three"}"#);
    daemon.say(&mut end, r#"{"class":"TPV","device":"","mode":3}"#);
    daemon.say(&mut end, r#"{"class":"SKY","device":"/dev/other","uSat":3}"#);
    assert_eq!((daemon.gnss.malformed(), daemon.gnss.any()), (2, false));
    for number in 0..MOST_RECEIVERS + 3 {
        let fix = format!(r#"{{"class":"TPV","device":"/dev/{number}","mode":3}}"#);
        daemon.say(&mut end, &fix);
    }
    assert_eq!(daemon.gnss.devices.len(), MOST_RECEIVERS);
}

#[test]
fn arbitrary_lines_are_read_or_refused() {
    let good = [BOTH, ONE, NONE, &fix(3), r#"{"class":"SKY","satellites":[{"used":true}]}"#];
    let (mut refused, mut devices) = (0, Vec::new());
    for seed in 0..20_000 {
        let mut next = noise(seed);
        let mut bytes = good[usize::from(next()) % good.len()].as_bytes().to_vec();
        for _ in 0..2 {
            let at = usize::from(next()) % bytes.len();
            bytes[at] = next();
        }
        match message::parse(&bytes) {
            Some(report) => {
                take(&mut devices, &report, Instant::now());
                watch(&report.devices);
            }
            None => refused += 1,
        }
    }
    assert!((1..20_000).contains(&refused), "{refused}");
    assert!(devices.len() <= MOST_RECEIVERS);
}
