//! The inbox against a simple oracle: random changes, each made twice, in one transaction.

use crate::sample::{
    NOW, app, app_name, machine, machine_id, message, open_with_app, refuse, write,
};
use model::{AppName, DurationMs, MachineId, UnixMs};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use store::{AppRecord, MessageRecord, Reader, SeenMessage, Store, StoreError, Tx};

const N_MACHINES: u32 = 3;
const N_SEQS: u64 = 8;
const N_IDS: u8 = 4;

#[derive(Clone, Debug)]
enum Op {
    Put { seq: u64, id: Option<u8>, length: usize },
    Mark { seq: u64, deliveries: u8, until: u64 },
    Remove { seq: u64, forget_at: u64 },
    Bury { seq: u64, forget_at: u64, keep: u32 },
    Forget { before: u64 },
    Destroy,
}

fn op() -> impl Strategy<Value = Op> {
    let seq = || 1..=N_SEQS;
    let at = || 0..6_u64;
    prop_oneof![
        8 => (seq(), prop::option::of(0..N_IDS), 0..40_usize)
            .prop_map(|(seq, id, length)| Op::Put { seq, id, length }),
        3 => (seq(), any::<u8>(), at())
            .prop_map(|(seq, deliveries, until)| Op::Mark { seq, deliveries, until }),
        4 => (seq(), at()).prop_map(|(seq, forget_at)| Op::Remove { seq, forget_at }),
        4 => (seq(), at(), 0..4_u32)
            .prop_map(|(seq, forget_at, keep)| Op::Bury { seq, forget_at, keep }),
        2 => at().prop_map(|before| Op::Forget { before }),
        1 => Just(Op::Destroy),
    ]
}

fn at(s: u64) -> UnixMs {
    NOW.plus(DurationMs::from_secs(s))
}

fn id_text(id: u8) -> String {
    format!("id-{id}")
}

fn body_of(seq: u64, length: usize) -> String {
    seq.to_string().repeat(length)
}

fn row_of(machine: u32, seq: u64, id: Option<u8>, body: &str) -> MessageRecord {
    let bytes = body.len() as u64;
    MessageRecord { id: id.map(id_text), bytes, ..message(machine, seq) }
}

/// What one machine's inbox should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Expected {
    waiting: BTreeMap<u64, (MessageRecord, String)>,
    dead: BTreeMap<u64, (MessageRecord, String)>,
    ids: BTreeMap<String, SeenMessage>,
}

impl Expected {
    fn follow(&mut self, machine: u32, op: &Op) {
        match *op {
            Op::Put { seq, id, length } => {
                if self.waiting.contains_key(&seq) {
                    return;
                }
                let body = body_of(seq, length);
                let row = row_of(machine, seq, id, &body);
                if let Some(id) = &row.id {
                    self.ids.insert(id.clone(), SeenMessage { seq, forget_at: None });
                }
                self.waiting.insert(seq, (row, body));
            }
            Op::Mark { seq, deliveries, until } => {
                if let Some((row, _)) = self.waiting.get_mut(&seq) {
                    (row.deliveries, row.hidden_until) = (deliveries, at(until));
                }
            }
            Op::Remove { seq, forget_at } => drop(self.take(seq, forget_at)),
            Op::Bury { seq, forget_at, keep } => {
                let Some(message) = self.take(seq, forget_at) else { return };
                self.dead.insert(seq, message);
                while self.dead.len() > keep as usize {
                    self.dead.pop_first();
                }
            }
            Op::Forget { before } => {
                self.ids.retain(|_, seen| seen.forget_at.is_none_or(|end| end > at(before)));
            }
            Op::Destroy => *self = Self::default(),
        }
    }

    fn take(&mut self, seq: u64, forget_at: u64) -> Option<(MessageRecord, String)> {
        let message = self.waiting.remove(&seq)?;
        let seen = message.0.id.as_ref().and_then(|id| self.ids.get_mut(id));
        if let Some(seen) = seen.filter(|seen| seen.seq == seq) {
            seen.forget_at = Some(at(forget_at));
        }
        Some(message)
    }

    fn bytes(&self) -> u64 {
        self.waiting.values().map(|(row, _)| row.bytes).sum()
    }

