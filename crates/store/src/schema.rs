//! The tables, one migration per release that changed them.
//!
//! A migration is never edited once released: `tests/golden/` holds a database of each version.
//! Times are Unix milliseconds, structured values are JSON text, so that an operator can read
//! everything with the `sqlite3` program.

/// Marks the file as ours: "DMse" in ASCII (`PRAGMA application_id`).
pub(crate) const APPLICATION_ID: u32 = 0x444d_7365;

/// All migrations; the schema version is how many of them a file has seen.
pub(crate) const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7];

const V1: &str = "
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE networks (
    org  TEXT NOT NULL,
    name TEXT NOT NULL,
    id   INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;

-- First address of each IPv4 block; a block belongs to one network of the whole host.
CREATE TABLE network_v4_blocks (
    base    INTEGER PRIMARY KEY,
    network INTEGER NOT NULL REFERENCES networks (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX network_v4_blocks_by_network ON network_v4_blocks (network);

CREATE TABLE apps (
    name       TEXT PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    org        TEXT NOT NULL,
    network    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    FOREIGN KEY (org, network) REFERENCES networks (org, name)
) STRICT, WITHOUT ROWID;

-- Keys that fail must fail in their own change, so none is checked as late as COMMIT.
-- Small rows only: a state change rewrites its row, so the configuration lives in `versions`.
CREATE TABLE machines (
    id         TEXT PRIMARY KEY,
    app        TEXT NOT NULL REFERENCES apps (name),
    name       TEXT NOT NULL,
    state      TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    version    TEXT NOT NULL,
    region     TEXT NOT NULL,
    v6         TEXT NOT NULL,
    v4         TEXT NOT NULL,
    cordoned   INTEGER NOT NULL,
    cpu_kind   TEXT NOT NULL,
    cpus       INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    engine     TEXT NOT NULL,
    image      TEXT NOT NULL,
    metadata   TEXT NOT NULL,
    lease      TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    machine    TEXT NOT NULL,
    FOREIGN KEY (id, version) REFERENCES versions (machine, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX machines_by_app ON machines (app, state);
CREATE INDEX machines_by_state ON machines (state);
CREATE UNIQUE INDEX machines_name ON machines (app, name) WHERE state <> 'destroyed';
CREATE UNIQUE INDEX machines_v6 ON machines (v6) WHERE state <> 'destroyed';
CREATE UNIQUE INDEX machines_v4 ON machines (v4) WHERE state <> 'destroyed';

CREATE TABLE versions (
    machine      TEXT NOT NULL,
    version      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    image        TEXT NOT NULL,
    image_config TEXT NOT NULL,
    spec         TEXT NOT NULL,
    config       TEXT NOT NULL,
    PRIMARY KEY (machine, version)
) STRICT;

-- No reference to `machines`: events are kept for a while after the machine.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT NOT NULL UNIQUE,
    machine TEXT NOT NULL,
    at      INTEGER NOT NULL,
    news    TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_machine ON events (machine, seq);

CREATE TABLE plans (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    machine    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    state      TEXT NOT NULL,
    steps      TEXT NOT NULL,
    done       INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    error      TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    input      TEXT NOT NULL,
    outputs    TEXT NOT NULL
) STRICT;
CREATE INDEX plans_by_machine ON plans (machine, id);
CREATE UNIQUE INDEX plans_active ON plans (machine) WHERE state = 'running';

CREATE TABLE refs (
    owner_kind TEXT NOT NULL,
    owner      TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (owner_kind, owner, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX refs_by_digest ON refs (digest);

CREATE TABLE images (
    digest       TEXT PRIMARY KEY,
    image        TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    source       TEXT NOT NULL,
    config       TEXT NOT NULL
) STRICT;

CREATE TABLE tags (
    registry   TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag        TEXT NOT NULL,
    digest     TEXT NOT NULL REFERENCES images (digest) ON DELETE CASCADE,
    PRIMARY KEY (registry, repository, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (digest);

CREATE TABLE meter (
    run        TEXT NOT NULL,
    from_at    INTEGER NOT NULL,
    to_at      INTEGER,
    machine    TEXT NOT NULL,
    app        TEXT NOT NULL,
    cpus       INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    cpu_us     INTEGER NOT NULL,
    PRIMARY KEY (run, from_at)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX meter_open ON meter (run) WHERE to_at IS NULL;
CREATE INDEX meter_by_machine ON meter (machine, from_at);
CREATE INDEX meter_by_app ON meter (app, from_at);

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    scope      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
";

/// Checkpoints: disks that are kept for a while.
const V2: &str = "
CREATE TABLE checkpoints (
    id         TEXT PRIMARY KEY,
    machine    TEXT NOT NULL,
    base       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoints_by_machine ON checkpoints (machine);
CREATE INDEX checkpoints_by_end ON checkpoints (expires_at);
";

/// Images from registries: what a tag led to there, and who may use what is not for everybody.
const V3: &str = "
ALTER TABLE images ADD COLUMN is_private INTEGER NOT NULL DEFAULT 0;

-- What the registry says the tag leads to: the manifest, or the index it was chosen from.
ALTER TABLE tags ADD COLUMN points_to TEXT;

CREATE TABLE image_grants (
    digest TEXT NOT NULL REFERENCES images (digest) ON DELETE CASCADE,
    app    TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    PRIMARY KEY (digest, app)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_grants_by_app ON image_grants (app);
";

/// Selfhood: what machines remember, their messages, and why they were woken.
const V4: &str = "
-- Bytes of the messages that wait in the app's inboxes; the host's sum is the counter of this name.
ALTER TABLE apps ADD COLUMN inbox_bytes INTEGER NOT NULL DEFAULT 0;

-- Signs what the app's machines send out; drawn when first needed.
ALTER TABLE apps ADD COLUMN signing_secret TEXT;

-- What is asked for without the record stands before it: the record may go on in other pages.
CREATE TABLE selfhood (
    machine     TEXT PRIMARY KEY,
    revision    INTEGER NOT NULL,
    next_at     INTEGER,
    policy_hash TEXT,
    record      TEXT NOT NULL
) STRICT;

CREATE TABLE policies (
    hash TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

-- The policies that a machine has had, so that its trace can be judged again.
CREATE TABLE policy_uses (
    machine  TEXT NOT NULL,
    hash     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (machine, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX policy_uses_by_hash ON policy_uses (hash);

-- A delivery rewrites its row, so the text lives beside it.
CREATE TABLE messages (
    machine      TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    id           TEXT,
    writer       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    hops         INTEGER NOT NULL,
    wake         INTEGER NOT NULL,
    deliveries   INTEGER NOT NULL,
    hidden_until INTEGER NOT NULL,
    PRIMARY KEY (machine, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE message_bodies (
    machine TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (machine, seq)
) STRICT, WITHOUT ROWID;

-- No end while the message waits.
CREATE TABLE message_ids (
    machine   TEXT NOT NULL,
    id        TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    forget_at INTEGER,
    PRIMARY KEY (machine, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_ids_by_end ON message_ids (machine, forget_at) WHERE forget_at IS NOT NULL;

CREATE TABLE dead_letters (
    machine      TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    id           TEXT,
    writer       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    hops         INTEGER NOT NULL,
    wake         INTEGER NOT NULL,
    deliveries   INTEGER NOT NULL,
    hidden_until INTEGER NOT NULL,
    body         TEXT NOT NULL,
    PRIMARY KEY (machine, seq)
) STRICT, WITHOUT ROWID;

-- Kept as long as the machine can be read, destroyed or not.
CREATE TABLE trace (
    machine TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    entry   TEXT NOT NULL,
    PRIMARY KEY (machine, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE hooks (
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    machine    TEXT NOT NULL,
    secret     TEXT,
    signature  TEXT NOT NULL,
    wake       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX hooks_by_machine ON hooks (machine);

CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    machine    TEXT NOT NULL,
    app        TEXT NOT NULL,
    rule       TEXT NOT NULL,
    url        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    next_at    INTEGER NOT NULL,
    last_error TEXT,
    body       TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_by_machine ON outbox (machine, seq);
CREATE INDEX outbox_by_next ON outbox (next_at);
CREATE INDEX outbox_by_app ON outbox (app, next_at);
";

/// Who can act by itself, so that a start of control passes over everybody else.
///
/// A row whose text is damaged, or whose policy is not looked into here, counts as one that can: it
/// is looked at, and told right by its next change.
const V5: &str = "
ALTER TABLE selfhood ADD COLUMN is_governed INTEGER NOT NULL DEFAULT 1;
UPDATE selfhood SET is_governed = 0
    WHERE policy_hash IS NULL
    AND CASE WHEN json_valid(record) THEN
            coalesce(json_extract(record, '$.holds'), '{}') = '{}'
            AND coalesce(json_extract(record, '$.alarms'), '{}') = '{}'
            AND json_extract(record, '$.rest') IS NULL
            AND coalesce(json_extract(record, '$.inbox.wakes'), 0) = 0
            AND coalesce(json_extract(record, '$.decision.stance'), 'stay') = 'stay'
        ELSE 0 END;

ALTER TABLE machines ADD COLUMN owes_wake INTEGER NOT NULL DEFAULT 0;
UPDATE machines SET owes_wake = 1
    WHERE CASE WHEN json_valid(machine) THEN json_extract(machine, '$.owed') IS NOT NULL ELSE 0 END;

-- What a start of control asks for: the rows of all others are not read for it.
CREATE INDEX selfhood_governed ON selfhood (machine, next_at) WHERE is_governed;
CREATE INDEX machines_owing ON machines (id) WHERE owes_wake;
";

/// Secrets that are being changed over, why a notification did not arrive; host names of apps and
/// their certificates.
const V6: &str = "
-- Secrets that were replaced, each until whoever holds it has had time to change over.
CREATE TABLE old_signing_secrets (
    app    TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    secret TEXT NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (app, secret)
) STRICT, WITHOUT ROWID;

CREATE TABLE old_hook_secrets (
    app    TEXT NOT NULL,
    hook   TEXT NOT NULL,
    secret TEXT NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (app, hook, secret),
    FOREIGN KEY (app, hook) REFERENCES hooks (app, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The word for why the last try of a letter failed, beside the sentence.
ALTER TABLE outbox ADD COLUMN last_code TEXT;

-- Grows with each change of what the proxy must know of the app; never below the app's beginning.
ALTER TABLE apps ADD COLUMN route_generation INTEGER NOT NULL DEFAULT 0;

-- A name belongs to one app of the whole host.
CREATE TABLE hostnames (
    name       TEXT PRIMARY KEY,
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    looked_up  TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX hostnames_by_app ON hostnames (app, name);

CREATE TABLE certificates (
    hostname    TEXT NOT NULL REFERENCES hostnames (name) ON DELETE CASCADE,
    source      TEXT NOT NULL,
    issuer      TEXT NOT NULL,
    key_kind    TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    chain       TEXT NOT NULL,
    private_key TEXT NOT NULL,
    PRIMARY KEY (hostname, source)
) STRICT;
CREATE INDEX certificates_by_end ON certificates (source, expires_at);

CREATE TABLE authority (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    certificate TEXT NOT NULL,
    private_key TEXT NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
";

/// Secrets of apps, keys that never leave this host, and who made a token.
const V7: &str = "
-- Grows with each change of the app's secrets or keys.
ALTER TABLE apps ADD COLUMN secrets_version INTEGER NOT NULL DEFAULT 0;

-- What a secret was from version `since` of its app's secrets on, up to version `until`. A machine
-- keeps the version it was made with, so what was replaced is kept while a machine has it.
CREATE TABLE app_secrets (
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    since      INTEGER NOT NULL,
    until      INTEGER,
    digest     TEXT NOT NULL,
    sealed     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at   INTEGER,
    PRIMARY KEY (app, name, since)
) STRICT;
CREATE UNIQUE INDEX app_secrets_current ON app_secrets (app, name) WHERE until IS NULL;
CREATE INDEX app_secrets_ended ON app_secrets (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE secret_keys (
    app        TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    public_key TEXT,
    sealed     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;

-- The token with which it was made: it is withdrawn with that.
ALTER TABLE tokens ADD COLUMN parent TEXT;
CREATE INDEX tokens_by_parent ON tokens (parent) WHERE parent IS NOT NULL;
";
