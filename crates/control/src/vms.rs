//! What virtual machines are copies of, and those that wait for a run ([`warm`]).
//!
//! A template is made when a machine of its shape is first created, which boots a kernel and takes some
//! seconds, and kept in the data directory. From its first use on this process holds it in RAM, where the
//! monitors of all its machines share it; each that runs pins it, whatever becomes of this process.
//!
//! ```text
//! <data>/vm/guests/<digest>/    a kernel and its first file system
//! <data>/vm/templates/<id>/     templates made of it
//! <data>/vm/rehearsal/          the image of a start that is rehearsed
//! <data>/vm/kvm.json            what a boot by KVM came to ([`accel`])
//! ```

mod accel;
mod warm;

pub(crate) use accel::Found;
pub use shim_proto::shape::Accel;
pub use warm::WarmStats;
pub(crate) use warm::{WarmPool, WarmVm};

use crate::error::{ControlError, sentence_of};
use crate::inner::Inner;
use crate::orders;
use crate::shim;
use disk::DiskStore;
use model::spec::{GuestSize, RootfsSpec};
use model::{BootId, InstanceTag, SlotId};
use net::slot::{FIRST_HOST_ID, IDS_PER_SLOT, MAX_SLOTS};
use shim_proto::shape::Shape;
use shim_proto::spec::{MonitorSpec, RehearsalSpec, TapSpec, TemplateSpec};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use vmm::delta;
use vmm::guest_image::{GuestImage, Tool};
use vmm::kernel::Kernel;
use vmm::template::{Key, Order, Template, TemplateError, host_processor};

/// Uid of the monitor that makes templates: behind those of all slots.
const TEMPLATE_UID: u32 = FIRST_HOST_ID + MAX_SLOTS as u32 * IDS_PER_SLOT;

/// Directory with the tools of machines, beside the guest init.
const TOOLS_DIR: &str = "bin";

/// Where virtual machines come from; fixed at start.
#[derive(Clone, Debug)]
pub struct VmConfig {
    /// QEMU's program.
    pub qemu_path: PathBuf,
    /// Where the kernel of guests lies: `/`, or a directory with an unpacked package.
    pub kernel_root: PathBuf,
    /// What runs their code; found out by a boot when absent.
    pub accel: Option<Accel>,
}

/// All templates of an instance.
#[derive(Debug)]
pub(crate) struct Vms {
    config: VmConfig,
    dir: PathBuf,
    shim_path: PathBuf,
    init_path: PathBuf,
    netns_path: PathBuf,
    cgroup: String,
    /// This boot of the host.
    boot: BootId,
    found: OnceLock<Found>,
    /// Locked while a template is made: one at a time is as fast as two.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    source: Option<Source>,
    held: HashMap<Shape, Template>,
    /// By their ids: those under RAM on disk that are no longer what new machines are made of.
    older: HashMap<String, Template>,
}

/// What the RAM of a machine is a copy of.
#[derive(Debug)]
pub(crate) enum Base {
    /// The template for its shape.
    New(Shape),
    /// The one that its RAM in this directory is to be put over.
    Of(PathBuf),
}

/// What templates are made of.
#[derive(Debug)]
struct Source {
    image: GuestImage,
    /// What QEMU calls itself.
    qemu: String,
    /// Rate of the host's time stamp counter, in kHz.
    tsc_khz: u32,
    /// Size in bytes of the disk of [`Self::rehearsal`].
    disk_bytes: u64,
    rehearsal: RehearsalSpec,
}

impl Vms {
    /// None made yet. `netns_path` is a network namespace without a link.
    pub(crate) fn new(
        config: &crate::inner::ControlConfig,
        instance: &InstanceTag,
        netns_path: PathBuf,
    ) -> Self {
        Self {
            config: config.vm.clone(),
            dir: config.data_dir.join("vm"),
            shim_path: config.shim_path.clone(),
            init_path: config.init_path.clone(),
            netns_path,
            cgroup: format!("dormouse-{instance}/template"),
            boot: config.boot.clone(),
            found: config.vm.accel.map_or_else(OnceLock::new, |accel| Found::told(accel).into()),
            state: Mutex::default(),
        }
    }

    /// Whether this host has what virtual machines need, as far as that shows at a glance.
    ///
    /// # Errors
    /// [`ControlError::Unfit`], with what to do.
    pub(crate) fn check(&self) -> Result<(), ControlError> {
        let missing = |message: String, hint: &str| {
            Err(ControlError::Unfit { code: "engine_missing", message, hint: hint.to_owned() })
        };
        if !self.config.qemu_path.exists() {
            let message = format!("there is no `{}`", self.config.qemu_path.display());
            return missing(message, "install `qemu-system-x86`");
        }
        match Kernel::release_in(&self.config.kernel_root) {
            Ok(_release) => Ok(()),
            Err(error) => missing(
                error.to_string(),
                "start the instance with `--guest-kernel DIR` if it lies elsewhere",
            ),
        }
    }

