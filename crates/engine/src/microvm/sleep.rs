//! Sleep on disk: the pages that a guest has changed of its template, its devices, and nothing else.
//!
//! ```text
//! suspend  the guest stands still → its disk is flushed → devices → own pages → published → (all is taken down)
//! resume   another QEMU on the same template → own pages → devices → the guest stands still, as it did
//!          go: what is on disk is forgotten, for the disk changes from here on → it runs
//! ```
//!
//! Past half of its RAM the pages of the template are written too. Such a guest comes back in RAM of its
//! own, and needs no template any more.

use super::Microvm;
use super::monitor::Monitor;
use super::ram::GuestRam;
use super::state_file::StateFile;
use crate::error::EngineError;
use crate::watch::Watch;
use rustix::fs::fsync;
use shim_proto::message::Timing;
use shim_proto::spec::{Carried, MicrovmSpec, RamSpec};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use vmm::PAGE_BYTES;
use vmm::delta::{self, CHUNK_BYTES, Delta, DeltaError, DiskStamp, Key, Writer};
use vmm::template::blank_ram;

/// What a run needs to know to sleep on disk, and to come back.
#[derive(Debug)]
pub(super) struct Bed {
    run: String,
    ram: RamSpec,
    disk_path: PathBuf,
    template: String,
    template_sha256: String,
    ram_bytes: u64,
}

impl Bed {
    pub(super) fn of(run: &str, microvm: &MicrovmSpec) -> Self {
        let template = &microvm.monitor.template;
        Self {
            run: run.to_owned(),
            ram: microvm.ram.clone(),
            disk_path: microvm.disk_path.clone(),
            template: template.id.clone(),
            template_sha256: template.ram_sha256.clone(),
            ram_bytes: template.shape.ram_bytes(),
        }
    }

    fn key(&self) -> Result<Key, DeltaError> {
        Ok(Key {
            run: self.run.clone(),
            config: self.ram.config.clone(),
            template: self.template.clone(),
            template_sha256: self.template_sha256.clone(),
            disk: DiskStamp::of(&self.disk_path)?,
        })
    }

    fn n_pages(&self) -> u64 {
        self.ram_bytes / PAGE_BYTES as u64
    }
}

impl Microvm {
    /// Puts the guest, which stands still, on disk; the bytes that it takes.
    pub(super) fn lie_down(
        &mut self,
        carried: &Carried,
        is_called_off: &mut dyn FnMut() -> bool,
    ) -> Result<u64, EngineError> {
        let disk = self.disk.as_ref().ok_or(EngineError::Order { verb: "suspend" })?;
        // With its times: whoever comes back wants it as it is now.
        fsync(disk.file()).map_err(EngineError::namespace("flush the machine's disk"))?;
        let devices = self.monitor("suspend")?.save_devices()?;
        let bed = self.bed.as_ref().ok_or(EngineError::Order { verb: "suspend" })?;
        let monitor = self.monitor.as_ref().ok_or(EngineError::Order { verb: "suspend" })?;
        let look = EngineError::namespace("look at the RAM of the guest");
        let ram = GuestRam::of(monitor.pid, bed.ram_bytes).map_err(look)?;
        let own = if self.has_own_ram {
            None
        } else {
            let own = ram.own_pages();
            Some(own.map_err(EngineError::namespace("ask which pages the guest has changed"))?)
        };
        let key = bed.key().map_err(EngineError::Ram)?;
        // Nobody knows how many pages are not zeros before they have been read.
        let whole = 0..bed.ram_bytes;
        let own = own.filter(|rows| n_pages(rows) * 2 <= bed.n_pages());
        let is_whole = own.is_none();
        let rows = own.unwrap_or_else(|| vec![whole]);
        let mut writer = Writer::reserve(&bed.ram.dir, n_pages(&rows)).map_err(EngineError::Ram)?;
        if let Err(error) = copy(&ram, &rows, is_whole, &mut writer, is_called_off) {
            writer.give_up().map_err(|left| EngineError::Ram(left.into()))?;
            return Err(error);
        }
        writer.finish(&key, is_whole, &devices, carried).map_err(EngineError::Ram)
    }

