-- Files of letters, and what comes back for them.

-- Whoever finds no mail with a raw file looks here before he removes it.
CREATE TABLE letter_files (
    letter_id TEXT NOT NULL REFERENCES outbox(id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (letter_id, sha256)
) WITHOUT ROWID;
CREATE INDEX letter_files_blob ON letter_files (sha256);

-- What the envelope sender of a letter holds, so that a report about it is known.
ALTER TABLE outbox ADD COLUMN bounce_key TEXT;
CREATE UNIQUE INDEX outbox_bounce ON outbox (bounce_key) WHERE bounce_key IS NOT NULL;
ALTER TABLE outbox ADD COLUMN provider TEXT;

-- Addresses that mail came back from.
CREATE TABLE suppressed (
    address TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    reason TEXT NOT NULL
) WITHOUT ROWID;

-- What only this mailbox knows.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO secrets (name, value) VALUES ('thread', randomblob(32));