    /// The shape of a machine of this size here. Blocking, as [`Vms::accel`].
    pub(crate) fn shape_of(
        &self,
        disks: &DiskStore,
        size: GuestSize,
    ) -> Result<Shape, ControlError> {
        Ok(shape_of(size, self.accel(disks)?.accel))
    }

    /// The same, if it is known by now. Until then nothing waits for a run.
    pub(crate) fn known_shape_of(&self, size: GuestSize) -> Option<Shape> {
        Some(shape_of(size, self.known_accel()?))
    }

    /// The template for machines of `shape`, held from now on; made if there is none. `disks` are those
    /// of the instance. Blocking: some seconds when it has to be made, 0.1 s when it has to be read.
    pub(crate) fn ensure(
        &self,
        disks: &DiskStore,
        shape: Shape,
    ) -> Result<TemplateSpec, ControlError> {
        let mut state = self.lock();
        if let Some(template) = state.held.get(&shape) {
            return Ok(template.spec());
        }
        let source = self.source(&mut state, disks)?;
        let template = self.open_or_make(source, shape)?;
        let spec = template.spec();
        state.held.insert(shape, template);
        Ok(spec)
    }

    /// The monitor of a machine at the tap with this number. Blocking, as [`Vms::ensure`].
    pub(crate) fn monitor(
        &self,
        inner: &Inner,
        base: &Base,
        slot: SlotId,
    ) -> Result<MonitorSpec, ControlError> {
        Ok(MonitorSpec {
            qemu_path: self.config.qemu_path.clone(),
            template: match base {
                Base::New(shape) => self.ensure(&inner.disks, *shape)?,
                Base::Of(dir) => self.template_under(&inner.disks, dir)?,
            },
            netns_path: self.netns_path.clone(),
            tap: Some(TapSpec {
                router_path: inner.slots.router_pin(),
                name: net::slot::link_name(inner.instance(), slot),
            }),
            uid: net::slot::host_id_base(slot),
            cgroup: orders::vm_cgroup(inner.instance(), slot),
        })
    }

    /// The template under the RAM in `dir`, held from now on; it may be one that nothing new is made of.
    fn template_under(&self, disks: &DiskStore, dir: &Path) -> Result<TemplateSpec, ControlError> {
        let key = delta::key_of(dir).map_err(failed("use the RAM on disk"))?;
        let key = key.ok_or_else(|| unusable("there is none"))?;
        let accel = self.accel(disks)?.accel;
        let mut state = self.lock();
        let held = state.held.values().chain(state.older.values());
        if let Some(template) = held.map(Template::spec).find(|spec| spec.id == key.template) {
            return Ok(template);
        }
        let source = self.source(&mut state, disks)?;
        let (dir, qemu) = (self.dir.join("templates"), source.qemu.clone());
        let found = vmm::template::find(&dir, &key.template);
        let found = found.ok_or_else(|| unusable("its template is gone"))?;
        if found.qemu != qemu || found.processor != host_processor(found.shape.accel) {
            return Err(unusable("it was made by another QEMU, or on another processor"));
        }
        if found.shape.accel == Accel::Kvm && accel != Accel::Kvm {
            return Err(unusable("it was made by KVM, which runs no guests here any more"));
        }
        let template = Template::open(&dir, &found).map_err(failed("use the template"))?;
        let spec = template.spec();
        state.older.insert(spec.id.clone(), template);
        Ok(spec)
    }

    /// What is rehearsed. Blocking, for the first one who asks.
    pub(crate) fn rehearsal(&self, disks: &DiskStore) -> Result<RehearsalSpec, ControlError> {
        Ok(self.source(&mut self.lock(), disks)?.rehearsal.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of whoever made one leaves no half: it is inserted whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source<'a>(
        &self,
        state: &'a mut State,
        disks: &DiskStore,
    ) -> Result<&'a Source, ControlError> {
        if state.source.is_none() {
            state.source = Some(self.find_source(disks)?);
        }
        Ok(state.source.as_ref().expect("found just now"))
    }

