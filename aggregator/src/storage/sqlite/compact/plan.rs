//! What is to be merged: the blocks of a layout in two hours that are over, or all rows of a
//! layout in a day that is over.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::super::SqliteStore;
use super::super::columns::start_of;
use super::super::file::sql_error;
use super::super::files::{FileId, Kind, Summary};
use super::{Compactor, Quiet};
use crate::storage::StoreError;

/// Length of what is merged first.
const SLOT_MS: i64 = 2 * 3_600_000;
/// Time after the end of two hours that most of what is late has come by.
const SLOT_GRACE_MS: i64 = 10 * 60_000;
/// The same for a day: what is out of order by an hour, and heads that are sealed after an idle
/// hour.
const DAY_GRACE_MS: i64 = SLOT_MS + SLOT_GRACE_MS;
/// A day that was sealed into waits so long: a backlog must not rewrite it with every chunk.
const DAY_REST_MS: i64 = 10 * 60_000;
/// Ticks that are merged into one row at most.
const MAX_TICKS: i64 = 200_000;
/// Jobs of one step.
const MAX_JOBS: usize = 64;
/// Ticks times jobs of one step: what a step reads is bounded, whatever the layouts.
const MAX_STEP_TICKS: i64 = 400_000;

/// Rows of a layout that become one part.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) file: FileId,
    pub(super) layout: u32,
    /// 1: two hours, 2: the day.
    pub(super) level: i64,
    pub(super) sources: Vec<Source>,
}

/// A row that is merged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    /// From the table `merged`, not `blocks`.
    pub(super) merged: bool,
    pub(super) id: i64,
    /// Its part; 0 for a block.
    pub(super) part: i64,
    pub(super) level: i64,
    pub(super) first_ms: i64,
    pub(super) ticks: i64,
    pub(super) first_column: u32,
    /// 0: all.
    pub(super) columns: u32,
    /// Of two samples of one instant, that of the larger one stays.
    pub(super) order: (i64, i64),
}

impl SqliteStore {
    /// What the next step merges, all of one file; nothing when there is nothing to do.
    pub(super) fn plan_jobs(
        &self,
        compactor: &mut Compactor,
        now_ms: i64,
    ) -> Result<Vec<Job>, StoreError> {
        let (sealed_files, sealed) = {
            let files = self.files.read();
            let entries = files.entries.iter().filter(|(id, _)| id.kind == Kind::Blocks);
            (entries.map(|(id, entry)| (*id, *entry)).collect::<Vec<_>>(), files.sealed)
        };
        let settled = compactor.settled.min(sealed);
        compactor.quiet.retain(|id, _| sealed_files.iter().any(|(other, _)| other == id));
        compactor.changed.retain(|id, _| sealed_files.iter().any(|(other, _)| other == id));
        for (id, entry) in sealed_files {
            let summary = entry.summary;
            let changed = compactor
                .changed
                .entry(id)
                .or_insert((summary.seal, if summary.seal <= settled { i64::MIN } else { now_ms }));
            if changed.0 != summary.seal {
                *changed = (summary.seal, now_ms);
            }
            let rested_ms = changed.1.saturating_add(DAY_REST_MS);
            let quiet = compactor.quiet.get(&id);
            if quiet.is_some_and(|q| {
                q.summary == summary
                    && q.settled >= settled.min(summary.seal)
                    && now_ms < q.until_ms
            }) {
                continue;
            }
            let Some((key, connection)) = self.file_reader(id, entry.incarnation)? else {
                continue;
            };
            let path = id.path(&self.directory);
            let over_ms = id.end_ms().saturating_add(DAY_GRACE_MS).max(rested_ms);
            let (jobs, until_ms) = if now_ms >= over_ms {
                (day_jobs(&connection, id, settled), i64::MAX)
            } else {
                let from = start_of(id.day);
                let slots = now_ms.saturating_sub(SLOT_GRACE_MS).saturating_sub(from) / SLOT_MS;
                let next = from.saturating_add((slots + 1) * SLOT_MS).saturating_add(SLOT_GRACE_MS);
                let before_ms = from.saturating_add(slots.max(0) * SLOT_MS);
                (slot_jobs(&connection, id, settled, before_ms), next.min(over_ms))
            };
            let mut jobs = jobs.map_err(sql_error(&path, "read", id.kind.format()))?;
            jobs.retain(|job| !compactor.damaged.contains(&(id, job.layout)));
            self.file_readers.put(key, connection);
            if jobs.is_empty() {
                compactor.quiet.insert(id, Quiet { summary, settled, until_ms });
                continue;
            }
            return Ok(jobs);
        }
        Ok(Vec::new())
    }
}

