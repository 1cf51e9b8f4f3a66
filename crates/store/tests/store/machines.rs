//! A machine comes back as it was stored, and the keys that keep machines apart hold.

use crate::sample::{
    NOW, app_name, destroyed, event, event_id, machine, machine_id, open, open_with_app, refuse,
    started, stopped, version_id, write,
};
use model::{DurationMs, UnixMs};
use store::{
    EVENTS_KEPT, LeaseRecord, MachineFilter, StoreError, TOMBSTONE_RETENTION, Tx, VERSIONS_KEPT,
};

#[test]
fn a_machine_comes_back_as_it_was_stored() {
    let (_dir, store) = open_with_app();
    let mut record = machine(1);
    record.machine = started(4, 9);
    record.lease = Some(LeaseRecord {
        nonce: "5c35f65c9f95".to_owned(),
        owner: "local".to_owned(),
        description: String::new(),
        expires_at: NOW,
        version: version_id(1),
    });
    let stored = record.clone();
    write(&store, move |tx| tx.insert_machine(&stored));
    let by_id = store.read(|r| r.machine(&machine_id(1))).expect("reads");
    let by_name = store.read(|r| r.machine_by_name(&app_name(), "machine-1")).expect("reads");
    assert_eq!(by_id.as_ref(), Some(&record));
    assert_eq!(by_name, by_id);
    let summaries = store.read(|r| r.machine_summaries(&MachineFilter::default())).expect("reads");
    assert_eq!(summaries[0].state, "started");
    assert_eq!((summaries[0].revision, summaries[0].guest), (4, record.spec.guest));
}

#[test]
fn a_state_follows_only_from_the_stored_one() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| tx.insert_machine(&machine(1)));
    write(&store, |tx| tx.put_machine_state(&machine_id(1), &started(2, 1), NOW));
    for stale in [1, 2, 4] {
        let error =
            refuse(&store, move |tx| tx.put_machine_state(&machine_id(1), &stopped(stale), NOW));
        assert!(matches!(error, StoreError::Conflict { .. }), "revision {stale}: {error}");
    }
    write(&store, |tx| tx.put_machine_state_after(2, &machine_id(1), &stopped(5), NOW));
    let error = refuse(&store, |tx| tx.put_machine_state(&machine_id(2), &stopped(2), NOW));
    assert!(matches!(error, StoreError::NotFound { .. }));
    let record = store.read(|r| r.machine(&machine_id(1))).expect("reads").expect("it is there");
    assert_eq!((record.machine, record.generation), (stopped(5), 3), "each change is published");
}

#[test]
fn names_and_addresses_are_taken_until_destroyed() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| tx.insert_machine(&machine(1)));
    let clash = |bend: fn(&mut store::MachineRecord)| {
        let mut other = machine(2);
        bend(&mut other);
        move |tx: &Tx<'_>| tx.insert_machine(&other)
    };
    let bends: [fn(&mut store::MachineRecord); 4] = [
        |m| m.id = machine_id(1),
        |m| m.name = "machine-1".to_owned(),
        |m| m.v4 = machine(1).v4,
        |m| m.v6 = machine(1).v6,
    ];
    for bend in bends {
        let error = refuse(&store, clash(bend));
        assert!(matches!(error, StoreError::Taken { .. }), "{error}");
    }
    let is_used = |n| {
        let record = machine(n);
        let both = store
            .read(|r| Ok((r.is_v4_used(record.v4)?, r.is_name_used(&record.app, &record.name)?)));
        both.expect("reads")
    };
    assert_eq!((is_used(1), is_used(2)), ((true, true), (false, false)));
    write(&store, |tx| tx.put_machine_state(&machine_id(1), &destroyed(2), NOW));
    assert_eq!(is_used(1), (false, false));
    for bend in &bends[1..] {
        let reuse = clash(*bend);
        write(&store, move |tx| {
            reuse(tx)?;
            tx.put_machine_state(&machine_id(2), &destroyed(2), NOW)?;
            tx.delete_machine_tombstone(&machine_id(2))
        });
    }
}

