//! Many changes, few commits; and each change alone in what happens to it.

use crate::sample::{network, open};
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;
use store::{DATABASE_FILE, NetworkRecord, Store, StoreError};

const N_CHANGES: usize = 200;

#[test]
fn queued_changes_share_commits() {
    let (dir, store) = open();
    // What a new writer does for itself comes before the first answer.
    store.write_blocking("put", |tx| tx.put_meta("first", "v")).expect("it is stored");
    let before = (commits_in_log(dir.path()), store.write_stats());
    let put = |n| -> Answer<'_> {
        Box::pin(store.write("put", move |tx| tx.put_meta(&format!("k{n}"), "v")))
    };
    for answer in with_busy_writer(&store, (0..N_CHANGES).map(put).collect()) {
        answer.expect("each is stored");
    }
    let commits = commits_in_log(dir.path()) - before.0;
    let stats = store.write_stats();
    assert_eq!(stats.commits - before.1.commits, commits, "what is counted is what is in the log");
    assert_eq!(stats.changes - before.1.changes, N_CHANGES as u64 + 1);
    assert!(commits <= 20, "{N_CHANGES} queued changes took {commits} commits");
    println!("{} changes in {commits} commits", N_CHANGES + 1);
}

/// A group was closed 1 ms after it was opened, also to changes that had been waiting by then: a slow
/// disk or a busy host left a few changes in each commit, and a queue that never drained.
#[test]
fn slow_changes_that_waited_together_share_a_commit() {
    const N_SLOW: usize = 20;
    let (_dir, store) = open();
    store.write_blocking("put", |tx| tx.put_meta("first", "v")).expect("it is stored");
    let before = store.write_stats();
    let put = |n| -> Answer<'_> {
        Box::pin(store.write("put", move |tx| {
            // Longer than a group takes in what comes later.
            std::thread::sleep(Duration::from_millis(2));
            tx.put_meta(&format!("k{n}"), "v")
        }))
    };
    for answer in with_busy_writer(&store, (0..N_SLOW).map(put).collect()) {
        answer.expect("each is stored");
    }
    let commits = store.write_stats().commits - before.commits;
    assert!(commits <= 2, "what waited took {commits} commits: who held it up, and all the others");
}

#[test]
fn a_failing_change_is_undone_alone() {
    let (_dir, store) = open();
    let put = |n| -> Answer<'_> {
        Box::pin(store.write("put", move |tx| {
            tx.put_meta(&format!("k{n}"), "v")?;
            match n % 3 {
                0 => Ok(()),
                1 => Err(StoreError::Closed),
                _ => panic!("planned by the test"),
            }
        }))
    };
    let answers = with_busy_writer(&store, (0..30).map(put).collect());
    for (n, answer) in answers.into_iter().enumerate() {
        let stored = store.read(|r| r.meta(&format!("k{n}"))).expect("reads");
        assert_eq!(stored.is_some(), n % 3 == 0, "change {n}");
        match n % 3 {
            0 => answer.expect("the good ones are stored"),
            1 => assert!(matches!(answer, Err(StoreError::Closed))),
            _ => assert!(matches!(answer, Err(StoreError::Panicked { change: "put" }))),
        }
    }
}

#[test]
fn a_change_that_breaks_a_key_leaves_its_group_alone() {
    let (_dir, store) = open();
    let add = |n| -> Answer<'_> {
        Box::pin(store.write("network", move |tx| {
            tx.put_meta(&format!("k{n}"), "v")?;
            tx.insert_network(&NetworkRecord { org: format!("org-{n}"), ..network() })
        }))
    };
    let answers = with_busy_writer(&store, (0..4).map(add).collect());
    let n_stored = answers.iter().filter(|answer| answer.is_ok()).count();
    let n_taken = answers.iter().filter(|a| matches!(a, Err(StoreError::Taken { .. }))).count();
    assert_eq!((n_stored, n_taken), (1, 3), "{answers:?}");
    assert_eq!(store.read(|r| r.networks()).expect("reads").len(), 1);
}

#[test]
fn a_read_sees_every_answered_change_and_one_state() {
    let (_dir, store) = open();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..300 {
                let pair = move |tx: &store::Tx<'_>| {
                    tx.put_meta("left", &n.to_string())?;
                    tx.put_meta("right", &n.to_string())
                };
                store.write_blocking("pair", pair).expect("stored");
                let seen = store.read(|r| r.meta("left")).expect("reads");
                assert_eq!(seen, Some(n.to_string()));
            }
        });
        while !writer.is_finished() {
            let (left, right) =
                store.read(|r| Ok((r.meta("left")?, r.meta("right")?))).expect("reads");
            assert_eq!(left, right, "both or none");
        }
    });
}

#[test]
fn a_closed_store_answers_so() {
    let (_dir, store) = open();
    store.close().expect("closes");
    store.close().expect("closing twice does no harm");
    let answer = store.write_blocking("late", |tx| tx.put_meta("late", "1"));
    assert!(matches!(answer, Err(StoreError::Closed)));
    assert!(matches!(store.read(|r| r.meta("late")), Err(StoreError::Closed)));
}

/// A change may hold the last clone of the store: the writer must not wait for itself.
#[test]
fn the_last_clone_may_go_inside_a_change() {
    let (dir, store) = open();
    let (held, (go, wait)) = (store.clone(), mpsc::channel::<()>());
    let runtime = runtime();
    let answer = runtime.spawn(async move {
        let inner = held.clone();
        held.write("hold", move |tx| {
            wait.recv().expect("the test says go");
            drop(inner);
            tx.put_meta("held", "1")
        })
        .await
    });
    drop(store);
    go.send(()).expect("the change waits");
    runtime.block_on(answer).expect("no panic").expect("stored");
    drop(runtime);
    let store = Store::open(dir.path()).expect("the lock is free again");
    assert!(store.read(|r| r.meta("held")).expect("reads").is_some());
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

/// Queues `changes` in order while the writer is held up, lets it go on, collects the answers.
fn with_busy_writer<'a>(store: &'a Store, changes: Vec<Answer<'a>>) -> Vec<Result<(), StoreError>> {
    let (running, is_running) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let busy = store.write("busy", move |tx| {
        running.send(()).expect("the test listens");
        wait.recv().expect("the test says go");
        tx.put_meta("busy", "1")
    });
    let mut queued: Vec<Answer<'a>> = vec![Box::pin(busy)];
    queued.extend(changes);
    for change in &mut queued {
        // The first poll puts the change into the queue, which has room for all of them.
        let first = change.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending(), "the writer is held up");
    }
    is_running.recv().expect("the writer runs");
    go.send(()).expect("the change waits");
    let runtime = runtime();
    let mut answers: Vec<_> = queued.into_iter().map(|answer| runtime.block_on(answer)).collect();
    answers.remove(0).expect("the first one is stored");
    answers
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime")
}

/// Commits in the write-ahead log: frames that carry the size of the database after them.
///
/// Source: "The Database File Format" of SQLite, section 4.1.
fn commits_in_log(dir: &Path) -> u64 {
    let log = std::fs::read(dir.join(format!("{DATABASE_FILE}-wal"))).expect("the log reads");
    let Some(frames) = log.get(32..) else { return 0 };
    let page_size: [u8; 4] = log[8..12].try_into().expect("four bytes");
    let frame_size = 24 + usize::try_from(u32::from_be_bytes(page_size)).expect("small");
    frames.chunks_exact(frame_size).filter(|frame| frame[4..8] != [0; 4]).count() as u64
}
