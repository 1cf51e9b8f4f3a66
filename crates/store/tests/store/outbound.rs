//! Hooks, what is to be sent, and the secret that signs it.

use crate::sample::{
    NOW, app_name, destroyed, hook, letter, machine, machine_id, open_with_app, refuse, write,
};
use model::{AppName, DurationMs, UnixMs};
use store::{HookRecord, OldSecret, OutboxRecord, Store, StoreError};

const KEEP: u32 = 3;

fn at(s: u64) -> UnixMs {
    NOW.plus(DurationMs::from_secs(s))
}

fn put(store: &Store, letter: OutboxRecord) -> u64 {
    store.write_blocking("put", move |tx| tx.put_outbox(&letter, KEEP)).expect("it is stored")
}

fn seqs(letters: &[OutboxRecord]) -> Vec<u64> {
    letters.iter().map(|letter| letter.seq).collect()
}

#[test]
fn hooks_are_known_by_app_and_name() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.put_hook(&hook("mail"))?;
        tx.put_hook(&hook("build"))
    });
    let all = store.read(|r| r.hooks(&app_name())).expect("reads");
    assert_eq!(all, [hook("build"), hook("mail")]);
    let changed = HookRecord { secret: None, wake: false, machine: machine_id(9), ..hook("mail") };
    let stored = changed.clone();
    write(&store, move |tx| tx.put_hook(&stored));
    let found = |name: &str| store.read(|r| r.hook(&app_name(), name)).expect("reads");
    assert_eq!(found("mail"), Some(changed));
    let remove = |name: &'static str| {
        let change = move |tx: &store::Tx<'_>| tx.remove_hook(&app_name(), name);
        store.write_blocking("remove", change).expect("it is gone")
    };
    assert_eq!((remove("mail"), remove("mail")), (true, false));
    assert_eq!(found("mail"), None);
}

#[test]
fn hooks_go_with_their_app_and_need_one() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.put_hook(&hook("mail"))?;
        tx.delete_app(&app_name())
    });
    assert_eq!(store.read(|r| r.hooks(&app_name())).expect("reads"), []);
    drop(refuse(&store, |tx| tx.put_hook(&hook("mail"))));
}

#[test]
fn what_is_longest_due_is_sent_first() {
    let (_dir, store) = open_with_app();
    assert_eq!(store.read(|r| r.outbox_next_at()).expect("reads"), None);
    for next in [7, 5, 5] {
        put(&store, OutboxRecord { next_at: at(next), ..letter(0) });
    }
    let due = |now, limit| seqs(&store.read(|r| r.outbox_due(at(now), limit)).expect("reads"));
    assert_eq!((due(4, 9), due(5, 9), due(7, 9)), (vec![], vec![2, 3], vec![2, 3, 1]));
    assert_eq!(due(7, 1), [2]);
    assert_eq!(store.read(|r| r.outbox_next_at()).expect("reads"), Some(at(5)));
    write(&store, |tx| {
        tx.put_outbox_attempt(2, 1, at(60), Some(("receiver_status", "refused")))?;
        tx.put_outbox_attempt(77, 1, at(60), None)?;
        tx.remove_outbox(3)?;
        tx.remove_outbox(3)
    });
    let left = store.read(|r| r.outbox_of(&machine_id(1))).expect("reads");
    let tried = &left[1];
    assert_eq!(seqs(&left), [1, 2]);
    assert_eq!((tried.attempts, tried.next_at), (1, at(60)));
    assert_eq!(tried.last_code.as_deref(), Some("receiver_status"));
    assert_eq!(tried.last_error.as_deref(), Some("refused"));
}

#[test]
fn a_machine_that_sends_too_much_loses_its_oldest() {
    let (_dir, store) = open_with_app();
    put(&store, OutboxRecord { machine: machine_id(2), ..letter(0) });
    let given: Vec<_> = (0..5).map(|_| put(&store, letter(0))).collect();
    assert_eq!(given, [2, 3, 4, 5, 6]);
    let left = |n| seqs(&store.read(|r| r.outbox_of(&machine_id(n))).expect("reads"));
    assert_eq!((left(1), left(2)), (vec![4, 5, 6], vec![1]), "each has its own bound");
    write(&store, |tx| (4..=6).try_for_each(|seq| tx.remove_outbox(seq)));
    assert_eq!(put(&store, letter(0)), 7, "no number is given twice");
}

#[test]
fn what_a_forgotten_machine_had_to_send_is_forgotten() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.insert_machine(&machine(1))?;
        tx.put_hook(&hook("mail"))?;
        tx.put_outbox(&letter(0), KEEP)?;
        tx.put_machine_state(&machine_id(1), &destroyed(2), NOW)?;
        tx.remove_selfhood(&machine_id(1))
    });
    let left = || store.read(|r| Ok((r.hooks(&app_name())?, r.outbox_of(&machine_id(1))?)));
    let (hooks, letters) = left().expect("reads");
    assert_eq!((hooks.len(), letters.len()), (1, 1), "its last words are still to be sent");
    write(&store, |tx| tx.delete_machine_tombstone(&machine_id(1)));
    assert_eq!(left().expect("reads"), (vec![], vec![]));
}

