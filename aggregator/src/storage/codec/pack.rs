//! Patched bit-packing: numbers in groups of 32, each group at the width that makes it
//! smallest. What is wider keeps its low bits in place and has its high bits in patches.
//!
//! ```text
//! group   1   width, 0 to 64; +128 when there are patches. 127 stands for groups of zeros
//!             only: their number follows as LEB128
//!        4w   32 numbers, low bits first (fewer numbers: as many bytes as they need)
//!         1   patches, then each: place u8, the bits above the width as LEB128
//! ```

use super::bytes::{Cursor, put_varint};

const GROUP: usize = 32;
const ZEROS: u8 = 127;
const PATCHED: u8 = 128;

fn bits(value: u64) -> usize {
    64 - value.leading_zeros() as usize
}

/// The cheapest width of a group and the bytes it takes.
fn best_width(group: &[u64]) -> (usize, usize) {
    let mut counts = [0u8; 65];
    let mut widest = 0;
    for &value in group {
        let bits = bits(value);
        counts[bits] += 1;
        widest = widest.max(bits);
    }
    let size = |width: usize| (group.len() * width).div_ceil(8);
    let (mut best, mut best_size) = (widest, size(widest));
    // Below 8 widths under the widest a patch takes one more byte, so few widths are worth it.
    for width in (0..widest).rev() {
        let mut total = size(width) + 1;
        if size(width) + usize::from(counts[width + 1..=widest].iter().any(|&c| c > 3)) * 8
            >= best_size + size(1)
        {
            continue;
        }
        for (wider, &count) in counts.iter().enumerate().take(widest + 1).skip(width + 1) {
            total += usize::from(count) * (1 + (wider - width).div_ceil(7));
        }
        if total < best_size {
            (best, best_size) = (width, total);
        }
    }
    (best, best_size)
}

/// Bytes that [`pack`] will take, groups of zeros counted as a byte each.
pub(super) fn packed_size(values: &[u64]) -> usize {
    values.chunks(GROUP).map(|group| 1 + best_width(group).1).sum()
}

pub(super) fn pack(values: &[u64], out: &mut Vec<u8>) {
    let mut zeros = 0;
    for group in values.chunks(GROUP) {
        if group.iter().all(|&value| value == 0) {
            zeros += 1;
            continue;
        }
        put_zeros(&mut zeros, out);
        let (width, _) = best_width(group);
        put_group(group, width, out);
    }
    put_zeros(&mut zeros, out);
}

fn put_zeros(zeros: &mut u64, out: &mut Vec<u8>) {
    match std::mem::take(zeros) {
        0 => {}
        1 => out.push(0),
        count => {
            out.push(ZEROS);
            put_varint(count, out);
        }
    }
}

fn put_group(group: &[u64], width: usize, out: &mut Vec<u8>) {
    let patches = group.iter().filter(|&&value| bits(value) > width).count();
    let width_byte = u8::try_from(width).expect("at most 64");
    out.push(width_byte | if patches > 0 { PATCHED } else { 0 });
    let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    let (mut held, mut held_bits) = (0u128, 0);
    for &value in group {
        held |= u128::from(value & mask) << held_bits;
        held_bits += width;
        while held_bits >= 8 {
            out.push((held & 0xff) as u8);
            held >>= 8;
            held_bits -= 8;
        }
    }
    if held_bits > 0 {
        out.push((held & 0xff) as u8);
    }
    if patches > 0 {
        out.push(u8::try_from(patches).expect("at most 32"));
        for (place, &value) in (0u8..).zip(group) {
            if bits(value) > width {
                out.push(place);
                put_varint(value >> width, out);
            }
        }
    }
}

/// Reads so many numbers; `None` when they are not there.
pub(super) fn unpack(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<u64>) -> Option<()> {
    out.clear();
    out.reserve(count);
    while out.len() < count {
        let left = count - out.len();
        let head = cursor.byte()?;
        if head == ZEROS {
            let groups = cursor.count(left.div_ceil(GROUP))?;
            if groups == 0 {
                return None;
            }
            out.resize(out.len() + left.min(groups * GROUP), 0);
            continue;
        }
        take_group(cursor, head, left.min(GROUP), out)?;
    }
    Some(())
}

#[expect(clippy::cast_possible_truncation, reason = "the upper half is the next numbers")]
fn take_group(cursor: &mut Cursor<'_>, head: u8, count: usize, out: &mut Vec<u64>) -> Option<()> {
    let width = usize::from(head & !PATCHED);
    if width > 64 {
        return None;
    }
    let start = out.len();
    let packed = cursor.take((count * width).div_ceil(8))?;
    // Eight bytes more than the largest group, so that every number can be read as a word.
    let mut words = [0u8; GROUP * 8 + 16];
    words[..packed.len()].copy_from_slice(packed);
    let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    let word = |at: usize| u64::from_le_bytes(words[at..at + 8].try_into().expect("eight bytes"));
    if width <= 56 {
        out.extend((0..count).map(|i| (word(i * width / 8) >> (i * width % 8)) & mask));
    } else {
        out.extend((0..count).map(|i| {
            let (at, shift) = (i * width / 8, i * width % 8);
            let both = u128::from(word(at)) | (u128::from(word(at + 8)) << 64);
            (both >> shift) as u64 & mask
        }));
    }
    if head & PATCHED != 0 {
        for _ in 0..cursor.byte()? {
            let place = usize::from(cursor.byte()?);
            let high = cursor.varint()?;
            let value = out.get_mut(start + place)?;
            if width == 64 || high << width >> width != high {
                return None;
            }
            *value |= high << width;
        }
    }
    Some(())
}
