-- As in the files of blocks; the data are rollups.
CREATE TABLE merged (
    id INTEGER PRIMARY KEY,
    layout INTEGER NOT NULL,
    part INTEGER NOT NULL,
    day INTEGER NOT NULL,
    level INTEGER NOT NULL,
    first_column INTEGER NOT NULL,
    columns INTEGER NOT NULL,
    first_ms INTEGER NOT NULL, -- end of the first step
    last_ms INTEGER NOT NULL, -- end of the last step
    ticks INTEGER NOT NULL,
    born INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX merged_by_time
    ON merged (layout, first_ms, last_ms, first_column, columns, born, part, day, level, ticks);
CREATE INDEX merged_by_part ON merged (part);

CREATE TABLE replaced (
    merged INTEGER NOT NULL,
    id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (merged, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE summary (
    seal INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    span_ms INTEGER NOT NULL,
    born INTEGER NOT NULL,
    first_ms INTEGER NOT NULL
) STRICT;
INSERT INTO summary VALUES (0, 0, -9223372036854775808, 0, 0, 9223372036854775807);
