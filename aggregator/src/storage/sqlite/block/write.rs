//! Writing blocks.

use super::{
    COLUMN_CONSTANT, COLUMN_RAW, COLUMN_ZSTD, MAGIC, MAX_TICKS, TICKS_REGULAR, TICKS_VARINT,
    TICKS_ZSTD,
};
use crate::storage::{Chunk, StoreError};

/// Level 1: higher ones gain 3 % on columns and cost twice the time.
const ZSTD_LEVEL: i32 = 1;

/// Writes blocks; keeps its compression context and buffers.
pub(in crate::storage::sqlite) struct BlockEncoder {
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    packed: Vec<u8>,
}

impl BlockEncoder {
    pub(in crate::storage::sqlite) fn new() -> Self {
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).expect("zstd level 1 exists");
        Self { compressor, raw: Vec::new(), packed: Vec::new() }
    }

    /// Encodes a chunk that keeps the rules and has ticks.
    pub(in crate::storage::sqlite) fn encode(
        &mut self,
        chunk: &Chunk,
    ) -> Result<Vec<u8>, StoreError> {
        let too_large = || StoreError::Invalid(format!("chunk of {} is too large", chunk.layout));
        let small = |n: usize| u32::try_from(n).map_err(|_| too_large());
        if chunk.ticks_ms.len() > MAX_TICKS {
            return Err(too_large());
        }
        let mut ticks = Vec::new();
        self.encode_ticks(&chunk.ticks_ms, &mut ticks);
        let mut columns = Vec::new();
        let mut block = Vec::new();
        block.extend(MAGIC);
        block.extend([0; 3]);
        block.extend(small(chunk.ticks_ms.len())?.to_le_bytes());
        block.extend(small(chunk.columns.len())?.to_le_bytes());
        block.extend(small(ticks.len())?.to_le_bytes());
        for column in &chunk.columns {
            self.encode_column(column, &mut columns);
            block.extend(small(columns.len())?.to_le_bytes());
        }
        block.extend(ticks);
        block.extend(crc32fast::hash(&block).to_le_bytes());
        block.append(&mut columns);
        Ok(block)
    }

    fn encode_ticks(&mut self, ticks: &[i64], out: &mut Vec<u8>) {
        let first = ticks.first().copied().unwrap_or_default();
        let mut steps = ticks.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
        let step = steps.clone().next().unwrap_or(1);
        if steps.clone().all(|other| other == step) {
            out.push(TICKS_REGULAR);
            out.extend(first.to_le_bytes());
            out.extend(step.to_le_bytes());
            return;
        }
        self.raw.clear();
        self.raw.extend(first.to_le_bytes());
        steps.by_ref().for_each(|step| put_varint(step, &mut self.raw));
        self.put_smaller(TICKS_VARINT, TICKS_ZSTD, out);
    }

    fn encode_column(&mut self, column: &[f64], out: &mut Vec<u8>) {
        let start = out.len();
        let first = column.first().copied().unwrap_or_default();
        if column.iter().all(|value| value.to_bits() == first.to_bits()) {
            out.push(COLUMN_CONSTANT);
            out.extend(first.to_bits().to_le_bytes());
        } else {
            self.raw.clear();
            self.raw.extend(column.iter().flat_map(|value| value.to_bits().to_le_bytes()));
            self.put_smaller(COLUMN_RAW, COLUMN_ZSTD, out);
        }
        out.extend(crc32fast::hash(&out[start..]).to_le_bytes());
    }

    /// `raw` as it is or compressed, whichever is shorter, behind its mode.
    fn put_smaller(&mut self, plain: u8, zstd: u8, out: &mut Vec<u8>) {
        self.packed.resize(self.raw.len(), 0);
        // Into a buffer of the raw size: what does not shrink fails.
        let packed = self.compressor.compress_to_buffer(&self.raw, self.packed.as_mut_slice());
        match packed {
            Ok(bytes) if bytes < self.raw.len() => {
                out.push(zstd);
                out.extend(&self.packed[..bytes]);
            }
            _ => {
                out.push(plain);
                out.extend(&self.raw);
            }
        }
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}
