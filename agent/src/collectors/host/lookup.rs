//! Tables of fields, looked up in the kernel's order.

use super::metrics::Field;
use crate::sample::Metric;

/// A table of fields, looked up in the order in which the kernel writes them: the line after
/// the last one found is mostly the next.
pub(super) struct Lookup {
    fields: &'static [Field],
    at: usize,
}

impl Lookup {
    pub(super) fn new(fields: &'static [Field]) -> Self {
        Self { fields, at: 0 }
    }

    pub(super) fn find(&mut self, key: &str) -> Option<&'static Metric> {
        let (before, after) = self.fields.split_at(self.at);
        let found = after.iter().chain(before).position(|f| f.key == key)?;
        let index = (self.at + found) % self.fields.len();
        self.at = (index + 1) % self.fields.len();
        Some(&self.fields[index].metric)
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::memory::MEMINFO;
    use super::*;

    #[test]
    fn lookup_finds_every_field_in_any_order() {
        let mut lookup = Lookup::new(MEMINFO);
        for field in MEMINFO.iter().chain(MEMINFO.iter().rev()) {
            assert!(std::ptr::eq(lookup.find(field.key).unwrap(), &field.metric));
            assert!(lookup.find("nothing").is_none());
        }
    }
}
