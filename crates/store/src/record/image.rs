//! Images on this host, their tags, and who needs which content.
//!
//! Garbage is what no row of `refs` names. A ref is written in the same change as the thing that
//! needs the content, so there is no moment at which needed content looks like garbage.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column, json_text};
use model::spec::{ImageConfig, ImageRef};
use model::{Digest, MachineId, UnixMs};
use std::collections::{BTreeMap, BTreeSet};

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
    /// What it was made from: `registry`, or the file it was imported from.
    pub source: String,
    /// Whether its registry gives it only to those who show credentials.
    pub is_private: bool,
}

/// What a tag names on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The image.
    pub digest: Digest,
    /// What the tag led to in the registry: the image's manifest, or an index that has it.
    pub points_to: Digest,
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
            is_private: row.plain("is_private")?,
        })
    }
}

impl TagRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self { digest: row.parsed("digest")?, points_to: row.parsed("points_to")? })
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

    /// What a tag names on this host.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn tag(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
    ) -> Result<Option<TagRecord>, StoreError> {
        let sql = "SELECT digest, coalesce(points_to, digest) AS points_to FROM tags
                   WHERE registry = ?1 AND repository = ?2 AND tag = ?3";
        self.one("tags", sql, [registry, repository, tag], TagRecord::from_row)
    }

    /// The names that lead to each image, `registry/repository:tag`, in order; one without a name is
    /// not there.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn tags_by_image(&self) -> Result<BTreeMap<Digest, Vec<String>>, StoreError> {
        let sql = "SELECT digest, registry || '/' || repository || ':' || tag AS name FROM tags
                   ORDER BY name";
        let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for (digest, name) in
            self.all("tags", sql, [], |row| Ok((row.parsed("digest")?, row.plain("name")?)))?
        {
            names.entry(digest).or_default().push(name);
        }
        Ok(names)
    }

    /// Whether the app may use a private image without asking its registry.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn is_granted(&self, digest: &Digest, app: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS n FROM image_grants WHERE digest = ?1 AND app = ?2";
        let found: Option<u32> =
            self.one("image_grants", sql, [digest.as_str(), app], |row| row.plain("n"))?;
        Ok(found.is_some())
    }

    /// How many machines need each image; one that no machine needs is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machines_by_image(&self) -> Result<BTreeMap<Digest, u32>, StoreError> {
        let sql = "SELECT digest, count(*) AS n FROM refs WHERE owner_kind = 'machine'
                   GROUP BY digest";
        let counted = self.all("refs", sql, [], |row| Ok((row.parsed("digest")?, row.plain("n")?)));
        Ok(counted?.into_iter().collect())
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
    /// Adds an image and its tag, if its name has one. An image that is there already keeps its first
    /// name and its `created_at`, and stays public if it was.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_image(&self, record: &ImageRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO images
                   (digest, image, size_bytes, created_at, last_used_at, source, config, is_private)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT (digest) DO UPDATE SET size_bytes = excluded.size_bytes,
                     last_used_at = excluded.last_used_at, source = excluded.source,
                     config = excluded.config,
                     is_private = min(is_private, excluded.is_private)";
        let row = (
            record.image.digest.as_str(),
            json_text(&record.image)?,
            count_column(record.size_bytes),
            at_column(record.created_at),
            at_column(record.last_used_at),
            &record.source,
            json_text(&record.config)?,
            record.is_private,
        );
        self.execute(sql, row)?;
        if record.image.tag.is_empty() {
            return Ok(());
        }
        self.put_tag(&record.image, &record.image.digest)
    }

    /// Makes the reference's tag name its digest, which must be that of an image here; in the
    /// registry it led to `points_to`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no such image.
    pub fn put_tag(&self, image: &ImageRef, points_to: &Digest) -> Result<(), StoreError> {
        let sql = "INSERT INTO tags (registry, repository, tag, digest, points_to)
                   VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (registry, repository, tag) DO UPDATE
                   SET digest = excluded.digest, points_to = excluded.points_to";
        let (digest, points_to) = (image.digest.as_str(), points_to.as_str());
        let row = (&image.registry, &image.repository, &image.tag, digest, points_to);
        self.execute(sql, row)?;
        Ok(())
    }

    /// Lets the app use a private image without asking its registry; twice is once.
    ///
    /// # Errors
    /// [`StoreError::Database`] when there is no such image or app.
    pub fn grant_image(&self, digest: &Digest, app: &str) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO image_grants (digest, app) VALUES (?1, ?2)";
        self.execute(sql, [digest.as_str(), app])?;
        Ok(())
    }

    /// Records that everybody may use the image.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn publish_image(&self, digest: &Digest) -> Result<(), StoreError> {
        self.execute("UPDATE images SET is_private = 0 WHERE digest = ?1", [digest.as_str()])?;
        Ok(())
    }

    /// Records that a machine was made from the image; tells whether the image is here.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn touch_image(&self, digest: &Digest, at: UnixMs) -> Result<bool, StoreError> {
        let sql = "UPDATE images SET last_used_at = max(last_used_at, ?2) WHERE digest = ?1";
        Ok(self.execute(sql, (digest.as_str(), at_column(at)))? > 0)
    }

    /// Records that the images that `owner` needs were needed until now.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn touch_images_of(
        &self,
        kind: OwnerKind,
        owner: &str,
        at: UnixMs,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE images SET last_used_at = max(last_used_at, ?3) WHERE digest IN
                   (SELECT digest FROM refs WHERE owner_kind = ?1 AND owner = ?2)";
        self.execute(sql, (kind.as_str(), owner, at_column(at)))?;
        Ok(())
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
