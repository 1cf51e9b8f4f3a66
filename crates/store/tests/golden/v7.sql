PRAGMA foreign_keys = OFF;
BEGIN;
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
    created_at INTEGER NOT NULL, inbox_bytes INTEGER NOT NULL DEFAULT 0, signing_secret TEXT, route_generation INTEGER NOT NULL DEFAULT 0, secrets_version INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (org, network) REFERENCES networks (org, name)
) STRICT, WITHOUT ROWID;
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
    machine    TEXT NOT NULL, owes_wake INTEGER NOT NULL DEFAULT 0,
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
, is_private INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE tags (
    registry   TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag        TEXT NOT NULL,
    digest     TEXT NOT NULL REFERENCES images (digest) ON DELETE CASCADE, points_to TEXT,
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
, parent TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    id         TEXT PRIMARY KEY,
    machine    TEXT NOT NULL,
    base       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoints_by_machine ON checkpoints (machine);
CREATE INDEX checkpoints_by_end ON checkpoints (expires_at);
CREATE TABLE image_grants (
    digest TEXT NOT NULL REFERENCES images (digest) ON DELETE CASCADE,
    app    TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    PRIMARY KEY (digest, app)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_grants_by_app ON image_grants (app);
CREATE TABLE selfhood (
    machine     TEXT PRIMARY KEY,
    revision    INTEGER NOT NULL,
    next_at     INTEGER,
    policy_hash TEXT,
    record      TEXT NOT NULL
, is_governed INTEGER NOT NULL DEFAULT 1) STRICT;
CREATE TABLE policies (
    hash TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
CREATE TABLE policy_uses (
    machine  TEXT NOT NULL,
    hash     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (machine, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX policy_uses_by_hash ON policy_uses (hash);
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
, last_code TEXT) STRICT;
CREATE INDEX outbox_by_machine ON outbox (machine, seq);
CREATE INDEX outbox_by_next ON outbox (next_at);
CREATE INDEX outbox_by_app ON outbox (app, next_at);
CREATE INDEX selfhood_governed ON selfhood (machine, next_at) WHERE is_governed;
CREATE INDEX machines_owing ON machines (id) WHERE owes_wake;
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
CREATE INDEX tokens_by_parent ON tokens (parent) WHERE parent IS NOT NULL;
INSERT INTO meta VALUES ('host_id', '786e7cd1478a81b5a475f849f85ba6d2');
INSERT INTO meta VALUES ('instance', '9bccc');
INSERT INTO counters VALUES ('inbox_bytes', 5);
INSERT INTO networks VALUES ('personal', 'default', 7);
INSERT INTO network_v4_blocks VALUES (1681915904, 7);
INSERT INTO apps VALUES ('web', 'abcdefghijklmnop', 'personal', 'default', 1750000000000, 5, 'drawn', 1750000000004, 4);
INSERT INTO machines VALUES ('00000000000001', 'web', 'machine-1', 'started', 2, 2, '01JXT21Q000000000000000001', 'local', 'fdaa::1', '100.64.0.1', 0, 'shared', 2, 512, 'container', '{"registry":"local","repository":"debian","tag":"v1","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001"}', '{"role":"front"}', NULL, 1750000000000, 1750000000000, '{"state":{"state":"started","run":{"id":"01JXT21Q000000000000000001","slot":3,"boot":"6c2cbb1e-5b1f-4bd8-9a0f-0a2f4f6d7c11","accepted_at":1750000000000,"started_at":1750000000000}},"revision":2,"restarts":{"window_start":0,"in_window":0,"total":0,"streak":0,"failed_starts":0},"owed":null,"hold_down":null,"nudges":{"count":0,"at":0}}', 0);
INSERT INTO versions VALUES ('00000000000001', '01JXT21Q000000000000000001', 1750000000000, '{"registry":"local","repository":"debian","tag":"v1","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001"}', '{"entrypoint":[],"cmd":["/bin/sh"],"env":["PATH=/usr/bin:/bin"],"user":"","working_dir":"/","stop_signal":null,"labels":{}}', '{"image":"debian:v1","program":{"exec":null,"entrypoint":null,"cmd":["sleep","inf"],"env":{"A":"1"},"user":null,"working_dir":null,"tty":false,"pid1":null},"guest":{"cpu_kind":"shared","cpus":2,"memory_mib":512},"restart":{"mode":"on-failure","max_retries":10},"stop":{"signal":null,"timeout":5000},"auto_destroy":false,"rootfs":{"persist":"restart","size_gib":8},"files":[{"guest_path":"/etc/motd","content":"6869","mode":420}],"metadata":{"role":"front"},"hostname":null,"dns":{"nameservers":[],"searches":[],"options":[]},"engine":"container","services":[],"checks":[],"is_hidden_in_dns":false,"egress":null,"secrets":{"version":0,"env":"all"}}', '{"guest":{"cpus":2},"image":"debian:v1","unknown":[1,null,"x"]}');
INSERT INTO events VALUES (1, '01JXT21Q000000000000000001', '00000000000001', 1750000000000, '{"kind":"start","status":"started","source":"user","exit":null,"cause":{"cause":"guest"},"message":"number 1"}');
INSERT INTO sqlite_sequence VALUES ('events', 1);
INSERT INTO sqlite_sequence VALUES ('plans', 1);
INSERT INTO sqlite_sequence VALUES ('outbox', 1);
INSERT INTO plans VALUES (1, '00000000000001', 'update', 1, 'running', '["fetch","swap"]', 1, 0, NULL, 1750000000000, 1750000000000, '{"image":"debian:v2"}', '{"fetch":{"bytes":1}}');
INSERT INTO refs VALUES ('machine', '00000000000001', 'sha256:0000000000000000000000000000000000000000000000000000000000000001');
INSERT INTO refs VALUES ('checkpoint', '01JXT21Q000000000000000002', 'sha256:0000000000000000000000000000000000000000000000000000000000000002');
INSERT INTO images VALUES ('sha256:0000000000000000000000000000000000000000000000000000000000000001', '{"registry":"local","repository":"debian","tag":"v1","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000001"}', 120000000, 1750000000000, 1750000000000, 'rootfs_tar', '{"entrypoint":[],"cmd":["/bin/sh"],"env":["PATH=/usr/bin:/bin"],"user":"","working_dir":"/","stop_signal":null,"labels":{}}', 0);
INSERT INTO images VALUES ('sha256:0000000000000000000000000000000000000000000000000000000000000002', '{"registry":"local","repository":"debian","tag":"v2","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000002"}', 120000000, 1750000000000, 1750000000000, 'rootfs_tar', '{"entrypoint":[],"cmd":["/bin/sh"],"env":["PATH=/usr/bin:/bin"],"user":"","working_dir":"/","stop_signal":null,"labels":{}}', 1);
INSERT INTO tags VALUES ('local', 'debian', 'v1', 'sha256:0000000000000000000000000000000000000000000000000000000000000001', 'sha256:0000000000000000000000000000000000000000000000000000000000000001');
INSERT INTO tags VALUES ('local', 'debian', 'v2', 'sha256:0000000000000000000000000000000000000000000000000000000000000002', 'sha256:0000000000000000000000000000000000000000000000000000000000000003');
INSERT INTO meter VALUES ('01JXT21Q000000000000000001', 1750000000000, NULL, '00000000000001', 'web', 2, 512, 0);
INSERT INTO tokens VALUES ('t1', 'owner', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', '{"reach":"all","right":"operate"}', 1750000000000, NULL, NULL, NULL);
INSERT INTO tokens VALUES ('t2', 'owner', 'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', '{"reach":"all","right":"operate"}', 1750000000000, NULL, NULL, 't1');
INSERT INTO checkpoints VALUES ('01JXT21Q000000000000000002', '00000000000001', 'sha256:0000000000000000000000000000000000000000000000000000000000000002', 1750000000000, 1750086400000);
INSERT INTO image_grants VALUES ('sha256:0000000000000000000000000000000000000000000000000000000000000002', 'web');
INSERT INTO selfhood VALUES ('00000000000001', 3, 1750000000000, 'sha256:000000000000000000000000000000000000000000000000000000000000000b', '{"v":1,"revision":3,"intent":{"objective":"1"}}', 1);
INSERT INTO policies VALUES ('sha256:000000000000000000000000000000000000000000000000000000000000000b', '{"rules":[]}');
INSERT INTO policy_uses VALUES ('00000000000001', 'sha256:000000000000000000000000000000000000000000000000000000000000000b', 3);
INSERT INTO messages VALUES ('00000000000001', 3, 'id-3', 'token:mail', 1750000000000, 5, 1, 1, 0, 0);
INSERT INTO message_bodies VALUES ('00000000000001', 3, 'third');
INSERT INTO message_ids VALUES ('00000000000001', 'id-1', 1, 1750000000000);
INSERT INTO message_ids VALUES ('00000000000001', 'id-2', 2, 1750000000000);
INSERT INTO message_ids VALUES ('00000000000001', 'id-3', 3, NULL);
INSERT INTO dead_letters VALUES ('00000000000001', 2, 'id-2', 'token:mail', 1750000000000, 5, 1, 1, 5, 1750000000000, 'other');
INSERT INTO trace VALUES ('00000000000001', 1, 1750000000000, '{"seq":1}');
INSERT INTO hooks VALUES ('web', 'mail', '00000000000001', 's3cret', '{"kind":"hmac"}', 1, 1750000000000);
INSERT INTO outbox VALUES (1, '00000000000001', 'web', 'tell', 'https://example.org/in', 1750000000000, 0, 1750000000000, NULL, 'number 1', NULL);
INSERT INTO hostnames VALUES ('*.example.com', 'web', 1750000000000, 1750000000000, '{}');
INSERT INTO hostnames VALUES ('www.example.com', 'web', 1750000000000, 1750000000000, NULL);
INSERT INTO certificates VALUES ('www.example.com', 'custom', 'CN=an authority', 'ecdsa', 1750000000000, 1750086400000, 'chain', 'key Custom');
INSERT INTO certificates VALUES ('www.example.com', 'local', 'CN=an authority', 'ecdsa', 1750000000000, 1750086400000, 'chain', 'key Local');
INSERT INTO authority VALUES (1, 'certificate', 'key', 1750000000000);
INSERT INTO app_secrets VALUES ('web', 'A', 1, 3, 'digest of old', 'sealed old', 1750000000000, 1750000000000, 1750000000000);
INSERT INTO app_secrets VALUES ('web', 'B', 2, 4, 'digest of kept', 'sealed kept', 1750000000000, 1750000000000, 1750000000000);
INSERT INTO app_secrets VALUES ('web', 'A', 3, NULL, 'digest of new', 'sealed new', 1750000000000, 1750000000000, NULL);
INSERT INTO secret_keys VALUES ('web', 'sign', 'hs256', NULL, 'sealed key', 1750000000000, 1750000000000);
PRAGMA user_version = 7;
PRAGMA application_id = 1145926501;
COMMIT;
