//! What this process uses.

/// Memory and CPU time; `None` for what cannot be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub resident_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
}

/// Reads `/proc/self`.
#[must_use]
pub fn usage() -> Usage {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    let pages = text("/proc/self/statm").split(' ').nth(1).and_then(|p| p.parse::<u64>().ok());
    // proc(5): after the command's closing bracket, utime and stime are the 12th and 13th.
    let stat = text("/proc/self/stat");
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    let ticks = next().zip(next()).map(|(user, system)| user + system);
    let page = rustix::param::page_size() as u64;
    let hertz = rustix::param::clock_ticks_per_second() as f64;
    Usage { resident_bytes: pages.map(|p| p * page), cpu_seconds: ticks.map(|t| t / hertz) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn own_usage_is_there() {
        let usage = super::usage();
        assert!(usage.resident_bytes > Some(1 << 20) && usage.cpu_seconds >= Some(0.0));
    }
}
