//! A chain: what both sides remember of one layout from frame to frame.
//!
//! The columns of a frame begin with the checksum of the frame before (its `link`), then how
//! many ticks there are and by how much their distance differs from the last one's, then two
//! streams of bits: the lengths of the runs of calm series, and the values of all others (see
//! [`Series`]).
//!
//! ```text
//! 0  4  link: low half of the XXH3-64 of the payload before; 0 begins a chain
//! 4  …  varint: ticks
//!    …  varint, zigzag, for each: its distance less the distance before
//!    …  varint: bytes of runs
//!    …  runs
//!    …  values
//! ```

use super::bits::{BitReader, BitWriter};
use super::series::{Habit, Series, is_decimal};
use super::{FrameError, varint};
use crate::limits;

/// Bits of a run's length that are written as they are.
const RUN_BITS: u32 = 4;
/// Decimals in a row after which a series of raw bits is one of decimals again.
const DECIMALS: u8 = 4;

/// The state before or after a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) layout: u64,
    /// Names the frame that made this state; 0 before the first.
    pub(super) link: u32,
    pub(super) tick_ms: i64,
    pub(super) tick_step: i64,
    pub(super) series: Vec<Series>,
}

/// What names a payload for the next frame of its chain.
pub(super) fn link_of(payload: &[u8]) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    let link = xxhash_rust::xxh3::xxh3_64(payload) as u32;
    link.max(1)
}

impl Chain {
    /// Before anything was sent.
    pub(super) fn new(layout: u64, series: usize) -> Self {
        let series = vec![Series::default(); series];
        Self { layout, link: 0, tick_ms: 0, tick_step: 0, series }
    }

    /// Moves on by one tick's time; what is written of it.
    fn tick_code(&mut self, tick_ms: i64) -> i64 {
        let step = tick_ms.wrapping_sub(self.tick_ms);
        let code = step.wrapping_sub(self.tick_step);
        // The first distance is from 1970: no later one is like it.
        self.tick_step = if self.link == 0 && self.tick_ms == 0 { 0 } else { step };
        self.tick_ms = tick_ms;
        code
    }

    fn tick_of(&mut self, code: i64) -> i64 {
        let tick_ms = self.tick_ms.wrapping_add(self.tick_step).wrapping_add(code);
        self.tick_code(tick_ms);
        tick_ms
    }

    /// Whether so much time went by that both sides may have dropped it: half an hour, and four
    /// times the distance of its ticks. Those who read keep it for twice as long.
    pub(super) fn is_over(&self, tick_ms: i64, patience: i64) -> bool {
        let bound = (patience * 1_800_000).max(self.tick_step.saturating_mul(4 * patience));
        tick_ms.saturating_sub(self.tick_ms) > bound
    }
}

/// Buffers of a writer, and what only it has to know.
#[derive(Debug, Default)]
pub(super) struct Writing {
    runs: BitWriter,
    values: BitWriter,
}

impl Writing {
    /// Appends a frame's columns and moves the chain on. `decimals` counts, for each series of
    /// raw bits, how many decimals came in a row.
    pub(super) fn columns(
        &mut self,
        chain: &mut Chain,
        decimals: &mut [u8],
        ticks_ms: &[i64],
        values: &[f64],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&chain.link.to_le_bytes());
        varint::put(out, ticks_ms.len() as u64);
        for &tick_ms in ticks_ms {
            varint::put_signed(out, chain.tick_code(tick_ms));
        }
        self.runs.clear();
        self.values.clear();
        let mut run = 0;
        for row in values.chunks_exact(chain.series.len().max(1)) {
            for ((series, &value), decimals) in chain.series.iter_mut().zip(row).zip(&mut *decimals)
            {
                let habit = series.habit();
                if habit != Habit::Busy {
                    let expected = series.expects(value);
                    if habit == Habit::Flagged {
                        self.values.put(u64::from(!expected), 1);
                    } else if expected {
                        run += 1;
                    } else {
                        self.runs.run(run, RUN_BITS);
                        run = 0;
                    }
                    if expected {
                        series.calm();
                        continue;
                    }
                }
                let mut wants_decimal = false;
                if series.is_raw() {
                    *decimals = if is_decimal(value) { *decimals + 1 } else { 0 };
                    wants_decimal = *decimals >= DECIMALS;
                    *decimals %= DECIMALS;
                }
                series.write(value, &mut self.values, wants_decimal);
            }
        }
        if run > 0 {
            self.runs.run(run, RUN_BITS);
        }
        let runs = self.runs.finish();
        varint::put(out, runs.len() as u64);
        out.extend_from_slice(runs);
        out.extend_from_slice(self.values.finish());
    }
}

/// The columns of a frame before they are read.
pub(super) struct Columns<'a> {
    pub(super) link: u32,
    pub(super) ticks: usize,
    rest: &'a [u8],
}

impl<'a> Columns<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut rest = bytes;
        let columns = rest.split_off(..4).zip(varint::take(&mut rest));
        let (link, ticks) = columns.ok_or_else(cut)?;
        let link = u32::from_le_bytes(link.try_into().expect("four bytes"));
        Ok(Self { link, ticks: usize::try_from(ticks).unwrap_or(usize::MAX), rest })
    }

    /// Reads the ticks and moves the chain's time on.
    pub(super) fn ticks(
        &mut self,
        chain: &mut Chain,
        ticks_ms: &mut Vec<i64>,
    ) -> Result<(), FrameError> {
        let limit = limits::MAX_SAMPLES_PER_FRAME;
        if self.ticks.saturating_mul(chain.series.len().max(1)) > limit {
            return Err(FrameError::Limit { what: "samples", limit });
        }
        if self.ticks == 0 {
            return Err(FrameError::Decode("a layout without a tick".into()));
        }
        for _ in 0..self.ticks {
            let code = varint::take_signed(&mut self.rest).ok_or_else(cut)?;
            ticks_ms.push(chain.tick_of(code));
        }
        Ok(())
    }

    /// Reads the values, moves the chain on by them, and hands out each, tick by tick.
    pub(super) fn values(
        mut self,
        chain: &mut Chain,
        mut each: impl FnMut(&Series),
    ) -> Result<(), FrameError> {
        let length = varint::take(&mut self.rest).and_then(|n| usize::try_from(n).ok());
        let runs = length.and_then(|n| self.rest.split_off(..n)).ok_or_else(cut)?;
        let mut runs = BitReader::new(runs);
        let mut input = BitReader::new(self.rest);
        let mut run = None;
        for _ in 0..self.ticks {
            for series in &mut chain.series {
                let surprise = match series.habit() {
                    Habit::Busy => true,
                    Habit::Flagged => input.take(1) == 1,
                    Habit::Calm => match run.unwrap_or_else(|| runs.run(RUN_BITS)) {
                        0 => {
                            run = None;
                            true
                        }
                        left => {
                            run = Some(left - 1);
                            false
                        }
                    },
                };
                if surprise {
                    let read = series.read(&mut input);
                    read.ok_or_else(|| FrameError::Decode("a code that nobody writes".into()))?;
                } else {
                    series.calm();
                }
                each(series);
            }
        }
        if run.is_some_and(|left| left > 0) || !runs.finish() || !input.finish() {
            return Err(FrameError::Decode("columns are longer or shorter than they say".into()));
        }
        Ok(())
    }
}

fn cut() -> FrameError {
    FrameError::Decode("columns are cut off".into())
}
