//! What no record explains: ours only, by derived name. Data goes to quarantine, never away.

use super::{ids, machines_with_work};
use crate::error::ControlError;
use crate::inner::Inner;
use crate::shim::orphans;
use crate::{leftovers, orders};
use model::{Digest, MachineId};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use store::MachineFilter;

/// Puts everything away that no record explains. Blocking; no machine may start meanwhile.
pub(super) fn all(inner: &Inner) -> Result<(), ControlError> {
    let machines: HashSet<MachineId> = ids(inner, MachineFilter::default())?.into_iter().collect();
    let images: HashSet<Digest> =
        inner.store.read(|reader| reader.images())?.into_iter().map(|i| i.image.digest).collect();
    inner.disks.quarantine_unknown(&machines)?;
    inner.images.reconcile(&images)?;
    let running = running_machines(inner)?;
    orphans::end(&inner.config.runtime_dir, inner.instance());
    remove_exit_files(inner, &machines, &running);
    reap_cgroups(inner, &running);
    remove_sockets(&inner.config.runtime_dir, &running);
    for slot in inner.slots.unclaimed() {
        let is_held = running.iter().any(|(_, run)| run.slot == Some(slot));
        if !is_held {
            // A tap is no slot, and goes: nobody else may use it.
            let freed = match inner.slots.adopt(slot) {
                Ok(whole) => inner.slots.give_back(whole),
                Err(_) => inner.slots.remove(slot),
            };
            if let Err(error) = freed {
                tracing::warn!(%slot, %error, "an old slot could not be used again");
            }
        }
    }
    Ok(())
}

/// Machines with a run of this boot. What runs of an earlier boot had is nobody's.
fn running_machines(inner: &Inner) -> Result<Vec<(MachineId, model::Run)>, ControlError> {
    let mut running = Vec::new();
    for id in machines_with_work(inner)? {
        if let Some(record) = inner.store.read(|reader| reader.machine(&id))?
            && let Some(run) = record.machine.state.run()
            && run.boot == inner.config.boot
        {
            running.push((id, run.clone()));
        }
    }
    Ok(running)
}

/// Removes cgroups of machines that do not run.
fn reap_cgroups(inner: &Inner, running: &[(MachineId, model::Run)]) {
    let parent = format!("dormouse-{}", inner.instance());
    let in_use: HashSet<String> = running
        .iter()
        .flat_map(|(id, run)| {
            // Which of the two it is, its engine decides; the other is not there.
            let of_vm = run.slot.map(|slot| orders::vm_cgroup(inner.instance(), slot));
            [Some(orders::cgroup(inner.instance(), id)), of_vm]
        })
        .flatten()
        .collect();
    for cgroup in child_cgroups(&parent).into_iter().map(|name| format!("{parent}/{name}")) {
        if !in_use.contains(&cgroup)
            && let Err(error) = leftovers::reap(&inner.config.shim_path, &cgroup)
        {
            tracing::warn!(cgroup, %error, "a cgroup without a machine stays");
        }
    }
}

/// Names of the directories below `parent` in any cgroup hierarchy.
fn child_cgroups(parent: &str) -> HashSet<String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(root.to_path_buf())
        .chain(hierarchies)
        .filter_map(|hierarchy| fs::read_dir(hierarchy.join(parent)).ok())
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Removes exit files of runs whose exit is in the store already, or that were never accepted.
fn remove_exit_files(
    inner: &Inner,
    machines: &HashSet<MachineId>,
    running: &[(MachineId, model::Run)],
) {
    for id in machines {
        let dir = inner.disks.machine_dir(id);
        let wanted = running
            .iter()
            .find(|(other, _)| other == id)
            .map(|(_, run)| orders::exit_path(&dir, &run.id));
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            // One that is being written now has another extension.
            let is_wanted = wanted.as_ref() == Some(&path.with_extension("json"));
            if orders::is_exit_file(&path) && !is_wanted {
                remove(&path);
            }
        }
    }
}

fn remove_sockets(runtime_dir: &Path, running: &[(MachineId, model::Run)]) {
    let wanted: HashSet<_> =
        running.iter().map(|(_, run)| orders::socket_path(runtime_dir, &run.id)).collect();
    let Ok(entries) = fs::read_dir(runtime_dir.join("shims")) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| !wanted.contains(path)) {
        remove(&path);
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "an old file stays");
    }
}
