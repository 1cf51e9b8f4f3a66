//! The child's life, from its first line of input to its last line of output.

use super::apply::Applier;
use super::failure::UnpackFailure;
use super::job::{GO, Job, LayerJob, MESSAGE_MAX_BYTES, Message, UnpackReport};
use super::root::Root;
use super::{jail, layer};
use crate::limits::{LAYERS_MAX, Limits};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What `mkfs.erofs` takes for "now", 2100-01-01: it also caps the times of files, so it lies
/// beyond all of them, and being fixed it makes equal trees equal images.
const SOURCE_DATE_EPOCH: &str = "4102444800";

/// Runs the job given on standard input; the binary's `main` calls this for `unpack-layer`.
///
/// Call it while the process has one thread: it leaves its namespaces.
#[must_use]
pub fn child_main() -> ExitCode {
    let last = match run() {
        Ok(report) => Message::Unpacked(report),
        Err(failure) => Message::Failed(failure),
    };
    let is_done = matches!(last, Message::Unpacked(_));
    match tell(&last) {
        Ok(()) if is_done => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn run() -> Result<UnpackReport, UnpackFailure> {
    let job = hear(MESSAGE_MAX_BYTES)?;
    let job = serde_json::from_str(&job).map_err(|e| UnpackFailure::malformed(e.to_string()))?;
    match job {
        Job::Unpack { tree, layers, has_whiteouts, limits } => {
            unpack(&tree, &layers, has_whiteouts, limits)
        }
        Job::Pack { tree, image, uuid } => Err(pack(&tree, &image, &uuid)),
    }
}

fn unpack(
    tree: &Path,
    layers: &[LayerJob],
    has_whiteouts: bool,
    limits: Limits,
) -> Result<UnpackReport, UnpackFailure> {
    if layers.len() > LAYERS_MAX {
        let max = u64::try_from(LAYERS_MAX).expect("a small constant");
        return Err(UnpackFailure::too_large("the number of layers", max));
    }
    let files = layers.iter().map(open_layer).collect::<Result<Vec<_>, _>>()?;
    jail::limit_unpacking().map_err(UnpackFailure::io("limit", b"the unpacker"))?;
    jail::enter_tree(tree).map_err(UnpackFailure::io("enter", path_bytes(tree)))?;
    drop_privileges()?;
    let root = Root::open().map_err(UnpackFailure::io("open", b"/"))?;
    let mut applier = Applier::new(root, has_whiteouts, limits);
    let mut on_progress = |n_bytes| {
        // A parent that no longer listens kills this process; nothing to add here.
        drop(tell(&Message::Progress { n_bytes }));
    };
    let mut n_bytes = 0;
    let mut reports = Vec::new();
    for (job, file) in layers.iter().zip(files) {
        let budget = layer::Budget { limits, n_bytes: &mut n_bytes, on_progress: &mut on_progress };
        reports.push(layer::apply(job, file, &mut applier, budget)?);
    }
    Ok(UnpackReport { layers: reports, ..applier.finish()? })
}

/// Opens a layer's file in its directory, wherever links within that directory lead.
fn open_layer(job: &LayerJob) -> Result<File, UnpackFailure> {
    let name = job.name.as_bytes();
    let open = || -> io::Result<File> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, &job.dir, flags, Mode::empty())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve)?.into())
    };
    let file = open().map_err(UnpackFailure::io("open", name))?;
    let metadata = file.metadata().map_err(UnpackFailure::io("look at", name))?;
    if !metadata.is_file() {
        return Err(UnpackFailure::bad_entry(name, "is not a file"));
    }
    if job.size_bytes.is_some_and(|size_bytes| size_bytes != metadata.len()) {
        return Err(UnpackFailure::bad_entry(name, "has another size than its image says"));
    }
    Ok(file)
}

/// Becomes `mkfs.erofs` in a user namespace of its own; returns only when it cannot.
fn pack(tree: &Path, image: &Path, uuid: &str) -> UnpackFailure {
    let prepared = jail::limit_packing()
        .and_then(|()| jail::enter_packing(tree, image))
        .map_err(UnpackFailure::io("prepare packing of", path_bytes(tree)))
        .and_then(|places| drop_privileges().map(|()| places));
    match prepared {
        Err(failure) => failure,
        Ok(places) => {
            let error = Command::new("mkfs.erofs")
                .args(["--quiet", "-d1", "--preserve-mtime", "-U", uuid])
                .args([places.image, places.tree])
                .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .exec();
            UnpackFailure::io("run", b"mkfs.erofs")(error)
        }
    }
}

/// Leaves the real root's rights for those of a fresh user namespace, with the parent's help.
fn drop_privileges() -> Result<(), UnpackFailure> {
    let in_namespace = |what: &'static str| UnpackFailure::io(what, b"the user namespace");
    jail::unshare_user().map_err(in_namespace("make"))?;
    tell(&Message::Ready).map_err(in_namespace("announce"))?;
    let go = hear(u64::try_from(GO.len()).expect("a short word"))?;
    if go != GO {
        return Err(UnpackFailure::malformed("the parent is gone"));
    }
    jail::become_root_of_namespace().map_err(in_namespace("enter"))
}

/// Reads one line of the parent.
fn hear(max_bytes: u64) -> Result<String, UnpackFailure> {
    let mut line = String::new();
    io::stdin().lock().take(max_bytes).read_line(&mut line).map_err(UnpackFailure::of_read)?;
    Ok(line)
}

/// Says one line to the parent.
fn tell(message: &Message) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

fn path_bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}
