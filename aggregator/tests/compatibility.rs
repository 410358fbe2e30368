//! `docs/compatibility` against the code: a metric of ours that a table names exists, and what a
//! table says is shown is shown, with that type, and the other way round.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sextant_aggregator::projection::{DcgmNames, Family, families};

/// A row of a table: the peer's counter and its cells by the names of the columns.
struct Row {
    name: String,
    cells: BTreeMap<String, String>,
}

fn document(file: &str) -> (String, Vec<Row>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect()
    };
    let mut rows = Vec::new();
    let mut columns: Vec<String> = Vec::new();
    for line in text.lines() {
        if !line.starts_with('|') {
            columns.clear();
        } else if columns.is_empty() {
            columns = cells(line);
        } else if !line.starts_with("| ---") {
            let given = cells(line);
            assert_eq!(given.len(), columns.len(), "{file}: {line}");
            let name = given[0].trim_matches('`').to_owned();
            rows.push(Row { name, cells: columns.iter().cloned().zip(given).collect() });
        }
    }
    assert!(rows.len() > 10, "{file} has no table");
    (text, rows)
}

/// The names in backticks that look like a metric of ours.
fn own_metrics(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split('`').skip(1).step_by(2);
    words.filter(|word| {
        let known = ["gpu_", "ptp_", "sriov_pf_", "pod_", "node_"].iter();
        let ours = known.into_iter().any(|p| word.starts_with(p))
            || word.starts_with("sriov_vf_")
                && (word.ends_with("_total") || word.ends_with("_info"));
        ours && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && *word != "pod_uid"
    })
}

const FILES: [&str; 5] = [
    "dcgm-exporter.md",
    "gpud.md",
    "linuxptp-daemon.md",
    "cloud-event-proxy.md",
    "sriov-network-metrics-exporter.md",
];

#[test]
fn metrics_of_ours_that_the_tables_name_exist() {
    let known: BTreeSet<String> = support::agent_metrics().into_iter().map(|m| m.name).collect();
    for file in FILES {
        let (text, rows) = document(file);
        let unknown: Vec<&str> = own_metrics(&text).filter(|m| !known.contains(*m)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "{file}");
        for row in &rows {
            let (here, what) = (&row.cells["here"], &row.cells["what there is"]);
            assert!(["have", "better", "no"].contains(&here.as_str()), "{file}: {}", row.name);
            assert!(!what.is_empty(), "{file}: {} has no reason", row.name);
            let named = own_metrics(what).count();
            assert!(here != "better" || named > 0, "{file}: {} names no metric", row.name);
        }
    }
    let (_, gpud) = document("gpud.md");
    for row in gpud.iter().filter(|r| r.cells["here"] == "have") {
        assert!(own_metrics(&row.cells["what there is"]).count() > 0, "{}", row.name);
    }
}

#[test]
fn what_the_tables_say_is_shown_is_shown_and_the_other_way_round() {
    let all = families(DcgmNames::Legacy);
    let kinds: BTreeMap<&str, &str> = all.iter().map(|f| (f.name, f.kind.as_str())).collect();
    assert_eq!(kinds.len(), all.len(), "two families have one name");
    let mut listed = BTreeSet::new();
    for file in FILES.into_iter().filter(|f| *f != "gpud.md") {
        for row in document(file).1 {
            // Events have their own test; a field that is a label is a label of every line.
            let Some(kind) = row.cells.get("type").filter(|k| *k != "label") else { continue };
            let shown = kinds.get(row.name.as_str());
            let have = row.cells["here"] == "have";
            assert_eq!(shown.is_some(), have, "{file}: {}", row.name);
            if have {
                assert_eq!(shown, Some(&kind.as_str()), "{file}: {}", row.name);
            }
            listed.insert(row.name);
        }
    }
    let missing: Vec<&&str> = kinds.keys().filter(|n| !listed.contains(**n)).collect();
    assert_eq!(missing, Vec::<&&str>::new(), "no table has them");
}

#[test]
fn new_names_are_dcgms_and_hide_nothing() {
    let names = |of| -> BTreeSet<&str> { families(of).iter().map(|f: &Family| f.name).collect() };
    let (legacy, new, both) =
        (names(DcgmNames::Legacy), names(DcgmNames::Dcgm46), names(DcgmNames::Both));
    assert_eq!(both, &legacy | &new);
    assert!(new.contains("DCGM_FI_DEV_BOARD_POWER_WATTS") && !new.contains("DCGM_FI_DEV_GPU_TEMP"));
    let (text, rows) = document("dcgm-exporter.md");
    for renamed in new.difference(&legacy) {
        assert!(text.contains(&format!("`{renamed}` since 4.6")), "{renamed} is not documented");
    }
    let said = rows.iter().filter(|r| r.cells["what there is"].contains("since 4.6")).count();
    // Two old names became one.
    assert_eq!(said, new.difference(&legacy).count() + 1);
    let native: BTreeSet<String> = support::agent_metrics().into_iter().map(|m| m.name).collect();
    assert!(both.iter().all(|name| !native.contains(*name)), "a projection hides a native metric");
}
