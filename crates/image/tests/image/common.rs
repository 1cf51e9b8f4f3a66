//! A store of its own for each test, and a look into its images.

use image::{Helper, ImageError, ImageStore, ImportSource, ImportedImage, Limits};
use model::ids::Digest;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: ImageStore,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open_store(dir.path());
        Self { dir, store }
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let Self { dir, store } = Self::new();
        Self { dir, store: store.with_limits(limits) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn import(&self, path: &Path) -> Result<ImportedImage, ImageError> {
        self.store.import(ImportSource::Path(path.to_owned()), "test:latest", &())
    }

    pub(crate) fn import_bytes(&self, bytes: &[u8]) -> Result<ImportedImage, ImageError> {
        self.store.import(ImportSource::Reader(Box::new(bytes)), "test:latest", &())
    }

    /// Shows the image, mounted in a mount namespace that ends with `look`.
    pub(crate) fn view<T: Send>(&self, digest: &Digest, look: impl FnOnce(&Path) -> T + Send) -> T {
        in_own_mount_namespace(|| look(&self.store.mount(digest).unwrap()))
    }

    /// Imports, which must succeed, and shows the image.
    pub(crate) fn view_of<T: Send>(&self, tar: &[u8], look: impl FnOnce(&Path) -> T + Send) -> T {
        let imported = self.import_bytes(tar).unwrap();
        self.view(&imported.image_ref.digest, look)
    }

    /// Checks that the store holds no image and no remains of one.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let blobs = ["data/blobs/sha256", "data/blobs/partial", "data/blobs/pulls"];
        for dir in ["data/images", "data/tmp/image"].into_iter().chain(blobs) {
            let left: Vec<_> = std::fs::read_dir(self.path(dir)).unwrap().collect();
            assert!(left.is_empty(), "{dir} holds {left:?}");
        }
    }
}

pub(crate) fn open_store(dir: &Path) -> ImageStore {
    ImageStore::open(&dir.join("data"), &dir.join("run")).unwrap().with_helper(Helper {
        program: PathBuf::from(env!("CARGO_BIN_EXE_image-unpacker")),
        // The program takes no argument; this one tells whose process it is.
        args: vec![dir.to_str().unwrap().to_owned()],
    })
}

/// Runs `work` on a thread in a mount namespace of its own; its mounts end with it.
pub(crate) fn in_own_mount_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let own = || {
        // SAFETY: only the mount namespace and the working directory of this thread are unshared,
        // no descriptor table.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(own).join().unwrap())
}

/// Runs a program that must succeed, in `dir`.
#[track_caller]
pub(crate) fn run(dir: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

/// The whole chain of an error, as a log would show it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
