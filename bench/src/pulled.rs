//! The images that are pulled: made once, pushed once, then always fetched from the registry.

mod debian;
mod stack;

use crate::cleanup::Guard;
use crate::image::Image;
use crate::process;
use crate::registry::Registry;
use crate::scratch::{Scratch, remove_what_appears};
use crate::words;
use anyhow::Context as _;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `skopeo` leaves outside its own directories, innermost first.
const FOOTPRINT: [&str; 3] = [
    "/var/lib/containers/cache/blob-info-cache-v1.boltdb",
    "/var/lib/containers/cache",
    "/var/lib/containers",
];

/// An image in the registry.
#[derive(Clone, Debug)]
pub(crate) struct PulledImage {
    /// Its name in rows.
    pub(crate) name: &'static str,
    /// Where it is pulled from: `address/repository:tag`.
    pub(crate) reference: String,
    /// Layers, none of which another image has.
    pub(crate) n_layers: usize,
}

/// The images, and what making them left behind.
#[derive(Debug)]
pub(crate) struct PulledImages {
    /// A Debian root file system of about 200 MB in one layer.
    pub(crate) debian: PulledImage,
    /// Many small layers that overwrite and remove files of each other.
    pub(crate) layers: PulledImage,
    _footprint: Guard,
}

impl PulledImages {
    /// Makes both and pushes them to `registry`.
    pub(crate) fn push(
        scratch: &Scratch,
        base: &Image,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let footprint = remove_what_appears(&FOOTPRINT);
        let mut debian = Layout::new(scratch, "debian")?;
        debian.add(&debian::root_tarball(scratch)?)?;
        let mut layers = Layout::new(scratch, "layers")?;
        layers.add(&base.tarball)?;
        let tarball = scratch.path("layer.tar");
        for idx in 1..stack::N_LAYERS {
            stack::write_layer(&tarball, idx)
                .with_context(|| format!("cannot write {}", tarball.display()))?;
            layers.add(&tarball)?;
        }
        Ok(Self {
            debian: debian.push(registry)?,
            layers: layers.push(registry)?,
            _footprint: footprint,
        })
    }
}

/// An image that grows in an OCI layout.
struct Layout {
    umoci: PathBuf,
    name: &'static str,
    dir: PathBuf,
    n_layers: usize,
}

impl Layout {
    fn new(scratch: &Scratch, name: &'static str) -> anyhow::Result<Self> {
        words::tell(&format!("making the image {name}"));
        let umoci = process::find("umoci").context("umoci is not installed")?;
        let dir = scratch.path(&format!("oci-{name}"));
        process::run(Command::new(&umoci).args(["init", "--layout"]).arg(&dir))?;
        let layout = Self { umoci, name, dir, n_layers: 0 };
        layout.change(&["new"], &[])?;
        layout.change(&["config"], &["--config.cmd".as_ref(), "/bin/sh".as_ref()])?;
        Ok(layout)
    }

    /// `umoci`'s name of the image.
    fn image(&self) -> String {
        format!("{}:1", self.dir.display())
    }

    fn change(&self, verb: &[&str], how: &[&OsStr]) -> anyhow::Result<()> {
        let mut umoci = Command::new(&self.umoci);
        process::run(umoci.args(verb).args(["--image", &self.image()]).args(how)).map(drop)
    }

    /// Compresses a tarball into the next layer.
    fn add(&mut self, tarball: &Path) -> anyhow::Result<()> {
        self.n_layers += 1;
        self.change(&["raw", "add-layer"], &[tarball.as_os_str()])
    }

    fn push(self, registry: &Registry) -> anyhow::Result<PulledImage> {
        let reference = format!("{}/bench/{}:1", registry.address(), self.name);
        let skopeo = process::find("skopeo").context("skopeo is not installed")?;
        process::run(
            Command::new(skopeo)
                // Layers on their way; what is interrupted leaves them.
                .env("TMPDIR", &self.dir)
                .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
                .arg(format!("oci:{}", self.image()))
                .arg(format!("docker://{reference}")),
        )?;
        std::fs::remove_dir_all(&self.dir)
            .with_context(|| format!("cannot remove {}", self.dir.display()))?;
        Ok(PulledImage { name: self.name, reference, n_layers: self.n_layers })
    }
}
