//! Selfhood, policies and traces: what is kept, for how long, and what damage is answered with.

use crate::sample::{
    NOW, app_name, destroyed, digest, hook, letter, machine, machine_id, message, open_with_app,
    refuse, selfhood, stopped, write,
};
use model::state::OwedWake;
use model::{Cause, DurationMs, Machine};
use rusqlite::Connection;
use store::{
    DATABASE_FILE, POLICIES_KEPT, Reader, SelfhoodRecord, SelfhoodTimer, Store, StoreError,
    TOMBSTONE_RETENTION, Tx,
};

/// A machine with something of everything.
fn insert_whole(tx: &Tx<'_>, n: u32) -> Result<(), StoreError> {
    tx.insert_machine(&machine(n))?;
    tx.put_policy(&digest(10 + n), "{}")?;
    tx.put_selfhood(&selfhood(n))?;
    tx.put_message(&message(n, 1), "hello")?;
    tx.put_message(&message(n, 2), "there")?;
    tx.bury_message(&machine_id(n), 1, NOW, 10)?;
    tx.append_trace(&machine_id(n), 1, NOW, "{}")
}

fn seqs(store: &Store, look: impl Fn(&Reader<'_>) -> Result<Vec<u64>, StoreError>) -> Vec<u64> {
    store.read(|r| look(r)).expect("reads")
}

#[test]
fn a_selfhood_is_replaced_as_a_whole() {
    let (_dir, store) = open_with_app();
    let found = || store.read(|r| r.selfhood(&machine_id(1))).expect("reads");
    assert_eq!(found(), None);
    write(&store, |tx| tx.put_selfhood(&selfhood(1)));
    assert_eq!(found(), Some(selfhood(1)));
    let next = SelfhoodRecord {
        revision: 4,
        next_at: None,
        policy: None,
        record: "x".repeat(256 * 1024),
        ..selfhood(1)
    };
    let stored = next.clone();
    write(&store, move |tx| {
        tx.put_selfhood(&stored)?;
        tx.put_selfhood(&stored)
    });
    assert_eq!(found(), Some(next));
    write(&store, |tx| {
        tx.remove_selfhood(&machine_id(1))?;
        tx.remove_selfhood(&machine_id(1))
    });
    assert_eq!(found(), None);
}

#[test]
fn timers_are_those_of_machines_that_live_and_can_act_by_themselves() {
    let (_dir, store) = open_with_app();
    let owing = |revision, owed| Machine { owed, revision, ..stopped(revision) };
    let owed = OwedWake { cause: Cause::Message, since: NOW, not_before: NOW };
    let owes = owing(2, Some(owed));
    let paid = owing(3, None);
    write(&store, move |tx| {
        (1..=7).try_for_each(|n| tx.insert_machine(&machine(n)))?;
        let passed_over = |n| SelfhoodRecord { is_governed: false, ..selfhood(n) };
        tx.put_selfhood(&selfhood(1))?;
        tx.put_selfhood(&SelfhoodRecord { next_at: None, ..selfhood(2) })?;
        tx.put_selfhood(&selfhood(3))?;
        tx.put_machine_state(&machine_id(3), &destroyed(2), NOW)?;
        tx.put_selfhood(&passed_over(4))?;
        tx.put_selfhood(&passed_over(5))?;
        tx.put_machine_state(&machine_id(1), &owes, NOW)?;
        tx.put_machine_state(&machine_id(5), &owes, NOW)?;
        tx.put_machine_state(&machine_id(6), &owes, NOW)
    });
    let timers = || {
        let mut timers = store.read(|r| r.selfhood_timers()).expect("reads");
        timers.sort_by(|a, b| a.machine.as_str().cmp(b.machine.as_str()));
        timers
    };
    let timer = |n, next_at| SelfhoodTimer { machine: machine_id(n), next_at };
    let owed = [timer(5, None), timer(6, None)];
    assert_eq!(timers(), [[timer(1, Some(NOW)), timer(2, None)], owed].concat());
    write(&store, move |tx| {
        tx.put_selfhood(&SelfhoodRecord { is_governed: false, ..selfhood(2) })?;
        tx.put_selfhood(&selfhood(4))?;
        [1, 5, 6].iter().try_for_each(|n| tx.put_machine_state(&machine_id(*n), &paid, NOW))
    });
    assert_eq!(timers(), [timer(1, Some(NOW)), timer(4, Some(NOW))]);
}

#[test]
fn a_destroyed_machine_leaves_its_trace_until_it_is_forgotten() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        insert_whole(tx, 1)?;
        insert_whole(tx, 2)?;
        tx.put_machine_state(&machine_id(1), &destroyed(2), NOW)?;
        tx.remove_selfhood(&machine_id(1))
    });
    let left = store.read(|r| {
        assert_eq!(r.selfhood(&machine_id(1))?, None);
        assert_eq!(r.messages_after(&machine_id(1), 0, 9)?, []);
        assert_eq!(r.message_body(&machine_id(1), 2)?, None);
        assert_eq!(r.dead_letters(&machine_id(1), 9)?, []);
        assert_eq!(r.message_seen(&machine_id(1), "id-1")?, None);
        assert_eq!(r.inbox_bytes(None)?, 5, "the other machine's");
        r.trace(&machine_id(1), 0, 9)
    });
    assert_eq!(left.expect("reads").len(), 1);
    let policy = |n| store.read(|r| r.policy(&digest(n))).expect("reads");
    let sweep_at = |late: u64| {
        let at = NOW.plus(TOMBSTONE_RETENTION).plus(DurationMs(late));
        store.write_blocking("sweep", move |tx| tx.sweep(at)).expect("swept")
    };
    assert_eq!(sweep_at(0).policies, 0);
    assert!(policy(11).is_some(), "the trace can still be judged");
    let swept = sweep_at(1);
    assert_eq!((swept.machines, swept.policies), (vec![machine_id(1)], 1));
    assert_eq!(store.read(|r| r.trace(&machine_id(1), 0, 9)).expect("reads"), []);
    assert_eq!((policy(11), policy(12).is_some()), (None, true));
    assert_eq!(store.read(|r| r.selfhood(&machine_id(2))).expect("reads"), Some(selfhood(2)));
}

