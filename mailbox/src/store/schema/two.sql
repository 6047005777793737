-- Doors, listings by index, ids known to several conversations, mail that was deleted.

ALTER TABLE inbound ADD COLUMN door TEXT NOT NULL DEFAULT 'webhook';
ALTER TABLE inbound ADD COLUMN queue TEXT GENERATED ALWAYS AS (CASE
    WHEN state IN ('received', 'pending_review') THEN 'review'
    WHEN state IN ('approved', 'submitted', 'answered', 'no_reply', 'failed', 'dead') THEN 'approved'
    ELSE 'quarantine' END) VIRTUAL;
-- Read backwards: the newest first, and of one millisecond the last stored.
CREATE INDEX inbound_queue ON inbound (queue, received_at);
DROP INDEX inbound_listing;
CREATE INDEX inbound_listing ON inbound (received_at);
CREATE INDEX inbound_state ON inbound (state);
CREATE INDEX inbound_blob ON inbound (sha256);
CREATE INDEX outbox_listing ON outbox (created_at);

-- An id belongs to a conversation for each sender that used it.
CREATE TABLE ids (
    message_id TEXT NOT NULL,
    thread_id INTEGER NOT NULL REFERENCES threads(id),
    direction TEXT NOT NULL,
    PRIMARY KEY (message_id, thread_id)
) WITHOUT ROWID;
INSERT INTO ids (message_id, thread_id, direction) SELECT message_id, thread_id, direction FROM message_ids;
DROP TABLE message_ids;
ALTER TABLE ids RENAME TO message_ids;

-- What was deleted and comes again is a duplicate.
CREATE TABLE tombstones (
    instance TEXT NOT NULL,
    rcpt TEXT NOT NULL,
    message_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    item_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (instance, rcpt, message_id, fingerprint)
) WITHOUT ROWID;
CREATE INDEX tombstones_item ON tombstones (item_id);
