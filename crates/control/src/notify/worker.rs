//! Who tries which letter, and when.
//!
//! One task looks at the outbox when it is rung, when a try has ended, and when the next letter is
//! due; it never looks otherwise. A few tries are under way at once, one for each receiver, so a slow
//! receiver holds up its own letters and nobody else's; and one for each app, in turn, so neither do
//! the letters of an app that sends many.

use super::backoff::{due_by, wait_after};
use super::delivery::{Outcome, Place, Why, deliver};
use crate::control::Control;
use crate::inner::chance;
use model::{AppName, DurationMs, UnixMs};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use store::{OutboxRecord, StoreError};
use tokio::task::{Id, JoinError, JoinSet};

/// Tries under way at once; most of them wait for somebody else.
const AT_ONCE: usize = 4;

/// Letters that are looked at together, with bodies of at most 4 KiB each. Letters beyond wait until
/// some of these have gone or been put off.
const LOOK_MAX: u32 = 1024;

/// Letters of one app among them: those after the first are for when its receiver is busy.
const LOOK_EACH: u32 = 16;

/// How far ahead a look sees: longer than any try, because the end of a try makes another look.
const LOOK_AHEAD: DurationMs = DurationMs::from_secs(15);

/// Longest text of a failure that is kept, in characters.
const ERROR_MAX_CHARS: usize = 300;

