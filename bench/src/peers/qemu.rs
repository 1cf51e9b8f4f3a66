//! What QEMU alone asks for the virtual machine that an instance starts.

use super::Starts;
use crate::laps::Laps;
use crate::qemu::{Base, Qemu};
use crate::report::Row;
use crate::stats::Parts;
use std::rc::Rc;

/// A way to begin.
type Begin = fn(&Base) -> anyhow::Result<(Qemu, Laps)>;

/// One way to begin, over and over.
pub(crate) struct QemuAlone {
    name: &'static str,
    base: Rc<Base>,
    begin: Begin,
    running: Option<Qemu>,
    split: Parts,
}

impl QemuAlone {
    /// Takes up the template until its guest's first answer.
    pub(crate) fn taking_up(name: &'static str, base: &Rc<Base>) -> Self {
        Self::new(name, base, Base::take_up)
    }

    /// Boots the kernel until its init waits for orders.
    pub(crate) fn booting(name: &'static str, base: &Rc<Base>) -> Self {
        Self::new(name, base, Base::boot)
    }

    fn new(name: &'static str, base: &Rc<Base>, begin: Begin) -> Self {
        let (base, split) = (Rc::clone(base), Parts::default());
        Self { name, base, begin, running: None, split }
    }
}

impl Starts for QemuAlone {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self, _round: usize) -> anyhow::Result<f64> {
        let (qemu, laps) = (self.begin)(&self.base)?;
        self.running = Some(qemu);
        let ms = laps.ms();
        self.split.add(laps.into_steps());
        Ok(ms)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.running = None;
        Ok(())
    }

    fn add_details(&self, row: &mut Row) {
        row.split = self.split.means();
    }
}
