//! Hooks: names of an app under which outside services post to a machine's inbox.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column};
use model::{AppName, MachineId, UnixMs};

/// A place where the outside may post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRecord {
    /// The app it belongs to.
    pub app: AppName,
    /// Its name, unique within the app.
    pub name: String,
    /// Whose inbox it fills.
    pub machine: MachineId,
    /// What its posts must be signed with.
    pub secret: Option<String>,
    /// How they are signed, as JSON text.
    pub signature: String,
    /// Its messages wake the machine by themselves.
    pub wake: bool,
    /// When it was created.
    pub created_at: UnixMs,
}

impl HookRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            app: row.parsed("app")?,
            name: row.plain("name")?,
            machine: row.parsed("machine")?,
            secret: row.plain("secret")?,
            signature: row.plain("signature")?,
            wake: row.plain("wake")?,
            created_at: row.at("created_at")?,
        })
    }
}

impl Reader<'_> {
    /// The hook of this name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn hook(&self, app: &AppName, name: &str) -> Result<Option<HookRecord>, StoreError> {
        let sql = "SELECT * FROM hooks WHERE app = ?1 AND name = ?2";
        self.one("hooks", sql, (app.as_str(), name), HookRecord::from_row)
    }

    /// All hooks of an app, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn hooks(&self, app: &AppName) -> Result<Vec<HookRecord>, StoreError> {
        let sql = "SELECT * FROM hooks WHERE app = ?1 ORDER BY name";
        self.all("hooks", sql, [app.as_str()], HookRecord::from_row)
    }
}

impl Tx<'_> {
    /// Stores a hook, in place of the one of this name.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when there is no such app.
    pub fn put_hook(&self, hook: &HookRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO hooks (app, name, machine, secret, signature, wake, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (app, name) DO UPDATE SET machine = excluded.machine,
                     secret = excluded.secret, signature = excluded.signature,
                     wake = excluded.wake, created_at = excluded.created_at";
        let row = (
            hook.app.as_str(),
            &hook.name,
            hook.machine.as_str(),
            &hook.secret,
            &hook.signature,
            hook.wake,
            at_column(hook.created_at),
        );
        self.execute(sql, row)?;
        Ok(())
    }

    /// Removes a hook; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_hook(&self, app: &AppName, name: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM hooks WHERE app = ?1 AND name = ?2";
        Ok(self.execute(sql, (app.as_str(), name))? > 0)
    }
}