    /// The same, as it is stored.
    fn read(reader: &Reader<'_>, machine: u32) -> Result<Self, StoreError> {
        let id = machine_id(machine);
        let mut found = Self::default();
        for row in reader.messages_after(&id, 0, u32::MAX)? {
            assert_eq!(reader.message(&id, row.seq)?.as_ref(), Some(&row));
            let body = reader.message_body(&id, row.seq)?.expect("each message has its text");
            found.waiting.insert(row.seq, (row, body));
        }
        let dead = reader.dead_letters(&id, u32::MAX)?;
        found.dead = dead.into_iter().map(|(row, body)| (row.seq, (row, body))).collect();
        for text in (0..N_IDS).map(id_text) {
            if let Some(seen) = reader.message_seen(&id, &text)? {
                found.ids.insert(text, seen);
            }
        }
        Ok(found)
    }
}

fn carry_out(tx: &Tx<'_>, machine: u32, op: &Op) -> Result<(), StoreError> {
    let id = machine_id(machine);
    match *op {
        Op::Put { seq, id, length } => {
            let body = body_of(seq, length);
            tx.put_message(&row_of(machine, seq, id, &body), &body)
        }
        Op::Mark { seq, deliveries, until } => tx.mark_delivered(&id, seq, deliveries, at(until)),
        Op::Remove { seq, forget_at } => tx.remove_message(&id, seq, at(forget_at)),
        Op::Bury { seq, forget_at, keep } => tx.bury_message(&id, seq, at(forget_at), keep),
        Op::Forget { before } => tx.forget_message_ids(&id, at(before)),
        Op::Destroy => tx.remove_selfhood(&id),
    }
}

fn other_app() -> AppName {
    "jobs".parse().expect("a name")
}

/// Machines 0 and 1 belong to the first app, machine 2 to another.
fn insert_machines(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.insert_app(&AppRecord { name: other_app(), id: "ponmlkjihgfedcba".to_owned(), ..app() })?;
    (0..2).try_for_each(|n| tx.insert_machine(&machine(n)))?;
    tx.insert_machine(&store::MachineRecord { app: other_app(), ..machine(2) })
}

fn agree(reader: &Reader<'_>, expected: &[Expected]) -> Result<(), StoreError> {
    for (machine, expected) in (0..).zip(expected) {
        assert_eq!(&Expected::read(reader, machine)?, expected, "machine {machine}");
    }
    let sum = |of: &[Expected]| of.iter().map(Expected::bytes).sum::<u64>();
    assert_eq!(reader.inbox_bytes(Some(&app_name()))?, sum(&expected[..2]));
    assert_eq!(reader.inbox_bytes(Some(&other_app()))?, sum(&expected[2..]));
    assert_eq!(reader.inbox_bytes(None)?, sum(expected));
    Ok(())
}

fn check(ops: Vec<(u32, Op)>) {
    let (dir, store) = open_with_app();
    let run = move |tx: &Tx<'_>| {
        insert_machines(tx)?;
        let mut expected = vec![Expected::default(); N_MACHINES as usize];
        for (machine, op) in &ops {
            expected[*machine as usize].follow(*machine, op);
            carry_out(tx, *machine, op)?;
            agree(tx, &expected)?;
            carry_out(tx, *machine, op)?;
            agree(tx, &expected)?;
        }
        Ok(expected)
    };
    let expected = store.write_blocking("inbox", run).expect("the inboxes keep to the oracle");
    drop(store);
    let store = Store::open(dir.path()).expect("opens again");
    store.read(|reader| agree(reader, &expected)).expect("reads");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn inboxes_keep_to_the_oracle(
        ops in prop::collection::vec((0..N_MACHINES, op()), 1..60)
    ) {
        check(ops);
    }
}

fn seqs(store: &Store, id: &MachineId, after: u64, limit: u32) -> Vec<u64> {
    let rows = store.read(|r| r.messages_after(id, after, limit)).expect("reads");
    rows.iter().map(|row| row.seq).collect()
}

#[test]
fn messages_are_read_in_pages() {
    let (_dir, store) = open_with_app();
    let id = machine_id(1);
    write(&store, |tx| {
        tx.insert_machine(&machine(1))?;
        (1..=9).try_for_each(|seq| tx.put_message(&message(1, seq), "hello"))
    });
    assert_eq!(seqs(&store, &id, 0, 4), [1, 2, 3, 4]);
    assert_eq!(seqs(&store, &id, 7, 4), [8, 9]);
    assert!(seqs(&store, &id, u64::MAX, 4).is_empty());
    assert!(seqs(&store, &machine_id(2), 0, 4).is_empty());
}

