//! What this process uses.

/// Memory and CPU time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub resident_bytes: u64,
    pub cpu_seconds: f64,
}

/// Reads `/proc/self`; zero where it cannot be read.
#[must_use]
pub fn usage() -> Usage {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    let pages = text("/proc/self/statm").split(' ').nth(1).and_then(|p| p.parse::<u64>().ok());
    // proc(5): after the command's closing bracket, utime and stime are the 12th and 13th.
    let stat = text("/proc/self/stat");
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
    let ticks =
        fields.map(|f| f.skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>());
    let page = rustix::param::page_size() as u64;
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    Usage {
        resident_bytes: pages.unwrap_or_default() * page,
        cpu_seconds: ticks.unwrap_or_default() / hertz,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn own_usage_is_there() {
        let usage = super::usage();
        assert!(usage.resident_bytes > 1 << 20 && usage.cpu_seconds >= 0.0);
    }
}
