//! What a stopped aggregator has on disk: journal and blocks as they are, without what answers
//! to queries hide. A sample that is stored twice counts twice.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use sextant_aggregator::storage::{ColumnQuery, Resolution, SqliteStore, Store as _, Wanted};
use sextant_proto::frame::{ChainDecoder, is_absent};
use sextant_proto::v1::{Frame, Layout};

use super::sender::LABEL;

/// How often each number of each sender is there.
pub(super) type Stored = HashMap<(String, u64), u64>;

/// A layout's sender and series.
struct Shape {
    hash: u64,
    sender: String,
    series: usize,
}

/// Adds what a data directory has.
///
/// # Errors
/// When it cannot be read, or a row's series do not all have its number.
pub(super) fn read(directory: &Path, stored: &mut Stored) -> anyhow::Result<()> {
    let store = SqliteStore::open(directory).context("open the aggregator's store")?;
    let inventory = store.load()?;
    let mut shapes = HashMap::new();
    for layout in &inventory.layouts {
        if let Some(shape) = shape(layout.hash, &layout.bytes)? {
            shapes.insert(layout.id, shape);
        }
    }
    let mut wrong = 0u64;
    let mut row = |shape: &Shape, values: &[f64]| {
        let number = values.first().copied().unwrap_or(f64::NAN);
        if values.iter().any(|value| value.to_bits() != number.to_bits()) {
            wrong += 1;
        }
        *stored.entry((shape.sender.clone(), whole(number))).or_default() += 1;
    };
    for (id, shape) in &shapes {
        let columns = (0..u32::try_from(shape.series)?).collect();
        let query = ColumnQuery {
            wanted: vec![Wanted { layout: *id, columns }],
            start_ms: i64::MIN,
            end_ms: i64::MAX,
            resolution: Resolution::Samples,
        };
        let mut values = Vec::new();
        store.columns(&query, &mut |_, segment| {
            for tick in 0..segment.ticks_ms.len() {
                values.clear();
                values.extend(segment.columns.iter().map(|column| column[tick]));
                // Compaction puts rows of some columns apart: the first says the number.
                if segment.which.first() == Some(&0) && values.iter().all(|v| !is_absent(*v)) {
                    row(shape, &values);
                }
            }
            true
        })?;
    }
    let by_hash: HashMap<u64, &Shape> = shapes.values().map(|shape| (shape.hash, shape)).collect();
    let mut decoders: HashMap<u32, ChainDecoder> = HashMap::new();
    let mut unread = 0u64;
    store.replay(&mut |record| {
        let Some(shape) = record.layout.and_then(|layout| shapes.get(&layout)) else { return };
        let frame = Frame {
            seq: record.seq,
            codec: record.codec,
            payload: record.payload,
            key: record.key,
        };
        let series = |hash| by_hash.get(&hash).map(|shape| shape.series);
        let decoder = decoders.entry(record.spool).or_default();
        match decoder.decode(&frame, series) {
            Ok(decoded) => decoded.rows().for_each(|(_, values)| row(shape, values)),
            Err(_) => unread += 1,
        }
    })?;
    ensure!(wrong == 0, "{wrong} rows have series of different numbers");
    ensure!(unread == 0, "{unread} frames of the journal cannot be read");
    Ok(())
}

fn shape(hash: u64, bytes: &[u8]) -> anyhow::Result<Option<Shape>> {
    let layout = Layout::decode(bytes).context("a stored layout")?;
    let labels = layout.entities.iter().flat_map(|entity| &entity.labels);
    let sender = labels.into_iter().find(|label| label.name == LABEL);
    let series = layout.entities.iter().map(|entity| entity.series.len()).sum();
    Ok(sender.map(|label| Shape { hash, sender: label.value.clone(), series }))
}

/// A number as it was sent; one that never was for what is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not below 0")]
fn whole(number: f64) -> u64 {
    if number.fract() == 0.0 && number >= 0.0 { number as u64 } else { u64::MAX }
}
