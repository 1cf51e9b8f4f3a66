//! The message rows beside the record, in the words of the store and in those of `govern`.

use crate::error::ControlError;
use govern::write::{MessageRow, RowOp, Rows, Seen};
use model::MachineId;
use std::cell::RefCell;
use store::{MessageRecord, Store, StoreError, Tx};

/// The messages of one machine, as they are stored.
///
/// [`Rows`] has no room for errors, so the first one is kept: what was decided after it counts for
/// nothing.
pub(super) struct StoredRows<'a> {
    store: &'a Store,
    machine: &'a MachineId,
    error: RefCell<Option<ControlError>>,
}

impl<'a> StoredRows<'a> {
    pub(super) fn new(store: &'a Store, machine: &'a MachineId) -> Self {
        Self { store, machine, error: RefCell::new(None) }
    }

    /// What went wrong meanwhile.
    pub(super) fn check(self) -> Result<(), ControlError> {
        self.error.into_inner().map_or(Ok(()), Err)
    }

    fn found<T>(&self, read: Result<Option<T>, ControlError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            None
        })
    }

    fn row(
        &self,
        look: impl FnOnce(&store::Reader<'_>) -> Result<Option<MessageRecord>, StoreError>,
    ) -> Option<MessageRow> {
        let read = self.store.read(look).map_err(ControlError::from);
        self.found(read.and_then(|row| row.map(|row| writer_of(self.machine, row)).transpose()))
    }
}

impl Rows for StoredRows<'_> {
    fn after(&self, seq: u64) -> Option<MessageRow> {
        self.row(|reader| Ok(reader.messages_after(self.machine, seq, 1)?.into_iter().next()))
    }

    fn message(&self, seq: u64) -> Option<MessageRow> {
        self.row(|reader| reader.message(self.machine, seq))
    }

    fn seen(&self, key: &str) -> Option<Seen> {
        let read = self.store.read(|reader| reader.message_seen(self.machine, key));
        let seen = self.found(read.map_err(ControlError::from))?;
        Some(Seen { seq: seen.seq, forget_at: seen.forget_at })
    }
}

/// A stored message in the words of `govern`.
///
/// # Errors
/// [`ControlError::SelfUnreadable`] when its writer is none.
pub(crate) fn writer_of(
    machine: &MachineId,
    record: MessageRecord,
) -> Result<MessageRow, ControlError> {
    let from = record
        .from
        .parse()
        .map_err(|error: policy::writer::InvalidWriter| ControlError::unreadable(machine, error))?;
    Ok(MessageRow {
        seq: record.seq,
        id: record.id.map(|key| MessageRow::id_of_key(&key, &from)),
        from,
        at: record.at,
        bytes: record.bytes,
        hops: record.hops,
        wake: record.wake,
        deliveries: record.deliveries,
        hidden_until: record.hidden_until,
    })
}

fn record_of(machine: &MachineId, row: &MessageRow) -> MessageRecord {
    MessageRecord {
        machine: machine.clone(),
        seq: row.seq,
        id: row.key(),
        from: row.from.to_string(),
        at: row.at,
        bytes: row.bytes,
        hops: row.hops,
        wake: row.wake,
        deliveries: row.deliveries,
        hidden_until: row.hidden_until,
    }
}

/// Carries out what becomes of a row.
pub(super) fn carry_out(tx: &Tx<'_>, machine: &MachineId, op: &RowOp) -> Result<(), StoreError> {
    match op {
        RowOp::PutMessage { row, body } => tx.put_message(&record_of(machine, row), body),
        RowOp::MarkDelivered { seq, deliveries, hidden_until } => {
            tx.mark_delivered(machine, *seq, *deliveries, *hidden_until)
        }
        RowOp::RemoveMessage { seq, forget_at } => tx.remove_message(machine, *seq, *forget_at),
        RowOp::BuryMessage { seq, forget_at, keep } => {
            tx.bury_message(machine, *seq, *forget_at, *keep)
        }
        RowOp::ForgetIds { before } => tx.forget_message_ids(machine, *before),
        RowOp::PutPolicy { hash, text } => tx.put_policy(hash, text),
    }
}
