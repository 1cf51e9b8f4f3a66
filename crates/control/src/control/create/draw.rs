//! Addresses and a name that no other machine has: drawn in the transaction that stores the machine,
//! so whoever creates at the same moment sees them taken.

use super::super::{Answer, Control, blocks_of, network_of};
use crate::inner::chance;
use crate::names;
use model::AppName;
use net::addr::{V4Block, v4_candidates};
use net::router::Network;
use net::{MachineAddrs, NetworkId};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use store::{AppRecord, MachineRecord, Reader, StoreError, Tx};

/// Names that are drawn for one machine: there are ten million for each app, so even in an app with
/// 100,000 machines a second draw is rare.
const NAMES_MAX: usize = 16;

/// What the transaction of a create draws.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    network: NetworkId,
    v6: [u8; 6],
    v4: u32,
    is_named: bool,
}

impl Draw {
    /// A draw for one machine of this network, which has a name already or needs one.
    pub(super) fn new(network: NetworkId, is_named: bool) -> Self {
        Self { network, v6: chance(), v4: u32::from_le_bytes(chance()), is_named }
    }

    /// Gives `machine` its addresses and its name. False when its network has no address left; then
    /// nothing is changed.
    pub(super) fn give(
        self,
        tx: &Tx<'_>,
        app: &AppRecord,
        machine: &mut MachineRecord,
    ) -> Result<bool, StoreError> {
        let Some(v4) = free_v4(tx, app, self.v4)? else { return Ok(false) };
        let addrs = MachineAddrs::draw(self.network, self.v6, v4);
        (machine.v6, machine.v4) = (addrs.v6, addrs.v4);
        if !self.is_named {
            machine.name = free_name(tx, &app.name)?;
        }
        Ok(true)
    }
}

impl Control {
    /// The number of the app's network.
    pub(super) fn network_id(&self, app: &AppRecord) -> Answer<NetworkId> {
        Ok(self.inner.store.read(|reader| id_of(reader, app))?)
    }

    /// Gives the app's network a further IPv4 block, unless it has free addresses again.
    pub(super) async fn widen_network(&self, app: &AppRecord) -> Answer<()> {
        let (range, app) = (self.inner.v4_range, app.clone());
        let change = move |tx: &Tx<'_>| {
            let id = id_of(tx, &app)?;
            if free_v4(tx, &app, 0)?.is_some() {
                return Ok(None);
            }
            let taken: BTreeSet<V4Block> = tx.networks()?.iter().flat_map(blocks_of).collect();
            let Ok(block) = range.free_block(&taken) else {
                let key = id.get().to_string();
                return Err(StoreError::NotFound { kind: "free IPv4 block", key });
            };
            tx.add_v4_block(id.get(), u32::from(block.base()))?;
            Ok(Some(Network { id, blocks: vec![block] }))
        };
        match self.inner.store.write("network.block", change).await? {
            Some(grown) => self.blocking(move |inner| Ok(inner.router.add_network(&grown)?)).await,
            None => Ok(()),
        }
    }
}

fn id_of(reader: &Reader<'_>, app: &AppRecord) -> Result<NetworkId, StoreError> {
    let number = network_of(reader, app)?.id;
    let none = || StoreError::NotFound { kind: "network", key: number.to_string() };
    NetworkId::new(number).ok_or_else(none)
}

/// The first address from a drawn place on that no machine has.
fn free_v4(
    reader: &Reader<'_>,
    app: &AppRecord,
    chance: u32,
) -> Result<Option<Ipv4Addr>, StoreError> {
    let blocks = blocks_of(&network_of(reader, app)?);
    for address in v4_candidates(&blocks, chance) {
        if !reader.is_v4_used(address)? {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// A name that no machine of the app has; the last one drawn when there is none, which is refused.
fn free_name(reader: &Reader<'_>, app: &AppName) -> Result<String, StoreError> {
    let mut name = names::draw(chance());
    for _ in 1..NAMES_MAX {
        if !reader.is_name_used(app, &name)? {
            break;
        }
        name = names::draw(chance());
    }
    Ok(name)
}
