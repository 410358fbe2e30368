//! NVMe controllers, from /sys/class/nvme: who they are and whether they are alive.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::listing::{Due, RELIST, names};
use super::metrics::storage::NVME_INFO;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

struct NvmeController {
    name: String,
    dir: PathBuf,
    firmware: String,
    model: String,
    serial: String,
}

pub(super) struct Nvme {
    dir: PathBuf,
    due: Due,
    controllers: Vec<NvmeController>,
}

impl Nvme {
    pub(super) fn new(paths: &Paths) -> Self {
        let dir = paths.sys.join("class/nvme");
        Self { dir, due: Due::default(), controllers: Vec::new() }
    }
}

impl Source for Nvme {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            let controller = |name: String| {
                let dir = self.dir.join(&name);
                let mut text = |file| buffer.attribute(&dir, file).unwrap_or_default().to_owned();
                let (firmware, model, serial) =
                    (text("firmware_rev"), text("model"), text("serial"));
                NvmeController { name, dir, firmware, model, serial }
            };
            self.controllers = names(&self.dir).into_iter().map(controller).collect();
        }
        for controller in &self.controllers {
            let Some(state) = buffer.attribute(&controller.dir, "state") else {
                self.due.reset();
                continue;
            };
            let labels = [
                ("firmware_revision", controller.firmware.as_str()),
                ("model", &controller.model),
                ("serial", &controller.serial),
                ("state", state),
            ];
            let mut entity = batch.entity("nvme", &[("device", &controller.name)]);
            entity.set_with(&NVME_INFO, &labels, 1.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn state_of_a_controller_is_read_again() {
        let text = Text::new("class/nvme/nvme0/state", "live\n");
        let mut source = Nvme::new(&text.paths);
        assert!(rows(&mut source)[0].contains("state=\"live\""));
        text.write("class/nvme/nvme0/state", "dead\n");
        assert!(rows(&mut source)[0].contains("state=\"dead\""));
    }
}
