//! Apps, and the private networks their machines share.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column};
use model::{AppName, MachineId, NetworkName, UnixMs};

/// A namespace of machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRecord {
    /// Its name, unique on this host.
    pub name: AppName,
    /// Its id in the API: 16 characters.
    pub id: String,
    /// The organisation it belongs to.
    pub org: String,
    /// The network of its machines, one of the organisation's.
    pub network: NetworkName,
    /// When it was created.
    pub created_at: UnixMs,
}

/// A private network of one organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRecord {
    /// Its name, unique within the organisation.
    pub name: NetworkName,
    /// The organisation.
    pub org: String,
    /// Its number, unique on this host: part of every IPv6 address in it.
    pub id: u32,
    /// First address of each IPv4 block it has, in ascending order.
    pub v4_blocks: Vec<u32>,
}

impl AppRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.parsed("name")?,
            id: row.plain("id")?,
            org: row.plain("org")?,
            network: row.parsed("network")?,
            created_at: row.at("created_at")?,
        })
    }
}

impl Reader<'_> {
    /// The app with this name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn app(&self, name: &AppName) -> Result<Option<AppRecord>, StoreError> {
        let sql = "SELECT * FROM apps WHERE name = ?1";
        self.one("apps", sql, [name.as_str()], AppRecord::from_row)
    }

    /// All apps, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn apps(&self) -> Result<Vec<AppRecord>, StoreError> {
        self.all("apps", "SELECT * FROM apps ORDER BY name", [], AppRecord::from_row)
    }

    /// The secret that signs what the app's machines send out; `None` before the first use.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`], [`StoreError::NotFound`].
    pub fn signing_secret(&self, app: &AppName) -> Result<Option<String>, StoreError> {
        let sql = "SELECT signing_secret FROM apps WHERE name = ?1";
        self.one("apps", sql, [app.as_str()], |row| row.plain("signing_secret"))?
            .ok_or_else(|| StoreError::not_found("app", app))
    }

    /// The network of this name in this organisation.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn network(
        &self,
        org: &str,
        name: &NetworkName,
    ) -> Result<Option<NetworkRecord>, StoreError> {
        let sql = "SELECT * FROM networks WHERE org = ?1 AND name = ?2";
        self.one("networks", sql, [org, name.as_str()], |row| self.network_of_row(row))
    }

    /// All networks of the host, by number.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn networks(&self) -> Result<Vec<NetworkRecord>, StoreError> {
        let sql = "SELECT * FROM networks ORDER BY id";
        self.all("networks", sql, [], |row| self.network_of_row(row))
    }

    fn network_of_row(&self, row: &Fields<'_>) -> Result<NetworkRecord, StoreError> {
        let id: u32 = row.plain("id")?;
        let sql = "SELECT base FROM network_v4_blocks WHERE network = ?1 ORDER BY base";
        let v4_blocks = self.all("network_v4_blocks", sql, [id], |row| row.plain("base"))?;
        Ok(NetworkRecord { name: row.parsed("name")?, org: row.plain("org")?, id, v4_blocks })
    }
}

impl Tx<'_> {
    /// Adds an app; its network must be there.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name or id is taken.
    pub fn insert_app(&self, app: &AppRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO apps (name, id, org, network, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let (network, at) = (app.network.as_str(), at_column(app.created_at));
        self.execute(sql, (app.name.as_str(), &app.id, &app.org, network, at))?;
        Ok(())
    }

    /// The app's signing secret; it is `drawn` from now on if the app had none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn ensure_signing_secret(&self, app: &AppName, drawn: &str) -> Result<String, StoreError> {
        if let Some(known) = self.signing_secret(app)? {
            return Ok(known);
        }
        let sql = "UPDATE apps SET signing_secret = ?2 WHERE name = ?1";
        self.execute(sql, (app.as_str(), drawn))?;
        Ok(drawn.to_owned())
    }

    /// Removes an app that has no machines, not even destroyed ones that are still shown.
    ///
    /// # Errors
    /// [`StoreError::Referenced`] while it has machines, [`StoreError::NotFound`].
    pub fn delete_app(&self, name: &AppName) -> Result<(), StoreError> {
        let sql = "SELECT count(*) AS n FROM machines WHERE app = ?1";
        let n: Option<u32> = self.one("machines", sql, [name.as_str()], |row| row.plain("n"))?;
        if let Some(referrers) = n.filter(|n| *n > 0) {
            return Err(StoreError::Referenced { kind: "app", key: name.to_string(), referrers });
        }
        match self.execute("DELETE FROM apps WHERE name = ?1", [name.as_str()])? {
            0 => Err(StoreError::not_found("app", name)),
            _ => Ok(()),
        }
    }

    /// Removes an app whose machines are all destroyed, with what is kept of them.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a machine is not destroyed yet, [`StoreError::NotFound`].
    pub fn delete_app_and_tombstones(&self, name: &AppName) -> Result<(), StoreError> {
        let sql = "SELECT id FROM machines WHERE app = ?1";
        let ids: Vec<MachineId> =
            self.all("machines", sql, [name.as_str()], |row| row.parsed("id"))?;
        ids.iter().try_for_each(|id| self.delete_machine_tombstone(id))?;
        self.delete_app(name)
    }

    /// Adds a network with its blocks.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name, the number or a block is taken.
    pub fn insert_network(&self, network: &NetworkRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO networks (org, name, id) VALUES (?1, ?2, ?3)";
        self.execute(sql, (&network.org, network.name.as_str(), network.id))?;
        network.v4_blocks.iter().try_for_each(|base| self.add_v4_block(network.id, *base))
    }

    /// Gives the network with this number one more IPv4 block.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when a network has the block.
    pub fn add_v4_block(&self, network: u32, base: u32) -> Result<(), StoreError> {
        let sql = "INSERT INTO network_v4_blocks (base, network) VALUES (?1, ?2)";
        self.execute(sql, (base, network))?;
        Ok(())
    }
}
