-- Times are Unix milliseconds.
CREATE TABLE threads (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    session_id TEXT,
    created_at INTEGER NOT NULL
);
CREATE TABLE participants (
    thread_id INTEGER NOT NULL REFERENCES threads(id),
    address TEXT NOT NULL,
    PRIMARY KEY (thread_id, address)
) WITHOUT ROWID;
CREATE TABLE message_ids (
    message_id TEXT PRIMARY KEY,
    thread_id INTEGER NOT NULL REFERENCES threads(id),
    direction TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE inbound (
    id TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    rcpt TEXT NOT NULL,
    mail_from TEXT,
    message_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    source TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    facts TEXT NOT NULL DEFAULT '{}',
    thread_id INTEGER REFERENCES threads(id),
    reviewer TEXT,
    round INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    session_id TEXT,
    run_id TEXT,
    submitted_at INTEGER,
    answered_by TEXT,
    UNIQUE (instance, rcpt, message_id, fingerprint)
);
CREATE INDEX inbound_open ON inbound (state, due_at)
    WHERE state IN ('received', 'approved', 'submitted');
CREATE INDEX inbound_listing ON inbound (received_at DESC);
CREATE INDEX inbound_thread ON inbound (thread_id, received_at);
CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    target TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    thread_id INTEGER REFERENCES threads(id),
    letter TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    text_out INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0,
    lease_by TEXT,
    lease_until INTEGER,
    last_error TEXT,
    response TEXT,
    sent_at INTEGER
);
CREATE INDEX outbox_open ON outbox (state, due_at) WHERE state IN ('pending', 'sending');
CREATE INDEX outbox_thread ON outbox (thread_id, created_at);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    item_id TEXT,
    event TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX events_item ON events (item_id, id);
