//! Writes to the self of one machine, one after the other.

use super::deepens_later;
use super::flood::PER_SECOND;
use super::own::Own;
use super::rows::{StoredRows, writer_of};
use super::sheet::Sheet;
use crate::error::ControlError;
use crate::facade::{InboxMessage, SelfWritten};
use crate::machine::commit::Along;
use crate::machine::task::Task;
use govern::renew::began_anew;
use govern::write::Reply;
use govern::{Export, TraceBody, Write, WriteRefused, Writer};
use model::{State, UnixMs};
use std::time::Duration;
use tokio::time::Instant;

/// Bodies of all messages that wait in one app, in bytes: sixteen full inboxes. Source: design,
/// section 7, "app and host quotas".
const APP_INBOX_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// As above, of the whole host: so much of its disk is for messages that nobody has read.
const HOST_INBOX_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A machine that puts itself to rest has this long to hear that it may: a few round trips through
/// its shim.
const ANSWER_GRACE: Duration = Duration::from_millis(100);

impl Task {
    /// Makes a write; what follows from it is left to the evaluation after the answer.
    pub(in crate::machine) async fn self_write(
        &mut self,
        write: &Write,
        writer: &Writer,
    ) -> Result<SelfWritten, ControlError> {
        let now = model::clock::now();
        self.expect_live()?;
        let is_flood = match writer {
            Writer::Machine => !self.flood.admits(Instant::now()),
            // What peers write is no reason to refuse what the machine writes.
            Writer::Peer(_) => !self.peer_flood.admits(Instant::now()),
            Writer::Owner | Writer::Token(_) | Writer::Platform => false,
        };
        if is_flood {
            self.trace_flood(write, writer, now).await;
            return Err(ControlError::SelfRate { per_second: PER_SECOND });
        }
        let is_replacing = matches!((write, writer), (Write::Policy { .. }, Writer::Owner));
        let (mut sheet, kept) = if is_replacing {
            self.sheet_to_replace(writer, now).await?
        } else {
            (Sheet::new(&self.own()?.clone(), &self.inner.config.boot), None)
        };
        let room = self.inbox_room(write)?;
        let rows = StoredRows::new(&self.inner.store, &self.id);
        let written = sheet.write(write, writer, &rows, room, now);
        rows.check()?;
        match written {
            // What cannot be read stays as it is until something can be put in its place.
            Err(refused) if kept.is_some() => Err(refused.into()),
            Err(refused) => {
                self.trace_refusal(sheet, write, writer, &refused, now).await;
                Err(refused.into())
            }
            Ok(reply) => {
                let revision = sheet.own.selfhood.revision;
                if kept.is_none() {
                    self.trim(&mut sheet, now)?;
                }
                match sheet.event.take() {
                    Some(event) => {
                        let along = Along { sheet: Some(sheet), ..Along::default() };
                        self.apply_with(event, along).await?;
                    }
                    None => self.store_sheet(sheet).await?,
                }
                failpoint::hit("self.written");
                if matches!(write, Write::RestUntil { .. }) && writer == &Writer::Machine {
                    // Frozen or stopped at once, it would not hear the answer.
                    self.evaluate_after(ANSWER_GRACE);
                }
                let messages = self.delivered(&reply)?;
                Ok(SelfWritten { revision, reply, messages })
            }
        }
    }

    /// Puts another self in the place of this one.
    pub(in crate::machine) async fn self_import(
        &mut self,
        export: &Export,
        writer: &Writer,
    ) -> Result<u64, ControlError> {
        let now = model::clock::now();
        self.expect_live()?;
        if self.state().run().is_some() || self.state().leads_up() {
            return Err(ControlError::Precondition {
                code: "import_running",
                message: "a self is brought into a machine that is down".to_owned(),
                hint: "stop it first",
            });
        }
        let imported = govern::import(export, writer)?;
        let (mut sheet, kept) = self.sheet_to_replace(writer, now).await?;
        let policy = self.inner.policies.keep(std::sync::Arc::new(imported.policy));
        let own = Own { selfhood: imported.next, policy, next_at: None };
        sheet.replace(own, export.trace.clone(), imported.ops);
        sheet.add(imported.entry, now);
        if let Some(kept) = kept {
            sheet.add(began_anew(&sheet.own.selfhood, writer, &kept), now);
        }
        let revision = sheet.own.selfhood.revision;
        self.store_sheet(sheet).await?;
        Ok(revision)
    }

    /// Stores a sheet for which the machine takes no step.
    pub(in crate::machine) async fn store_sheet(
        &mut self,
        sheet: Sheet,
    ) -> Result<(), ControlError> {
        if sheet.is_empty() {
            return Ok(());
        }
        let deepens = deepens_later(self.record.spec.deepen, self.state());
        let stored = sheet.to_stored(&self.id, deepens);
        self.inner.store.write("self.write", move |tx| stored.write(tx)).await?;
        failpoint::hit("self.committed");
        self.took(sheet);
        Ok(())
    }

