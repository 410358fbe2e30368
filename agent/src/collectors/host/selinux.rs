//! Whether SELinux is on, and enforces.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::metrics::system as m;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Selinux {
    dir: PathBuf,
}

impl Selinux {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { dir: paths.sys.join("fs/selinux") }
    }
}

impl Source for Selinux {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let enforces = buffer.number(&self.dir, "enforce");
        let mut node = batch.node();
        node.set(&m::SELINUX_ENABLED, f64::from(u8::from(enforces.is_some())));
        if let Some(enforces) = enforces {
            node.set(&m::SELINUX_CURRENT_MODE, enforces);
        }
        Ok(())
    }
}
