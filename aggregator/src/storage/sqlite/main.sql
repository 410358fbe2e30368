CREATE TABLE nodes (
    id INTEGER PRIMARY KEY,
    cluster TEXT NOT NULL,
    name TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    capabilities BLOB NOT NULL, -- a sextant.v1.Node of which only the capabilities are set
    last_seen_ms INTEGER NOT NULL,
    clock_skew_ms INTEGER NOT NULL,
    UNIQUE (cluster, name)
) STRICT;

CREATE TABLE metrics (
    name TEXT PRIMARY KEY,
    kind INTEGER NOT NULL,
    unit TEXT NOT NULL,
    help TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE layouts (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES nodes (id),
    hash INTEGER NOT NULL, -- the u64's bits as an i64
    data BLOB NOT NULL,
    UNIQUE (node, hash)
) STRICT;

CREATE TABLE spools (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES nodes (id),
    spool_id TEXT NOT NULL,
    committed_seq INTEGER NOT NULL,
    UNIQUE (node, spool_id)
) STRICT;

-- Frames as received that are in no block yet. The key is the order of replay, and a seal
-- deletes one range of it per chunk.
CREATE TABLE journal (
    layout INTEGER NOT NULL REFERENCES layouts (id),
    spool INTEGER NOT NULL REFERENCES spools (id),
    seq INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    crc INTEGER NOT NULL, -- CRC-32 of payload and key: SQLite has no checksums of its own
    payload BLOB NOT NULL,
    key BLOB NOT NULL, -- what the frame needs to be read alone; empty if the one before is there
    PRIMARY KEY (layout, spool, seq)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT for its memory of the largest id, which outlives the rows.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms INTEGER NOT NULL,
    node INTEGER NOT NULL REFERENCES nodes (id),
    type TEXT NOT NULL,
    data BLOB NOT NULL -- a sextant.v1.Event
) STRICT;
CREATE INDEX events_by_time ON events (time_ms);
CREATE INDEX events_by_node ON events (node, time_ms);
CREATE INDEX events_by_type ON events (type, time_ms);

CREATE TABLE anomalies (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node INTEGER NOT NULL REFERENCES nodes (id),
    opened_ms INTEGER NOT NULL,
    closed_ms INTEGER NOT NULL, -- 0 while open
    data BLOB NOT NULL -- a sextant.v1.Anomaly
) STRICT;
CREATE INDEX anomalies_by_opening ON anomalies (opened_ms);
CREATE INDEX anomalies_by_node ON anomalies (node, opened_ms);
CREATE INDEX anomalies_by_closing ON anomalies (closed_ms);
CREATE INDEX anomalies_open ON anomalies (opened_ms) WHERE closed_ms = 0;

-- The number of the last seal whose frames have left the journal.
CREATE TABLE sealed (seal INTEGER NOT NULL) STRICT;
INSERT INTO sealed VALUES (0);