    /// A monitor for a run that comes back from disk.
    pub(super) fn prepare_resumed(
        &mut self,
        spec: &shim_proto::RunSpec,
        microvm: &MicrovmSpec,
        bed: &Bed,
        drives: [BorrowedFd<'_>; 2],
    ) -> Result<Vec<Timing>, EngineError> {
        let mut watch = Watch::start();
        let key = bed.key().map_err(EngineError::Ram)?;
        let delta = Delta::open(&bed.ram.dir, &key, bed.ram_bytes).map_err(EngineError::Ram)?;
        self.has_own_ram = delta.is_whole();
        let own_ram = if delta.is_whole() { Some(whole_ram(microvm, &delta)?) } else { None };
        self.make_cgroup(&microvm.monitor, &spec.limits)?;
        watch.lap("cgroup");
        let of_monitor = self.start_monitor(&microvm.monitor, own_ram, drives)?;
        watch.lap("vmm");
        let monitor = self.monitor("prepare")?;
        if !delta.is_whole() {
            let ram = GuestRam::of(monitor.pid, bed.ram_bytes)
                .map_err(EngineError::namespace("look at the RAM of the guest"))?;
            delta.each(|at, bytes| ram.write(at, bytes)).map_err(EngineError::Ram)?;
        }
        watch.lap("ram");
        monitor.load_devices(delta.devices())?;
        watch.lap("load");
        self.risen = Some(delta.carried().clone());
        let mut timings = watch.into_timings();
        timings.extend(of_monitor);
        Ok(timings)
    }

    /// From here on what is on disk is of the past, whether it runs or not.
    pub(super) fn rise(&mut self, carried: Carried) -> Result<Carried, EngineError> {
        let bed = self.bed.as_ref().ok_or(EngineError::Order { verb: "go" })?;
        delta::forget(&bed.ram.dir).map_err(|error| EngineError::Ram(error.into()))?;
        failpoint::hit("microvm.resume.forgotten");
        self.earlier_us = carried.cpu_us;
        self.monitor("go")?.cont()?;
        Ok(carried)
    }
}

impl Monitor {
    /// State of the devices of the guest, which stands still.
    fn save_devices(&mut self) -> Result<Vec<u8>, EngineError> {
        let state = StateFile::make()?;
        self.save_devices_to(state.to_write()?.as_fd())?;
        state.content()
    }

    fn load_devices(&mut self, devices: &[u8]) -> Result<(), EngineError> {
        self.take_up(StateFile::with(devices)?.as_fd())
    }
}

fn n_pages(rows: &[Range<u64>]) -> u64 {
    rows.iter().map(|row| row.end - row.start).sum::<u64>() / PAGE_BYTES as u64
}

/// Writes rows of pages down; of the whole RAM only those that hold something.
fn copy(
    ram: &GuestRam,
    rows: &[Range<u64>],
    is_whole: bool,
    writer: &mut Writer,
    is_called_off: &mut dyn FnMut() -> bool,
) -> Result<(), EngineError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    for row in rows {
        let mut at = row.start;
        while at < row.end {
            if is_called_off() {
                return Err(EngineError::CalledOff);
            }
            let wanted = usize::try_from(row.end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let bytes = &mut chunk[..wanted];
            ram.read(at, bytes).map_err(EngineError::namespace("read the RAM of the guest"))?;
            if is_whole {
                add_filled(writer, at, bytes).map_err(EngineError::Ram)?;
            } else {
                writer.add(at, bytes).map_err(EngineError::Ram)?;
            }
            at += wanted as u64;
        }
    }
    Ok(())
}

fn add_filled(writer: &mut Writer, at: u64, bytes: &[u8]) -> Result<(), DeltaError> {
    let pages: Vec<&[u8]> = bytes.chunks(PAGE_BYTES).collect();
    let is_filled = |page: &&[u8]| page.iter().any(|byte| *byte != 0);
    let mut at = at;
    for pages in pages.chunk_by(|one, next| is_filled(one) == is_filled(next)) {
        if is_filled(&pages[0]) {
            writer.add(at, &pages.concat())?;
        }
        at += (pages.len() * PAGE_BYTES) as u64;
    }
    Ok(())
}

/// RAM that nobody else has, with all that was saved.
fn whole_ram(microvm: &MicrovmSpec, delta: &Delta) -> Result<OwnedFd, EngineError> {
    let ram = blank_ram(&microvm.monitor.template.shape).map_err(EngineError::Template)?;
    let put = |at: u64, bytes: &[u8]| -> io::Result<()> { ram.write_all_at(bytes, at) };
    delta.each(put).map_err(EngineError::Ram)?;
    Ok(ram.into())
}