    fn find_source(&self, disks: &DiskStore) -> Result<Source, ControlError> {
        let kernel = Kernel::read(&self.config.kernel_root).map_err(failed("find a kernel"))?;
        let read = |path: &Path| fs::read(path).map_err(|e| ControlError::host("read", path, e));
        let init = read(&self.init_path)?;
        let mut tools = Vec::new();
        for path in programs_in(&self.init_path.with_file_name(TOOLS_DIR)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            tools.push((name, read(&path)?));
        }
        let tools: Vec<Tool<'_>> =
            tools.iter().map(|(name, content)| Tool { name, content }).collect();
        let image = GuestImage::ensure(&self.dir.join("guests"), &kernel, &init, &tools)
            .map_err(failed("keep the kernel of virtual machines"))?;
        let rehearsal = RehearsalSpec {
            image_path: vmm::rehearsal::make_image(&self.dir.join("rehearsal"), &init)
                .map_err(failed("prepare rehearsals"))?,
            disk_path: disks.ensure_template(RootfsSpec::default().size_gib)?,
        };
        let disk = fs::metadata(&rehearsal.disk_path);
        let disk = disk.map_err(|e| ControlError::host("look at", &rehearsal.disk_path, e))?;
        let source = Source {
            image,
            qemu: self.qemu_version()?,
            tsc_khz: vmm::tsc::host_khz(),
            disk_bytes: disk.len(),
            rehearsal,
        };
        self.prune(&source, disks);
        Ok(source)
    }

    fn qemu_version(&self) -> Result<String, ControlError> {
        let path = &self.config.qemu_path;
        let output = Command::new(path).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| ControlError::host("run", path, error))?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }

    /// Removes what was made of other kernels, of other inits, by other QEMUs and for other clocks, unless
    /// RAM on disk lies over it. Machines that run on one of them hold it themselves.
    fn prune(&self, source: &Source, disks: &DiskStore) {
        let machines = disks.list().unwrap_or_default();
        let dirs = machines.iter().map(|machine| orders::ram_dir(&disks.machine_dir(machine)));
        let keys = dirs.map(|dir| delta::key_of(&dir));
        let under: HashSet<String> = keys.flatten().flatten().map(|key| key.template).collect();
        let is_current = |key: &Key| {
            let is_of_now = (key.guest.as_str(), key.qemu.as_str(), key.tsc_khz, key.disk_bytes)
                == (source.image.digest(), source.qemu.as_str(), source.tsc_khz, source.disk_bytes);
            is_of_now || under.contains(&key.id())
        };
        let pruned = vmm::template::prune(&self.dir.join("templates"), is_current)
            .and_then(|()| source.image.prune_others());
        if let Err(error) = pruned {
            tracing::warn!(%error, "what is left of old virtual machines stays");
        }
    }

    fn open_or_make(&self, source: &Source, shape: Shape) -> Result<Template, ControlError> {
        let order = self.order(source, shape);
        let Order { dir, key, .. } = &order;
        match Template::open(dir, key) {
            Err(TemplateError::Absent) => {}
            Err(error @ TemplateError::Damaged { .. }) => {
                tracing::warn!(%error, "the template is made again");
            }
            opened => return opened.map_err(failed("use the template of virtual machines")),
        }
        let began = std::time::Instant::now();
        self.make(&order)?;
        let (id, took_ms) = (key.id(), began.elapsed().as_millis());
        tracing::info!(template = id, took_ms, "a template of virtual machines was made");
        Template::open(dir, key).map_err(failed("use the template of virtual machines"))
    }

    /// How a template for machines of `shape` is made.
    fn order(&self, source: &Source, shape: Shape) -> Order {
        Order {
            dir: self.dir.join("templates"),
            key: Key {
                guest: source.image.digest().to_owned(),
                qemu: source.qemu.clone(),
                shape,
                processor: host_processor(shape.accel),
                tsc_khz: source.tsc_khz,
                disk_bytes: source.disk_bytes,
            },
            kernel_path: source.image.kernel(),
            initramfs_path: source.image.initramfs(),
            qemu_path: self.config.qemu_path.clone(),
            netns_path: self.netns_path.clone(),
            uid: TEMPLATE_UID,
            cgroup: self.cgroup.clone(),
            rehearsal: source.rehearsal.clone(),
        }
    }

    /// Has the shim's binary make a template: engines live there.
    fn make(&self, order: &Order) -> Result<(), ControlError> {
        let text = serde_json::to_vec(order).expect("plain fields");
        let run = || {
            let mut shim = shim::command(&self.shim_path)
                .arg("template")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stdin) = shim.stdin.take() {
                stdin.write_all(&text)?;
            }
            shim.wait_with_output()
        };
        let output = run().map_err(|error| ControlError::host("run", &self.shim_path, error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ControlError::Vm { message: format!("a template cannot be made: {said}") })
    }
}

/// The shape of a machine of this size.
const fn shape_of(size: GuestSize, accel: Accel) -> Shape {
    Shape { ram_mib: size.memory_mib, n_cpus: size.cpus, accel }
}

fn programs_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

/// Wraps a failure with its causes.
fn failed<E: std::error::Error>(doing: &'static str) -> impl FnOnce(E) -> ControlError {
    move |error| ControlError::Vm { message: format!("cannot {doing}: {}", sentence_of(&error)) }
}

fn unusable(why: &str) -> ControlError {
    ControlError::Vm { message: format!("its RAM on disk cannot be used: {why}") }
}
