-- Finds blocks without touching their data.
CREATE INDEX blocks_by_time
    ON blocks (layout, first_ms, last_ms, seal, spool, first_seq, last_seq);

-- What compaction made of blocks: longer, and of some of the columns each.
CREATE TABLE merged (
    id INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    part INTEGER NOT NULL, -- the same for all rows made of the same samples, rollups included
    day INTEGER NOT NULL, -- that of the file of samples
    level INTEGER NOT NULL, -- 1: two hours, 2: the day
    first_column INTEGER NOT NULL,
    columns INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    born INTEGER NOT NULL, -- counts while it is not beyond the main database's sealed.compacted
    data BLOB NOT NULL
) STRICT;
CREATE INDEX merged_by_time
    ON merged (layout, first_ms, last_ms, first_column, columns, born, part, day, level, ticks);

-- Rows that a compaction has replaced: they do not count from it on, and go soon.
CREATE TABLE replaced (
    merged INTEGER NOT NULL, -- 0: a row of blocks, 1: of merged
    id INTEGER NOT NULL,
    at INTEGER NOT NULL, -- the compaction
    PRIMARY KEY (merged, id)
) STRICT, WITHOUT ROWID;

ALTER TABLE summary ADD COLUMN born INTEGER NOT NULL DEFAULT 0; -- the largest of the merged rows
ALTER TABLE summary ADD COLUMN first_ms INTEGER NOT NULL DEFAULT 9223372036854775807;
UPDATE summary SET first_ms = coalesce((SELECT min(first_ms) FROM blocks), 9223372036854775807);
