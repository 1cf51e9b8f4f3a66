//! The same sleep by QEMU's own means: all of a guest goes to a file, and comes back from it.
//!
//! A guest that has come back is saved next, so that both ways are always those of a QEMU whose RAM is as it
//! has it by itself. No programs run in it, so none has written anything; each MiB that they had would be one
//! more to save and to load.

use super::super::Setting;
use crate::dormouse::usage::disk_mib;
use crate::laps::{LapSamples, Laps};
use crate::qemu::{Base, Qemu};
use crate::report::Row;
use anyhow::Context as _;
use std::fs::File;
use std::path::Path;

/// Name of the file.
const SAVED: &str = "whole";

pub(super) fn rows(
    setting: &Setting<'_>,
    base: &Base,
    rounds: u32,
    name: &str,
) -> anyhow::Result<[Row; 2]> {
    let (mut saves, mut loads) = (LapSamples::default(), LapSamples::default());
    let path = setting.scratch.path(SAVED);
    let (first, _) = base.take_up()?;
    save(first, &path)?;
    for _ in 0..rounds {
        setting.pause();
        let (qemu, laps) = base.load(&path)?;
        loads.add(laps);
        setting.pause();
        saves.add(save(qemu, &path)?);
    }
    let mut save = saves.row(&format!("full_save_{name}"));
    save.figures.push(("file_mib", disk_mib(&path)?));
    Ok([save, loads.row(&format!("full_load_{name}"))])
}

/// Saves all of a guest; it is over when that is on the disk and nothing of the guest runs any more.
fn save(mut qemu: Qemu, path: &Path) -> anyhow::Result<Laps> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut laps = Laps::start();
    qemu.stop()?;
    qemu.save(&file)?;
    laps.lap("save");
    file.sync_all().with_context(|| format!("cannot sync {}", path.display()))?;
    laps.lap("sync");
    drop(qemu);
    laps.lap("end");
    Ok(laps)
}
