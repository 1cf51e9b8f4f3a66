//! A whole self on its way to another host, in parts: its trace is never in memory as a whole.

use super::super::{Answer, Control};
use super::trace::{WALK_PAGE, WholeRead, entry_of};
use crate::error::ControlError;
use crate::inner::Inner;
use crate::machine::selfhood::{Own, writer_of};
use govern::export::ExportedMessage;
use model::MachineId;
use std::sync::Arc;

/// The end of an export that has no trace: where its entries go.
const TRACE_END: &str = "]}";

/// An export that is read part by part; the parts in their order are its JSON text.
///
/// It shows the self at one moment: entries are only ever added and cut off at their old end, and one
/// that was cut off before it was read ends the export with an error.
#[derive(Debug)]
pub struct Export {
    inner: Arc<Inner>,
    id: MachineId,
    /// Everything but the trace, until it is read.
    head: Option<String>,
    /// Number of the last entry that was read.
    read: u64,
    /// Number of the last one.
    last: u64,
    is_first: bool,
    is_over: bool,
    _turn: WholeRead,
}

impl Control {
    /// The whole self, to be taken to another host. Few exports are under way at once, so it is to be
    /// read soon.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::SelfUnreadable`].
    pub async fn self_export(&self, id: &MachineId) -> Answer<Export> {
        self.live(id)?;
        let (id, shared) = (id.clone(), Arc::clone(&self.inner));
        let turn = WholeRead::turn().await?;
        self.blocking(move |inner| {
            let (own, rows) = Own::load_with(inner, &id, |reader| {
                let rows = reader.messages_after(&id, 0, govern::limits::INBOX_DEPTH_MAX)?;
                let rows = rows.into_iter().map(|row| {
                    let body = reader.message_body(&id, row.seq)?.unwrap_or_default();
                    Ok((row, body))
                });
                rows.collect::<Result<Vec<_>, store::StoreError>>()
            })?;
            let messages = rows
                .into_iter()
                .map(|(row, body)| Ok(ExportedMessage { row: writer_of(&id, row)?, body }))
                .collect::<Answer<Vec<_>>>()?;
            let now = model::clock::now();
            let Own { selfhood, policy, .. } = own;
            let export = govern::export::export(&id, &selfhood, &policy, messages, Vec::new(), now);
            let text = serde_json::to_string(&export)
                .map_err(|error| ControlError::Bug { message: error.to_string() })?;
            let head = text.strip_suffix(TRACE_END).map(str::to_owned);
            let bug =
                || ControlError::Bug { message: "an export has no place for a trace".to_owned() };
            Ok(Export {
                inner: shared,
                id,
                head: Some(head.ok_or_else(bug)?),
                read: selfhood.trace.first.saturating_sub(1),
                last: selfhood.trace.seq,
                is_first: true,
                is_over: false,
                _turn: turn,
            })
        })
        .await
    }
}

impl Export {
    /// The next part; `None` after the last one. Blocks: it reads from the store.
    ///
    /// # Errors
    /// [`ControlError::SelfUnreadable`] for an entry, also one that was cut off meanwhile.
    pub fn next_part(&mut self) -> Answer<Option<String>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        if self.read < self.last {
            return self.entries().map(Some);
        }
        let is_over = std::mem::replace(&mut self.is_over, true);
        Ok((!is_over).then(|| TRACE_END.to_owned()))
    }

    fn entries(&mut self) -> Answer<String> {
        let left = u32::try_from(self.last - self.read).unwrap_or(u32::MAX);
        let rows = self.inner.store.read(|r| r.trace(&self.id, self.read, left.min(WALK_PAGE)))?;
        let mut part = String::new();
        for row in &rows {
            entry_of(&self.id, row)?;
            if row.seq != self.read + 1 {
                return Err(self.was_cut());
            }
            self.read = row.seq;
            if !std::mem::take(&mut self.is_first) {
                part.push(',');
            }
            part.push_str(&row.json);
        }
        if rows.is_empty() { Err(self.was_cut()) } else { Ok(part) }
    }

    fn was_cut(&self) -> ControlError {
        ControlError::unreadable(&self.id, format!("entry {} of its trace is gone", self.read + 1))
    }
}
