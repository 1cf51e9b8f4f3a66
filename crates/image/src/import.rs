//! From an image file to an image in the store.
//!
//! Every archive takes the same way: it is unpacked in the throw-away process, and the result shows
//! what it was. A directory with an OCI layout or a `docker save` manifest is a box whose layers are
//! unpacked in turn; anything else is a root file system.

mod source;

pub use source::ImportSource;

use crate::DOOR;
use crate::content::{self, digest_of_hex};
use crate::detect::find_image;
use crate::error::ImageError;
use crate::layout::{UNCLAIMED, Workshop};
use crate::meta::ImageMeta;
use crate::name::LocalName;
use crate::oci::{ForeignDir, FoundImage};
use crate::progress::{Progress, Step};
use crate::pull::before_window;
use crate::rootfs;
use crate::store::ImageStore;
use crate::tree::Tree;
use crate::unpack::{Job, LayerJob, UnpackReport};
use model::ids::Digest;
use model::spec::{ImageConfig, ImageRef};
use source::{broken, is_directory, split_path};
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

/// Bytes read from a stream at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Bytes between two reports of progress.
const PROGRESS_EVERY_BYTES: u64 = 16 << 20;

/// An image that is in the store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedImage {
    /// Its name, with the digest.
    pub image_ref: ImageRef,
    /// What its programs need.
    pub config: ImageConfig,
    /// Size of its file system on this host.
    pub size_bytes: u64,
    /// Whether this import put it there; `false` when it was there before.
    pub is_new: bool,
    /// Entries of its layers.
    pub n_entries: u64,
    /// Device nodes that were left out: machines bring their own `/dev`.
    pub n_devices_dropped: u64,
    /// Extended attributes that were left out.
    pub n_xattrs_dropped: u64,
}

/// What was unpacked, ready to be packed.
struct Unpacked {
    tree: Tree,
    digest: Digest,
    config: ImageConfig,
    documents: Vec<Vec<u8>>,
    report: UnpackReport,
}

impl ImageStore {
    /// Brings the image of `source` into the store under the name `repository[:tag]`.
    ///
    /// Its digest is that of the manifest (OCI), the config (`docker save`) or the uncompressed
    /// archive (root file system). An image that is in the store already is returned as it is.
    /// Blocks for as long as unpacking takes.
    ///
    /// # Errors
    /// Those of [`ImageError`] that speak of images are the file's, [`ImageError::Io`] and the like
    /// the host's; nothing half-made is left.
    pub fn import(
        &self,
        source: ImportSource<'_>,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<ImportedImage, ImageError> {
        let name = LocalName::parse(name)?;
        let workshop = self.layout.workshop()?;
        let importer = Importer { store: self, workshop: &workshop, progress };
        failpoint::hit("image.import.begin");
        let found = importer.unpack(source, &name.tag)?;
        importer.to_image(found, |digest| name.to_ref(digest))
    }
}

/// What unpacking led to.
enum Found {
    /// The store has it.
    Known(ImageMeta),
    /// It is new.
    Unpacked(Unpacked),
}

/// One import or derivation under way.
pub(crate) struct Importer<'a> {
    pub(crate) store: &'a ImageStore,
    pub(crate) workshop: &'a Workshop,
    pub(crate) progress: &'a dyn Progress,
}

