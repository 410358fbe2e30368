use super::*;

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The example with the keys that have no default: `# key = value` without the hash.
fn uncommented() -> String {
    let is_key = |text: &str| text.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let line = |line: &str| match line.strip_prefix("# ").filter(|text| is_key(text)) {
        Some(key) => format!("{key}\n"),
        None => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

/// Every key there is: the sections with optional keys are written out, so that a new one does
/// not compile without being here.
fn with_all_keys() -> Config {
    let some = |text: &str| Some(PathBuf::from(text));
    let UplinkConfig {
        endpoint, window_frames, window_bytes, resolve_interval, drain_timeout, ..
    } = UplinkConfig::default();
    let LogConfig { level, format, .. } = LogConfig::default();
    let Config { cluster, paths, collectors, spool, health, .. } = Config::default();
    Config {
        cluster,
        node: Some("node".into()),
        paths,
        log: LogConfig { level, format, otlp_endpoint: Some("x".into()) },
        collectors,
        spool,
        uplink: UplinkConfig {
            endpoint,
            ca_file: some("x"),
            cert_file: some("x"),
            key_file: some("x"),
            token_file: some("x"),
            window_frames,
            window_bytes,
            resolve_interval,
            drain_timeout,
        },
        health,
    }
}

fn key_paths(table: &toml::Table, prefix: &str, out: &mut Vec<String>) {
    for (key, value) in table {
        match value.as_table() {
            Some(table) => key_paths(table, &format!("{prefix}{key}."), out),
            None => out.push(format!("{prefix}{key}")),
        }
    }
}

#[test]
fn example_is_the_default() {
    assert_eq!(toml::from_str::<Config>(EXAMPLE).unwrap(), Config::default());
    Config::default().check().unwrap();
}

#[test]
fn example_shows_every_key_with_a_comment() {
    let (mut keys, mut shown) = (Vec::new(), Vec::new());
    key_paths(&toml::Table::try_from(with_all_keys()).unwrap(), "", &mut keys);
    let text = uncommented();
    toml::from_str::<Config>(&text).unwrap();
    key_paths(&toml::from_str::<toml::Table>(&text).unwrap(), "", &mut shown);
    keys.sort();
    shown.sort();
    assert_eq!(shown, keys);
    let mut above = "";
    for line in EXAMPLE.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(above.starts_with("# "), "{line:?} has no comment above it");
        }
        above = line;
    }
}

#[test]
fn wrong_values_name_their_key() {
    let f = |text: &str, want: &str| {
        let config: Config = toml::from_str(text).unwrap();
        let error = config.check().map_or_else(|e| e.to_string(), |()| "nothing".into());
        assert!(error.contains(want), "{text:?}: {error:?} does not say {want:?}");
    };
    f("node = 'a.b-c.1'", "nothing");
    f("cluster = ''", "cluster \"\"");
    f("cluster = 'A'", "cluster \"A\"");
    f("node = 'a..b'", "node \"a..b\"");
    f("node = '-a'", "node \"-a\"");
    f(&format!("node = '{}'", "a".repeat(254)), "of at most 253");
    f("log.level = 'a=b=c'", "log.level");
    f("collectors.host.interval = '0s'", "collectors.host.interval");
    f("collectors.host.slow_interval = '2days'", "collectors.host.slow_interval");
    f("collectors.host.disk_exclude = '('", "collectors.host.disk_exclude");
    f("collectors.host.disk_exclude = '('", "unclosed group");
    f("collectors.agent.interval = '15ms 1us'", "collectors.agent.interval");
    f("spool.max_bytes = 1", "spool.max_bytes 1");
    f("spool.memory_bytes = 1", "spool.memory_bytes 1");
    f("spool.max_age = '0s'", "spool.max_age");
    f("spool.dir = ''", "spool.dir");
    f("uplink.window_frames = 0", "uplink.window_frames");
    f("uplink.window_bytes = 0", "uplink.window_bytes");
    f("uplink.endpoint = 'host:1'", "uplink.endpoint");
}
