//! Death at every durable write, and a disk that is full at every write.

use crate::archive::{Archive, LAYER, gzip, write_layout};
use crate::common::{Bench, in_own_mount_namespace, open_store};
use crate::pull::Remote;
use image::{ImageStore, ImportSource, Keep, Progress, PruneCandidate, Step, plan_prune};
use model::ids::Digest;
use model::units::UnixMs;
use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

const ROLE: &str = "IMAGE_TEST_LIFE";

/// Time for the kernel to end a process whose parent is gone.
const ORPHAN_MAX: Duration = Duration::from_secs(10);

/// The victim: an image's whole life below the directory named by the environment.
///
/// Only does anything when this binary was started by [`run_life`].
#[test]
fn life() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let dir = Path::new(&dir);
    let store = open_store(dir);
    let import = |name: &str| {
        let source = ImportSource::Path(dir.join(name));
        store.import(source, "test", &()).unwrap().image_ref.digest
    };
    import("root.tar");
    let digest = import("oci");
    store.remove(&digest).unwrap();
    store.claim(&import("root.tar")).unwrap();
    store.reconcile(&[].into()).unwrap();
}

/// The record of images that a store keeps elsewhere: here a file of their digests.
struct Record(std::path::PathBuf);

impl Record {
    fn known(&self) -> HashSet<Digest> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    fn set(&self, known: &HashSet<Digest>) {
        let lines: String = known.iter().map(|digest| format!("{digest}\n")).collect();
        let half = self.0.with_extension("half");
        std::fs::write(&half, lines).unwrap();
        std::fs::rename(half, &self.0).unwrap();
    }

    fn add(&self, digest: &Digest) {
        let mut known = self.known();
        known.insert(digest.clone());
        self.set(&known);
    }

    fn let_go(&self, digest: &Digest) -> bool {
        let mut known = self.known();
        known.remove(digest);
        self.set(&known);
        true
    }
}

/// Two images of a registry that share a layer.
fn remotes() -> [Remote; 2] {
    let shared = Archive::new().file("shared", &[7; 300_000]).finish();
    ["first", "second"].map(|name| {
        let own = Archive::new().file(name, b"own").finish();
        Remote::new(&[&shared, &own].map(|plain| (plain.clone(), gzip(plain), LAYER)))
    })
}

/// The victim: pulls two images and prunes all but one, as a daemon would.
///
/// Only does anything when this binary was started by a test here.
#[test]
fn pull_life() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let dir = Path::new(&dir);
    let record = Record(dir.join("record"));
    let store = open_store(dir);
    store.reconcile(&record.known()).unwrap();
    let [first, second] = remotes().map(|remote| {
        let digest = remote.pull(&store).unwrap().image_ref.digest;
        record.add(&digest);
        store.claim(&digest).unwrap();
        digest
    });
    let candidate = |digest: &Digest, is_in_use| PruneCandidate {
        digest: digest.clone(),
        size_bytes: 1,
        last_used_at: UnixMs(1),
        is_in_use,
    };
    let plan = plan_prune(&[candidate(&first, true), candidate(&second, false)], Keep::Nothing);
    store.prune(&plan, |digest| record.let_go(digest), model::clock::now()).unwrap();
}

/// Names below the data directory, without what a mount point or time would change.
fn names_below(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.display().to_string());
            if path.is_dir() {
                dirs.push(path);
            }
        }
    }
    let mut names: Vec<_> =
        names.into_iter().map(|name| name.replace(dir.to_str().unwrap(), "")).collect();
    names.sort();
    names
}

#[test]
fn death_at_every_point_of_pull_and_prune_leaves_no_orphan() {
    let life = |bench: &Bench, variable: &str, value: &str| {
        run_victim("crash::pull_life", bench, variable, value)
    };
    let undisturbed = Bench::new();
    let log = undisturbed.path("log");
    assert!(life(&undisturbed, "DORMOUSE_FAILPOINT_LOG", log.to_str().unwrap()).success());
    let n_points = std::fs::read_to_string(log).unwrap().lines().count();
    assert!(n_points >= 40, "{n_points} failpoints");
    let expected = names_below(&undisturbed.path("data"));
    for n in 1..=n_points {
        let bench = Bench::new();
        let ended = life(&bench, "DORMOUSE_FAILPOINT", &n.to_string());
        assert_eq!(ended.signal(), Some(9), "at failpoint {n}");
        let record = Record(bench.path("record"));
        let store = open_store(bench.dir.path());
        validate(&store, &bench);
        let moved = store.reconcile(&record.known()).unwrap();
        assert!(moved.is_empty(), "at failpoint {n}: {moved:?} put away");
        let listed = store.list().unwrap().into_iter().map(|meta| meta.digest);
        assert_eq!(listed.collect::<HashSet<_>>(), record.known(), "at failpoint {n}");
        assert!(life(&bench, "NONE", "").success(), "again after failpoint {n}");
        assert_eq!(names_below(&bench.path("data")), expected, "after failpoint {n}");
    }
    report(n_points, "pull, derive and prune of images");
}