    /// A sheet is on the disk: from now on it is what the machine remembers.
    pub(in crate::machine) fn took(&mut self, sheet: Sheet) {
        self.must_evaluate |= sheet.is_relevant;
        if sheet.has_new_facts {
            self.inner.governor.changed(&self.id);
        }
        if sheet.notifies() {
            self.inner.outbox.ring();
        }
        if sheet.own.selfhood.trace.first != self.own.as_ref().map_or(0, Own::first_entry) {
            self.trace_first_at = None;
        }
        let revision = sheet.own.selfhood.revision;
        self.own = Some(sheet.own);
        self.inner.self_watchers.notify(&self.id, revision);
    }

    /// Cuts the oldest entries of the trace off when that is due.
    pub(in crate::machine) fn trim(
        &mut self,
        sheet: &mut Sheet,
        now: UnixMs,
    ) -> Result<(), ControlError> {
        let (store, id) = (&self.inner.store, &self.id);
        let read = |seq: u64| -> Result<Option<govern::TraceEntry>, ControlError> {
            let rows = store.read(|reader| reader.trace(id, seq.saturating_sub(1), 1))?;
            let row = rows.into_iter().find(|row| row.seq == seq);
            let entry = row.map(|row| serde_json::from_str(&row.json)).transpose();
            entry.map_err(|error| ControlError::unreadable(id, error))
        };
        let first_at = match self.trace_first_at {
            Some(first_at) => first_at,
            None => read(sheet.own.selfhood.trace.first)?.map_or(now, |entry| entry.at),
        };
        self.trace_first_at = Some(first_at);
        sheet.trim(first_at, now, read)
    }

    fn expect_live(&self) -> Result<(), ControlError> {
        match self.state() {
            State::Destroyed { .. } => Err(ControlError::NotFound { what: "machine" }),
            _ => Ok(()),
        }
    }

    fn inbox_room(&self, write: &Write) -> Result<u64, ControlError> {
        if !matches!(write, Write::Post(_)) {
            return Ok(u64::MAX);
        }
        let (of_app, of_host) = self.inner.store.read(|reader| {
            Ok((reader.inbox_bytes(Some(&self.record.app))?, reader.inbox_bytes(None)?))
        })?;
        let app = APP_INBOX_BYTES_MAX.saturating_sub(of_app);
        Ok(app.min(HOST_INBOX_BYTES_MAX.saturating_sub(of_host)))
    }

    fn delivered(&self, reply: &Reply) -> Result<Vec<InboxMessage>, ControlError> {
        let Reply::Taken { seqs, .. } = reply else { return Ok(Vec::new()) };
        let found = self.inner.store.read(|reader| {
            let of = |seq: &u64| {
                let row = reader.message(&self.id, *seq)?;
                let body = reader.message_body(&self.id, *seq)?;
                Ok(row.zip(body))
            };
            seqs.iter().map(of).collect::<Result<Vec<_>, store::StoreError>>()
        })?;
        let found = found.into_iter().flatten();
        let told =
            found.map(|(row, body)| Ok(InboxMessage { row: writer_of(&self.id, row)?, body }));
        told.collect()
    }

    /// Notes a refused write, unless too many were.
    async fn trace_refusal(
        &mut self,
        mut sheet: Sheet,
        write: &Write,
        writer: &Writer,
        why: &WriteRefused,
        now: UnixMs,
    ) {
        let Some(n_untraced) = self.flood.traces(Instant::now()) else { return };
        sheet.refuse(write, writer, why, n_untraced, now);
        self.store_refusal(sheet).await;
    }

    /// As [`Task::trace_refusal`], for a write that came too fast to be looked at.
    async fn trace_flood(&mut self, write: &Write, writer: &Writer, now: UnixMs) {
        let Some(n_untraced) = self.flood.traces(Instant::now()) else { return };
        let Ok(own) = self.own() else { return };
        let body = TraceBody {
            refused: Some("self_rate".to_owned()),
            changes: super::flood::untraced(n_untraced).into_iter().collect(),
            ..TraceBody::new(writer.clone(), write.action(), &own.selfhood)
        };
        let own = own.clone();
        let mut sheet = Sheet::new(&own, &self.inner.config.boot);
        sheet.add(body, now);
        self.store_refusal(sheet).await;
    }

    async fn store_refusal(&mut self, sheet: Sheet) {
        if let Err(error) = self.store_sheet(sheet).await {
            tracing::warn!(machine = %self.id, %error, "a refused write is not in the trace");
        }
    }
}
