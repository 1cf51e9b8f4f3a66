//! Control dies at each of its numbered points, and shims at each of theirs, while a virtual machine wakes
//! from its disk and goes to sleep on it: its RAM is never lost by the death of control, and the machine
//! never by that of a shim.

use crate::{WAIT, arguments, house, started};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use testkit::{Builder, Instance, eventually, report};
use tests::fixture;

/// What the machine has in its RAM, and on its disk.
const RAM: &str = "/dev/shm/note";
const DISK: &str = "/root/note";

/// A point that one run passes and another does not (a pool that refills sooner, say) is no failure; that
/// many are.
const MISSED_MAX: usize = 3;

/// A data directory with one machine, which sleeps on disk.
struct Asleep {
    dir: TempDir,
    id: String,
}

impl Asleep {
    fn make() -> Option<Self> {
        let instance = house()?;
        let id = started(&instance, WAIT, &json!({}));
        drop(instance.sh(&id, &format!("echo here >{RAM}; echo here >{DISK}; sync")));
        suspend(&instance, &id).expect("nothing is planted");
        Some(Self { dir: instance.into_dir(), id })
    }

    /// An instance of its own with that machine.
    fn copy(&self) -> Builder {
        let arguments = arguments("0,0").expect("there is a kernel");
        let dir = fixture::copy_of_data(self.dir.path());
        let builder = Builder::default().in_dir(dir);
        arguments.iter().fold(builder, |builder, argument| builder.arg(argument))
    }

    /// It wakes, and sleeps again; `false` if somebody died meanwhile.
    fn live(&self, instance: &Instance) -> bool {
        let woken = post(instance, &self.id, "start");
        woken.is_some_and(|status| status == 200)
            && wait(instance, &self.id, "settled")
            && suspend(instance, &self.id).is_some()
    }

    /// Whatever happened, it comes up with its disk; with its RAM, too, if that cannot have been lost.
    #[track_caller]
    fn check(&self, instance: &Instance, keeps_ram: bool, point: &str) {
        assert!(wait(instance, &self.id, "settled"), "{point}");
        instance.start_machine(&self.id);
        let said = instance.sh(&self.id, &format!("cat {DISK}; cat {RAM} 2>/dev/null; true"));
        assert!(said.starts_with("here"), "{point}: {said}");
        assert!(!keeps_ram || said == "here\nhere\n", "{point}: {said}");
        fixture::destroy(instance, &self.id);
    }
}

fn post(instance: &Instance, id: &str, verb: &str) -> Option<u16> {
    let target = format!("{}/{verb}", Instance::path(id));
    instance.try_request("POST", &target, b"").ok().map(|reply| reply.status)
}

fn wait(instance: &Instance, id: &str, state: &str) -> bool {
    let target = format!("{}/wait?state={state}&timeout=60", Instance::path(id));
    instance.try_request("GET", &target, b"").is_ok_and(|reply| reply.status == 200)
}

/// Nobody waits for a sleep that has come to nothing.
fn suspend(instance: &Instance, id: &str) -> Option<()> {
    let is_asked = post(instance, id, "suspend")? == 200 && wait(instance, id, "settled");
    let view = instance.try_request("GET", &Instance::path(id), b"").ok()?;
    (is_asked && view.body["state"] == "suspended").then_some(())
}

/// Names in a log of points, in order.
fn names(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).expect("the points are logged");
    let name = |line: &str| line.split_once(' ').map(|(_, name)| name.to_owned());
    text.lines().filter_map(name).collect()
}

#[test]
fn its_ram_outlives_control_wherever_that_dies() {
    let Some(asleep) = Asleep::make() else { return };
    let logs = tempfile::tempdir().expect("a directory");
    let log = logs.path().join("failpoints");
    let builder = asleep.copy().unsupervised();
    let instance = builder.env("DORMOUSE_FAILPOINT_LOG", log.to_str().expect("plain")).start();
    let n_begun = names(&log).len();
    assert!(asleep.live(&instance), "nothing is planted");
    let points = names(&log);
    asleep.check(&instance, true, "no point");
    drop(instance.into_dir());
    let mut n_missed = 0;
    for (n, point) in points.iter().enumerate().skip(n_begun) {
        let n = (n + 1).to_string();
        let mut instance = asleep.copy().unsupervised().env("DORMOUSE_FAILPOINT", &n).spawn();
        if instance.listens_or_ends() && asleep.live(&instance) {
            n_missed += 1;
        } else {
            assert_eq!(instance.wait_for_its_end(), None, "{point}: it ended by itself");
            instance.start_again();
        }
        asleep.check(&instance, true, point);
        drop(instance.into_dir());
    }
    assert!(n_missed <= MISSED_MAX, "{n_missed} of {} points were not reached", points.len());
    let n_tried = points.len() - n_begun - n_missed;
    report::line("crash", &format!("crash-points {n_tried} of control, of a machine on disk"));
}