/// Adds a line to the summary of `./dev test`, which names a directory for such lines.
fn report(n_points: usize, of_what: &str) {
    let Some(dir) = std::env::var_os("DORMOUSE_TEST_REPORT").map(std::path::PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&dir).unwrap();
    let name = of_what.replace([' ', ','], "-");
    std::fs::write(dir.join(name), format!("crash-points {n_points} {of_what}\n")).unwrap();
}

/// A bench with the two image files that [`life`] imports.
fn prepared() -> Bench {
    let bench = Bench::new();
    bench.file("root.tar", &Archive::new().file("a", b"1").finish());
    write_layout(&bench.path("oci"), &[Archive::new().file("b", b"2").finish()]);
    bench
}

fn run_life(bench: &Bench, variable: &str, value: &str) -> ExitStatus {
    run_victim("crash::life", bench, variable, value)
}

fn run_victim(test: &str, bench: &Bench, variable: &str, value: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, bench.dir.path())
        .env(variable, value)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

/// What must hold whenever the store opens.
fn validate(store: &ImageStore, bench: &Bench) {
    assert_eq!(std::fs::read_dir(bench.path("data/tmp/image")).unwrap().count(), 0);
    for meta in store.list().unwrap() {
        store.verify(&meta.digest).unwrap();
    }
}

#[test]
fn death_at_every_durable_write_leaves_a_store_that_opens() {
    let bench = prepared();
    let log = bench.path("log");
    assert!(run_life(&bench, "DORMOUSE_FAILPOINT_LOG", log.to_str().unwrap()).success());
    let n_points = std::fs::read_to_string(log).unwrap().lines().count();
    assert!(n_points >= 10, "{n_points} failpoints");
    for n in 1..=n_points {
        let bench = prepared();
        let ended = run_life(&bench, "DORMOUSE_FAILPOINT", &n.to_string());
        assert_eq!(ended.signal(), Some(9), "at failpoint {n}");
        validate(&open_store(bench.dir.path()), &bench);
        assert!(run_life(&bench, "NONE", "").success(), "again after failpoint {n}");
        validate(&open_store(bench.dir.path()), &bench);
    }
    report(n_points, "import and removal of images");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    for n in 1..=4 {
        let bench = prepared();
        let ended = run_life(&bench, "DORMOUSE_DISK_FULL", &n.to_string());
        assert!(!ended.success(), "write {n} finds the disk full");
        validate(&open_store(bench.dir.path()), &bench);
    }
}

/// The victim: dies while its unpacker is at work.
///
/// Only does anything when this binary was started by the test below.
#[test]
fn short_life() {
    struct Deadly;
    impl Progress for Deadly {
        fn report(&self, step: Step) {
            if matches!(step, Step::Unpacking { n_bytes } if n_bytes > 0) {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
            }
        }
    }
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let zeros = std::io::Read::take(std::io::repeat(0), 256 << 20);
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(256 << 20);
    header.set_cksum();
    let tar = std::io::Read::chain(header.as_bytes().as_slice(), zeros);
    let source = ImportSource::Reader(Box::new(tar));
    drop(open_store(Path::new(&dir)).import(source, "test", &Deadly));
}

/// Whether any process was started with this argument.
fn has_process_with(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|process| std::fs::read(process.ok()?.path().join("cmdline")).ok())
        .any(|line| line.split(|b| *b == 0).nth(1) == Some(argument.as_bytes()))
}

#[test]
fn the_unpacker_dies_with_its_parent() {
    let bench = Bench::new();
    let ended = run_victim("crash::short_life", &bench, "NONE", "");
    assert_eq!(ended.signal(), Some(9));
    let deadline = Instant::now() + ORPHAN_MAX;
    while has_process_with(bench.dir.path().to_str().unwrap()) {
        assert!(Instant::now() < deadline, "the unpacker lives on");
        std::thread::yield_now();
    }
    validate(&open_store(bench.dir.path()), &bench);
}

#[test]
fn a_really_full_disk_is_told_and_leaves_nothing() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("small", dir.path(), "tmpfs", flags, c"size=4m").unwrap();
        let bench = Bench { store: open_store(dir.path()), dir };
        let fits_once = Archive::new().file("a", &vec![7; 3 << 20]).finish();
        let refused = bench.import_bytes(&fits_once).unwrap_err();
        assert!(refused.is_disk_full(), "{refused}");
        bench.assert_nothing_left();
        let fits = Archive::new().file("a", &vec![7; 1 << 20]).finish();
        bench.import_bytes(&fits).unwrap();
        rustix::mount::unmount(bench.dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    });
}

#[test]
fn packing_finds_a_full_disk() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("small", dir.path(), "tmpfs", flags, c"size=4m").unwrap();
        let bench = Bench { store: open_store(dir.path()), dir };
        let tar = Archive::new().file("a", &vec![7; 5 << 20]).finish();
        let archive = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(archive.path(), tar).unwrap();
        let refused = bench.import(archive.path()).unwrap_err();
        assert!(refused.is_disk_full(), "{refused}");
        bench.assert_nothing_left();
        rustix::mount::unmount(bench.dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    });
}
