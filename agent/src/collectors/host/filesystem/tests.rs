//! Mounts that do not answer, with a statvfs that blocks until it is let go.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use super::super::test_text::{Text, tick};
use super::workers::MAX_THREADS;
use super::*;

/// A statvfs that counts its calls and blocks on paths below "/stuck".
#[derive(Default)]
struct Fake {
    calls: Mutex<HashMap<PathBuf, u32>>,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Fake {
    fn stat(self: &Arc<Self>) -> Stat {
        let fake = self.clone();
        Arc::new(move |path: &Path| {
            *fake.calls.lock().unwrap().entry(path.into()).or_default() += 1;
            if path.starts_with("/stuck") {
                let mut open = fake.open.lock().unwrap();
                while !*open {
                    open = fake.opened.wait(open).unwrap();
                }
            }
            match path.ends_with("broken") {
                true => Err(io::ErrorKind::PermissionDenied.into()),
                false => Ok(Space { size: 100.0, ..Space::default() }),
            }
        })
    }

    fn release(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn calls(&self, path: &str) -> u32 {
        self.calls.lock().unwrap().get(Path::new(path)).copied().unwrap_or(0)
    }
}

fn source(text: &Text, fake: &Arc<Fake>, timeout: Duration) -> Filesystem {
    let paths = Paths { root: "/".into(), ..text.paths.clone() };
    Filesystem::new(&paths, Default::default(), timeout, &fake.stat())
}

/// A value by mount point; `None` if it is absent, which is sent as NaN.
fn value(rows: &[String], metric: &str, mount_point: &str) -> Option<f64> {
    let row = rows.iter().find(|r| {
        r.starts_with(&format!("{metric}{{")) && r.contains(&format!("{mount_point:?}"))
    })?;
    row.rsplit(' ').next().unwrap().parse::<f64>().ok().filter(|v| !v.is_nan())
}

/// Tries again for as long as a thread that was let go may take to be scheduled.
fn until(mut happened: impl FnMut() -> bool) -> bool {
    (0..1_000_000).any(|_| {
        std::thread::yield_now();
        happened()
    })
}

const SIZE: &str = "node_filesystem_size_bytes";
const ERROR: &str = "node_filesystem_device_error";
const MOUNTS: &str = "nfs /stuck nfs rw\n/dev/a / ext4 rw\n/dev/b /broken ext4 ro\n";

#[test]
fn stuck_mount_has_an_error_and_an_event_while_the_others_go_on() {
    let text = Text::new("1/mounts", MOUNTS);
    let fake = Arc::new(Fake::default());
    let mut source = source(&text, &fake, Duration::ZERO);
    for round in 0..3 {
        let (rows, result, events) = tick(&mut source);
        assert!(result.is_ok());
        assert_eq!(value(&rows, ERROR, "/stuck"), Some(1.0));
        assert_eq!(value(&rows, SIZE, "/stuck"), None);
        assert_eq!(value(&rows, SIZE, "/"), Some(100.0));
        assert_eq!(value(&rows, ERROR, "/broken"), Some(1.0));
        let kinds: Vec<_> = events.iter().map(|e| e.r#type.as_str()).collect();
        assert_eq!(kinds, if round == 0 { vec!["host.mount_stuck"] } else { vec![] });
    }
    assert_eq!(fake.calls("/stuck"), 1);
    assert_eq!(fake.calls("/"), 3);
    fake.release();
    assert!(until(|| tick(&mut source).2.iter().any(|e| e.r#type == "host.mount_recovered")));
    let (rows, result, _) = tick(&mut source);
    assert!(result.is_ok());
    assert_eq!(value(&rows, ERROR, "/stuck"), Some(0.0));
    assert_eq!(value(&rows, SIZE, "/stuck"), Some(100.0));
}

#[test]
fn slow_mount_is_absent_until_its_answer_comes() {
    let text = Text::new("1/mounts", MOUNTS);
    let fake = Arc::new(Fake::default());
    let mut source = source(&text, &fake, Duration::from_secs(3600));
    let (rows, _, events) = tick(&mut source);
    assert_eq!(value(&rows, ERROR, "/stuck"), None);
    assert_eq!(value(&rows, SIZE, "/"), Some(100.0));
    assert!(events.is_empty());
    fake.release();
    assert!(until(|| value(&tick(&mut source).0, SIZE, "/stuck") == Some(100.0)));
}

#[test]
fn threads_are_bounded_and_the_source_says_so() {
    let stuck: String = (0..MAX_THREADS + 2).map(|i| format!("nfs /stuck/{i} nfs rw\n")).collect();
    let text = Text::new("1/mounts", &format!("{stuck}/dev/a / ext4 rw\n"));
    let fake = Arc::new(Fake::default());
    let mut source = source(&text, &fake, Duration::ZERO);
    let (rows, result, events) = tick(&mut source);
    assert!(result.is_err());
    assert_eq!(value(&rows, SIZE, "/"), None);
    assert_eq!(events.len(), MAX_THREADS);
    assert_eq!(fake.calls.lock().unwrap().len(), MAX_THREADS);
    fake.release();
    assert!(until(|| tick(&mut source).1.is_ok()));
}

#[test]
fn mount_that_goes_while_stuck_is_forgotten() {
    let text = Text::new("1/mounts", MOUNTS);
    let fake = Arc::new(Fake::default());
    let mut source = source(&text, &fake, Duration::ZERO);
    assert!(tick(&mut source).1.is_ok());
    text.write("1/mounts", "/dev/a / ext4 rw\n");
    let (rows, result, events) = tick(&mut source);
    assert!(result.is_ok() && events.is_empty());
    assert!(rows.iter().all(|r| !r.contains("stuck")), "{rows:?}");
    fake.release();
    assert!(tick(&mut source).2.is_empty());
}

#[test]
fn own_mounts_are_read_where_the_nodes_may_not() {
    let text = Text::new("self/mounts", "/dev/a / ext4 ro\n");
    let fake = Arc::new(Fake::default());
    let (rows, result, _) = tick(&mut source(&text, &fake, Duration::ZERO));
    assert!(result.is_ok());
    assert_eq!(value(&rows, "node_filesystem_readonly", "/"), Some(1.0));
    text.write("1/mounts", "");
    assert!(tick(&mut source(&text, &fake, Duration::ZERO)).1.is_err());
}