/// The shim of a virtual machine of this instance, if there is one: the parent of its monitor.
fn shim_of(instance: &Instance) -> Option<u32> {
    let mark = format!("DORMOUSE_INSTANCE={}\0", instance.tag());
    let pids = fs::read_dir("/proc").expect("mounted").flatten();
    pids.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok()).find_map(|stat| {
        // Its number, its name in brackets, its state, its parent.
        let (name, rest) = stat.rsplit_once(')')?;
        let parent: u32 = rest.split_whitespace().nth(1)?.parse().ok()?;
        let environment = fs::read(format!("/proc/{parent}/environ")).ok()?;
        let is_ours = environment.windows(mark.len()).any(|part| part == mark.as_bytes());
        (name.ends_with("(qemu-system-x86") && is_ours).then_some(parent)
    })
}

#[test]
fn a_shim_that_is_lost_on_the_way_back_has_another_one_take_it() {
    let Some(asleep) = Asleep::make() else { return };
    // Long enough to be found and killed there.
    let instance = asleep.copy().env("DORMOUSE_SHIM_DELAY", "shim.prepared:1000").start();
    let woken = std::thread::scope(|scope| {
        let woken = scope.spawn(|| post(&instance, &asleep.id, "start"));
        for _ in 0..2 {
            let shim = eventually("its shim", || shim_of(&instance));
            let shim = Pid::from_raw(shim.try_into().expect("a pid")).expect("not zero");
            kill_process(shim, Signal::KILL).expect("it is there");
            eventually("its end", || test_kill_process(shim).err());
        }
        woken.join().expect("no panic")
    });
    assert_eq!(woken, Some(200));
    asleep.check(&instance, true, "killed twice");
}

#[test]
fn it_comes_up_wherever_its_shim_dies() {
    let Some(asleep) = Asleep::make() else { return };
    let logs = tempfile::tempdir().expect("a directory");
    let log = logs.path().join("failpoints");
    let path = log.to_str().expect("plain");
    let instance = asleep.copy().env("DORMOUSE_SHIM_FAILPOINT_LOG", path).start();
    assert!(asleep.live(&instance), "nothing is planted");
    asleep.check(&instance, true, "no point");
    drop(instance.into_dir());
    let points: BTreeSet<String> = names(&log).into_iter().collect();
    assert!(points.contains("vmm.rename.before"), "{points:?}");
    for point in &points {
        let value = format!("{point}#1");
        let instance = asleep.copy().env("DORMOUSE_SHIM_FAILPOINT", &value).start();
        // Every shim dies there: it goes as far as it can.
        asleep.live(&instance);
        let mut instance = instance;
        instance.start_again();
        asleep.check(&instance, false, point);
        drop(instance.into_dir());
    }
    report::line("crash", &format!("crash-points {} of shims, of a machine on disk", points.len()));
}

#[test]
fn a_template_is_whole_or_made_again_wherever_its_maker_dies() {
    let Some(instance) = house() else { return };
    // The app stays.
    let container = fixture::started(&instance, WAIT, &json!({}));
    fixture::destroy(&instance, &container);
    let dir = instance.into_dir();
    let logs = tempfile::tempdir().expect("a directory");
    let log = logs.path().join("failpoints");
    let config = crate::config(WAIT, &json!({}));
    let body = json!({"config": config, "skip_launch": true});
    let arguments = arguments("0,0").expect("there is a kernel");
    let copy = |name: &str, value: &str| {
        let builder = Builder::default().in_dir(fixture::copy_of_data(dir.path()));
        let builder = arguments.iter().fold(builder, |builder, argument| builder.arg(argument));
        builder.env(name, value).start()
    };
    let instance = copy("DORMOUSE_SHIM_FAILPOINT_LOG", log.to_str().expect("plain"));
    let id = instance.create_with(&body);
    assert!(wait(&instance, &id, "stopped"));
    fixture::destroy(&instance, &id);
    drop(instance.into_dir());
    let points: BTreeSet<String> = names(&log).into_iter().collect();
    assert!(!points.is_empty());
    for point in &points {
        let mut instance = copy("DORMOUSE_SHIM_FAILPOINT", &format!("{point}#1"));
        let reply = instance.post(&Instance::path(""), &body);
        let id = reply.body["id"].as_str().map(str::to_owned);
        instance.start_again();
        let id = id.unwrap_or_else(|| panic!("{point}: {}", reply.text));
        assert!(wait(&instance, &id, "settled"), "{point}");
        instance.start_machine(&id);
        assert_eq!(instance.sh(&id, "echo up").trim(), "up", "{point}");
        fixture::destroy(&instance, &id);
        drop(instance.into_dir());
    }
    report::line("crash", &format!("crash-points {} of a template", points.len()));
}