#[test]
fn a_filter_keeps_what_it_says() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        (1..=4).try_for_each(|n| {
            let mut record = machine(n);
            record.spec.metadata.insert("n".to_owned(), n.to_string());
            tx.insert_machine(&record)
        })?;
        tx.put_machine_state(&machine_id(2), &started(2, 1), NOW)?;
        tx.put_machine_state(&machine_id(3), &destroyed(2), NOW)
    });
    let ids = |filter: &MachineFilter| {
        let whole = store.read(|r| r.machines(filter)).expect("reads");
        let short = store.read(|r| r.machine_summaries(filter)).expect("reads");
        assert!(whole.iter().map(|m| &m.id).eq(short.iter().map(|m| &m.id)));
        whole.into_iter().map(|m| m.id).collect::<Vec<_>>()
    };
    let of = |numbers: &[u32]| numbers.iter().map(|n| machine_id(*n)).collect::<Vec<_>>();
    let any = MachineFilter::default();
    assert_eq!(ids(&any), of(&[1, 2, 4]));
    assert_eq!(ids(&MachineFilter { include_destroyed: true, ..any.clone() }), of(&[1, 2, 3, 4]));
    let named = |states: &[&str]| states.iter().map(|s| (*s).to_owned()).collect();
    let by_state = MachineFilter { states: named(&["started", "destroyed"]), ..any.clone() };
    assert_eq!(ids(&by_state), of(&[2, 3]));
    let labels = [("n".to_owned(), "4".to_owned()), ("role".to_owned(), "front".to_owned())];
    assert_eq!(ids(&MachineFilter { metadata: labels.into(), ..any.clone() }), of(&[4]));
    assert_eq!(ids(&MachineFilter { app: "other".parse().ok(), ..any }), of(&[]));
}

#[test]
fn versions_are_kept_up_to_their_bound() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| tx.insert_machine(&machine(1)));
    write(&store, |tx| {
        (100..100 + VERSIONS_KEPT + 5).try_for_each(|n| {
            let mut version = machine(1).current_version();
            version.version = version_id(n);
            version.spec.guest.cpus = n;
            tx.put_machine_version(&version, NOW)
        })
    });
    let versions = store.read(|r| r.versions(&machine_id(1))).expect("reads");
    let newest = version_id(100 + VERSIONS_KEPT + 4);
    assert!(versions.len() <= VERSIONS_KEPT as usize + 1, "{}", versions.len());
    assert_eq!(versions[0].version, newest);
    let record = store.read(|r| r.machine(&machine_id(1))).expect("reads").expect("it is there");
    assert_eq!((&record.version, record.spec.guest.cpus), (&newest, 104 + VERSIONS_KEPT));
    let oldest = store.read(|r| r.version(&machine_id(1), &version_id(1))).expect("reads");
    assert_eq!(oldest, None, "the first one is forgotten");
}

#[test]
fn events_come_newest_first_and_are_trimmed() {
    let (_dir, store) = open();
    write(&store, |tx| {
        (1..=EVENTS_KEPT + 20).try_for_each(|n| tx.append_event(&event(n, 1)))?;
        tx.append_event(&event(5_000, 2))
    });
    let newest = EVENTS_KEPT + 20;
    let page = store.read(|r| r.events(&machine_id(1), 500, None)).expect("reads");
    assert_eq!(page.len(), 50, "a page is bounded");
    assert_eq!((&page[0], &page[1]), (&event(newest, 1), &event(newest - 1, 1)));
    let after = Some(event_id(newest - 2));
    let news = store.read(|r| r.events(&machine_id(1), 50, after.as_ref())).expect("reads");
    assert_eq!(news, [event(newest, 1), event(newest - 1, 1)]);
    let trimmed = Some(event_id(20));
    let all = store.read(|r| r.events(&machine_id(1), 1, trimmed.as_ref())).expect("reads");
    assert_eq!(all.len(), 1, "a forgotten mark hides nothing");
    assert_eq!(store.read(|r| r.events(&machine_id(2), 50, None)).expect("reads").len(), 1);
    write(&store, |tx| tx.append_event(&event(20, 3)));
}

#[test]
fn a_destroyed_machine_is_read_until_its_retention_has_passed() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.insert_machine(&machine(1))?;
        tx.insert_machine(&machine(2))?;
        tx.append_event(&event(1, 1))?;
        tx.put_machine_state(&machine_id(1), &destroyed(2), NOW)
    });
    let error = refuse(&store, |tx| tx.delete_machine_tombstone(&machine_id(2)));
    assert!(matches!(error, StoreError::Conflict { .. }), "a living machine is not forgotten");
    let sweep_at =
        |at: UnixMs| store.write_blocking("sweep", move |tx| tx.sweep(at)).expect("swept");
    assert!(sweep_at(NOW.plus(TOMBSTONE_RETENTION)).machines.is_empty());
    assert_eq!(store.read(|r| r.events(&machine_id(1), 50, None)).expect("reads").len(), 1);
    let swept = sweep_at(NOW.plus(TOMBSTONE_RETENTION).plus(DurationMs(1)));
    assert_eq!(swept.machines, [machine_id(1)]);
    assert_eq!(store.read(|r| r.events(&machine_id(1), 50, None)).expect("reads"), []);
    assert_eq!(store.read(|r| r.machine(&machine_id(1))).expect("reads"), None);
    assert!(store.read(|r| r.machine(&machine_id(2))).expect("reads").is_some());
}
