CREATE TABLE incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    opened_ms INTEGER NOT NULL,
    closed_ms INTEGER NOT NULL, -- 0 while open
    data BLOB NOT NULL -- a sextant.v1.Incident
) STRICT;
CREATE INDEX incidents_by_opening ON incidents (opened_ms);
CREATE INDEX incidents_by_closing ON incidents (closed_ms);

-- The nodes that an incident is about. By name: it may outlive them.
CREATE TABLE incident_nodes (
    cluster TEXT NOT NULL,
    node TEXT NOT NULL,
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    PRIMARY KEY (cluster, node, incident)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_nodes_by_incident ON incident_nodes (incident);

CREATE TABLE incident_history (
    id INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    time_ms INTEGER NOT NULL,
    data BLOB NOT NULL -- a sextant.v1.IncidentEntry
) STRICT;
CREATE INDEX incident_history_by_incident ON incident_history (incident, id);

CREATE TABLE maintenance (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL, -- when it ends or was ended
    data BLOB NOT NULL -- a sextant.v1.Maintenance
) STRICT;
CREATE INDEX maintenance_by_end ON maintenance (end_ms);
