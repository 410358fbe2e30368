//! The kernel's own log, where this machine lets it be read and written: a message written to it
//! reaches the collector. The message says only which GPU is at an address that no machine has.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stderr, reason = "says why there was nothing to test")]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sextant_agent::collectors::gpu::{Gpu, GpuConfig};
use sextant_agent::collectors::pods::Attribution;
use sextant_agent::collectors::{Collector as _, Paths};
use sextant_agent::sample::Batch;
use sextant_proto::layout;

const UUID: &str = "GPU-00000000-7e57-0000-0000-000000000000";

/// The log to write to; an error where it cannot be used.
fn log() -> io::Result<File> {
    let mut log =
        File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    log.write_all(b"sextant-agent: test of the kernel log\n")?;
    // Sandboxes have a log that swallows what is written.
    let end = Instant::now() + Duration::from_secs(2);
    let mut record = [0; 16 << 10];
    while Instant::now() < end {
        match log.read(&mut record) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]).into_owned();
                if text.contains("sextant-agent: test of the kernel log") {
                    return Ok(log);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[test]
fn message_in_the_kernels_log_reaches_the_collector() {
    let mut log = match log() {
        Ok(log) => log,
        Err(error) => return eprintln!("skipped: /dev/kmsg cannot be used: {error}"),
    };
    let sys = tempfile::tempdir().unwrap();
    let device = sys.path().join("bus/pci/devices/ffff:ff:1f.0");
    fs::create_dir_all(&device).unwrap();
    for (name, text) in [("vendor", "0x10de"), ("class", "0x030200"), ("device", "0x2330")] {
        fs::write(device.join(name), text).unwrap();
    }
    let paths = Paths {
        sys: sys.path().to_path_buf(),
        nvml: "/nonexistent/libnvidia-ml.so.1".into(),
        ..Paths::default()
    };
    let attribution = Arc::new(Attribution::new(paths.proc.clone()));
    let mut gpu = Gpu::new(&GpuConfig::default(), &paths, &attribution);
    let mut batch = Batch::default();
    let end = Instant::now() + Duration::from_secs(60);
    let mut written = Instant::now();
    loop {
        batch.begin();
        gpu.collect(0, &mut batch).unwrap();
        let tick = batch.finish("gpu", 1_000);
        let shape = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
        if shape.entities.iter().any(|entity| entity.labels.iter().any(|l| l.value == UUID)) {
            return;
        }
        assert!(Instant::now() < end, "{shape:?}");
        // Only what is written after the log was opened counts. Each write is a message, and the
        // kernel takes ten in five seconds.
        if written.elapsed() > Duration::from_secs(1) {
            log.write_all(format!("NVRM: GPU at PCI:ffff:ff:1f: {UUID}\n").as_bytes()).unwrap();
            written = Instant::now();
        }
        std::thread::yield_now();
    }
}
