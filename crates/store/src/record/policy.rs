//! Policies: texts under the hash of their content, shared by all machines that have them.

use crate::error::StoreError;
use crate::row::{Reader, Tx, count_column};
use model::{Digest, MachineId};

/// Policies of one machine that are kept, the current one included: its trace can be judged again
/// across as many changes. At 64 KiB each, 2 MiB of a machine that changes its policy all the time.
pub const POLICIES_KEPT: u32 = 32;

impl Reader<'_> {
    /// The text of the policy with this hash.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn policy(&self, hash: &Digest) -> Result<Option<String>, StoreError> {
        let sql = "SELECT text FROM policies WHERE hash = ?1";
        self.one("policies", sql, [hash.as_str()], |row| row.plain("text"))
    }
}

impl Tx<'_> {
    /// Stores the text of a policy; twice is once, for the hash names the text.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_policy(&self, hash: &Digest, text: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO policies (hash, text) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING";
        self.execute(sql, (hash.as_str(), text))?;
        Ok(())
    }

    /// Removes the policies that no machine has or had; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn prune_policies(&self) -> Result<usize, StoreError> {
        let sql = "DELETE FROM policies WHERE hash IN (
                     SELECT hash FROM policies p
                     WHERE NOT EXISTS (SELECT 1 FROM policy_uses u WHERE u.hash = p.hash))";
        self.execute(sql, [])
    }

    /// Notes that a machine has this policy now, and lets go of the oldest beyond
    /// [`POLICIES_KEPT`].
    pub(crate) fn note_policy_use(
        &self,
        machine: &MachineId,
        hash: &Digest,
        revision: u64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO policy_uses (machine, hash, revision) VALUES (?1, ?2, ?3)
                   ON CONFLICT (machine, hash) DO UPDATE SET revision = excluded.revision";
        self.execute(sql, (machine.as_str(), hash.as_str(), count_column(revision)))?;
        let sql = "SELECT hash FROM policy_uses WHERE machine = ?1 AND hash <> ?2
                   ORDER BY revision DESC LIMIT -1 OFFSET ?3";
        let params = (machine.as_str(), hash.as_str(), POLICIES_KEPT - 1);
        let old: Vec<String> = self.all("policy_uses", sql, params, |row| row.plain("hash"))?;
        old.iter().try_for_each(|hash| self.drop_policy_use(machine, hash))
    }

    fn drop_policy_use(&self, machine: &MachineId, hash: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM policy_uses WHERE machine = ?1 AND hash = ?2";
        self.execute(sql, (machine.as_str(), hash))?;
        let sql = "DELETE FROM policies WHERE hash = ?1
                   AND NOT EXISTS (SELECT 1 FROM policy_uses WHERE hash = ?1)";
        self.execute(sql, [hash])?;
        Ok(())
    }
}
