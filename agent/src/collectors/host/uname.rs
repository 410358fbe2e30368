//! The kernel's and machine's names.

use super::Source;
use super::buffer::Buffer;
use super::listing::{Due, RELIST};
use super::metrics::system as m;
use super::syscalls::{Syscalls, Uname};
use crate::collectors::CollectError;
use crate::sample::Batch;

pub(super) struct Names {
    uname: fn() -> Uname,
    due: Due,
    last: Uname,
}

impl Names {
    pub(super) fn new(syscalls: &Syscalls) -> Self {
        Self { uname: syscalls.uname, due: Due::default(), last: Uname::default() }
    }
}

impl Source for Names {
    fn read(&mut self, batch: &mut Batch, _: &mut Buffer) -> Result<(), CollectError> {
        if self.due.every(RELIST) {
            self.last = (self.uname)();
        }
        let uname = &self.last;
        let labels = [
            ("domainname", uname.domainname.as_str()),
            ("machine", &uname.machine),
            ("nodename", &uname.nodename),
            ("release", &uname.release),
            ("sysname", &uname.sysname),
            ("version", &uname.version),
        ];
        batch.node().set_with(&m::UNAME, &labels, 1.0);
        Ok(())
    }
}
