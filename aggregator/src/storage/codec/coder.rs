//! Binary arithmetic coding with mixed predictions. Each model predicts a bit from what was
//! seen in its context; a mixer weighs the predictions and learns which of them is right. All
//! of it in integers, so that a reader on any machine makes the same predictions.
//!
//! Writing and reading share the code of the models: a [`BitCoder`] is told the bit when it
//! writes and says it when it reads.

use std::sync::LazyLock;

/// Bits of a probability.
const SCALE: u32 = 12;
const ONE: i32 = 1 << SCALE;
/// Slots of a model, by hash of the context: few enough to be cleared for each column.
const SLOT_BITS: u32 = 12;
/// Observations after which a slot stops slowing down.
const LIMIT: u32 = 255;
/// What each prediction weighs at first, in 65536ths.
const FIRST_WEIGHT: i32 = 12_000;
/// Speed of the mixer.
const RATE: i32 = 10;

/// Takes or gives bits.
pub(super) trait BitCoder {
    /// Codes a bit that is 1 with a probability of `p` in 4096ths; returns it.
    fn bit(&mut self, bit: bool, p: u32) -> bool;
    /// Codes bits that nothing predicts; returns them.
    fn raw(&mut self, value: u64, bits: u32) -> u64;
}

/// The interval that is left: its two ends.
#[derive(Clone, Copy)]
struct Interval {
    low: u32,
    high: u32,
}

impl Interval {
    const ALL: Self = Self { low: 0, high: u32::MAX };

    fn split(self, p: u32) -> u32 {
        let span = u64::from(self.high - self.low);
        // p is 1 to 4095, so both parts keep a number.
        self.low + u32::try_from((span * u64::from(p)) >> SCALE).expect("a part of the span")
    }

    fn narrow(&mut self, middle: u32, bit: bool) {
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
    }

    /// The top byte once it is settled.
    fn settled(&mut self) -> Option<u8> {
        let [low, ..] = self.low.to_be_bytes();
        let [high, ..] = self.high.to_be_bytes();
        if low != high {
            return None;
        }
        self.low <<= 8;
        self.high = (self.high << 8) | 0xff;
        Some(low)
    }
}

/// Writes bits.
pub(super) struct Encoder {
    interval: Interval,
    bytes: Vec<u8>,
    raw: BitWriter,
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    held: u128,
    count: u32,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { interval: Interval::ALL, bytes: Vec::new(), raw: BitWriter::default() }
    }

    /// The predicted bits and the raw ones.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        // As few bytes as lie in the interval whatever follows; a reader sees zeros there.
        let [high, ..] = self.interval.high.to_be_bytes();
        if self.interval.low > 0 {
            let short = u32::from(high) << 24;
            if short >= self.interval.low {
                self.bytes.push(high);
            } else {
                self.bytes.extend(self.interval.high.to_be_bytes());
            }
        }
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        let left = self.raw.count.div_ceil(8) as usize;
        self.raw.bytes.extend(&self.raw.held.to_le_bytes()[..left]);
        (self.bytes, self.raw.bytes)
    }
}

impl BitCoder for Encoder {
    fn bit(&mut self, bit: bool, p: u32) -> bool {
        self.interval.narrow(self.interval.split(p), bit);
        while let Some(byte) = self.interval.settled() {
            self.bytes.push(byte);
        }
        bit
    }

    fn raw(&mut self, value: u64, bits: u32) -> u64 {
        let writer = &mut self.raw;
        writer.held |= u128::from(value) << writer.count;
        writer.count += bits;
        while writer.count >= 8 {
            let [byte, ..] = writer.held.to_le_bytes();
            writer.bytes.push(byte);
            writer.held >>= 8;
            writer.count -= 8;
        }
        value
    }
}

/// Reads bits; zeros where there are no more.
pub(super) struct Decoder<'a> {
    interval: Interval,
    code: u32,
    bytes: &'a [u8],
    raw: &'a [u8],
    held: u128,
    count: u32,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8], raw: &'a [u8]) -> Self {
        let mut decoder = Self { interval: Interval::ALL, code: 0, bytes, raw, held: 0, count: 0 };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    fn shift(&mut self) {
        let next = self.bytes.split_first().map_or(0, |(&byte, rest)| {
            self.bytes = rest;
            byte
        });
        self.code = (self.code << 8) | u32::from(next);
    }
}

