//! A template for all virtual machines of these tests, made once for each guest init.
//!
//! It is kept in `target/test-cache`, as a daemon keeps its own in its data directory.

use crate::world::init_path;
use engine::microvm::build_template;
use shim_proto::shape::{Accel, Shape};
use shim_proto::spec::{RehearsalSpec, TemplateSpec};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use testkit::{place, report};
use vmm::guest_image::GuestImage;
use vmm::kernel::Kernel;
use vmm::template::{Key, Order, Template, TemplateError, host_processor};

/// Uid of the monitor that boots it.
const UID: u32 = 2_999_999_999;

/// A template that this process holds.
pub(crate) struct Held {
    _template: Template,
    pub(crate) spec: TemplateSpec,
    pub(crate) rehearsal: RehearsalSpec,
}

/// The template, held by this process; `None`, and said, on a host that can have none.
pub(crate) fn template() -> Option<&'static Held> {
    static TEMPLATE: OnceLock<Option<Held>> = OnceLock::new();
    TEMPLATE.get_or_init(make).as_ref()
}

fn make() -> Option<Held> {
    let kernel = match testkit::kernel::Kernel::fetch() {
        Ok(fetched) => Kernel::read(&fetched.package()).expect("a kernel for guests"),
        Err(why) => {
            report::line("microvm", &format!("skipped virtual machines: {why}"));
            return None;
        }
    };
    let cache = testkit::kernel::cache_dir().join("vm");
    fs::create_dir_all(&cache).expect("the cache can be made");
    let lock = File::create(cache.join("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    let init = fs::read(init_path()).expect("built");
    let image = GuestImage::ensure(&cache.join("images"), &kernel, &init, &[]).expect("written");
    let shape = Shape { ram_mib: 256, n_cpus: 1, accel: Accel::Tcg };
    let rehearsal = rehearsal(&cache, &init);
    let key = Key {
        guest: image.digest().to_owned(),
        qemu: qemu_version(),
        shape,
        processor: host_processor(shape.accel),
        tsc_khz: vmm::tsc::host_khz(),
        disk_bytes: fs::metadata(&rehearsal.disk_path).expect("a disk").len(),
    };
    let templates = cache.join("templates");
    let template = match Template::open(&templates, &key) {
        Err(TemplateError::Absent | TemplateError::Damaged { .. }) => {
            // Those of older inits are of no use to anybody.
            fs::remove_dir_all(&templates).ok();
            build(&templates, &key, &image, &rehearsal);
            Template::open(&templates, &key)
        }
        opened => opened,
    };
    let template = template.expect("just made");
    let spec = template.spec();
    Some(Held { _template: template, spec, rehearsal })
}

/// What is rehearsed, with this init.
fn rehearsal(cache: &Path, init: &[u8]) -> RehearsalSpec {
    let disks = disk::DiskStore::open(&cache.join("disks")).expect("a store of disks");
    RehearsalSpec {
        image_path: vmm::rehearsal::make_image(&cache.join("rehearsal"), init).expect("written"),
        disk_path: disks.ensure_template(1).expect("formatted"),
    }
}

fn build(dir: &Path, key: &Key, image: &GuestImage, rehearsal: &RehearsalSpec) {
    let slot = place::Slot::new(UID);
    let order = Order {
        dir: dir.to_owned(),
        key: key.clone(),
        kernel_path: image.kernel(),
        initramfs_path: image.initramfs(),
        qemu_path: qemu_path(),
        netns_path: slot.network(),
        uid: UID,
        cgroup: format!("dormouse-test-{}-template", std::process::id()),
        rehearsal: rehearsal.clone(),
    };
    build_template(&order).unwrap_or_else(|error| panic!("{}", error.sentence()));
}

pub(crate) fn qemu_path() -> PathBuf {
    Path::new("/usr/bin").join(vmm::QEMU)
}

fn qemu_version() -> String {
    let version = Command::new(qemu_path()).arg("--version").output().expect("QEMU is installed");
    String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned()
}
