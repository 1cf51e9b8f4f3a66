//! Room on the host: RAM and CPUs, with overcommit.

use model::spec::{CpuKind, GuestSize};
use std::sync::{Arc, Mutex, PoisonError};

/// RAM promised to machines may be this many times the host's. Source: design, section 4.
pub const RAM_OVERCOMMIT: u64 = 4;

/// CPUs promised to machines may be this many times the host's. Source: design, section 4.
pub const CPU_OVERCOMMIT: u64 = 16;

/// What a CPU of a machine counts, in sixteenths of the host's: a shared one is promised 5 ms in 80.
///
/// Source: machines-api 2.3.
const fn sixteenths(kind: CpuKind) -> u64 {
    match kind {
        CpuKind::Shared => 1,
        CpuKind::Performance => 16,
    }
}

/// What the host can promise and has promised.
#[derive(Debug)]
pub(crate) struct Capacity {
    ram_mib_max: u64,
    cpu_sixteenths_max: u64,
    promised: Mutex<Promised>,
}

#[derive(Debug, Default)]
struct Promised {
    ram_mib: u64,
    cpu_sixteenths: u64,
}

/// A promise; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    capacity: Arc<Capacity>,
    size: GuestSize,
}

impl Capacity {
    /// The capacity of a host with this much RAM and this many CPUs.
    pub(crate) fn new(host_ram_mib: u64, host_cpus: u64) -> Arc<Self> {
        Arc::new(Self {
            ram_mib_max: host_ram_mib * RAM_OVERCOMMIT,
            cpu_sixteenths_max: host_cpus * CPU_OVERCOMMIT * 16,
            promised: Mutex::default(),
        })
    }

    /// Promises room, or says in the reference's words why there is none.
    pub(crate) fn reserve(self: &Arc<Self>, size: GuestSize) -> Result<Reservation, String> {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        *promised = self.fitting(promised.with(size))?;
        Ok(Reservation { capacity: Arc::clone(self), size })
    }

    /// `after` if it is within the limits.
    fn fitting(&self, after: Promised) -> Result<Promised, String> {
        let lacking = if after.ram_mib > self.ram_mib_max {
            "memory"
        } else if after.cpu_sixteenths > self.cpu_sixteenths_max {
            "CPU"
        } else {
            return Ok(after);
        };
        Err(format!("insufficient {lacking} available to fulfill request"))
    }

    /// Promises room for a machine that runs already, whatever the limits say.
    pub(crate) fn adopt(self: &Arc<Self>, size: GuestSize) -> Reservation {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        *promised = promised.with(size);
        Reservation { capacity: Arc::clone(self), size }
    }

    /// How many machines of this size there is room for now, counted up to `most`.
    pub(crate) fn n_fitting(&self, size: GuestSize, most: u64) -> u64 {
        let promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let (ram_mib, cpu_sixteenths) = cost(size);
        let by_ram = self.ram_mib_max.saturating_sub(promised.ram_mib) / ram_mib.max(1);
        let left = self.cpu_sixteenths_max.saturating_sub(promised.cpu_sixteenths);
        by_ram.min(left / cpu_sixteenths.max(1)).min(most)
    }

    /// Says in the reference's words why a machine of this size could never run here.
    pub(crate) fn fit_alone(&self, size: GuestSize) -> Result<(), String> {
        self.fitting(Promised::default().with(size)).map(drop)
    }
}

impl Reservation {
    /// Promises another size instead, or says in the reference's words why that is not possible;
    /// nothing has changed then.
    pub(crate) fn resize(&mut self, size: GuestSize) -> Result<(), String> {
        let mut promised = self.capacity.promised.lock().unwrap_or_else(PoisonError::into_inner);
        let after = promised.without(self.size).with(size);
        let is_less =
            after.ram_mib <= promised.ram_mib && after.cpu_sixteenths <= promised.cpu_sixteenths;
        *promised = if is_less { after } else { self.capacity.fitting(after)? };
        self.size = size;
        Ok(())
    }

    /// Promises another size instead, whatever the limits say.
    pub(crate) fn settle(&mut self, size: GuestSize) {
        if size != self.size {
            let mut promised =
                self.capacity.promised.lock().unwrap_or_else(PoisonError::into_inner);
            *promised = promised.without(self.size).with(size);
            self.size = size;
        }
    }
}

impl Promised {
    fn with(&self, size: GuestSize) -> Self {
        let (ram_mib, cpu_sixteenths) = cost(size);
        Self {
            ram_mib: self.ram_mib.saturating_add(ram_mib),
            cpu_sixteenths: self.cpu_sixteenths.saturating_add(cpu_sixteenths),
        }
    }

    fn without(&self, size: GuestSize) -> Self {
        let (ram_mib, cpu_sixteenths) = cost(size);
        Self {
            ram_mib: self.ram_mib.saturating_sub(ram_mib),
            cpu_sixteenths: self.cpu_sixteenths.saturating_sub(cpu_sixteenths),
        }
    }
}

/// RAM in MiB and sixteenths of CPUs.
fn cost(size: GuestSize) -> (u64, u64) {
    (u64::from(size.memory_mib), u64::from(size.cpus) * sixteenths(size.cpu_kind))
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut promised = self.capacity.promised.lock().unwrap_or_else(PoisonError::into_inner);
        *promised = promised.without(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::spec::CpuKind;

    fn size(cpus: u32, memory_mib: u32) -> GuestSize {
        GuestSize { cpu_kind: CpuKind::Shared, cpus, memory_mib }
    }

    #[test]
    fn a_promise_is_given_back_when_dropped() {
        let capacity = Capacity::new(256, 1);
        let first = capacity.reserve(size(1, 1024)).expect("4 × 256 MiB may be promised");
        assert!(capacity.reserve(size(1, 256)).unwrap_err().contains("insufficient memory"));
        drop(first);
        assert!(capacity.reserve(size(1, 256)).is_ok());
    }

    #[test]
    fn cpus_run_out_too() {
        let capacity = Capacity::new(1_000_000, 1);
        let large = GuestSize { cpu_kind: CpuKind::Performance, cpus: 17, memory_mib: 2048 };
        assert!(capacity.reserve(large).unwrap_err().contains("insufficient CPU"));
        assert!(capacity.fit_alone(large).is_err());
    }

    #[test]
    fn a_shared_cpu_counts_a_sixteenth() {
        let capacity = Capacity::new(1_000_000, 1);
        let promised: Vec<_> = (0..256).map(|_| capacity.reserve(size(1, 256)).unwrap()).collect();
        assert_eq!(promised.len(), 256);
        assert!(capacity.reserve(size(1, 256)).is_err());
    }

    #[test]
    fn a_promise_grows_as_far_as_there_is_room() {
        let capacity = Capacity::new(256, 1);
        let mut first = capacity.reserve(size(1, 512)).expect("half of 4 × 256 MiB");
        let second = capacity.reserve(size(1, 256)).expect("a quarter");
        assert!(first.resize(size(1, 1024)).is_err());
        drop(second);
        first.resize(size(1, 1024)).expect("all of it");
        assert!(capacity.reserve(size(1, 256)).is_err());
        first.resize(size(1, 256)).expect("less is always possible");
        assert!(capacity.reserve(size(1, 768)).is_ok());
    }

    #[test]
    fn an_adopted_machine_counts() {
        let capacity = Capacity::new(256, 1);
        let _running = capacity.adopt(size(1, 1024));
        assert!(capacity.reserve(size(1, 256)).is_err());
    }
}