#[test]
fn a_tombstone_and_an_app_go_with_all_that_is_left() {
    let (dir, store) = open_with_app();
    write(&store, |tx| {
        insert_whole(tx, 1)?;
        tx.put_hook(&hook("mail"))?;
        tx.put_outbox(&letter(0), 9)?;
        tx.put_machine_state(&machine_id(1), &destroyed(2), NOW)?;
        tx.delete_app_and_tombstones(&app_name())?;
        tx.prune_policies().map(|n| assert_eq!(n, 1))
    });
    assert_eq!(store.read(|r| r.inbox_bytes(None)).expect("reads"), 0);
    drop(store);
    let file = Connection::open(dir.path().join(DATABASE_FILE)).expect("the database opens");
    for table in [
        "selfhood",
        "policies",
        "policy_uses",
        "messages",
        "message_bodies",
        "message_ids",
        "dead_letters",
        "trace",
        "hooks",
        "outbox",
    ] {
        let count = format!("SELECT count(*) FROM {table}");
        let n: u32 = file.query_row(&count, [], |row| row.get(0)).expect("a count");
        assert_eq!(n, 0, "{table}");
    }
}

#[test]
fn long_traces_are_swept_over_several_changes() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        for n in 1..=3 {
            tx.insert_machine(&machine(n))?;
            tx.put_machine_state(&machine_id(n), &destroyed(2), NOW)?;
            (1..=6_000).try_for_each(|seq| tx.append_trace(&machine_id(n), seq, NOW, "{}"))?;
        }
        Ok(())
    });
    let at = NOW.plus(TOMBSTONE_RETENTION).plus(DurationMs(1));
    let swept = || {
        let swept = store.write_blocking("sweep", move |tx| tx.sweep(at)).expect("swept");
        swept.machines.len()
    };
    assert_eq!((swept(), swept(), swept()), (2, 1, 0));
}

#[test]
fn a_policy_is_kept_while_a_machine_has_or_had_it() {
    let (_dir, store) = open_with_app();
    let is_kept = |n| store.read(|r| r.policy(&digest(n))).expect("reads").is_some();
    let set = |machine: u32, policy: u32, revision: u32| {
        write(&store, move |tx| {
            tx.put_policy(&digest(policy), "{}")?;
            tx.put_policy(&digest(policy), "{}")?;
            let (policy, revision) = (Some(digest(policy)), u64::from(revision));
            tx.put_selfhood(&SelfhoodRecord { policy, revision, ..selfhood(machine) })
        });
    };
    set(2, 101, 1);
    for n in 1..=POLICIES_KEPT {
        set(1, 100 + n, n);
    }
    set(1, 102, POLICIES_KEPT + 1); // back to an older one: it counts as the newest
    assert!((101..=100 + POLICIES_KEPT).all(is_kept));
    set(1, 201, POLICIES_KEPT + 2);
    set(1, 202, POLICIES_KEPT + 3);
    assert!(is_kept(101), "another machine has it");
    assert!(is_kept(102), "it was used since");
    assert!(!is_kept(103), "nobody has it, and newer ones have taken its place");
    assert!(is_kept(104));
    write(&store, |tx| tx.put_policy(&digest(300), "{}"));
    let pruned = store.write_blocking("prune", |tx| tx.prune_policies()).expect("pruned");
    assert_eq!((pruned, is_kept(300)), (1, false));
}

#[test]
fn a_policy_set_between_two_changes_of_the_record_is_noted_once() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.put_selfhood(&selfhood(1))?; // the text may come after
        tx.put_policy(&digest(11), "{}")?;
        tx.put_selfhood(&SelfhoodRecord { policy: None, ..selfhood(1) })?;
        tx.prune_policies().map(|n| assert_eq!(n, 0, "the machine had it"))
    });
}

