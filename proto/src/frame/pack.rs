//! zstd with contexts that are made at their first use and kept, one of each a thread: most
//! threads of an agent never need one.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::FrameError;

/// zstd's fastest ordinary level: above it nothing is gained on columns.
const LEVEL: i32 = 1;
/// Payloads below this do not shrink enough to be worth a context's time.
const MIN_BYTES: usize = 128;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The bytes smaller by a sixteenth at least; `None` when they are not.
pub(super) fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < MIN_BYTES {
        return None;
    }
    let packed = COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept.take() {
            Some(compressor) => compressor,
            None => Compressor::new(LEVEL).ok()?,
        };
        kept.insert(compressor).compress(plain).ok()
    })?;
    (packed.len() <= plain.len() - plain.len() / 16).then_some(packed)
}

/// Unpacks what says that it is not larger than `limit`.
pub(super) fn decompress(packed: &[u8], limit: usize) -> Result<Vec<u8>, FrameError> {
    let size = zstd::zstd_safe::get_frame_content_size(packed)
        .ok()
        .flatten()
        .ok_or_else(|| FrameError::Decode("not a zstd frame with its size".into()))?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > limit {
        return Err(FrameError::Limit { what: "decompressed bytes", limit });
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept.take() {
            Some(decompressor) => decompressor,
            None => Decompressor::new().map_err(|e| FrameError::Decode(e.to_string()))?,
        };
        let plain = kept.insert(decompressor).decompress(packed, size);
        plain.map_err(|e| FrameError::Decode(e.to_string()))
    })
}