impl BitCoder for Decoder<'_> {
    fn bit(&mut self, _: bool, p: u32) -> bool {
        let middle = self.interval.split(p);
        let bit = self.code <= middle;
        self.interval.narrow(middle, bit);
        while self.interval.settled().is_some() {
            self.shift();
        }
        bit
    }

    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves at most 64 bits")]
    fn raw(&mut self, _: u64, bits: u32) -> u64 {
        while self.count < bits {
            let next = self.raw.split_first().map_or(0, |(&byte, rest)| {
                self.raw = rest;
                byte
            });
            self.held |= u128::from(next) << self.count;
            self.count += 8;
        }
        let value = (self.held & ((1u128 << bits) - 1)) as u64;
        self.held >>= bits;
        self.count -= bits;
        value
    }
}

/// `4096 / (1 + e^(-x/256))` by interpolation between 33 points.
fn squash(x: i32) -> i32 {
    const POINTS: [i32; 33] = [
        1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994,
        3348, 3607, 3785, 3901, 3975, 4024, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
    ];
    if x > 2047 {
        return 4095;
    }
    if x < -2047 {
        return 1;
    }
    let part = x & 127;
    let at = usize::try_from((x >> 7) + 16).expect("at least -16");
    (POINTS[at] * (128 - part) + POINTS[at + 1] * part + 64) >> 7
}

/// The inverse of [`squash`].
static STRETCH: LazyLock<[i16; 1 << SCALE]> = LazyLock::new(|| {
    let mut table = [2047; 1 << SCALE];
    let mut next = 0;
    for x in -2047..=2047i16 {
        let p = usize::try_from(squash(x.into())).expect("positive");
        for slot in table.iter_mut().take(p + 1).skip(next) {
            *slot = x;
        }
        next = next.max(p + 1);
    }
    table
});

/// How far a slot moves, by the number of observations: 16384 / (n + 1.5).
static STEPS: LazyLock<[i32; LIMIT as usize + 1]> =
    LazyLock::new(|| std::array::from_fn(|n| 32_768 / (2 * i32::try_from(n).expect("small") + 3)));

/// What a model has seen in each of its contexts: 22 bits of probability above 10 bits of
/// observations.
type Slots = [u32; 1 << SLOT_BITS];

/// The slots of `N` models and the weights of their mixer.
pub(super) struct Mixer<const N: usize> {
    slots: Vec<Slots>,
    weights: Vec<[i32; N]>,
    stretch: &'static [i16; 1 << SCALE],
    steps: &'static [i32; LIMIT as usize + 1],
}

impl<const N: usize> Mixer<N> {
    /// A mixer with so many sets of weights.
    pub(super) fn new(sets: usize) -> Self {
        Self {
            slots: vec![[1 << 31; 1 << SLOT_BITS]; N],
            weights: vec![[FIRST_WEIGHT; N]; sets],
            stretch: &STRETCH,
            steps: &STEPS,
        }
    }

    /// Codes a bit: `contexts` are hashes of what each model goes by, `node` the place of the
    /// bit in its symbol, `set` which weights to use.
    #[inline]
    #[expect(clippy::cast_possible_wrap, reason = "22 and 10 bits")]
    #[expect(clippy::cast_sign_loss, reason = "probabilities are positive")]
    pub(super) fn code<C: BitCoder>(
        &mut self,
        coder: &mut C,
        bit: bool,
        node: u32,
        contexts: &[u32; N],
        set: usize,
    ) -> bool {
        let node = node.wrapping_mul(0x9e37_79b1);
        let mut places = [0usize; N];
        let mut inputs = [0i32; N];
        let weights = &mut self.weights[set];
        let mut dot = 0i64;
        for (model, slots) in self.slots.iter().enumerate().take(N) {
            let hash = (contexts[model] ^ node).wrapping_mul(0x85eb_ca6b);
            let place = (hash >> (32 - SLOT_BITS)) as usize;
            places[model] = place;
            inputs[model] = self.stretch[(slots[place] >> 20) as usize].into();
            dot += i64::from(inputs[model]) * i64::from(weights[model]);
        }
        let x = i32::try_from((dot >> 16).clamp(-2047, 2047)).expect("clamped");
        let p = squash(x);
        let bit = coder.bit(bit, p as u32);
        let error = (if bit { ONE - 1 } else { 0 } - p) * RATE;
        let target = if bit { (1 << 22) - 1 } else { 0 };
        for (model, slots) in self.slots.iter_mut().enumerate().take(N) {
            weights[model] += (inputs[model] * error + 0x2000) >> 14;
            let slot = &mut slots[places[model]];
            let (p, n) = ((*slot >> 10) as i32, *slot & 1023);
            let p = p + ((((target - p) >> 5) * self.steps[n as usize & 255]) >> 9);
            *slot = ((p as u32) << 10) | (n + 1).min(LIMIT);
        }
        bit
    }
}
