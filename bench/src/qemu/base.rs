//! What an instance's virtual machines of one shape begin from, and the ways to begin.

use super::{Launch, Qemu};
use crate::dormouse::Instance;
use crate::laps::Laps;
use crate::scratch::Scratch;
use anyhow::Context as _;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use vmm::command_line::{Purpose, arguments};
use vmm::template::{self, Key, Template, blank_ram};

/// Bytes of the files behind image and disk. Nobody reads them: the guest knows the size of another one.
const DRIVE_BYTES: u64 = 1 << 20;

/// What its arguments have for RAM in a file, by its beginning.
const RAM_IN_A_FILE: &str = "memory-backend-file,";

/// QEMU saves at the pace of a network, unless it is told that there is no limit.
const NO_PACE: [&str; 2] = ["-global", "migration.x-max-bandwidth=0"];

/// A kernel with its first file system, and the template that an instance has made of them.
#[derive(Debug)]
pub(crate) struct Base {
    template: Template,
    kernel: PathBuf,
    initramfs: PathBuf,
    image: PathBuf,
    disk: PathBuf,
    log: PathBuf,
}

impl Base {
    /// That of machines with so much RAM, which `instance` has made.
    pub(crate) fn of(instance: &Instance, scratch: &Scratch, ram_mib: u32) -> anyhow::Result<Self> {
        let dir = instance.vm_dir();
        let template = open_template(&dir.join("templates"), ram_mib)?;
        let guest = dir.join("guests").join(&template.key().guest);
        let [image, disk] = ["qemu-image", "qemu-disk"].map(|name| scratch.path(name));
        for path in [&image, &disk] {
            File::create(path)
                .and_then(|file| file.set_len(DRIVE_BYTES))
                .with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(Self {
            template,
            kernel: guest.join("vmlinux"),
            initramfs: guest.join("initramfs"),
            image,
            disk,
            log: scratch.path("qemu.log"),
        })
    }

    /// Boots the kernel until its init waits.
    pub(crate) fn boot(&self) -> anyhow::Result<(Qemu, Laps)> {
        let Key { shape, tsc_khz, .. } = *self.template.key();
        let ram = blank_ram(&shape).context("no RAM for a guest")?;
        let mut laps = Laps::start();
        let mut qemu = Qemu::start(&Launch {
            arguments: arguments(&shape, Purpose::Boot { tsc_khz }),
            files: [&path_of(&ram), &self.kernel, &self.initramfs],
            log: &self.log,
        })?;
        laps.lap("vmm");
        qemu.cont()?;
        qemu.guest.wait_for_boot()?;
        laps.lap("boot");
        Ok((qemu, laps))
    }

    /// Takes up the template, as a start does; returns when the guest has answered.
    pub(crate) fn take_up(&self) -> anyhow::Result<(Qemu, Laps)> {
        let spec = self.template.spec();
        self.answer_from(self.take_up_arguments(), &spec.ram_path, &spec.state_path)
    }

    /// Takes up what [`Qemu::save`] has written, in RAM as QEMU has it by itself.
    pub(crate) fn load(&self, state: &Path) -> anyhow::Result<(Qemu, Laps)> {
        let ram = format!("memory-backend-ram,id=ram,size={}M", self.template.key().shape.ram_mib);
        let mut arguments = self.take_up_arguments();
        for argument in &mut arguments {
            if argument.starts_with(RAM_IN_A_FILE) {
                argument.clone_from(&ram);
            }
        }
        arguments.extend(NO_PACE.map(str::to_owned));
        self.answer_from(arguments, Path::new("/dev/null"), state)
    }

    fn take_up_arguments(&self) -> Vec<String> {
        let purpose = Purpose::TakeUp { has_link: false, owns_ram: false };
        arguments(&self.template.key().shape, purpose)
    }

    fn answer_from(
        &self,
        arguments: Vec<String>,
        ram: &Path,
        state: &Path,
    ) -> anyhow::Result<(Qemu, Laps)> {
        let mut laps = Laps::start();
        let files = [ram, &self.image, &self.disk];
        let mut qemu = Qemu::start(&Launch { arguments, files, log: &self.log })?;
        laps.lap("vmm");
        qemu.load(state)?;
        laps.lap("load");
        qemu.cont()?;
        qemu.guest.greet()?;
        laps.lap("answer");
        Ok((qemu, laps))
    }
}

fn open_template(dir: &Path, ram_mib: u32) -> anyhow::Result<Template> {
    let names = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let key = names
        .filter_map(|entry| template::find(dir, entry.ok()?.file_name().to_str()?))
        .find(|key| key.shape.ram_mib == ram_mib)
        .with_context(|| format!("no template of {ram_mib} MiB in {}", dir.display()))?;
    Template::open(dir, &key).context("cannot use the template")
}

/// Where another process of ours opens it.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
}
