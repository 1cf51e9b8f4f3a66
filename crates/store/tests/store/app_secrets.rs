//! Secrets by version: what a machine was made with stays for as long as it has it.

use crate::sample::{NOW, app_name, app_secret, machine, open_with_app, secret_key, write};
use model::{DurationMs, UnixMs};
use store::{MachineRecord, SECRET_GRACE, Store};

const LATER: UnixMs = UnixMs(NOW.0 + SECRET_GRACE.0 + 1);

/// Sets the secret `A` and answers the version that has it.
fn set(store: &Store, value: &'static str) -> u64 {
    let change = move |tx: &store::Tx<'_>| {
        let since = tx.next_secrets_version(&app_name())?;
        tx.put_app_secret(&app_secret("A", since, value)).map(|()| since)
    };
    store.write_blocking("test", change).expect("the secret is set")
}

fn value_at(store: &Store, version: u64) -> Option<String> {
    let found = store.read(|r| r.app_secrets(&app_name(), version)).expect("they read");
    found.into_iter().next().map(|secret| secret.sealed)
}

fn with_secrets(version: u64) -> MachineRecord {
    let mut record = machine(1);
    record.spec.secrets.version = version;
    record
}

#[test]
fn each_version_has_the_values_it_had() {
    let (_dir, store) = open_with_app();
    assert_eq!([set(&store, "one"), set(&store, "two")], [1, 2]);
    assert_eq!(value_at(&store, 0), None);
    assert_eq!(value_at(&store, 1).as_deref(), Some("sealed one"));
    assert_eq!(value_at(&store, 2).as_deref(), Some("sealed two"));
    write(&store, |tx| {
        let version = tx.next_secrets_version(&app_name())?;
        assert!(tx.end_app_secret(&app_name(), "A", version, NOW)?);
        assert!(!tx.end_app_secret(&app_name(), "A", version, NOW)?, "it is gone");
        Ok(())
    });
    assert_eq!(value_at(&store, 2).as_deref(), Some("sealed two"));
    assert_eq!(value_at(&store, 3), None);
}

#[test]
fn a_value_that_a_machine_has_is_kept_until_it_has_another() {
    let (_dir, store) = open_with_app();
    let (old, new) = (set(&store, "old"), set(&store, "new"));
    write(&store, move |tx| tx.insert_machine(&with_secrets(old)));
    let swept = |at: UnixMs| {
        let swept = store.write_blocking("sweep", move |tx| tx.sweep(at)).expect("swept");
        swept.secrets
    };
    assert_eq!(swept(LATER), 0);
    assert_eq!(value_at(&store, old).as_deref(), Some("sealed old"));
    write(&store, move |tx| {
        let mut next = with_secrets(new);
        next.version = crate::sample::version_id(9);
        tx.put_machine_version(&next.current_version(), NOW)
    });
    assert_eq!(swept(NOW.plus(DurationMs(1))), 0, "somebody may be about to take it");
    assert_eq!(swept(LATER), 1);
    assert_eq!(value_at(&store, old), None);
    assert_eq!(value_at(&store, new).as_deref(), Some("sealed new"));
}

#[test]
fn an_app_takes_its_secrets_and_keys_along() {
    let (_dir, store) = open_with_app();
    set(&store, "one");
    write(&store, |tx| tx.put_secret_key(&secret_key("k")));
    write(&store, |tx| {
        assert!(tx.secret_key(&app_name(), "k")?.is_some());
        tx.delete_app(&app_name())?;
        tx.insert_app(&crate::sample::app())
    });
    assert_eq!(value_at(&store, 1), None);
    assert_eq!(store.read(|r| r.secrets_version(&app_name())).expect("it reads"), 0);
    assert_eq!(store.read(|r| r.secret_keys(&app_name())).expect("they read"), []);
}
