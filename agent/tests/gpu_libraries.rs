//! Libraries that are not NVML, or only a part of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod gpu_support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fake_nvml::scenario::{Gpu, Scenario};
use gpu_support::{Node, count, of, value, with};
use sextant_agent::collectors::CollectError;

/// Compiles a C file into a library.
fn compile(dir: &Path, name: &str, source: &str) -> PathBuf {
    let (from, to) = (dir.join(format!("{name}.c")), dir.join(format!("lib{name}.so")));
    std::fs::write(&from, source).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test may start a compiler")]
    let mut cc = std::process::Command::new("cc");
    let done = cc.args(["-shared", "-fPIC", "-o"]).arg(&to).arg(&from).status().unwrap();
    assert!(done.success());
    to
}

/// Ticks of all tiers; what the last fast one came to.
fn run(node: &mut Node) -> Result<gpu_support::Samples, CollectError> {
    let mut last = Err(CollectError::Absent(String::new()));
    for _ in 0..6 {
        node.advance(11.0);
        last = node.tick(0);
        drop(node.tick(1));
        drop(node.tick(2));
    }
    last
}

#[test]
fn libraries_that_are_not_nvml_are_survived() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        default(info);
    }));
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("libtext.so");
    std::fs::write(&text, "not a library").unwrap();
    let init = "int nvmlInit_v2(void) { return 0; }\n";
    let refuses = "int nvmlInit_v2(void) { return 999; }\n";
    let one = "int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }\n\
        int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = d; return 0; }\n";
    let uuid = "#include <string.h>\n\
        int nvmlDeviceGetUUID(void *d, char *b, unsigned n) { strncpy(b, \"GPU-1\", n); return 0; }\n\
        int nvmlDeviceGetPciInfo_v3(void *d, char *p) { strcpy(p + 36, \"00000000:01:00.0\"); return 0; }\n";
    let absent = [
        PathBuf::from("libc.so.6"),
        text,
        compile(dir.path(), "refuses", refuses),
        compile(dir.path(), "init", init),
    ];
    for path in absent {
        let mut node = with(Scenario::default(), |_, paths| paths.nvml.clone_from(&path));
        assert!(matches!(run(&mut node), Err(CollectError::Absent(_))), "{}", path.display());
    }
    for (name, source, gpus) in
        [("anonymous", [init, one].concat(), 0), ("bare", [init, one, uuid].concat(), 1)]
    {
        let path = compile(dir.path(), name, &source);
        let mut node = with(Scenario::default(), |_, paths| paths.nvml = path);
        let samples = run(&mut node).unwrap();
        assert_eq!(value(&samples, "gpu_devices", &[]), Some(f64::from(gpus)), "{name}");
        assert_eq!(of(&samples, "gpu_power_watts").count(), 0, "{name}");
        drop(node);
    }
    // Threads end on their own; one that panicked while it did so would be too late to see.
    gpu_support::pause(std::time::Duration::from_millis(100));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}

#[test]
fn functions_that_an_old_driver_lacks_are_done_without() {
    let scenario = Scenario {
        driver: "470.256.02".into(),
        omit: [
            "nvmlDeviceGetMemoryInfo_v2",
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetGpuFabricInfoV",
            "nvmlDeviceGetMarginTemperature",
            "nvmlDeviceGetComputeRunningProcesses_v3",
            "nvmlGpmQueryDeviceSupport",
            "nvmlDeviceGetSramEccErrorStatus",
        ]
        .map(str::to_owned)
        .to_vec(),
        gpus: vec![Gpu::of("a100").count(2)],
        ..Scenario::default()
    };
    let mut node = gpu_support::node(scenario);
    let fast = node.until_read(2);
    assert_eq!(count(&fast, "gpu_clocks_event_active"), 18, "by its older name");
    assert_eq!(count(&fast, "gpu_power_watts"), 2, "by the call where there is no field");
    let medium = node.medium();
    assert_eq!(count(&medium, "gpu_memory_used_bytes"), 2, "by its older form");
    assert_eq!(of(&medium, "gpu_memory_reserved_bytes").count(), 0);
    assert_eq!(of(&medium, "gpu_fabric_state").count(), 0);
    let slow = node.slow();
    assert_eq!(count(&slow, "gpu_processes"), 4, "by their older name");
}
