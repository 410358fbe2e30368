//! The README's table of the agent's metrics is what the code says. `UPDATE_GOLDEN=1` writes it.

use std::fmt::Write as _;

use sextant_agent::app;
use sextant_agent::config::Config;

const BEGIN: &str = "<!-- agent-metrics:begin -->\n";
const END: &str = "<!-- agent-metrics:end -->";

#[test]
fn readme_lists_every_metric() {
    let mut metrics = app::metrics(&Config::default()).expect("metrics");
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut table =
        String::from("\n| metric | kind | unit | what it says |\n| --- | --- | --- | --- |\n");
    for metric in &metrics {
        let kind = metric.kind().as_str_name().trim_start_matches("METRIC_KIND_").to_lowercase();
        let help = metric.help.replace('|', "\\|");
        writeln!(table, "| `{}` | {kind} | {} | {help} |", metric.name, metric.unit)
            .expect("a String takes all that is written");
    }
    table.push('\n');
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let (head, rest) = readme.split_once(BEGIN).expect("README.md has the table's begin");
    let (now, tail) = rest.split_once(END).expect("README.md has the table's end");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}"))
            .expect("README.md is writable");
        return;
    }
    assert_eq!(now, table, "run with UPDATE_GOLDEN=1");
}
