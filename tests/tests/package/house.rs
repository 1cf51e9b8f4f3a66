//! A clean Debian root with namespaces of its own, in which the package is installed.
//!
//! Its mounts, processes and network are its own; when it goes, its first process is killed, and with it
//! the rest. It sees the kernel's control groups as every host does.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{image, instance};

/// Makes `$1` the root, and waits; the shell buries whoever has lost its parent. The root must be one of
/// a mount namespace, because the daemon goes from one such namespace to another.
const SCRIPT: &str = r#"
set -eu
ip link set lo up
mount --bind "$1" "$1"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
cd "$1"
mkdir -p old
pivot_root . old
cd /
umount -l /old
echo ready
while :; do sleep 1; done
"#;

/// Longest wait for a daemon on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// A house; torn down when dropped.
pub(crate) struct House {
    dir: TempDir,
    keeper: Child,
}

impl House {
    pub(crate) fn new() -> Self {
        // Below it lie disks of machines, so it must be a real file system.
        let dir = tempfile::Builder::new().prefix("dormouse-package-").tempdir_in("/var/tmp");
        let dir = dir.expect("a directory");
        let root = dir.path().join("root");
        fs::create_dir(&root).expect("a directory");
        tests::debian::unpack_host(&root);
        allow_services(&root);
        let mut keeper = Command::new("unshare")
            .args(["--mount", "--propagation=private", "--pid", "--net", "--uts", "--ipc"])
            .args(["--fork", "--kill-child=KILL", "sh", "-c", SCRIPT, "sh"])
            .arg(&root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut said = String::new();
        let words = keeper.stdout.take().expect("a pipe");
        BufReader::new(words).read_line(&mut said).expect("the keeper speaks");
        assert_eq!(said, "ready\n");
        Self { dir, keeper }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// One of its namespaces.
    fn namespace(&self, kind: &str) -> String {
        format!("/proc/{}/ns/{kind}", self.keeper.id())
    }

    /// Its network namespace.
    pub(crate) fn network(&self) -> File {
        File::open(self.namespace("net")).expect("the namespace is there")
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount={}", self.namespace("mnt")))
            .arg(format!("--pid={}", self.namespace("pid_for_children")))
            .arg(format!("--net={}", self.namespace("net")))
            .arg(format!("--uts={}", self.namespace("uts")))
            .arg(format!("--ipc={}", self.namespace("ipc")))
            .args(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(["DEBIAN_FRONTEND=noninteractive", "/bin/sh", "-c", script])
            .stdin(Stdio::null());
        command
    }

    /// Runs a script in the house, as root; returns what it says.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.command(script).output().expect("nsenter");
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}: {}\n{said}{errors}", output.status);
        said.into_owned()
    }

    /// Makes the package of this version from the binaries that are tested, and installs it.
    #[track_caller]
    pub(crate) fn install(&self, version: &str) {
        let binaries = instance::binary("dormouse");
        let binaries = binaries.parent().expect("a directory");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let made = Command::new(repository.join("scripts/package"))
            .arg(binaries)
            .arg(self.root().join("tmp"))
            .arg(version)
            .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
            .output()
            .expect("scripts/package");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let package = String::from_utf8(made.stdout).expect("a path");
        let name = Path::new(package.trim()).file_name().expect("a name").to_string_lossy();
        self.run(&format!("dpkg --install /tmp/{name}"));
    }

    /// Waits until a control process other than `old` serves.
    #[track_caller]
    pub(crate) fn wait_until_served(&self, old: Option<u64>) {
        self.wait_until("control serves", PATIENCE, |house| {
            let is_new = house.endpoint().is_some_and(|pid| Some(pid) != old);
            is_new && house.command("dormouse app list").output().expect("nsenter").status.success()
        });
    }

    /// The process id of control, in the house's numbers.
    #[track_caller]
    pub(crate) fn control_pid(&self) -> u64 {
        self.endpoint().expect("control serves")
    }

    fn endpoint(&self) -> Option<u64> {
        let text = fs::read(self.root().join("var/lib/dormouse/endpoint.json")).ok()?;
        let endpoint: serde_json::Value = serde_json::from_slice(&text).ok()?;
        endpoint["control_pid"].as_u64()
    }

    /// Makes and starts a machine from an image of busybox; returns its id.
    #[track_caller]
    pub(crate) fn web_machine(&self, config: &str) -> String {
        let tarball = image::busybox_tarball(&self.root().join("tmp"), &[]);
        let name = tarball.file_name().expect("a name").to_string_lossy().into_owned();
        self.run(&format!("dormouse image import /tmp/{name} web"));
        fs::write(self.root().join("tmp/config.json"), config).expect("a file");
        let id = self.run("dormouse machine create --config /tmp/config.json").trim().to_owned();
        self.run(&format!("dormouse machine wait {id} started"));
        id
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, patience: Duration, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + patience;
        while !is_so(self) {
            let log = || self.run("cat /var/log/dormouse.log /var/log/by-hand 2>/dev/null || true");
            assert!(Instant::now() < deadline, "not in time: {what}\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Packages may start services: without an init nobody may unless this says so. Source: invoke-rc.d(8).
fn allow_services(root: &Path) {
    let policy = image::script(&root.join("usr/sbin"), "policy-rc.d", "exit 0");
    assert!(policy.exists());
}

impl Drop for House {
    fn drop(&mut self) {
        // Machines have control groups, which nobody else removes. Without the program there are none.
        let ended = self.command("dormouse down --force 2>/dev/null || true").status();
        drop(ended);
        self.keeper.kill().unwrap_or_default();
        drop(self.keeper.wait());
    }
}
