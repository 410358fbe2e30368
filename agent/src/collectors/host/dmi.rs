//! Machine, board and firmware, from /sys/class/dmi/id.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::names;
use super::metrics::system as m;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// The labels of `node_dmi_info` and the files that they are.
const DMI: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

/// DMI strings, which do not change while the node runs.
pub(super) struct Dmi {
    dir: PathBuf,
    values: Vec<(&'static str, String)>,
}

impl Dmi {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { dir: paths.sys.join("class/dmi/id"), values: Vec::new() }
    }
}

impl Source for Dmi {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.values.is_empty() {
            if names(&self.dir).is_empty() {
                return Err(CollectError::Absent(self.dir.display().to_string()));
            }
            for (label, file) in DMI {
                if let Some(value) = buffer.attribute(&self.dir, file) {
                    self.values.push((label, value.to_owned()));
                }
            }
        }
        let mut labels = [("", ""); DMI.len()];
        for (slot, (label, value)) in labels.iter_mut().zip(&self.values) {
            *slot = (label, value);
        }
        batch.node().set_with(&m::DMI_INFO, &labels[..self.values.len()], 1.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn dmi_has_a_label_per_file_and_is_absent_without() {
        let text = Text::new("class/dmi/id/sys_vendor", "ACME\n");
        assert_eq!(rows(&mut Dmi::new(&text.paths)), ["node_dmi_info{system_vendor=\"ACME\"} 1"]);
        assert!(rows(&mut Dmi::new(&Text::new("x", "").paths)).is_empty());
    }
}
