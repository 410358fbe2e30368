//! Bonds: how many devices they have, and how many of those have a link.

use std::path::PathBuf;

use super::buffer::Buffer;
use super::metrics::network as m;
use super::parse::words;
use super::{Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Bonding {
    dir: PathBuf,
}

impl Bonding {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { dir: paths.sys.join("class/net") }
    }
}

impl Source for Bonding {
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError> {
        let masters = buffer.file(&self.dir.join("bonding_masters"))?.to_owned();
        for master in words(&masters) {
            let dir = self.dir.join(master);
            let Some(slaves) = buffer.attribute(&dir, "bonding/slaves").map(str::to_owned) else {
                continue;
            };
            let (mut count, mut active) = (0.0, 0.0);
            for slave in words(&slaves) {
                let state =
                    buffer.attribute(&dir, &format!("lower_{slave}/bonding_slave/mii_status"));
                count += 1.0;
                if state == Some("up") {
                    active += 1.0;
                }
            }
            let mut entity = batch.entity("bond", &[("master", master)]);
            entity.set(&m::BONDING_SLAVES, count).set(&m::BONDING_ACTIVE, active);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_text::{Text, rows};
    use super::*;

    #[test]
    fn bond_counts_its_devices() {
        let text = Text::new("class/net/bonding_masters", "bond0 gone\n");
        text.write("class/net/bond0/bonding/slaves", "a b\n");
        text.write("class/net/bond0/lower_a/bonding_slave/mii_status", "up\n");
        text.write("class/net/bond0/lower_b/bonding_slave/mii_status", "down\n");
        let expected =
            ["node_bonding_active{master=\"bond0\"} 1", "node_bonding_slaves{master=\"bond0\"} 2"];
        assert_eq!(rows(&mut Bonding::new(&text.paths)), expected);
    }
}
