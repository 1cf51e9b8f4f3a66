//! Images from registries: one download for everybody who waits for the same image.
//!
//! * `find`: what a reference names, and whether this caller may have it.
//! * `registries`: which way to which registry, and with whose credentials.
//! * `job`: one pull, from the manifest to the record; `fetch`: its blobs.
//! * `board`, `handle`: how far it is; `turns`: whose is next.
//! * `prepare`: the image of a machine that is being created or updated.
//! * `budget`: unused images go when there are too many.
//!
//! A pull is not durable: after a death of control the plans that need its image begin it again, and
//! the image store has kept what had come. Credentials are in memory only.

mod board;
mod budget;
mod fetch;
mod find;
mod handle;
mod job;
mod prepare;
mod registries;
mod turns;

pub(crate) use budget::{free_for_ever, is_let_go, let_go, shelf};
pub(crate) use find::{Found, LOCAL, find};
pub use handle::PullHandle;
pub(crate) use job::Target;
pub(crate) use prepare::prepare;
pub use registries::ImageSettings;
pub(crate) use registries::way_inside;

use crate::error::ControlError;
use crate::inner::Inner;
use board::{Board, Brought, JobState};
use find::Use;
use job::{ConfigBlob, SharedConfig};
use model::spec::ImageRef;
use model::{Digest, MachineId};
use net::Router;
use net::router::Egress;
use registries::Registries;
use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use store::ImageRecord;
use tokio::sync::{Notify, OnceCell, watch};
use turns::Turns;

/// All pulls of this process.
#[derive(Debug)]
pub(crate) struct Pulls {
    registries: Registries,
    /// Most that images take before unused ones go, in bytes.
    budget_bytes: u64,
    turns: Turns,
    under_way: Mutex<UnderWay>,
    /// Rung when an image has come: there may be too many now.
    brought: Notify,
}

#[derive(Debug, Default)]
struct UnderWay {
    jobs: HashMap<JobKey, Running>,
    /// Configs of images that somebody waits for.
    configs: HashMap<JobKey, Weak<OnceCell<Arc<ConfigBlob>>>>,
    /// One pull of an image at a time, from wherever.
    locks: HashMap<Digest, Weak<tokio::sync::Mutex<()>>>,
    /// What machines that are being prepared wait for, with the credentials for it.
    wishes: HashMap<MachineId, Target>,
}

/// A pull under way.
#[derive(Debug)]
struct Running {
    state: watch::Receiver<JobState>,
    /// What those have asked for who joined it, each once: one image may have many tags.
    joined: Vec<Use>,
}

/// Pulls of the same image from the same place are one. From another place they are not: whoever has
/// seen a manifest there has not shown that the content is theirs to have here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct JobKey {
    digest: Digest,
    registry: String,
    repository: String,
    is_owners: bool,
}

/// A pull that somebody waits for.
#[derive(Debug)]
pub(crate) struct Job {
    state: watch::Receiver<JobState>,
    /// The image under the name that was asked for: those who share a pull may have asked for others.
    image: ImageRef,
}

impl Job {
    /// One that has ended already: the image is here.
    pub(crate) fn done(record: ImageRecord) -> Self {
        let image = record.image.clone();
        let state = watch::channel(JobState::ended(Brought { record, is_new: false })).1;
        Self { state, image }
    }

    /// Waits for its end.
    async fn outcome(mut self) -> Result<Brought, ControlError> {
        let lost = || ControlError::Bug { message: "a pull has ended without a word".to_owned() };
        let ended = self.state.wait_for(|state| state.outcome.is_some()).await;
        let outcome = ended.ok().and_then(|state| state.outcome.clone()).ok_or_else(lost)?;
        let Brought { record, is_new } = outcome.map_err(ControlError::Shared)?;
        Ok(Brought { record: ImageRecord { image: self.image, ..record }, is_new })
    }
}

impl Pulls {
    pub(crate) fn open(
        settings: &ImageSettings,
        egress: Egress,
        router: &Router,
        data_dir: &Path,
    ) -> Result<Self, ControlError> {
        let budget_bytes = match settings.budget_bytes {
            Some(n_bytes) => n_bytes,
            None => budget::default_bytes(data_dir)?,
        };
        Ok(Self {
            registries: Registries::open(settings, egress, router)?,
            budget_bytes,
            turns: Turns::default(),
            under_way: Mutex::default(),
            brought: Notify::new(),
        })
    }

