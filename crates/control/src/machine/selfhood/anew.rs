//! A self that cannot be read, and its owner who puts another in its place.
//!
//! What is stored is kept as a file of its own before anything replaces it, because it may be of a
//! later release, or be read by a person.

use super::own::Own;
use super::rows::writer_of;
use super::sheet::Sheet;
use crate::error::ControlError;
use crate::machine::task::Task;
use govern::renew::{Remains, renew};
use govern::trace::{ChainCheck, TraceHead};
use govern::write::MessageRow;
use govern::{TraceEntry, Writer};
use model::{UnixMs, hex_of};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use store::Reader;

/// Where records that cannot be read are kept, below the data directory.
const PLACE: &str = "quarantine/selves";

/// How such a file becomes visible.
const DOOR: durable::Door = durable::Door {
    write: "self.aside.write",
    before_rename: "self.aside.rename.before",
    after_rename: "self.aside.rename.after",
};

/// Bytes of a record's digest that name its file: as many as tell a few records apart.
const NAME_BYTES: usize = 6;

/// Entries of the trace in memory at once.
const PAGE: u32 = 256;

impl Task {
    /// The self as a sheet on which `writer` puts another in its place, and where the old record is
    /// kept if it cannot be read.
    pub(super) async fn sheet_to_replace(
        &mut self,
        writer: &Writer,
        now: UnixMs,
    ) -> Result<(Sheet, Option<String>), ControlError> {
        let boot = &self.inner.config.boot.clone();
        match self.own() {
            Ok(own) => Ok((Sheet::new(&own.clone(), boot), None)),
            Err(ControlError::SelfUnreadable { source, .. }) => {
                let machine = &self.id;
                tracing::warn!(%machine, error = %source, "its self is replaced by its owner");
                let kept = self.keep_aside().await?;
                let sheet = self.anew(writer, &kept, now)?;
                Ok((sheet, Some(kept)))
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps the stored record as a file, whose path below the data directory is returned. Twice is
    /// once.
    async fn keep_aside(&self) -> Result<String, ControlError> {
        let record = self.inner.store.read(|reader| reader.selfhood(&self.id))?;
        let text = record.map(|record| record.record).unwrap_or_default();
        let digest = hex_of(&Sha256::digest(text.as_bytes())[..NAME_BYTES]);
        let kept = format!("{PLACE}/{}-{digest}.json", self.id);
        let path = self.inner.config.data_dir.join(&kept);
        let written = tokio::task::spawn_blocking(move || write(&path, &text));
        let bug = |_panic| ControlError::Bug { message: "a record was not kept".to_owned() };
        written.await.map_err(bug)??;
        Ok(kept)
    }

    fn anew(&self, writer: &Writer, kept: &str, now: UnixMs) -> Result<Sheet, ControlError> {
        let id = &self.id;
        let (record, rows, trace) = self.inner.store.read(|reader| {
            let rows = reader.messages_after(id, 0, govern::limits::INBOX_DEPTH_MAX)?;
            Ok((reader.selfhood(id)?, rows, head_of(reader, id)?))
        })?;
        let rows = rows.into_iter().map(|row| writer_of(id, row));
        let inbox: Vec<MessageRow> = rows.collect::<Result<_, _>>()?;
        let revision = record.map_or(0, |record| record.revision);
        let is_kept = trace.is_some();
        let remains = Remains { revision, trace: trace.unwrap_or_default(), inbox: &inbox };
        let (selfhood, entry) = renew(&remains, writer, kept);
        let own = Own { selfhood, policy: self.inner.policies.none(), next_at: None };
        let mut sheet = Sheet::new(&own, &self.inner.config.boot);
        if !is_kept {
            sheet.forget_trace();
        }
        sheet.add(entry, now);
        sheet.is_relevant = true;
        Ok(sheet)
    }
}

/// The end of the stored trace, if it holds.
fn head_of(
    reader: &Reader<'_>,
    id: &model::MachineId,
) -> Result<Option<TraceHead>, store::StoreError> {
    let entry_of = |row: &store::TraceRecord| serde_json::from_str::<TraceEntry>(&row.json).ok();
    let (first, last) = (reader.trace(id, 0, 1)?, reader.trace_before(id, None, 1)?);
    let (Some(first), Some(last)) = (first.first(), last.first().and_then(entry_of)) else {
        return Ok(None);
    };
    let head = TraceHead { first: first.seq, seq: last.seq, hash: last.hash };
    let (mut chain, mut after) = (ChainCheck::new(&head), 0);
    loop {
        let rows = reader.trace(id, after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        for row in &rows {
            let Some(entry) = entry_of(row) else { return Ok(None) };
            chain.add(&entry);
        }
    }
    Ok(chain.end().is_ok().then_some(head))
}

/// What is known of the machine is nobody's but its owner's.
fn write(path: &Path, text: &str) -> Result<(), ControlError> {
    let failed =
        |error: durable::DurableError| ControlError::host(error.action, &error.path, error.source);
    let dir = path.parent().expect("it lies in a directory");
    durable::make_private_dir(dir).map_err(failed)?;
    DOOR.replace(&path.with_extension("tmp"), path, text.as_bytes()).map_err(failed)
}
