//! Memory errors, from /sys/devices/system/edac: controllers are listed once a minute, their
//! counts read at every tick.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, numbered};
use super::metrics::hardware as m;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::{Batch, Metric};

struct Controller {
    number: String,
    dir: PathBuf,
    rows: Vec<(String, PathBuf)>,
}

pub(super) struct Edac {
    dir: PathBuf,
    due: Due,
    controllers: Vec<Controller>,
}

impl Edac {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("devices/system/edac/mc");
        Self { dir, due: Due::default(), controllers: Vec::new() }
    }
}

impl Source for Edac {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            let found = numbered(&self.dir, "mc").into_iter();
            let controller = |(number, dir): (String, PathBuf)| Controller {
                number,
                rows: numbered(&dir, "csrow"),
                dir,
            };
            self.controllers = found.map(controller).collect();
        }
        for controller in &self.controllers {
            let mut entity = batch.entity("edac", &[("controller", &controller.number)]);
            let counts: [(&str, &Metric); 2] =
                [("ce_count", &m::EDAC_CORRECTABLE), ("ue_count", &m::EDAC_UNCORRECTABLE)];
            for (file, metric) in counts {
                if let Some(count) = buffer.number(&controller.dir, file) {
                    entity.set(metric, count);
                }
            }
            let unknown = [("csrow", "unknown")];
            let unknown_counts: [(&str, &Metric); 2] = [
                ("ce_noinfo_count", &m::EDAC_ROW_CORRECTABLE),
                ("ue_noinfo_count", &m::EDAC_ROW_UNCORRECTABLE),
            ];
            for (file, metric) in unknown_counts {
                if let Some(count) = buffer.number(&controller.dir, file) {
                    entity.set_with(metric, &unknown, count);
                }
            }
            for (row, dir) in &controller.rows {
                let counts: [(&str, &Metric); 2] = [
                    ("ce_count", &m::EDAC_ROW_CORRECTABLE),
                    ("ue_count", &m::EDAC_ROW_UNCORRECTABLE),
                ];
                for (file, metric) in counts {
                    if let Some(count) = buffer.number(dir, file) {
                        entity.set_with(metric, &[("csrow", row)], count);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn controller_without_rows_or_counts_has_what_it_has() {
        let text = Text::new("devices/system/edac/mc/mc0/ce_count", "3\n");
        text.write("devices/system/edac/mc/mc0/ue_count", "x\n");
        text.write("devices/system/edac/mc/mc0/csrow1/ue_count", "1\n");
        text.write("devices/system/edac/mc/power/control", "auto\n");
        let expected = [
            "node_edac_correctable_errors_total{controller=\"0\"} 3",
            "node_edac_csrow_uncorrectable_errors_total{controller=\"0\",csrow=\"1\"} 1",
        ];
        assert_eq!(rows(&mut Edac::new(&text.paths)), expected);
    }
}
