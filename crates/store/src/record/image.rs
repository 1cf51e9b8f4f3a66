//! Images on this host, their tags, and who needs which content.
//!
//! Garbage is what no row of `refs` names. A ref is written in the same change as the thing that
//! needs the content, so there is no moment at which needed content looks like garbage.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column, json_text};
use model::spec::{ImageConfig, ImageRef};
use model::{Digest, MachineId, UnixMs};
use std::collections::BTreeSet;

/// An image that is ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// Where it came from, and its digest, which is its key.
    pub image: ImageRef,
    /// Its defaults.
    pub config: ImageConfig,
    /// Bytes it takes on this host.
    pub size_bytes: u64,
    /// When it was made ready.
    pub created_at: UnixMs,
    /// When a machine was last made from it.
    pub last_used_at: UnixMs,
    /// What it was made from: `registry`, `oci_layout`, `docker_save`, `rootfs_tar`.
    pub source: String,
}

/// What kind of thing needs content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// A machine needs the image it runs.
    Machine,
    /// An image needs its blobs.
    Image,
    /// A plan needs content until it has ended.
    Plan,
    /// A checkpoint needs the image below its disk.
    Checkpoint,
}

impl OwnerKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Image => "image",
            Self::Plan => "plan",
            Self::Checkpoint => "checkpoint",
        }
    }
}

impl ImageRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            image: row.json("image")?,
            config: row.json("config")?,
            size_bytes: row.count("size_bytes")?,
            created_at: row.at("created_at")?,
            last_used_at: row.at("last_used_at")?,
            source: row.plain("source")?,
        })
    }
}

impl Reader<'_> {
    /// The image with this digest.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn image(&self, digest: &Digest) -> Result<Option<ImageRecord>, StoreError> {
        let sql = "SELECT * FROM images WHERE digest = ?1";
        self.one("images", sql, [digest.as_str()], ImageRecord::from_row)
    }

    /// All images, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn images(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let sql = "SELECT * FROM images ORDER BY created_at, digest";
        self.all("images", sql, [], ImageRecord::from_row)
    }

    /// The digest that a tag names on this host.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn tagged_digest(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
    ) -> Result<Option<Digest>, StoreError> {
        let sql = "SELECT digest FROM tags
                   WHERE registry = ?1 AND repository = ?2 AND tag = ?3";
        self.one("tags", sql, [registry, repository, tag], |row| row.parsed("digest"))
    }

    /// Every digest that something needs.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn digests_in_use(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let sql = "SELECT DISTINCT digest FROM refs";
        Ok(self.all("refs", sql, [], |row| row.parsed("digest"))?.into_iter().collect())
    }

    /// The machines that need this image.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machines_of_image(&self, digest: &Digest) -> Result<Vec<MachineId>, StoreError> {
        let sql = "SELECT owner FROM refs WHERE digest = ?1 AND owner_kind = 'machine'
                   ORDER BY owner";
        self.all("refs", sql, [digest.as_str()], |row| row.parsed("owner"))
    }
}

impl Tx<'_> {
    /// Adds an image and its tag; an image that is there already keeps its `created_at`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_image(&self, record: &ImageRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO images
                   (digest, image, size_bytes, created_at, last_used_at, source, config)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (digest) DO UPDATE SET image = excluded.image,
                     size_bytes = excluded.size_bytes, last_used_at = excluded.last_used_at,
                     source = excluded.source, config = excluded.config";
        let row = (
            record.image.digest.as_str(),
            json_text(&record.image)?,
            count_column(record.size_bytes),
            at_column(record.created_at),
            at_column(record.last_used_at),
            &record.source,
            json_text(&record.config)?,
        );
        self.execute(sql, row)?;
        self.put_tag(&record.image)
    }

    /// Makes the reference's tag name its digest; the image must be there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no such image.
    pub fn put_tag(&self, image: &ImageRef) -> Result<(), StoreError> {
        let sql = "INSERT INTO tags (registry, repository, tag, digest) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (registry, repository, tag) DO UPDATE SET digest = excluded.digest";
        let row = (&image.registry, &image.repository, &image.tag, image.digest.as_str());
        self.execute(sql, row)?;
        Ok(())
    }

    /// Records that a machine was made from the image.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn touch_image(&self, digest: &Digest, at: UnixMs) -> Result<(), StoreError> {
        let sql = "UPDATE images SET last_used_at = max(last_used_at, ?2) WHERE digest = ?1";
        match self.execute(sql, (digest.as_str(), at_column(at)))? {
            0 => Err(StoreError::not_found("image", digest)),
            _ => Ok(()),
        }
    }

    /// Forgets an image that nothing needs, with its tags and the refs to its own blobs.
    ///
    /// # Errors
    /// [`StoreError::Referenced`] while something needs it, [`StoreError::NotFound`].
    pub fn delete_image(&self, digest: &Digest) -> Result<(), StoreError> {
        let sql = "SELECT count(*) AS n FROM refs WHERE digest = ?1 AND owner <> ?1";
        let n: Option<u32> = self.one("refs", sql, [digest.as_str()], |row| row.plain("n"))?;
        if let Some(referrers) = n.filter(|n| *n > 0) {
            return Err(StoreError::Referenced {
                kind: "image",
                key: digest.to_string(),
                referrers,
            });
        }
        self.remove_refs(OwnerKind::Image, digest.as_str())?;
        match self.execute("DELETE FROM images WHERE digest = ?1", [digest.as_str()])? {
            0 => Err(StoreError::not_found("image", digest)),
            _ => Ok(()),
        }
    }

    /// Records that `owner` needs `digest`; twice is once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn add_ref(&self, kind: OwnerKind, owner: &str, digest: &Digest) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO refs (owner_kind, owner, digest) VALUES (?1, ?2, ?3)";
        self.execute(sql, [kind.as_str(), owner, digest.as_str()])?;
        Ok(())
    }

    /// Records that `owner` no longer needs `digest`; twice is once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_ref(
        &self,
        kind: OwnerKind,
        owner: &str,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM refs WHERE owner_kind = ?1 AND owner = ?2 AND digest = ?3";
        self.execute(sql, [kind.as_str(), owner, digest.as_str()])?;
        Ok(())
    }

    /// Records that `owner` needs nothing any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_refs(&self, kind: OwnerKind, owner: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM refs WHERE owner_kind = ?1 AND owner = ?2";
        self.execute(sql, [kind.as_str(), owner])?;
        Ok(())
    }
}