fn blocks(
    connection: &Connection,
    condition: &str,
    values: [i64; 2],
) -> rusqlite::Result<BTreeMap<(u32, i64), Vec<Source>>> {
    let sql = format!(
        "SELECT layout, id, first_ms, ticks, seal FROM blocks WHERE seal <= ?1 AND {condition}
            AND NOT EXISTS (SELECT 1 FROM replaced WHERE merged = 0 AND replaced.id = blocks.id)
        ORDER BY layout, first_ms"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(values)?;
    let mut found: BTreeMap<(u32, i64), Vec<Source>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (id, first_ms, seal) = (row.get(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(4)?);
        let source = Source {
            merged: false,
            id,
            part: 0,
            level: 0,
            first_ms,
            ticks: row.get(3)?,
            first_column: 0,
            columns: 0,
            // After everything merged.
            order: (i64::MAX, seal),
        };
        found.entry((row.get(0)?, first_ms.div_euclid(SLOT_MS))).or_default().push(source);
    }
    Ok(found)
}

fn slot_jobs(
    connection: &Connection,
    file: FileId,
    settled: i64,
    before_ms: i64,
) -> rusqlite::Result<Vec<Job>> {
    let found = blocks(connection, "first_ms < ?2", [settled, before_ms])?;
    let jobs = found.into_iter().map(|((layout, _), sources)| (layout, 1, sources));
    Ok(bounded(file, jobs))
}

fn day_jobs(connection: &Connection, file: FileId, settled: i64) -> rusqlite::Result<Vec<Job>> {
    let mut layouts: BTreeMap<u32, Vec<Source>> = BTreeMap::new();
    for ((layout, _), sources) in blocks(connection, "first_ms > ?2", [settled, i64::MIN])? {
        layouts.entry(layout).or_default().extend(sources);
    }
    // Only of layouts that have something to merge.
    let sql = "SELECT DISTINCT layout FROM merged WHERE level < 2 AND NOT EXISTS
        (SELECT 1 FROM replaced WHERE merged = 1 AND replaced.id = merged.id)";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        layouts.entry(row.get(0)?).or_default();
    }
    let sql = "SELECT id, part, level, first_ms, ticks, first_column, columns, born FROM merged
        WHERE layout = ?1 AND NOT EXISTS
            (SELECT 1 FROM replaced WHERE merged = 1 AND replaced.id = merged.id)
        ORDER BY first_ms, first_column";
    let mut statement = connection.prepare_cached(sql)?;
    for (layout, sources) in &mut layouts {
        let mut rows = statement.query([layout])?;
        while let Some(row) = rows.next()? {
            let first_ms = row.get(3)?;
            sources.push(Source {
                merged: true,
                id: row.get(0)?,
                part: row.get(1)?,
                level: row.get(2)?,
                first_ms,
                ticks: row.get(4)?,
                first_column: row.get(5)?,
                columns: row.get(6)?,
                order: (row.get(7)?, first_ms),
            });
        }
    }
    let jobs = layouts.into_iter().map(|(layout, sources)| (layout, 2, sources));
    Ok(bounded(file, jobs))
}

/// Cuts what is too long, and takes what a step may do.
fn bounded(file: FileId, jobs: impl Iterator<Item = (u32, i64, Vec<Source>)>) -> Vec<Job> {
    let mut out: Vec<Job> = Vec::new();
    let mut total = 0;
    for (layout, level, mut sources) in jobs {
        // Parts stay together, whatever lies between their rows.
        let mut starts: BTreeMap<i64, i64> = BTreeMap::new();
        for source in &sources {
            let start = starts.entry(source.part).or_insert(source.first_ms);
            *start = source.first_ms.min(*start);
        }
        sources.sort_by_key(|source| {
            let start = if source.part == 0 { source.first_ms } else { starts[&source.part] };
            (start, source.part, source.first_ms, source.first_column)
        });
        let mut job = Job { file, layout, level, sources: Vec::new() };
        let mut ticks = 0;
        let mut last = (0, 0);
        for source in sources {
            let this = (source.part, source.first_ms);
            let is_new = source.part == 0 || source.part != last.0;
            // Rows of one part that begin at once have the same ticks.
            let more = if source.part != 0 && this == last { 0 } else { source.ticks };
            last = this;
            if is_new && ticks > 0 && ticks + more > MAX_TICKS {
                total += ticks;
                finish(&mut out, &mut job, level);
                ticks = 0;
            }
            ticks += more;
            job.sources.push(source);
        }
        total += ticks;
        finish(&mut out, &mut job, level);
        if out.len() >= MAX_JOBS || total >= MAX_STEP_TICKS {
            break;
        }
    }
    out
}

fn finish(out: &mut Vec<Job>, job: &mut Job, level: i64) {
    let sources = std::mem::take(&mut job.sources);
    let part = sources.first().map_or(0, |source| source.part);
    let is_done = part != 0 && sources.iter().all(|s| s.part == part && s.level == level);
    if !sources.is_empty() && !is_done {
        out.push(Job { sources, ..job.clone() });
    }
}

/// Whether a file's rows are as they were.
pub(super) fn is_same(a: &Summary, b: &Summary) -> bool {
    (a.seal, a.born, a.blocks) == (b.seal, b.born, b.blocks)
}
