//! A machine's governed self: writing to it, reading it, asking why.
//!
//! Writes go to the machine's task, one after the other; reading needs no task.
//!
//! * `waiting`: long polls. `trace`: what was done and why, verified, replayed. `exporting`: all of it.

mod exporting;
mod trace;
mod waiting;

pub use exporting::Export;

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::{InboxMessage, SelfRecord, SelfWritten, SignalsNow, WaitingLetter};
use crate::governor::{Reads, find_peer};
use crate::machine::Command;
use crate::machine::selfhood::{Own, Sight, writer_of};
use crate::notify;
use govern::{DryRun, Explanation, Write, Writer};
use model::{MachineId, State};
use store::{MachineRecord, MessageRecord};

/// Most messages that one look shows: as many as one delivery has.
const LOOK_MAX: u32 = govern::limits::TAKE_MAX;

impl Control {
    /// Writes to the machine's self. Answered when it is on the disk; what follows from it, a wake
    /// or a rest, comes after the answer.
    ///
    /// # Errors
    /// [`ControlError::Self_`] says why not, [`ControlError::SelfRate`]: too many from inside.
    pub async fn self_write(
        &self,
        id: &MachineId,
        write: Write,
        writer: Writer,
    ) -> Answer<SelfWritten> {
        let write = Box::new(write);
        self.ask(id, |reply| Command::SelfWrite { write, writer, reply }).await
    }

    /// All that the machine remembers, with its policy.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::SelfUnreadable`].
    pub fn self_record(&self, id: &MachineId) -> Answer<SelfRecord> {
        self.live(id)?;
        let own = Own::load(&self.inner, id)?;
        let policy_text = own.selfhood.policy.as_ref().map(|_| own.policy.document().canonical());
        Ok(SelfRecord { selfhood: own.selfhood, policy: own.policy, policy_text })
    }

    /// Messages that wait for an ack, with greater numbers than `after`, oldest first. To look
    /// delivers nothing.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn self_inbox(&self, id: &MachineId, after: u64, limit: u32) -> Answer<Vec<InboxMessage>> {
        self.live(id)?;
        let messages = self.inner.store.read(|reader| {
            let rows = reader.messages_after(id, after, limit.min(LOOK_MAX))?;
            let with_body = rows.into_iter().map(|row| {
                let body = reader.message_body(id, row.seq)?.unwrap_or_default();
                Ok((row, body))
            });
            with_body.collect::<Result<Vec<_>, store::StoreError>>()
        })?;
        with_texts(id, messages)
    }

    /// Messages that were delivered five times without an ack, newest first.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn self_dead_letters(&self, id: &MachineId, limit: u32) -> Answer<Vec<InboxMessage>> {
        self.live(id)?;
        let limit = limit.min(govern::limits::DEAD_LETTERS_MAX);
        with_texts(id, self.inner.store.read(|reader| reader.dead_letters(id, limit))?)
    }

    /// Notifications of the machine that wait to be delivered, oldest first, at most 100.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn self_outbox(&self, id: &MachineId) -> Answer<Vec<WaitingLetter>> {
        self.live(id)?;
        let letters = self.inner.store.read(|reader| reader.outbox_of(id))?;
        Ok(letters.into_iter().map(notify::waiting).collect())
    }

    /// Why the machine is as it is, and what comes next.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::SelfUnreadable`].
    pub async fn self_explain(&self, id: &MachineId) -> Answer<Explanation> {
        let id = id.clone();
        self.on_own(id, |own, sight, record| {
            let view = sight.view(&record.machine);
            Ok(govern::explain(&own.selfhood, &own.policy, &view, model::clock::now()))
        })
        .await
    }

    /// What would be decided now after these writes by `writer`. Nothing changes.
    ///
    /// # Errors
    /// [`ControlError::Self_`]: the first write that would be refused.
    pub async fn self_dry_run(
        &self,
        id: &MachineId,
        writes: Vec<Write>,
        writer: Writer,
    ) -> Answer<DryRun> {
        let id = id.clone();
        self.on_own(id, move |own, sight, record| {
            let (view, now) = (sight.view(&record.machine), model::clock::now());
            Ok(govern::dry_run(&own.selfhood, &own.policy, &writes, &writer, &view, now)?)
        })
        .await
    }

    /// What the host sees of the machine now.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn self_signals(&self, id: &MachineId) -> Answer<SignalsNow> {
        let record = self.live(id)?;
        let own = Own::load(&self.inner, id)?;
        let reads = Reads { app_running: true, ..Reads::default() };
        let now = self.inner.governor.signals(id, &record.app, &reads)?;
        Ok(SignalsNow {
            state: record.machine.state.api_name().to_owned(),
            idle: now.idle,
            started_at: own.selfhood.usage.up_since,
            rested_at: own.selfhood.ledger.rested_at,
            inflight: now.inflight,
            conns_in: now.conns_in,
            conns_out: now.conns_out,
            net_idle_since: now.net_idle_since,
            cpu_1m: now.cpu_1m,
            app_running: now.app_running,
            beat_at: self.inner.governor.beat_at(id),
        })
    }

    /// The machine that `name` means to `of`: an id, a name of its app, or a name that one machine of
    /// its network has.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when there is none.
    pub fn peer_by_name(&self, of: &MachineId, name: &str) -> Answer<MachineId> {
        let record = self.live(of)?;
        let found = self.inner.store.read(|reader| find_peer(reader, &record.app, name))?;
        found.ok_or(ControlError::NotFound { what: "machine" })
    }

    /// The machine says that it is alive. Nothing is stored.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn self_beat(&self, id: &MachineId) -> Answer<()> {
        self.live(id)?;
        self.inner.governor.beat(id, model::clock::now());
        Ok(())
    }

    /// The machine that is not yet gone.
    fn live(&self, id: &MachineId) -> Answer<MachineRecord> {
        let record = self.machine(None, id)?;
        match record.machine.state {
            State::Destroyed { .. } => Err(ControlError::NotFound { what: "machine" }),
            _ => Ok(record),
        }
    }

    /// Looks at a machine's self and at what the host sees of it, on a thread that may block: to
    /// compile and to evaluate takes CPU.
    async fn on_own<T: Send + 'static>(
        &self,
        id: MachineId,
        look: impl FnOnce(Own, Sight, MachineRecord) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let control = self.clone();
        self.blocking(move |_| {
            let record = control.live(&id)?;
            let own = Own::load(&control.inner, &id)?;
            let mut sight = Sight::of(&control.inner.governor, &record, &own)?;
            // To ask for leave would take it from others: what stands is what it was told last.
            sight.no_rest_permit = own.selfhood.is_needed_by_its_app();
            look(own, sight, record)
        })
        .await
    }
}

fn with_texts(id: &MachineId, messages: Vec<(MessageRecord, String)>) -> Answer<Vec<InboxMessage>> {
    let messages = messages.into_iter();
    messages.map(|(row, body)| Ok(InboxMessage { row: writer_of(id, row)?, body })).collect()
}
