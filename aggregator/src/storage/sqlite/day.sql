-- A rowid table, so that a blob can be read in parts.
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    spool INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    seal INTEGER NOT NULL, -- counts while it is not beyond the main database's sealed.seal
    data BLOB NOT NULL,
    UNIQUE (layout, first_ms, spool, first_seq)
) STRICT;

-- What a start must know without reading the blocks.
CREATE TABLE summary (
    seal INTEGER NOT NULL, -- the largest of the blocks
    blocks INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, -- the latest tick
    span_ms INTEGER NOT NULL -- the longest time from a block's first to its last tick
) STRICT;
INSERT INTO summary VALUES (0, 0, -9223372036854775808, 0);