#[test]
fn an_id_is_free_again_once_it_was_forgotten() {
    let (_dir, store) = open_with_app();
    let id = machine_id(1);
    let seen = |text: &str| store.read(|r| r.message_seen(&machine_id(1), text)).expect("reads");
    write(&store, |tx| {
        tx.insert_machine(&machine(1))?;
        tx.put_message(&message(1, 1), "hello")
    });
    assert_eq!(seen("id-1"), Some(SeenMessage { seq: 1, forget_at: None }));
    write(&store, move |tx| tx.remove_message(&machine_id(1), 1, at(5)));
    assert_eq!(seen("id-1"), Some(SeenMessage { seq: 1, forget_at: Some(at(5)) }));
    let again = MessageRecord { id: Some("id-1".to_owned()), ..message(1, 2) };
    write(&store, move |tx| tx.put_message(&again, "again"));
    assert_eq!(seen("id-1"), Some(SeenMessage { seq: 2, forget_at: None }));
    write(&store, move |tx| tx.forget_message_ids(&id, UnixMs(u64::MAX)));
    assert!(seen("id-1").is_some(), "its message waits");
}

#[test]
fn nobody_posts_to_a_machine_that_is_not_there() {
    let (_dir, store) = open_with_app();
    let error = refuse(&store, |tx| tx.put_message(&message(1, 1), "hello"));
    assert!(matches!(error, StoreError::NotFound { kind: "machine", .. }), "{error}");
    assert!(seqs(&store, &machine_id(1), 0, 9).is_empty(), "the whole change was undone");
    assert_eq!(store.read(|r| r.inbox_bytes(None)).expect("reads"), 0);
    let unknown = other_app();
    assert_eq!(store.read(|r| r.inbox_bytes(Some(&unknown))).expect("reads"), 0);
}

#[test]
fn what_waits_for_a_deleted_app_is_counted_no_longer() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        insert_machines(tx)?;
        tx.put_message(&message(0, 1), "hello")?;
        tx.put_message(&message(2, 1), "hello")?;
        tx.put_machine_state(&machine_id(2), &crate::sample::destroyed(2), NOW)?;
        tx.delete_app_and_tombstones(&other_app())
    });
    assert_eq!(store.read(|r| r.inbox_bytes(None)).expect("reads"), 5);
    write(&store, |tx| {
        let id = machine_id(5);
        tx.insert_app(&AppRecord { name: other_app(), id: "x".repeat(16), ..app() })?;
        let v6 = Ipv6Addr::from_bits(5);
        let v4 = Ipv4Addr::from_bits(5);
        tx.insert_machine(&store::MachineRecord { app: other_app(), id, v6, v4, ..machine(5) })
    });
    let of_app = store.read(|r| r.inbox_bytes(Some(&other_app()))).expect("reads");
    assert_eq!(of_app, 0, "a new app of the old name begins with nothing");
}

#[test]
fn ended_ids_are_bounded_and_expired_ones_are_swept() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| tx.insert_machine(&machine(1)));
    let n_ids = u64::from(store::ENDED_IDS_MAX) + 5;
    write(&store, move |tx| {
        for seq in 1..=n_ids {
            let row = MessageRecord { id: Some(seq.to_string()), ..row_of(1, seq, None, "x") };
            tx.put_message(&row, "x")?;
            if seq < n_ids {
                tx.remove_message(&machine_id(1), seq, at(seq))?;
            }
        }
        Ok(())
    });
    let seen =
        |seq: u64| store.read(|r| r.message_seen(&machine_id(1), &seq.to_string())).expect("reads");
    assert_eq!((seen(4), seen(5).map(|seen| seen.seq)), (None, Some(5)));
    let swept = store.write_blocking("sweep", |tx| tx.sweep(at(7))).expect("swept");
    assert_eq!((swept.message_ids, seen(7), seen(8).map(|seen| seen.seq)), (3, None, Some(8)));
    assert!(seen(n_ids).is_some_and(|waits| waits.forget_at.is_none()));
    let hidden = store.read(|r| r.messages_hidden(&machine_id(1))).expect("reads");
    let last = row_of(1, n_ids, None, "x").hidden_until;
    assert_eq!(hidden, Some((last, last)));
    assert_eq!(store.read(|r| r.messages_hidden(&machine_id(2))).expect("reads"), None);
}
