//! What a machine's rules may read of other machines.

use super::Governor;
use super::directory::find;
use govern::view::Peer;
use govern::{Peers, Selfhood};
use model::{AppName, UnixMs};
use std::collections::HashMap;
use store::{Reader, StoreError};

/// The machines that some rules read, as they are at one moment.
#[derive(Debug, Default)]
pub(crate) struct PeersNow {
    by_name: HashMap<String, PeerNow>,
}

#[derive(Debug)]
struct PeerNow {
    state: &'static str,
    beat_at: UnixMs,
    selfhood: Selfhood,
}

impl Peers for PeersNow {
    fn peer(&self, name: &str) -> Option<Peer<'_>> {
        let PeerNow { state, beat_at, selfhood } = self.by_name.get(name)?;
        Some(Peer { state, beat_at: *beat_at, facts: selfhood })
    }
}

impl PeersNow {
    /// Reads these machines, by name or id, as machines of `app` mean them. One that does not exist,
    /// or whose record cannot be read, is left out: it is unknown.
    pub(super) fn read<'n>(
        governor: &Governor,
        reader: &Reader<'_>,
        app: &AppName,
        names: impl IntoIterator<Item = &'n String>,
    ) -> Result<Self, StoreError> {
        let mut by_name = HashMap::new();
        for name in names {
            if let Some(peer) = read_one(governor, reader, app, name)? {
                by_name.insert(name.clone(), peer);
            }
        }
        Ok(Self { by_name })
    }
}

fn read_one(
    governor: &Governor,
    reader: &Reader<'_>,
    app: &AppName,
    name: &str,
) -> Result<Option<PeerNow>, StoreError> {
    let Some(id) = find(reader, app, name)? else { return Ok(None) };
    let Some(record) = reader.machine(&id)? else { return Ok(None) };
    let text = reader.selfhood(&id)?.map(|selfhood| selfhood.record);
    let selfhood = match text.as_deref().map(Selfhood::read) {
        None => Selfhood::default(),
        Some(Ok(selfhood)) => selfhood,
        Some(Err(error)) => {
            tracing::error!(machine = %id, %error, "what it remembers cannot be read");
            return Ok(None);
        }
    };
    Ok(Some(PeerNow {
        state: record.machine.state.api_name(),
        beat_at: governor.beats.counts_from(&id, record.created_at),
        selfhood,
    }))
}