    /// Whether the image is being pulled, or a machine that is being prepared waits for it.
    pub(crate) fn is_wanted(&self, digest: &Digest) -> bool {
        let under_way = self.under_way();
        under_way.jobs.keys().any(|key| key.digest == *digest)
            || under_way.wishes.values().any(|target| target.digest() == digest)
    }

    /// Keeps what a machine's preparation will need, until that has ended.
    pub(crate) fn wish(&self, machine: &MachineId, target: Target) {
        self.under_way().wishes.insert(machine.clone(), target);
    }

    /// Forgets what a machine's preparation needed.
    pub(crate) fn forget(&self, machine: &MachineId) {
        self.under_way().wishes.remove(machine);
    }

    fn wish_of(&self, machine: &MachineId) -> Option<Target> {
        self.under_way().wishes.get(machine).cloned()
    }

    fn lock_of(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        shared(&mut self.under_way().locks, digest)
    }

    fn config_of(&self, key: &JobKey) -> SharedConfig {
        shared(&mut self.under_way().configs, key)
    }

    /// The tables are whole after each change, so a panic elsewhere does not spoil them.
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What those who hold an entry of the table share; entries that nobody holds any more go.
fn shared<K: Clone + Eq + Hash, T: Default>(table: &mut HashMap<K, Weak<T>>, key: &K) -> Arc<T> {
    table.retain(|_, held| held.strong_count() > 0);
    if let Some(held) = table.get(key).and_then(Weak::upgrade) {
        return held;
    }
    let held = Arc::default();
    table.insert(key.clone(), Arc::downgrade(&held));
    held
}

/// Joins the pull of the target, beginning it if nobody has. It goes on to its end whoever leaves.
pub(crate) fn join(inner: &Arc<Inner>, target: Target) -> Job {
    let (key, image) = (target.key(), target.image_ref());
    let mut under_way = inner.pulls.under_way();
    if let Some(running) = under_way.jobs.get_mut(&key) {
        let wanted = target.wanted();
        if !running.joined.contains(&wanted) {
            running.joined.push(wanted);
        }
        return Job { state: running.state.clone(), image };
    }
    let (board, state) = Board::new(target.digest().clone());
    let running = Running { state: state.clone(), joined: Vec::new() };
    under_way.jobs.insert(key.clone(), running);
    drop(under_way);
    let inner = Arc::clone(inner);
    tokio::spawn(async move {
        let entry = Entry { inner: Arc::clone(&inner), key: Some(key) };
        let outcome = bring(&inner, &target, &board, entry).await;
        board.end(outcome.map_err(Arc::new));
        inner.pulls.brought.notify_one();
    });
    Job { state, image }
}

/// Runs a pull, and records what everybody who has joined it asked for. Whoever comes after that finds
/// what is here, and not a failure of the past.
async fn bring(
    inner: &Arc<Inner>,
    target: &Target,
    board: &Board,
    mut entry: Entry,
) -> Result<Brought, ControlError> {
    let brought = job::run(inner, target, board).await?;
    while let Some(joined) = entry.joined_or_closed() {
        let noted = inner
            .store
            .write("image.use", move |tx| joined.iter().try_for_each(|wanted| wanted.note(tx)));
        noted.await?;
    }
    Ok(brought)
}

/// A pull's place in the table; given up also when its task panics.
struct Entry {
    inner: Arc<Inner>,
    /// `None` once it is given up.
    key: Option<JobKey>,
}

impl Entry {
    /// What those have asked for who joined since the last time; when nobody has, the place is given
    /// up, and nobody can join any more.
    fn joined_or_closed(&mut self) -> Option<Vec<Use>> {
        let key = self.key.as_ref()?;
        let mut under_way = self.inner.pulls.under_way();
        let joined = under_way.jobs.get_mut(key).map(|running| std::mem::take(&mut running.joined));
        if let Some(joined) = joined.filter(|joined| !joined.is_empty()) {
            return Some(joined);
        }
        under_way.jobs.remove(key);
        drop(under_way);
        self.key = None;
        None
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.inner.pulls.under_way().jobs.remove(key);
        }
    }
}
