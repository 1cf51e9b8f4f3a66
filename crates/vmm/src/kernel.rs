//! The kernel of guests, as a distribution ships it.
//!
//! It is taken from the files of its package, installed or only unpacked: `boot/vmlinuz-<release>` and
//! `lib/modules/<release>`. The monitor starts it without a boot loader, so what is wanted is the program
//! inside the image (`elf`), and the modules that a guest needs, in the order in which they are loaded
//! (`modules`).

mod elf;
mod modules;

pub use modules::Module;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a guest's kernel must be able to do, as modules: the devices that a machine has, and the file
/// systems of its image, its disk and its root. Names with `_` for `-`.
///
/// `crc32c_generic` is what ext4 and erofs ask the kernel for by its purpose, not by its name.
const NEEDED: [&str; 9] = [
    "virtio_mmio",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "virtio_rng",
    "crc32c_generic",
    "ext4",
    "erofs",
    "overlay",
];

/// A kernel for guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, e.g. `6.1.0-49-cloud-amd64`.
    pub release: String,
    /// The program, in ELF.
    pub vmlinux: Vec<u8>,
    /// Modules that a guest needs, in the order in which they are loaded.
    pub modules: Vec<Module>,
}

/// A kernel that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// There is none.
    #[error(
        "no kernel with an index of modules below `{}`: install `linux-image-cloud-amd64`, or unpack it \
         and run `depmod -b` on it", root.display()
    )]
    None {
        /// Where it was looked for.
        root: PathBuf,
    },
    /// A file that cannot be read.
    #[error("the kernel's file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is none of a kernel, or of one that cannot be started directly.
    #[error("`{}` is no kernel for a guest: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The kernel lacks something that a guest needs.
    #[error("kernel `{release}` has no `{module}`, built in or as a module")]
    Lacks {
        /// Its release.
        release: String,
        /// What it lacks.
        module: String,
    },
}

impl Kernel {
    /// Release of the kernel that [`Kernel::read`] would read, without reading it.
    ///
    /// # Errors
    /// [`KernelError::None`], or a directory cannot be read.
    pub fn release_in(root: &Path) -> Result<String, KernelError> {
        newest(root).map(|(release, _tree)| release)
    }

    /// Reads the newest kernel below `root`: `/`, or a directory with an unpacked package.
    ///
    /// # Errors
    /// As [`KernelError`] says.
    pub fn read(root: &Path) -> Result<Self, KernelError> {
        let (release, tree) = newest(root)?;
        let path = root.join("boot").join(format!("{IMAGE_PREFIX}{release}"));
        let vmlinux = elf::inside(&read(&path)?)
            .map_err(|why| KernelError::Unusable { path: path.clone(), why })?;
        let modules = modules::needed(&tree, &release, &NEEDED)?;
        Ok(Self { release, vmlinux, modules })
    }
}

/// The newest release that has modules, and where they are.
fn newest(root: &Path) -> Result<(String, PathBuf), KernelError> {
    let found = releases(root)?.into_iter().find_map(|release| {
        let tree = modules::tree(root, &release)?;
        Some((release, tree))
    });
    found.ok_or_else(|| KernelError::None { root: root.to_owned() })
}

const IMAGE_PREFIX: &str = "vmlinuz-";

/// Releases of the images below `root`, the newest first.
fn releases(root: &Path) -> Result<Vec<String>, KernelError> {
    let boot = root.join("boot");
    let entries = match fs::read_dir(&boot) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(KernelError::Read { path: boot, source }),
    };
    let mut releases = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| KernelError::Read { path: boot.clone(), source })?;
        let name = entry.file_name();
        let release = name.to_str().and_then(|name| name.strip_prefix(IMAGE_PREFIX));
        releases.extend(release.map(str::to_owned));
    }
    releases.sort_by_cached_key(|release| std::cmp::Reverse(age(release)));
    Ok(releases)
}

/// What puts releases in order: numbers count as numbers.
fn age(release: &str) -> (Vec<u64>, String) {
    let numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
    (numbers.collect(), release.to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>, KernelError> {
    fs::read(path).map_err(|source| KernelError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