/// Pause after the store has failed: without it a letter that cannot be put off would be sent again
/// and again.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Delivers what is in the outbox, for ever.
pub(crate) async fn deliver_for_ever(control: Control) {
    let mut worker = Worker {
        control,
        tries: JoinSet::new(),
        under_way: HashMap::new(),
        begun: HashMap::new(),
        n_begun: 0,
    };
    loop {
        if let Err(error) = worker.turn().await {
            tracing::warn!(%error, "notifications wait for the store");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

struct Worker {
    control: Control,
    tries: JoinSet<Outcome>,
    under_way: HashMap<Id, Try>,
    /// Of apps with letters: which try began last for them. Others have waited for longer.
    begun: HashMap<AppName, u64>,
    n_begun: u64,
}

/// A try under way.
struct Try {
    letter: OutboxRecord,
    lane: String,
}

impl Worker {
    /// Begins what is due, and waits for something to happen.
    async fn turn(&mut self) -> Result<(), StoreError> {
        let now = model::clock::now();
        let store = &self.control.inner.store;
        let first = store.read(|reader| reader.outbox_next_at())?;
        let due_by = due_by(first, now);
        let ahead = due_by.plus(LOOK_AHEAD);
        let near = store.read(|reader| reader.outbox_due_by_app(ahead, LOOK_EACH, LOOK_MAX))?;
        let (due, later): (Vec<_>, Vec<_>) =
            near.into_iter().partition(|letter| letter.next_at <= due_by);
        let next_at = match later.iter().map(|letter| letter.next_at).min() {
            Some(next_at) => Some(next_at),
            // Otherwise the end of a try comes first.
            None if due.is_empty() && self.tries.is_empty() => first,
            None => None,
        };
        if let Some(lost) = due.iter().find(|letter| Place::of(&letter.url).is_none()) {
            return self.give_up(lost, "its `to` is no URL and no hook").await;
        }
        self.begin(due);
        self.wait(next_at.map(|at| at.since(now).to_std())).await
    }

    /// Begins as many tries as may be under way: apps in turn, of each its oldest letter whose
    /// receiver is free.
    fn begin(&mut self, mut due: Vec<OutboxRecord>) {
        let others = || self.under_way.values();
        let mut lanes: HashSet<String> = others().map(|other| other.lane.clone()).collect();
        let mut apps: HashSet<AppName> = others().map(|other| other.letter.app.clone()).collect();
        let waiting: HashSet<&AppName> = due.iter().map(|letter| &letter.app).collect();
        self.begun.retain(|app, _| waiting.contains(app) || apps.contains(app));
        due.sort_by_key(|letter| {
            (self.begun.get(&letter.app).copied(), letter.next_at, letter.seq)
        });
        for letter in due {
            if self.tries.len() >= AT_ONCE {
                return;
            }
            let Some(place) = Place::of(&letter.url) else { continue };
            let lane = place.lane(&letter);
            if apps.contains(&letter.app) || !lanes.insert(lane.clone()) {
                continue;
            }
            apps.insert(letter.app.clone());
            self.n_begun += 1;
            self.begun.insert(letter.app.clone(), self.n_begun);
            let (control, sent) = (self.control.clone(), letter.clone());
            let work = async move { deliver(&control, &place, &sent).await };
            self.under_way.insert(self.tries.spawn(work).id(), Try { letter, lane });
        }
    }

    async fn wait(&mut self, next: Option<Duration>) -> Result<(), StoreError> {
        let inner = std::sync::Arc::clone(&self.control.inner);
        let due = async {
            match next {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = self.tries.join_next_with_id() => self.end(ended).await,
            () = inner.outbox.rung.notified() => Ok(()),
            () = due => Ok(()),
        }
    }

    /// Notes what came of a try.
    async fn end(&mut self, ended: Result<(Id, Outcome), JoinError>) -> Result<(), StoreError> {
        let (id, outcome) = ended.unwrap_or_else(|panic| {
            let why = Why { code: "internal".into(), text: panic.to_string() };
            (panic.id(), Outcome::Refused(why))
        });
        let Some(Try { letter, lane }) = self.under_way.remove(&id) else { return Ok(()) };
        failpoint::hit("notify.tried");
        let now = model::clock::now();
        match outcome {
            Outcome::Arrived => self.remove(&letter).await,
            Outcome::GivenUp(why) => self.give_up(&letter, &why.text).await,
            Outcome::Refused(why) => self.put_off(&letter, &[], why, now).await,
            Outcome::Unheard(why) => {
                let others = self.others_in(&lane, &letter, now)?;
                self.put_off(&letter, &others, why, now).await
            }
        }
    }

    /// Other letters that are due for a receiver that does not answer: they need not try it too, one
    /// time-out after the other.
    fn others_in(
        &self,
        lane: &str,
        tried: &OutboxRecord,
        now: UnixMs,
    ) -> Result<Vec<OutboxRecord>, StoreError> {
        let due = self.control.inner.store.read(|reader| reader.outbox_due(now, LOOK_MAX))?;
        let is_there =
            |letter: &OutboxRecord| Place::of(&letter.url).is_some_and(|p| p.lane(letter) == lane);
        let others = due.into_iter().filter(|letter| letter.seq != tried.seq && is_there(letter));
        Ok(others.collect())
    }

    /// Puts a letter off that did not arrive, and until the same moment others that were not tried.
    async fn put_off(
        &self,
        letter: &OutboxRecord,
        others: &[OutboxRecord],
        why: Why,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let Why { code, text: mut why } = why;
        if let Some((end, _)) = why.char_indices().nth(ERROR_MAX_CHARS) {
            why.truncate(end);
        }
        let (machine, rule, attempts) = (&letter.machine, &letter.rule, letter.attempts + 1);
        tracing::debug!(%machine, rule, attempts, %code, why, "a notification did not arrive");
        let next_at = now.plus(wait_after(attempts, u64::from_le_bytes(chance())));
        let rest = others.iter().map(|other| (other.seq, other.attempts));
        let tries: Vec<(u64, u32)> = std::iter::once((letter.seq, attempts)).chain(rest).collect();
        let store = &self.control.inner.store;
        store
            .write("outbox.put_off", move |tx| {
                let mut tries = tries.iter();
                let why = Some((&*code, why.as_str()));
                tries.try_for_each(|(seq, n)| tx.put_outbox_attempt(*seq, *n, next_at, why))
            })
            .await
    }

    async fn give_up(&self, letter: &OutboxRecord, why: &str) -> Result<(), StoreError> {
        let OutboxRecord { machine, rule, url, attempts, .. } = letter;
        tracing::warn!(%machine, rule, url, attempts, why, "a notification is given up");
        self.remove(letter).await
    }

    async fn remove(&self, letter: &OutboxRecord) -> Result<(), StoreError> {
        let seq = letter.seq;
        self.control.inner.write_freeing("outbox.remove", move |tx| tx.remove_outbox(seq)).await
    }
}
