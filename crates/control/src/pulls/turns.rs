//! Whose pull is next: the many pulls of one caller do not keep another one's few waiting.
//!
//! Callers take turns, whatever number of pulls each of them wants. Some places are never a tenant's,
//! or never the same tenant's: a registry that sends a byte now and then holds a place for long.

use crate::facade::ImageCaller;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Images that are pulled at once; each fetches several blobs, and unpacking keeps a core busy.
const AT_ONCE: usize = 4;

/// How many of them all tenants together may have: the owner of the host never waits for tenants.
const OF_TENANTS: usize = 3;

/// How many of them one app may have.
const OF_ONE_APP: usize = 2;

/// All turns. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    queue: Arc<Mutex<Queue<oneshot::Sender<Turn>>>>,
}

/// The right to pull; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    who: ImageCaller,
}

impl Turns {
    /// Waits for the caller's turn. Whoever stops waiting loses nothing but its place.
    pub(super) async fn take(&self, who: &ImageCaller) -> Turn {
        let (give, given) = oneshot::channel();
        self.queue().ask(who.clone(), give);
        self.serve();
        given.await.expect("whoever asks is served")
    }

    fn serve(&self) {
        loop {
            let Some((who, give)) = self.queue().next(oneshot::Sender::is_closed) else { return };
            // One that nobody waits for any more is dropped here, and so given back.
            drop(give.send(Turn { turns: self.clone(), who }));
        }
    }

    /// The queue is whole after each change, so a panic elsewhere does not spoil it.
    fn queue(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Turn>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.queue().end(&self.who);
        self.turns.serve();
    }
}

/// Who pulls and who waits to. Pure: `T` stands for a pull.
#[derive(Debug)]
struct Queue<T> {
    /// Callers of the pulls under way.
    running: Vec<ImageCaller>,
    /// Callers with something to wait for; the one that was served longest ago first.
    waiting: VecDeque<Line<T>>,
}

/// What one caller waits for.
#[derive(Debug)]
struct Line<T> {
    who: ImageCaller,
    pulls: VecDeque<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { running: Vec::new(), waiting: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    fn ask(&mut self, who: ImageCaller, pull: T) {
        match self.waiting.iter_mut().find(|line| line.who == who) {
            Some(line) => line.pulls.push_back(pull),
            None => self.waiting.push_back(Line { who, pulls: VecDeque::from([pull]) }),
        }
    }

    /// The next pull, which is under way from now on; those that are `left` are forgotten.
    fn next(&mut self, left: impl Fn(&T) -> bool) -> Option<(ImageCaller, T)> {
        for line in &mut self.waiting {
            line.pulls.retain(|pull| !left(pull));
        }
        self.waiting.retain(|line| !line.pulls.is_empty());
        let open = (0..self.waiting.len()).filter(|idx| self.has_room_for(&self.waiting[*idx].who));
        let idx = open.min_by_key(|idx| (self.n_running(&self.waiting[*idx].who), *idx))?;
        let mut line = self.waiting.remove(idx)?;
        let pull = line.pulls.pop_front()?;
        let who = line.who.clone();
        self.running.push(who.clone());
        if !line.pulls.is_empty() {
            self.waiting.push_back(line);
        }
        Some((who, pull))
    }

    /// One pull of this caller has ended.
    fn end(&mut self, who: &ImageCaller) {
        if let Some(idx) = self.running.iter().position(|running| running == who) {
            self.running.swap_remove(idx);
        }
    }

    fn has_room_for(&self, who: &ImageCaller) -> bool {
        let is_tenant = |who: &&ImageCaller| **who != ImageCaller::Owner;
        let n_tenants = self.running.iter().filter(is_tenant).count();
        let may_tenant = n_tenants < OF_TENANTS && self.n_running(who) < OF_ONE_APP;
        self.running.len() < AT_ONCE && (*who == ImageCaller::Owner || may_tenant)
    }

    fn n_running(&self, who: &ImageCaller) -> usize {
        self.running.iter().filter(|running| *running == who).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> ImageCaller {
        ImageCaller::Tenant { app: name.to_owned() }
    }

    /// Each caller asks `n` times, one caller after the other.
    fn queue(n: usize, callers: &[ImageCaller]) -> Queue<usize> {
        let mut queue = Queue::default();
        for who in callers {
            (0..n).for_each(|pull| queue.ask(who.clone(), pull));
        }
        queue
    }

    /// Everybody whose turn it is.
    fn begin(queue: &mut Queue<usize>) -> Vec<ImageCaller> {
        std::iter::from_fn(|| queue.next(|_| false)).map(|(who, _)| who).collect()
    }

    #[test]
    fn a_hundred_pulls_of_one_app_do_not_keep_the_others_waiting() {
        let mut queue = queue(100, &[app("many")]);
        assert_eq!(begin(&mut queue), [app("many"), app("many")]);
        queue.ask(app("few"), 0);
        assert_eq!(begin(&mut queue), [app("few")]);
        queue.ask(app("late"), 0);
        queue.ask(ImageCaller::Owner, 0);
        assert_eq!(begin(&mut queue), [ImageCaller::Owner], "a place that no tenant gets");
        queue.end(&app("many"));
        assert_eq!(begin(&mut queue), [app("late")], "before those who pull already");
    }

    #[test]
    fn apps_take_turns() {
        let apps = ["a", "b", "c", "d", "e"].map(app);
        let mut queue = queue(3, &apps);
        let mut served = begin(&mut queue);
        for n in 0..12 {
            let ended = served[n].clone();
            queue.end(&ended);
            served.extend(begin(&mut queue));
        }
        for (n, round) in served.chunks(apps.len()).enumerate() {
            let missing: Vec<_> = apps.iter().filter(|app| !round.contains(app)).collect();
            assert!(missing.is_empty(), "round {n}: {round:?}");
        }
    }

    #[test]
    fn the_owner_alone_has_all_places() {
        let mut queue = queue(9, &[ImageCaller::Owner]);
        assert_eq!(begin(&mut queue).len(), AT_ONCE);
    }

    #[tokio::test]
    async fn a_turn_goes_from_one_to_the_next_and_past_those_who_left() {
        let turns = Turns::default();
        let who = app("a");
        let first = turns.take(&who).await;
        let second = turns.take(&who).await;
        let left = turns.take(&who);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, left).await.is_err());
        let waiting = tokio::spawn({
            let (turns, who) = (turns.clone(), who.clone());
            async move { turns.take(&who).await }
        });
        drop(first);
        drop(waiting.await.expect("it has its turn"));
        drop(second);
        assert!(turns.queue().running.is_empty());
    }
}