#[test]
fn an_app_draws_its_signing_secret_once() {
    let (_dir, store) = open_with_app();
    let ensure = |drawn: &'static str| {
        let change = move |tx: &store::Tx<'_>| tx.ensure_signing_secret(&app_name(), drawn);
        store.write_blocking("secret", change).expect("there is one")
    };
    assert_eq!(store.read(|r| r.signing_secret(&app_name())).expect("reads"), None);
    assert_eq!((ensure("one"), ensure("two")), ("one".to_owned(), "one".to_owned()));
    let stored = store.read(|r| r.signing_secret(&app_name())).expect("reads");
    assert_eq!(stored.as_deref(), Some("one"));
    let unknown: AppName = "nobody".parse().expect("a name");
    let error = store.read(|r| r.signing_secret(&unknown)).expect_err("there is no such app");
    assert!(matches!(error, StoreError::NotFound { kind: "app", .. }), "{error}");
}

#[test]
fn an_app_with_many_letters_is_only_one_of_those_that_send() {
    let (_dir, store) = open_with_app();
    let of = |app: &str, next: u64| OutboxRecord {
        app: app.parse().expect("a name"),
        next_at: at(next),
        ..letter(0)
    };
    let put = |letter: OutboxRecord| {
        store.write_blocking("put", move |tx| tx.put_outbox(&letter, 100)).expect("it is stored")
    };
    for next in 1..=8 {
        put(of("loud", next));
    }
    put(of("quiet", 9));
    put(of("later", 20));
    let due = |each, limit| {
        seqs(&store.read(|r| r.outbox_due_by_app(at(10), each, limit)).expect("reads"))
    };
    assert_eq!(due(3, 9), [1, 9, 2, 3]);
    assert_eq!(due(3, 2), [1, 9]);
    write(&store, |tx| (1..=10).try_for_each(|seq| tx.remove_outbox(seq)));
    assert_eq!(due(3, 9), Vec::<u64>::new());
}

fn old(secret: &str, s: u64) -> OldSecret {
    OldSecret { secret: secret.to_owned(), until: at(s) }
}

#[test]
fn a_secret_that_was_replaced_is_kept_until_its_time() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.ensure_signing_secret(&app_name(), "one")?;
        tx.replace_signing_secret(&app_name(), "two", &[old("one", 5)])?;
        tx.replace_signing_secret(&app_name(), "three", &[old("one", 5), old("two", 9)])
    });
    let known = || {
        let both = |r: &store::Reader<'_>| {
            Ok((r.signing_secret(&app_name())?, r.old_signing_secrets(&app_name())?))
        };
        store.read(both).expect("reads")
    };
    assert_eq!(known(), (Some("three".to_owned()), vec![old("two", 9), old("one", 5)]));
    let sweep =
        |s| store.write_blocking("sweep", move |tx| tx.sweep(at(s))).expect("swept").secrets;
    assert_eq!((sweep(4), sweep(5), sweep(5)), (0, 1, 0));
    assert_eq!(known().1, [old("two", 9)]);
    let nobody: AppName = "nobody".parse().expect("a name");
    let error = refuse(&store, move |tx| tx.replace_signing_secret(&nobody, "x", &[]));
    assert!(matches!(error, StoreError::NotFound { kind: "app", .. }), "{error}");
    write(&store, |tx| tx.delete_app(&app_name()));
    assert_eq!(store.read(|r| r.old_signing_secrets(&app_name())).expect("reads"), []);
}

#[test]
fn secrets_that_a_hook_had_go_with_it() {
    let (_dir, store) = open_with_app();
    drop(refuse(&store, |tx| tx.replace_old_hook_secrets(&app_name(), "mail", &[old("a", 5)])));
    write(&store, |tx| {
        tx.put_hook(&hook("mail"))?;
        tx.put_hook(&hook("build"))?;
        tx.replace_old_hook_secrets(&app_name(), "build", &[old("b", 5)])?;
        tx.replace_old_hook_secrets(&app_name(), "mail", &[old("a", 5), old("b", 6)])?;
        // To change a hook is not to make it anew.
        tx.put_hook(&HookRecord { wake: false, ..hook("mail") })
    });
    let of = |name: &str| store.read(|r| r.old_hook_secrets(&app_name(), name)).expect("reads");
    assert_eq!((of("mail"), of("build")), (vec![old("b", 6), old("a", 5)], vec![old("b", 5)]));
    write(&store, |tx| tx.remove_hook(&app_name(), "mail").map(drop));
    assert_eq!((of("mail"), of("build")), (vec![], vec![old("b", 5)]));
}
