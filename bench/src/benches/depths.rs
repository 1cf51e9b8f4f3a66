//! How long a virtual machine takes to fall asleep and to wake, by depth, by its RAM, and by how much of
//! it its programs have written.
//!
//! A wake is over when the guest has answered, with its clock set. Beside both: QEMU's own way.

use super::Setting;
use crate::clock::{ms_between, now_ns};
use crate::dormouse::api::Api;
use crate::options::Contender;
use crate::qemu::Base;
use crate::report::{Report, Row};
use crate::stats::{Parts, Samples};
use crate::words;

mod whole;

/// Rounds of each.
const ROUNDS: u32 = 10;

/// RAM of the machines, in MiB: the smallest that a client may ask for, and more.
const RAM_MIB: [u32; 3] = [256, 512, 1024];

/// What their programs write, in MiB.
const DIRTY_MIB: [u32; 3] = [0, 16, 64];

pub(super) fn run(setting: &Setting<'_>) -> anyhow::Result<Report> {
    let rounds = setting.options.rounds_or(ROUNDS);
    let pause_ms = setting.options.pause_ms;
    let mut report = setting.report(&format!("{rounds} rounds, pauses of {pause_ms} ms"));
    let instance = setting.instance_with_vms("dormouse", "0,0")?;
    let mut api = instance.connect()?;
    for ram_mib in RAM_MIB {
        let id = api.create_vm(ram_mib)?;
        for dirty_mib in DIRTY_MIB {
            words::tell(&format!("{ram_mib} MiB, of which {dirty_mib} are written"));
            let sleeper = Sleeper::fresh(&mut api, &id, dirty_mib)?;
            let name = format!("{ram_mib}_{dirty_mib}");
            report.rows.extend(sleeper.on_disk(setting, rounds, &name)?);
        }
        words::tell(&format!("{ram_mib} MiB, frozen"));
        let sleeper = Sleeper::fresh(&mut api, &id, 0)?;
        report.rows.extend(sleeper.frozen(setting, rounds, &ram_mib.to_string())?);
        api.stop(&id)?;
        let base = setting.invite(Contender::Floor, &mut report, || {
            Base::of(&instance, &setting.scratch, ram_mib)
        });
        if let Some(base) = base {
            words::tell(&format!("{ram_mib} MiB, saved whole"));
            report.rows.extend(whole::rows(setting, &base, rounds, &format!("{ram_mib}_0"))?);
        }
    }
    Ok(report)
}

/// A machine that is up.
struct Sleeper<'a> {
    api: &'a mut Api,
    id: &'a str,
}

impl<'a> Sleeper<'a> {
    /// One that has just been started, and whose programs have written so much.
    fn fresh(api: &'a mut Api, id: &'a str, dirty_mib: u32) -> anyhow::Result<Self> {
        if api.state(id)? != "stopped" {
            api.stop(id)?;
        }
        api.start(id)?;
        if dirty_mib > 0 {
            let script =
                format!("busybox dd if=/dev/urandom of=/dev/shm/x bs=1M count={dirty_mib}");
            api.exec(id, &["/bin/sh", "-c", &script])?;
        }
        Ok(Self { api, id })
    }

    fn on_disk(self, setting: &Setting<'_>, rounds: u32, name: &str) -> anyhow::Result<[Row; 2]> {
        let (mut suspends, mut resumes) = (Samples::default(), Samples::default());
        let mut split = Parts::default();
        for _ in 0..rounds {
            setting.pause();
            let asked_ns = now_ns();
            self.api.suspend(self.id)?;
            suspends.push(ms_between(asked_ns, now_ns()));
            setting.pause();
            let asked_ns = now_ns();
            split.add(self.api.start(self.id)?);
            resumes.push(ms_between(asked_ns, now_ns()));
        }
        let suspend = Row::timed(&format!("suspend_{name}"), &suspends);
        let mut resume = Row::timed(&format!("resume_{name}"), &resumes);
        resume.split = split.means();
        Ok([suspend, resume])
    }

    fn frozen(self, setting: &Setting<'_>, rounds: u32, name: &str) -> anyhow::Result<[Row; 1]> {
        let mut thaws = Samples::default();
        let mut split = Parts::default();
        for _ in 0..rounds {
            setting.pause();
            self.api.freeze(self.id)?;
            setting.pause();
            let asked_ns = now_ns();
            split.add(self.api.start(self.id)?);
            thaws.push(ms_between(asked_ns, now_ns()));
        }
        let mut thaw = Row::timed(&format!("thaw_{name}"), &thaws);
        thaw.split = split.means();
        Ok([thaw])
    }
}