impl Importer<'_> {
    /// Makes the image of these layers, which lie in `dir`, unless it is in the store.
    pub(crate) fn layers_to_image(
        &self,
        dir: &ForeignDir,
        image: FoundImage,
        image_ref: ImageRef,
    ) -> Result<ImportedImage, ImageError> {
        let found = self.unpack_layers(dir, image)?;
        self.to_image(found, |digest| ImageRef { digest, ..image_ref })
    }

    fn to_image(
        &self,
        found: Found,
        name: impl FnOnce(Digest) -> ImageRef,
    ) -> Result<ImportedImage, ImageError> {
        let (image, is_new) = match found {
            Found::Known(meta) => (meta, false),
            Found::Unpacked(unpacked) => self.publish(unpacked)?,
        };
        Ok(ImportedImage {
            image_ref: name(image.digest),
            config: image.config,
            size_bytes: image.size_bytes,
            is_new,
            n_entries: image.n_entries,
            n_devices_dropped: image.n_devices_dropped,
            n_xattrs_dropped: image.n_xattrs_dropped,
        })
    }

    fn unpack(&self, source: ImportSource<'_>, tag: &str) -> Result<Found, ImageError> {
        let archive = match source {
            ImportSource::Path(path) if is_directory(&path)? => {
                let dir = ForeignDir::new(&path);
                let image = find_image(&dir, tag)?.ok_or_else(|| ImageError::NotAnImage {
                    why: format!("`{}` holds no OCI layout", path.display()),
                })?;
                return self.unpack_layers(&dir, image);
            }
            ImportSource::Path(path) => path,
            ImportSource::Reader(reader) => self.spool(reader)?,
        };
        self.unpack_archive(&archive, tag)
    }

    /// Writes a stream to a file, because what it is shows only at its end.
    fn spool(&self, mut reader: impl Read) -> Result<PathBuf, ImageError> {
        let path = self.workshop.path("archive");
        let mut file = File::create_new(&path).map_err(ImageError::io("create", &path))?;
        let max = self.store.limits.total_bytes;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut n_bytes = 0_u64;
        loop {
            let n = reader.read(&mut chunk).map_err(broken)?;
            if n == 0 {
                return Ok(path);
            }
            failpoint::io("image.spool")
                .and_then(|()| file.write_all(&chunk[..n]))
                .map_err(ImageError::io("write", &path))?;
            let before = n_bytes;
            n_bytes += u64::try_from(n).expect("a chunk is small");
            if n_bytes > max {
                return Err(ImageError::TooLarge { what: "the archive", max });
            }
            if before / PROGRESS_EVERY_BYTES != n_bytes / PROGRESS_EVERY_BYTES {
                self.progress.report(Step::Reading { n_bytes });
            }
        }
    }

    /// Unpacks an archive and, when it is a box of layers, those.
    fn unpack_archive(&self, archive: &Path, tag: &str) -> Result<Found, ImageError> {
        let archive = archive.canonicalize().map_err(ImageError::unreadable(archive))?;
        let layer = split_path(&archive)?;
        let (tree, report) = self.unpack_to_tree("outer", &[layer], false)?;
        let dir = ForeignDir::new(tree.path());
        if let Some(image) = find_image(&dir, tag)? {
            return self.unpack_layers(&dir, image);
        }
        let diff_id = report.layers.first().map(|layer| layer.diff_id.as_str());
        let digest = diff_id.and_then(digest_of_hex).expect("each unpacked layer has its digest");
        let (config, documents) = (ImageConfig::default(), Vec::new());
        Ok(self.store.find_whole(&digest)?.map_or_else(
            || Found::Unpacked(Unpacked { tree, digest, config, documents, report }),
            Found::Known,
        ))
    }

    fn unpack_layers(&self, dir: &ForeignDir, image: FoundImage) -> Result<Found, ImageError> {
        if let Some(meta) = self.store.find_whole(&image.digest)? {
            return Ok(Found::Known(meta));
        }
        let path = dir.path();
        let box_dir = path.canonicalize().map_err(ImageError::io("find", path))?;
        let job = |layer: &crate::oci::FoundLayer| LayerJob {
            dir: box_dir.clone(),
            name: layer.name.clone(),
            sha256: layer.digest.as_ref().map(|digest| digest.hex().to_owned()),
            diff_id: Some(layer.diff_id.hex().to_owned()),
            size_bytes: layer.size_bytes,
        };
        let layers: Vec<LayerJob> = image.layers.iter().map(job).collect();
        let (tree, report) = self.unpack_to_tree("tree", &layers, true)?;
        let FoundImage { digest, config, documents, .. } = image;
        Ok(Found::Unpacked(Unpacked { tree, digest, config, documents, report }))
    }

    /// Unpacks the layers in RAM, or on the disk if they do not fit.
    fn unpack_to_tree(
        &self,
        name: &str,
        layers: &[LayerJob],
        has_whiteouts: bool,
    ) -> Result<(Tree, UnpackReport), ImageError> {
        if let Some(tree) = Tree::in_ram(self.workshop, name, &self.store.limits)? {
            match self.run_unpacker(&tree, layers, has_whiteouts) {
                Err(error) if error.is_disk_full() => {
                    tracing::debug!(%error, "unpacking on the disk what does not fit in RAM");
                }
                result => return Ok((tree, result?)),
            }
        }
        let tree = Tree::on_disk(self.workshop, name)?;
        let report = self.run_unpacker(&tree, layers, has_whiteouts)?;
        Ok((tree, report))
    }

    fn run_unpacker(
        &self,
        tree: &Tree,
        layers: &[LayerJob],
        has_whiteouts: bool,
    ) -> Result<UnpackReport, ImageError> {
        let (tree, layers, limits) = (tree.path().to_owned(), layers.to_vec(), self.store.limits);
        let job = Job::Unpack { tree, layers, has_whiteouts, limits };
        let on_bytes = |n_bytes| self.progress.report(Step::Unpacking { n_bytes });
        on_bytes(0);
        self.store.helper.unpack(&job, &on_bytes)
    }

    /// Packs the tree and puts the image into the store; tells whether it is new there.
    fn publish(&self, unpacked: Unpacked) -> Result<(ImageMeta, bool), ImageError> {
        let Unpacked { tree, digest, config, documents, report } = unpacked;
        failpoint::hit("image.unpack.after");
        self.progress.report(Step::Packing);
        let dir = self.workshop.path("image");
        durable::make_dir(&dir)?;
        let erofs = dir.join("image.erofs");
        rootfs::pack(&self.store.helper, tree.path(), &digest, &erofs)?;
        drop(tree);
        failpoint::hit("image.pack.after");
        self.progress.report(Step::Publishing);
        let blobs = documents.iter().map(|bytes| content::digest_of(bytes)).collect();
        let meta = ImageMeta::of_packed(digest, config, blobs, &report, &erofs)?;
        let publishing = self.store.publishing();
        DOOR.write_new(&dir.join("meta.json"), &meta.to_bytes())?;
        DOOR.write_new(&dir.join(UNCLAIMED), b"")?;
        durable::sync(&dir)?;
        let layout = &self.store.layout;
        let place = layout.image_dir(&meta.digest);
        if place.exists() {
            // Another import of the same image was faster.
            return Ok((self.store.meta(&meta.digest)?, false));
        }
        let published = documents
            .iter()
            .try_for_each(|bytes| content::keep(layout, bytes))
            .and_then(|()| Ok(DOOR.rename(&dir, &place)?));
        match published {
            Ok(()) => {
                self.store.gates.checked(&meta.digest);
                Ok((meta, true))
            }
            Err(error) => {
                self.store.sweep(&publishing, before_window(model::clock::now()))?;
                Err(error)
            }
        }
    }
}
