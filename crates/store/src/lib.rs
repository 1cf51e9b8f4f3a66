//! What survives a power cut?
//!
//! One SQLite file per instance, `<data_dir>/dormouse.db`, is the only truth about its machines.
//! This room owns the file, its lock, its schema and the record types; it leaves to others what
//! the records mean. One thread writes and commits in groups ([`Store::write`]), any number of
//! threads read without waiting for it ([`Store::read`]). When `write` has answered `Ok`, the
//! change is on the disk, whole; when it has answered `Err`, nothing of it is.
//!
//! * [`record`]: the record types and what can be read and changed of them.
//! * `writer`: queue, group commit, savepoints.
//! * `readers`: the pool of read-only connections.
//! * `schema`, `migrate`: the tables and how an older file becomes a current one.
//!
//! A change runs inside the writer's transaction, so it must not wait for anything: read what is
//! needed from [`Tx`], write, return.

mod block_on;
mod connection;
mod error;
mod lock;
mod migrate;
mod readers;
pub mod record;
mod row;
mod schema;
mod writer;

pub use error::StoreError;
pub use migrate::SCHEMA_VERSION;
pub use record::app::{AppRecord, NetworkRecord};
pub use record::app_secret::{AppSecretRecord, SECRET_GRACE};
pub use record::checkpoint::CheckpointRecord;
pub use record::event::{EVENT_PAGE_MAX, EVENTS_KEPT, EventRecord, EventsOf};
pub use record::hook::HookRecord;
pub use record::hostname::{
    AuthorityRecord, CertificateRecord, CertificateSource, HostnameRecord, HostnameRoute,
};
pub use record::image::{ImageRecord, OwnerKind, TagRecord};
pub use record::machine::{
    LeaseRecord, MachineFilter, MachineListing, MachineRecord, MachineSummary,
};
pub use record::message::{ENDED_IDS_MAX, MessageRecord, SeenMessage};
pub use record::meter::{MeterInterval, Usage, UsageOf};
pub use record::outbox::OutboxRecord;
pub use record::plan::{NewPlan, PlanId, PlanKind, PlanRecord, PlanState};
pub use record::policy::POLICIES_KEPT;
pub use record::retention::{
    METER_RETENTION, PLAN_RETENTION, Swept, TOKEN_RETENTION, TOMBSTONE_RETENTION,
};
pub use record::secret::OldSecret;
pub use record::secret_key::SecretKeyRecord;
pub use record::selfhood::{SelfhoodRecord, SelfhoodTimer};
pub use record::token::{TokenReach, TokenRecord, TokenRight, TokenScope};
pub use record::trace::TraceRecord;
pub use record::version::{VERSIONS_KEPT, VersionRecord};
pub use row::{Reader, Tx};
pub use writer::{BATCH_MAX, QUEUE_MAX, WriteStats};

use block_on::block_on;
use lock::DirLock;
use model::InstanceTag;
use readers::Readers;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use writer::Writer;

/// Name of the database file within the data directory.
pub const DATABASE_FILE: &str = "dormouse.db";

/// The store of one instance; clones share it. The last one to go flushes and unlocks.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields are dropped in this order: the writer ends before the lock is given up.
#[derive(Debug)]
struct Inner {
    readers: Readers,
    writer: Writer,
    host_id: String,
    instance: InstanceTag,
    _lock: DirLock,
}

impl Store {
    /// Opens the store in `data_dir`; creates directory, database and the instance's ids when they
    /// are missing, and migrates an older database.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another daemon has the directory, [`StoreError::NewerSchema`] or
    /// [`StoreError::NotAStore`] when the file is not for this release, else what the disk said.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        create_private_dir(data_dir)?;
        let lock = DirLock::take(data_dir)?;
        let path = data_dir.join(DATABASE_FILE);
        create_private_file(&path)?;
        let mut connection = connection::open_writer(&path)?;
        let schema = migrate::check(&connection, &path)?;
        connection::set_up_writer(&connection)?;
        migrate::migrate(&mut connection, schema)?;
        let (host_id, instance) = record::meta::ensure_identity(&mut connection)?;
        let writer = Writer::spawn(connection, data_dir)?;
        let readers = Readers::new(path);
        let inner = Inner { readers, writer, host_id, instance, _lock: lock };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Names this host for ever: 32 lower-case hex digits, drawn when the store was created.
    #[must_use]
    pub fn host_id(&self) -> &str {
        &self.inner.host_id
    }

    /// Names this instance in links, mounts and cgroups of the host.
    #[must_use]
    pub fn instance(&self) -> &InstanceTag {
        &self.inner.instance
    }

    /// Applies `change` and answers when it is on the disk.
    ///
    /// Waits while [`QUEUE_MAX`] changes are queued. If the returned future is dropped once the
    /// change is queued, the change still happens. `name` says in errors and logs whose it is.
    ///
    /// # Errors
    /// What `change` answered (it is undone alone), [`StoreError::Panicked`] if it panicked, or
    /// why the commit failed: then nothing of it is stored and a later one may succeed. (If the
    /// sync itself failed and the host dies before the next commit, the change may turn up whole.)
    pub async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.write(name, change).await
    }

    /// [`Store::write`] for callers without an executor: blocks the thread.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        block_on(self.write(name, change))
    }

    /// Looks at one consistent state, which holds every change answered before the call.
    ///
    /// Takes microseconds, so async callers use it as it is.
    ///
    /// # Errors
    /// What `look` answered, [`StoreError::Database`], or [`StoreError::Closed`].
    pub fn read<T>(
        &self,
        look: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(look)
    }

    /// How much has been written since the store was opened.
    #[must_use]
    pub fn write_stats(&self) -> WriteStats {
        self.inner.writer.stats()
    }

    /// Finishes what is queued, moves the log into the database file and stops the writer.
    ///
    /// Later calls answer [`StoreError::Closed`]. Closing twice does no harm.
    ///
    /// # Errors
    /// Why the log could not be moved: nothing is lost, the next open does it.
    pub fn close(&self) -> Result<(), StoreError> {
        self.inner.readers.close();
        block_on(self.inner.writer.close())
    }
}

/// The data directory: only its owner may look inside.
fn create_private_dir(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| StoreError::io("create", path, e))
}

/// Makes sure that the file exists and its directory entry is on the disk.
///
/// SQLite would create it readable for all; its log and index files copy this file's mode.
fn create_private_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(e) => return Err(StoreError::io("create", path, e)),
    }
    let parent = path.parent().expect("the file is in the data directory");
    fs::File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| StoreError::io("sync", parent, e))
}
