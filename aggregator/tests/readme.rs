//! The README's table of the aggregator's own metrics is what it serves, and the deployments'
//! configurations are valid. `UPDATE_GOLDEN=1` writes the table.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use sextant_aggregator::config::Config;
use support::{Running, config, get};

const BEGIN: &str = "<!-- aggregator-metrics:begin -->\n";
const END: &str = "<!-- aggregator-metrics:end -->";

#[tokio::test(flavor = "multi_thread")]
async fn readme_lists_the_aggregators_own_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(config(dir.path())).await;
    let mut table =
        String::from("\n| metric | served at | kind | what it says |\n| --- | --- | --- | --- |\n");
    for path in ["/metrics", "/metrics/self"] {
        let (_, text) = get(&running.http, path, None).await;
        let mut families: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                    families.entry(name).or_default().0 = help;
                }
                (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                    families.entry(name).or_default().1 = kind;
                }
                _ => {}
            }
        }
        assert!(families.len() > 3, "{text}");
        for (name, (help, kind)) in families {
            assert!(!help.is_empty() && !kind.is_empty(), "{name} is not described");
            table += &format!("| `{name}` | `{path}` | {kind} | {help} |\n");
        }
    }
    table.push('\n');
    running.stop().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (head, rest) = readme.split_once(BEGIN).unwrap();
    let (now, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(now, table, "run with UPDATE_GOLDEN=1");
}

#[test]
fn configurations_of_the_deployments_are_valid() {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    for of in ["local", "base"] {
        let text = std::fs::read_to_string(manifests.join(of).join("aggregator.toml")).unwrap();
        let config: Config = toml::from_str(&text).unwrap_or_else(|e| panic!("{of}: {e}"));
        config.check().unwrap_or_else(|e| panic!("{of}: {e}"));
        let text = std::fs::read_to_string(manifests.join(of).join("agent.toml")).unwrap();
        let config: sextant_agent::config::Config =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{of}: {e}"));
        config.check().unwrap_or_else(|e| panic!("{of}: {e}"));
    }
}
