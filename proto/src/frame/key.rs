//! A chain's state as bytes: what makes a frame readable alone.
//!
//! ```text
//! 0  1  form: 0 a new chain, 1 a state, 2 a state in one zstd frame
//! 1  …  varint: series
//!    …  link (4), varints: tick, distance; then column by column:
//!       values, trends and divisors as varints, the four bytes of each series
//! ```

use bytes::Bytes;

use super::chain::Chain;
use super::series::Series;
use super::{FrameError, pack, varint};
use crate::limits;

const NEW: u8 = 0;
const STATE: u8 = 1;
const PACKED: u8 = 2;
/// The longest that a series can be: two signed numbers, one of 32 bits, four bytes.
const MAX_SERIES_BYTES: usize = 10 + 10 + 5 + 4;
const MAX_HEAD_BYTES: usize = 4 + 10 + 10;

pub(super) fn encode(chain: &Chain) -> Bytes {
    let mut out = vec![NEW];
    varint::put(&mut out, chain.series.len() as u64);
    if chain.link == 0 {
        return out.into();
    }
    let mut state = Vec::with_capacity(chain.series.len() * 10);
    state.extend_from_slice(&chain.link.to_le_bytes());
    varint::put_signed(&mut state, chain.tick_ms);
    varint::put_signed(&mut state, chain.tick_step);
    let series = &chain.series;
    series.iter().for_each(|s| varint::put_signed(&mut state, s.value));
    series.iter().for_each(|s| varint::put_signed(&mut state, s.trend));
    series.iter().for_each(|s| varint::put(&mut state, u64::from(s.divisor)));
    state.extend(series.iter().map(|s| s.form));
    state.extend(series.iter().map(|s| s.history));
    state.extend(series.iter().map(|s| s.last_cost));
    state.extend(series.iter().map(|s| s.trend_cost));
    let packed = pack::compress(&state);
    out[0] = if packed.is_some() { PACKED } else { STATE };
    out.extend_from_slice(packed.as_deref().unwrap_or(&state));
    out.into()
}

/// Reads a key of a layout of `series` columns.
pub(super) fn decode(bytes: &[u8], layout: u64, series: usize) -> Result<Chain, FrameError> {
    if bytes.len() > limits::MAX_KEY_BYTES {
        return Err(FrameError::Limit { what: "key bytes", limit: limits::MAX_KEY_BYTES });
    }
    let mut rest = bytes;
    let form = rest.split_off_first().copied();
    let count = varint::take(&mut rest).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(damaged)?;
    if count != series {
        let what = format!("key of {count} columns where the layout has {series}");
        return Err(FrameError::Decode(what));
    }
    match form {
        Some(NEW) if rest.is_empty() => Ok(Chain::new(layout, series)),
        Some(STATE) => state(rest, layout, series).ok_or_else(damaged),
        Some(PACKED) => {
            let plain = pack::decompress(rest, MAX_HEAD_BYTES + series * MAX_SERIES_BYTES)?;
            state(&plain, layout, series).ok_or_else(damaged)
        }
        _ => Err(damaged()),
    }
}

/// How many series a key is for, as it says.
pub(super) fn series(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.get(1..)?;
    let count = usize::try_from(varint::take(&mut rest)?).ok()?;
    (count <= limits::MAX_SAMPLES_PER_FRAME).then_some(count)
}

fn state(mut bytes: &[u8], layout: u64, count: usize) -> Option<Chain> {
    let rest = &mut bytes;
    let link = u32::from_le_bytes(rest.split_off(..4)?.try_into().expect("four bytes"));
    let (tick_ms, tick_step) = (varint::take_signed(rest)?, varint::take_signed(rest)?);
    // A state is never smaller: what it says it holds is not reserved before it is there.
    if rest.len() < count * 7 {
        return None;
    }
    let mut series = vec![Series::default(); count];
    for s in &mut series {
        s.value = varint::take_signed(rest)?;
    }
    for s in &mut series {
        s.trend = varint::take_signed(rest)?;
    }
    for s in &mut series {
        s.divisor = u32::try_from(varint::take(rest)?).ok()?;
    }
    let mut bytes = || rest.split_off(..count);
    let (forms, histories, lasts, trends) = (bytes()?, bytes()?, bytes()?, bytes()?);
    for (i, s) in series.iter_mut().enumerate() {
        (s.form, s.history) = (forms[i], histories[i]);
        (s.last_cost, s.trend_cost) = (lasts[i], trends[i]);
    }
    let valid = link != 0 && rest.is_empty() && series.iter().all(Series::is_valid);
    valid.then_some(Chain { layout, link, tick_ms, tick_step, series })
}

fn damaged() -> FrameError {
    FrameError::Decode("key is not the state of its layout".into())
}
