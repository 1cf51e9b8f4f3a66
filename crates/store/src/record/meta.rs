//! Who this instance is, and single values that belong to no machine.

use crate::error::StoreError;
use crate::row::{Reader, Tx, count_column};
use model::{BootId, InstanceTag, hex_of};
use rusqlite::{Connection, Transaction, TransactionBehavior};

const HOST_ID: &str = "host_id";
const INSTANCE: &str = "instance";
const BOOT_ID: &str = "boot_id";

/// The host's id and the instance's tag; drawn and stored when the database has none.
pub(crate) fn ensure_identity(
    connection: &mut Connection,
) -> Result<(String, InstanceTag), StoreError> {
    let tx = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let identity = read_or_draw(&Tx::new(&tx))?;
    failpoint::hit("store.identity.before");
    tx.commit()?;
    failpoint::hit("store.identity.after");
    Ok(identity)
}

fn read_or_draw(tx: &Tx<'_>) -> Result<(String, InstanceTag), StoreError> {
    let host_id = match tx.meta(HOST_ID)? {
        Some(known) => known,
        None => {
            let drawn = hex_of(&random::<16>()?);
            tx.put_meta(HOST_ID, &drawn)?;
            drawn
        }
    };
    let instance = match tx.meta(INSTANCE)? {
        Some(known) => known.parse().map_err(|e| StoreError::corrupt("meta", "value", e))?,
        None => {
            let drawn = InstanceTag::from_random(u32::from_be_bytes(random()?));
            tx.put_meta(INSTANCE, drawn.as_str())?;
            drawn
        }
    };
    Ok((host_id, instance))
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StoreError::NoRandomness)?;
    Ok(bytes)
}

impl Reader<'_> {
    /// A single value by its name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.one("meta", "SELECT value FROM meta WHERE key = ?1", [key], |row| row.plain("value"))
    }

    /// The boot of the host that was last recorded; another one now means a reboot.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn last_boot(&self) -> Result<Option<BootId>, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        self.one("meta", sql, [BOOT_ID], |row| row.parsed("value"))
    }

    /// The last number given out by [`Tx::next_number`]; zero before the first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn last_number(&self, counter: &str) -> Result<u64, StoreError> {
        let sql = "SELECT value FROM counters WHERE name = ?1";
        let last = self.one("counters", sql, [counter], |row| row.count("value"))?;
        Ok(last.unwrap_or(0))
    }
}

impl Tx<'_> {
    /// Sets a single value.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key)
                   DO UPDATE SET value = excluded.value WHERE value <> excluded.value";
        self.execute(sql, [key, value])?;
        Ok(())
    }

    /// Records the boot of the host.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_boot(&self, boot: &BootId) -> Result<(), StoreError> {
        self.put_meta(BOOT_ID, boot.as_str())
    }

    /// The next number of a counter: 1, 2, 3, …; never the same again once committed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn next_number(&self, counter: &str) -> Result<u64, StoreError> {
        let next = self.last_number(counter)? + 1;
        let sql = "INSERT INTO counters (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.execute(sql, (counter, count_column(next)))?;
        Ok(next)
    }
}
