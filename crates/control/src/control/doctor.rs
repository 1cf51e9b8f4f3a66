//! What this host can do, what is missing, and how to get it.

use super::Control;
use crate::error::ControlError;
use crate::facade::{Finding, FindingLevel};
use crate::vms::{Accel, Found, Vms};
use disk::DiskStore;
use model::pressure::{NEW_REFUSED_BELOW, Room};
use net::doctor::Severity;
use std::io::ErrorKind::NotFound;
use std::path::Path;
use std::process::{Command, Stdio};

/// Programs that create needs, and the Debian package of each.
const PROGRAMS: [(&str, &str); 3] =
    [("mkfs.erofs", "erofs-utils"), ("mkfs.ext4", "e2fsprogs"), ("nft", "nftables")];

/// Where programs of the system lie; the daemon may have been started with a bare `PATH`.
const PROGRAM_DIRS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl Control {
    /// Looks at the host. Takes some milliseconds, and where KVM may run guests as long as one takes to
    /// boot, once in each boot of the host.
    pub async fn doctor(&self) -> Vec<Finding> {
        let inner = std::sync::Arc::clone(&self.inner);
        let looked = tokio::task::spawn_blocking(move || {
            let mut findings: Vec<Finding> = PROGRAMS.iter().map(program).collect();
            findings.push(free_space(&inner.config.data_dir));
            findings.extend(engine(&inner.config.shim_path));
            findings.push(microvm(&inner.vms, &inner.disks));
            findings.extend(network(inner.router.tag(), inner.egress));
            findings
        });
        looked.await.unwrap_or_else(|panic| {
            vec![finding("doctor", FindingLevel::Missing, &panic.to_string(), None)]
        })
    }

    /// What runs the code of virtual machines here, if that is known yet.
    #[must_use]
    pub fn vm_accel(&self) -> Option<Accel> {
        self.inner.vms.known_accel()
    }
}

fn program((name, package): &(&str, &str)) -> Finding {
    let is_there = PROGRAM_DIRS.iter().any(|dir| Path::new(dir).join(name).exists());
    if is_there {
        finding(name, FindingLevel::Ok, "installed", None)
    } else {
        let hint = format!("apt-get install {package}");
        finding(name, FindingLevel::Missing, "not installed", Some(hint))
    }
}

fn free_space(data_dir: &Path) -> Finding {
    match disk::room(data_dir).map(Room::free) {
        Ok(free) if free < NEW_REFUSED_BELOW => finding(
            "space",
            FindingLevel::Degraded,
            &format!("{free} of the data file system are free: no machine can be created"),
            Some("destroy machines or remove images".to_owned()),
        ),
        Ok(free) => finding(
            "space",
            FindingLevel::Ok,
            &format!("{free} of the data file system are free"),
            None,
        ),
        Err(error) => finding("space", FindingLevel::Missing, &error.to_string(), None),
    }
}

/// What the container engine says: it lives in the shim, so the shim's binary is asked.
fn engine(shim_path: &Path) -> Vec<Finding> {
    let output = Command::new(shim_path).arg("doctor").stdin(Stdio::null()).output();
    let parsed = output
        .map_err(|error| error.to_string())
        .and_then(|output| serde_json::from_slice(&output.stdout).map_err(|e| e.to_string()));
    parsed.unwrap_or_else(|error| {
        let message = format!("{} cannot be asked: {error}", shim_path.display());
        vec![finding("container", FindingLevel::Missing, &message, None)]
    })
}

/// Whether virtual machines can run here, and what runs their code.
fn microvm(vms: &Vms, disks: &DiskStore) -> Finding {
    let able = vms.check().and_then(|()| {
        let tun = Path::new("/dev/net/tun");
        if tun.exists() { Ok(()) } else { Err(ControlError::host("find", tun, NotFound.into())) }
    });
    match able.and_then(|()| vms.accel(disks)) {
        Ok(Found { accel: Accel::Kvm, why }) => {
            let message = format!("virtual machines run with the host's processor: {why}");
            finding("microvm", FindingLevel::Ok, &message, None)
        }
        Ok(Found { accel: Accel::Tcg, why }) => {
            let message = format!(
                "virtual machines can run, with an emulated processor: slower by far, and QEMU calls \
                 it no boundary of security ({why})"
            );
            finding("microvm", FindingLevel::Degraded, &message, None)
        }
        Err(error) => {
            let hint = error.advice().hint.to_owned();
            finding("microvm", FindingLevel::Missing, &error.to_string(), Some(hint))
        }
    }
}

fn network(tag: &model::InstanceTag, egress: net::router::Egress) -> Vec<Finding> {
    let found = net::doctor::findings(tag, egress);
    if found.is_empty() {
        return vec![finding("network", FindingLevel::Ok, "namespaces and rules work", None)];
    }
    found
        .into_iter()
        .map(|found| Finding {
            check: format!("network.{}", found.code),
            level: match found.severity {
                Severity::Note => FindingLevel::Ok,
                Severity::Warning => FindingLevel::Degraded,
                Severity::Failure => FindingLevel::Missing,
            },
            message: found.text,
            hint: (!found.hint.is_empty()).then(|| found.hint.to_owned()),
        })
        .collect()
}

fn finding(check: &str, level: FindingLevel, message: &str, hint: Option<String>) -> Finding {
    Finding { check: check.to_owned(), level, message: message.to_owned(), hint }
}
