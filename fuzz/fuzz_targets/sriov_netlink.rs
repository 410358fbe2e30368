//! Bytes that may be a link with virtual functions, or attributes of any family.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_agent::collectors::sriov::vf_info;
use sextant_agent::netlink::Attributes;

/// Deeper than any family nests.
const DEPTH: usize = 6;

fn walk(attributes: Attributes<'_>, depth: usize) -> usize {
    let mut bytes = 0;
    for attribute in attributes {
        bytes += 4 + attribute.value.len();
        let _read = (attribute.uint(), attribute.sint(), attribute.text());
        if depth > 0 {
            assert!(walk(attribute.nested(), depth - 1) <= attribute.value.len());
        }
    }
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    assert!(walk(Attributes::new(bytes), DEPTH) <= bytes.len());
    let link = vf_info::parse_bytes(bytes);
    // A virtual function is at least two attributes.
    assert!(link.vfs.len() <= bytes.len() / 8);
    assert!(link.vfs.iter().all(|vf| vf.number < 65_536));
});
