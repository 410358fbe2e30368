use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;

use super::*;

/// A log that gives what it is told, one answer a read.
struct Script {
    answers: VecDeque<io::Result<&'static [u8]>>,
    file: PipeReader,
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.answers.pop_front().unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl AsFd for Script {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn reader(queue: &Arc<Queue>) -> (Reader, PipeWriter) {
    let (stopped, stop) = io::pipe().unwrap();
    let reader = Reader {
        path: "log".into(),
        stopped,
        state: Arc::default(),
        queue: Arc::clone(queue),
        attribution: Arc::new(Attribution::new("/nonexistent".into())),
        process: None,
    };
    (reader, stop)
}

fn xids(queue: &Queue) -> Vec<u32> {
    let mut seen = VecDeque::new();
    queue.take(&mut seen);
    let xid = |seen: &Seen| match &seen.what {
        What::Kernel { line: Line::Xid(xid), .. } => xid.xid,
        other => panic!("{other:?}"),
    };
    seen.iter().map(xid).collect()
}

#[test]
fn overwritten_messages_are_counted_and_reading_goes_on() {
    let queue = Arc::new(Queue::default());
    let (mut reader, _stop) = reader(&queue);
    let answers = VecDeque::from([
        Ok(&b"3,7,1,-;NVRM: Xid (PCI:0000:3b:00): 13, a\n"[..]),
        Err(io::Error::from_raw_os_error(libc::EPIPE)),
        Err(io::Error::from_raw_os_error(libc::EINTR)),
        Ok(&b"3,107,1,-;NVRM: Xid (PCI:0000:3b:00): 31, b\n"[..]),
    ]);
    let (file, _other) = io::pipe().unwrap();
    let failed = reader.read(Script { answers, file }).err().map(|error| error.kind());
    assert_eq!(failed, Some(io::ErrorKind::TimedOut));
    assert_eq!(xids(&queue), [13, 31]);
    assert_eq!(reader.state.lost.load(Ordering::Relaxed), 99);
}

#[test]
fn flood_is_read_at_a_bounded_rate_and_stopping_does_not_wait_for_it() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    let half = start + Duration::from_millis(500);
    assert_eq!(budget.exceeded(LINES_PER_SECOND - 1, half), None);
    assert_eq!(budget.exceeded(1, half), Some(Duration::from_millis(500)));
    assert_eq!(budget.exceeded(1, start + Duration::from_secs(1)), None);

    let queue = Arc::new(Queue::default());
    let (mut reader, stop) = reader(&queue);
    let line = b"3,7,1,-;NVRM: Xid (PCI:0000:3b:00): 13, a\n";
    let flood = line.repeat(BUFFER / line.len());
    let answers = std::iter::repeat_with(|| Ok(&*flood.clone().leak())).take(9).collect();
    let (file, _other) = io::pipe().unwrap();
    drop(stop);
    assert!(reader.read(Script { answers, file }).is_ok());
    let told = xids(&queue).len() as u64;
    assert!(told + queue.dropped() >= LINES_PER_SECOND && told < 2 * LINES_PER_SECOND);
}

#[test]
fn messages_in_a_file_count_from_the_start_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kmsg");
    fs::write(&path, "3,1,1,-;NVRM: Xid (PCI:0000:3b:00): 13, before\n").unwrap();
    let mut log = open(&path).unwrap();
    let mut file = File::options().append(true).open(&path).unwrap();
    writeln!(file, "3,2,2,-;NVRM: Xid (PCI:0000:3b:00): 31, after").unwrap();
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert_eq!(text, "3,2,2,-;NVRM: Xid (PCI:0000:3b:00): 31, after\n");
}

#[test]
fn log_that_cannot_be_read_says_why() {
    let queue = Arc::new(Queue::default());
    let attribution = Arc::new(Attribution::new("/nonexistent".into()));
    let dir = tempfile::tempdir().unwrap();
    for (path, want) in [(dir.path().join("kmsg"), "not_found"), (dir.path().into(), "read_failed")]
    {
        let kmsg = Kmsg::start(path, &queue, &attribution).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while kmsg.problem().is_none() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(kmsg.problem(), Some(want));
    }
}

#[test]
fn time_is_the_messages_where_it_can_be() {
    for (micros, want) in [
        (Some(9_000_000), 99_000),
        (Some(10_000_000), 100_000),
        (Some(10_000_001), 100_000),
        (Some(1_000_000), 100_000),
        (None, 100_000),
    ] {
        assert_eq!(time_of(micros, 10_000_000, 100_000), want, "{micros:?}");
    }
}
