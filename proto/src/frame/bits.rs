//! A bit stream, least significant bit first: the codes of [`super::series`].
//!
//! A reader past its end reads zeros and remembers it: who reads checks [`BitReader::finish`]
//! once and not every code.

/// Ones after which a code is not a Rice code but an escape.
pub(super) const MAX_QUOTIENT: u32 = 10;

/// Appends bits to bytes.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    used: u32,
}

impl BitWriter {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.pending, self.used) = (0, 0);
    }

    /// The low `count` bits, at most 32 of them; those above are zero.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        debug_assert!(count <= 32 && bits >> count == 0);
        self.pending |= bits << self.used;
        self.used += count;
        if self.used >= 32 {
            let [a, b, c, d, ..] = self.pending.to_le_bytes();
            self.bytes.extend_from_slice(&[a, b, c, d]);
            self.pending >>= 32;
            self.used -= 32;
        }
    }

    /// The low `count` bits, at most 64 of them.
    #[inline]
    pub(super) fn put_wide(&mut self, bits: u64, count: u32) {
        if count > 32 {
            self.put(bits & 0xffff_ffff, 32);
            self.put(bits >> 32, count - 32);
        } else {
            self.put(bits, count);
        }
    }

    /// A number by Rice's code with `k` low bits. False when it is too large for that: nothing
    /// was written.
    #[inline]
    pub(super) fn rice(&mut self, number: u64, k: u32) -> bool {
        let ones = u32::try_from(number >> k).unwrap_or(u32::MAX);
        if ones >= MAX_QUOTIENT {
            return false;
        }
        self.put((1 << ones) - 1, ones + 1);
        self.put_wide(number & ((1 << k) - 1), k);
        true
    }

    /// A number of any size, shortest for the small: Elias' gamma code of the number's upper
    /// part, then `k` bits.
    pub(super) fn run(&mut self, number: u32, k: u32) {
        let upper = (u64::from(number) >> k) + 1;
        let length = upper.ilog2();
        self.put((1 << length) - 1, length + 1);
        self.put(upper & ((1 << length) - 1), length);
        self.put(u64::from(number) & ((1 << k) - 1), k);
    }

    /// Fills the last byte with zeros and hands out all.
    pub(super) fn finish(&mut self) -> &[u8] {
        while self.used > 0 {
            self.bytes.push(self.pending.to_le_bytes()[0]);
            self.pending >>= 8;
            self.used = self.used.saturating_sub(8);
        }
        &self.bytes
    }
}

/// Takes bits from bytes.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At least the next 57 bits.
    #[inline]
    fn window(&self) -> u64 {
        let byte = self.at / 8;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(word) => u64::from_le_bytes(word.try_into().expect("eight bytes")),
            None => self.last_word(byte),
        };
        word >> (self.at % 8)
    }

    #[cold]
    fn last_word(&self, byte: usize) -> u64 {
        let left = self.bytes.get(byte..).unwrap_or_default();
        let mut word = [0; 8];
        word[..left.len()].copy_from_slice(left);
        u64::from_le_bytes(word)
    }

    /// The next `count` bits, at most 56 of them.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u64 {
        let bits = self.window() & ((1 << count) - 1);
        self.at += count as usize;
        bits
    }

    /// The next `count` bits, at most 64 of them.
    #[inline]
    pub(super) fn take_wide(&mut self, count: u32) -> u64 {
        if count > 32 {
            let low = self.take(32);
            low | self.take(count - 32) << 32
        } else {
            self.take(count)
        }
    }

    /// What [`BitWriter::rice`] wrote; `None` for an escape.
    #[inline]
    pub(super) fn rice(&mut self, k: u32) -> Option<u64> {
        let window = self.window();
        let ones = (!window).trailing_zeros();
        if ones >= MAX_QUOTIENT {
            self.at += MAX_QUOTIENT as usize;
            return None;
        }
        if k <= 32 {
            self.at += (ones + 1 + k) as usize;
            return Some(u64::from(ones) << k | (window >> (ones + 1)) & ((1 << k) - 1));
        }
        self.at += ones as usize + 1;
        Some(u64::from(ones) << k | self.take_wide(k))
    }

    /// What [`BitWriter::run`] wrote; what is longer than any number reads as the largest.
    pub(super) fn run(&mut self, k: u32) -> u32 {
        let length = (!self.window()).trailing_zeros();
        if length > 32 {
            self.at = usize::MAX / 2;
            return u32::MAX;
        }
        self.at += length as usize + 1;
        let upper = (1 << length | self.take(length)) - 1;
        let number = upper << k | self.take(k);
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Whether it ends here: what is left are the zeros that fill a byte.
    pub(super) fn finish(&self) -> bool {
        self.at.div_ceil(8) == self.bytes.len() && self.window() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_were_written() {
        let mut out = BitWriter::default();
        let numbers = [0u64, 1, 2, 9, 10, 255, 1 << 31, (1 << 40) + 5, u64::MAX >> 1, u64::MAX];
        for number in numbers {
            out.put_wide(number, 64);
            for k in [0, 3, 31, 32, 33, 55, 63] {
                if !out.rice(number, k) {
                    out.put((1 << MAX_QUOTIENT) - 1, MAX_QUOTIENT);
                }
            }
            out.run(u32::try_from(number).unwrap_or(u32::MAX), 3);
        }
        let bytes = out.finish().to_vec();
        let mut reader = BitReader::new(&bytes);
        for number in numbers {
            assert_eq!(reader.take_wide(64), number);
            for k in [0, 3, 31, 32, 33, 55, 63] {
                let fits = number >> k < u64::from(MAX_QUOTIENT);
                assert_eq!(reader.rice(k), fits.then_some(number), "{number} by {k}");
            }
            assert_eq!(u64::from(reader.run(3)), number.min(u64::from(u32::MAX)));
        }
        assert!(reader.finish());
    }

    #[test]
    fn reader_past_its_end_reads_zeros_and_says_so() {
        let mut reader = BitReader::new(&[0xff]);
        assert!(!reader.finish());
        assert_eq!(reader.take(8), 0xff);
        assert!(reader.finish());
        assert_eq!((reader.take(56), reader.rice(3), reader.run(3)), (0, Some(0), 0));
        assert!(!reader.finish());
        let mut ones = BitReader::new(&[0xff; 16]);
        assert_eq!(ones.run(0), u32::MAX);
        assert!(!ones.finish());
    }
}
