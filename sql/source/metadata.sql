-- One row: one fact about the database itself; the schema version is the one that is always there.
CREATE TABLE metadata (
    key VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
