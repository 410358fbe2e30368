-- The number of the last compaction that counts.
ALTER TABLE sealed ADD COLUMN compacted INTEGER NOT NULL DEFAULT 0;

-- Days before these were deleted by retention: coarser files answer for them.
CREATE TABLE kept (
    blocks_from_day INTEGER NOT NULL,
    minutes_from_day INTEGER NOT NULL
) STRICT;
INSERT INTO kept VALUES (-9223372036854775808, -9223372036854775808);
