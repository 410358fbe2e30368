use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use super::open;
use crate::storage::Store;
use crate::storage::tests::{DAY, MIDNIGHT, chunk, columns, frames, inventory, journal};

const DIRECTORY: &str = "SEXTANT_TEST_KILLED_WRITER";
const NAME: &str = "storage::sqlite::tests::kill::killed_writer_keeps_what_it_acknowledged";
/// Frames of one commit; a chunk has those of three commits.
const FRAMES: u64 = 4;

/// What the killed process does: commits, says so, and seals now and then.
fn write_until_killed(directory: &Path) {
    let store = open(directory);
    store.commit(&inventory()).unwrap();
    for round in 0u64.. {
        let first = round * FRAMES + 1;
        let last = first + FRAMES - 1;
        store.commit(&frames(1, first..=last, 1)).unwrap();
        let mut out = io::stdout().lock();
        writeln!(out, "\ncommitted {last}").and_then(|()| out.flush()).unwrap();
        drop(out);
        if round % 3 == 2 {
            let day = i64::try_from(round % 2).unwrap() * DAY;
            let start = MIDNIGHT + day + i64::try_from(round).unwrap() * 1_000_000;
            store.seal(&[chunk(1, last + 1 - 3 * FRAMES..=last, start)]).unwrap();
        }
    }
}

/// Starts a writer, kills it after so many acknowledgements; the last that it gave.
#[expect(clippy::disallowed_methods, reason = "a process that can be killed")]
fn kill_after(acknowledgements: usize, directory: &Path) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = lines.filter_map(|line| line.strip_prefix("committed ")?.parse().ok());
    let mut last = acknowledged.nth(acknowledgements - 1).expect("it commits");
    child.kill().unwrap();
    child.wait().unwrap();
    last = acknowledged.last().unwrap_or(last);
    last
}

#[test]
fn killed_writer_keeps_what_it_acknowledged() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return write_until_killed(Path::new(&directory));
    }
    for acknowledgements in [1, 4, 9, 23, 60] {
        let directory = tempdir().unwrap();
        let acknowledged = kill_after(acknowledgements, directory.path());
        let store = open(directory.path());
        let committed = store.load().unwrap().spools[0].committed_seq;
        assert!(committed >= acknowledged, "{committed} of {acknowledged}");
        assert_eq!(committed % FRAMES, 0, "no half of a commit");
        let mut seqs: Vec<u64> = journal(&store).iter().map(|frame| frame.seq).collect();
        for segment in columns(&store, 1) {
            seqs.extend(segment.first_seq..segment.first_seq + segment.ticks_ms.len() as u64 / 10);
        }
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=committed).collect::<Vec<_>>(), "each frame in one place");
    }
}