#[test]
fn a_trace_is_appended_to_and_cut_but_never_rewritten() {
    let (_dir, store) = open_with_app();
    let append = |seq: u64, json: &'static str| {
        move |tx: &Tx<'_>| tx.append_trace(&machine_id(1), seq, NOW, json)
    };
    for seq in 1..=6 {
        write(&store, append(seq, "{\"a\":1}"));
    }
    write(&store, append(3, "{\"a\":1}"));
    let error = refuse(&store, append(3, "{\"a\":2}"));
    assert!(matches!(error, StoreError::Conflict { kind: "trace", .. }), "{error}");
    write(&store, |tx| tx.append_trace(&machine_id(2), 3, NOW, "{}"));
    let after = |seq, limit| {
        seqs(&store, |r| Ok(r.trace(&machine_id(1), seq, limit)?.iter().map(|e| e.seq).collect()))
    };
    let before = |seq, limit| {
        seqs(&store, |r| {
            Ok(r.trace_before(&machine_id(1), seq, limit)?.iter().map(|e| e.seq).collect())
        })
    };
    assert_eq!((after(0, 2), after(4, 9), after(6, 9)), (vec![1, 2], vec![5, 6], vec![]));
    assert_eq!((before(None, 2), before(Some(3), 9)), (vec![6, 5], vec![2, 1]));
    assert!(before(Some(1), 9).is_empty());
    write(&store, |tx| {
        tx.cut_trace(&machine_id(1), 4)?;
        tx.cut_trace(&machine_id(1), 4)
    });
    assert_eq!(after(0, 9), [5, 6]);
    let entry = &store.read(|r| r.trace(&machine_id(1), 5, 1)).expect("reads")[0];
    assert_eq!((entry.at, entry.json.as_str()), (NOW, "{\"a\":1}"));
}

/// What a read answers after `damage` was done to a whole store.
fn damaged<T: std::fmt::Debug>(
    damage: &str,
    look: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>,
) -> (&'static str, &'static str) {
    let (dir, store) = open_with_app();
    write(&store, |tx| {
        insert_whole(tx, 1)?;
        tx.put_hook(&hook("mail"))?;
        tx.put_outbox(&letter(0), 9).map(drop)
    });
    drop(store);
    let file = Connection::open(dir.path().join(DATABASE_FILE)).expect("the database opens");
    assert_eq!(file.execute(damage, []).expect("the damage is done"), 1, "{damage}");
    drop(file);
    let store = Store::open(dir.path()).expect("the rest is whole");
    match store.read(look) {
        Err(StoreError::Corrupt { table, column, .. }) => (table, column),
        other => panic!("{damage}: {other:?}"),
    }
}

#[test]
fn a_damaged_row_is_named() {
    let id = machine_id(1);
    let read_selfhood = |r: &Reader<'_>| r.selfhood(&machine_id(1)).map(drop);
    let read_messages = |r: &Reader<'_>| r.messages_after(&machine_id(1), 0, 9).map(drop);
    let found = [
        damaged("UPDATE selfhood SET revision = -1", read_selfhood),
        damaged("UPDATE selfhood SET next_at = -1", read_selfhood),
        damaged("UPDATE selfhood SET policy_hash = 'md5:0'", read_selfhood),
        damaged("UPDATE selfhood SET record = CAST(x'ff' AS TEXT)", read_selfhood),
        damaged("UPDATE selfhood SET next_at = -1", |r| r.selfhood_timers()),
        damaged("UPDATE messages SET deliveries = 256", read_messages),
        damaged("UPDATE messages SET hops = -1", read_messages),
        damaged("UPDATE messages SET bytes = -1", |r| r.message(&id, 2)),
        damaged("UPDATE message_ids SET forget_at = -1 WHERE id = 'id-1'", |r| {
            r.message_seen(&id, "id-1")
        }),
        damaged("UPDATE message_bodies SET body = CAST(x'ff' AS TEXT)", |r| r.message_body(&id, 2)),
        damaged("UPDATE dead_letters SET at = -1", |r| r.dead_letters(&id, 9)),
        damaged("UPDATE apps SET inbox_bytes = -1", |r| r.inbox_bytes(Some(&app_name()))),
        damaged("UPDATE counters SET value = -1 WHERE name = 'inbox_bytes'", |r| {
            r.inbox_bytes(None)
        }),
        damaged("UPDATE trace SET at = -1", |r| r.trace(&id, 0, 9)),
        damaged("UPDATE hooks SET machine = 'x'", |r| r.hooks(&app_name())),
        damaged("UPDATE outbox SET attempts = -1", |r| r.outbox_of(&id)),
    ];
    let expected = [
        ("selfhood", "revision"),
        ("selfhood", "next_at"),
        ("selfhood", "policy_hash"),
        ("selfhood", "record"),
        ("selfhood", "next_at"),
        ("messages", "deliveries"),
        ("messages", "hops"),
        ("messages", "bytes"),
        ("message_ids", "forget_at"),
        ("message_bodies", "body"),
        ("dead_letters", "at"),
        ("apps", "inbox_bytes"),
        ("counters", "value"),
        ("trace", "at"),
        ("hooks", "machine"),
        ("outbox", "attempts"),
    ];
    assert_eq!(found, expected);
}
