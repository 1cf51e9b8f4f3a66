//! A machine's life from the image to the end, step by step, by a caller who may lose the daemon at
//! any moment and then goes on from where it stood.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testkit::{Instance, Reply, image, leftovers, wait};
use tests::fixture::events;
use tests::host;

/// Name of the machine, by which it is found when the answer to its creation was lost.
const NAME: &str = "survivor";

/// The steps, in order.
pub(crate) const STEPS: [Step; 11] = [
    Step::Import,
    Step::App,
    Step::Create,
    Step::Up,
    Step::Write,
    Step::Freeze,
    Step::Thaw,
    Step::Stop,
    Step::Start,
    Step::Restart,
    Step::Destroy,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Import,
    App,
    Create,
    Up,
    Write,
    Freeze,
    Thaw,
    Stop,
    Start,
    Restart,
    Destroy,
}

/// State of the machine once the step is done; `None` where there is no machine.
const fn state_after(step: Step) -> Option<&'static str> {
    match step {
        Step::Import | Step::App => None,
        Step::Create | Step::Up | Step::Write | Step::Thaw | Step::Start | Step::Restart => {
            Some("started")
        }
        Step::Freeze => Some("suspended"),
        Step::Stop => Some("stopped"),
        Step::Destroy => Some("destroyed"),
    }
}

/// Why a step was not acknowledged.
#[derive(Debug)]
pub(crate) enum Setback {
    /// Nobody answers any more.
    Lost,
    /// The daemon answered with an error.
    Refused(Reply),
}

/// The caller: what it has been told so far.
#[derive(Debug)]
pub(crate) struct Caller {
    tarball: PathBuf,
    n_done: usize,
    machine: Option<String>,
    /// The guest init that the caller has seen running, until a step may have ended it.
    init: Option<u32>,
    /// Longest wait for a state, in seconds.
    patience_s: u32,
}

impl Caller {
    /// A caller with an image file in `dir`, before the first step.
    pub(crate) fn new(dir: &Path) -> Self {
        let tarball = image::busybox_tarball(dir, &[]);
        Self { tarball, n_done: 0, machine: None, init: None, patience_s: 60 }
    }

    /// A caller to whom the first `n_done` steps have been acknowledged before: without a machine.
    pub(crate) fn after(dir: &Path, n_done: usize) -> Self {
        Self { n_done, ..Self::new(dir) }
    }

    /// Waits for each state at most so many seconds.
    pub(crate) fn set_patience_s(&mut self, patience_s: u32) {
        self.patience_s = patience_s;
    }

    /// The step that comes next, or is under way.
    pub(crate) fn next_step(&self) -> Option<Step> {
        STEPS.get(self.n_done).copied()
    }

    /// The machine, if its creation was acknowledged.
    pub(crate) fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    /// Takes steps until all are done, or one is not acknowledged.
    pub(crate) fn go_on(&mut self, instance: &Instance) -> Result<(), Setback> {
        self.go_on_until(instance, STEPS.len())
    }

    /// Takes steps until `n` are done, or one is not acknowledged.
    pub(crate) fn go_on_until(&mut self, instance: &Instance, n: usize) -> Result<(), Setback> {
        while self.n_done < n {
            self.take(instance, STEPS[self.n_done])?;
            self.n_done += 1;
        }
        Ok(())
    }

    fn take(&mut self, instance: &Instance, step: Step) -> Result<(), Setback> {
        match step {
            Step::Import => {
                let body = json!({"path": self.tarball, "name": "busybox"});
                ask(instance, "POST", "/v1/images/import", &body).map(drop)
            }
            Step::App => {
                match ask(instance, "POST", "/v1/apps", &json!({"name": "test", "org_slug": "x"})) {
                    Err(Setback::Refused(reply)) if reply.body["code"] == "name_taken" => Ok(()),
                    other => other.map(drop),
                }
            }
            Step::Create => self.create(instance),
            Step::Up => {
                self.wait(instance, "started")?;
                self.see_init(instance);
                Ok(())
            }
            Step::Write => self
                .sh(instance, "echo disk > /root/kept; sync; echo ram > /dev/shm/kept")
                .map(drop),
            Step::Freeze => self.call(instance, "suspend", &Value::Null, "suspended"),
            Step::Thaw => {
                self.call(instance, "start", &Value::Null, "started")?;
                assert_eq!(self.sh(instance, "cat /root/kept /dev/shm/kept")?, "disk\nram\n");
                Ok(())
            }
            Step::Stop => self.call(instance, "stop", &json!({"signal": "SIGKILL"}), "stopped"),
            Step::Start => {
                self.call(instance, "start", &Value::Null, "started")?;
                assert_eq!(self.sh(instance, "cat /root/kept; ls /dev/shm")?, "disk\n");
                Ok(())
            }
            Step::Restart => {
                self.call(instance, "restart?force_stop=true", &Value::Null, "started")?;
                assert_eq!(self.sh(instance, "cat /root/kept; ls /dev/shm")?, "disk\n");
                Ok(())
            }
            Step::Destroy => {
                let path = Instance::path(self.machine.as_deref().expect("it was created"));
                match ask(instance, "DELETE", &format!("{path}?force=true"), &Value::Null) {
                    // The answer to the call before was lost.
                    Err(Setback::Refused(reply)) if reply.status == 404 => {}
                    other => drop(other?),
                }
                self.wait(instance, "destroyed")
            }
        }
    }

    fn create(&mut self, instance: &Instance) -> Result<(), Setback> {
        let config = json!({
            "image": "busybox",
            "init": {"exec": ["/bin/sleep", "1000"]},
            "restart": {"policy": "no"},
        });
        let body = json!({"name": NAME, "config": config});
        let id = match ask(instance, "POST", "/v1/apps/test/machines", &body) {
            Err(Setback::Refused(reply)) if reply.body["code"] == "name_taken" => {
                the_machine(instance)
            }
            other => other?["id"].as_str().map(str::to_owned),
        };
        self.machine = Some(id.expect("a machine of that name"));
        Ok(())
    }

    fn see_init(&mut self, instance: &Instance) {
        let id = self.machine.as_deref().expect("it was created");
        let inits = leftovers::inits_of(&instance.tag(), id);
        assert_eq!(inits.len(), 1, "{inits:?}");
        self.init = Some(inits[0].pid);
    }

    fn call(
        &self,
        instance: &Instance,
        verb: &str,
        body: &Value,
        state: &str,
    ) -> Result<(), Setback> {
        let path = Instance::path(self.machine.as_deref().expect("it was created"));
        ask(instance, "POST", &format!("{path}/{verb}"), body)?;
        self.wait(instance, state)
    }

    fn wait(&self, instance: &Instance, state: &str) -> Result<(), Setback> {
        let path = Instance::path(self.machine.as_deref().expect("it was created"));
        let patience_s = self.patience_s;
        let target = format!("{path}/wait?state={state}&timeout={patience_s}");
        ask(instance, "GET", &target, &Value::Null).map(drop)
    }

    fn sh(&self, instance: &Instance, script: &str) -> Result<String, Setback> {
        let path = Instance::path(self.machine.as_deref().expect("it was created"));
        let body = json!({"command": ["/bin/sh", "-c", script]});
        let outcome = ask(instance, "POST", &format!("{path}/exec"), &body)?;
        assert_eq!(outcome["exit_code"], 0, "{script}: {outcome}");
        Ok(outcome["stdout"].as_str().expect("text").to_owned())
    }

    /// Checks, after the daemon has come back, that all that was acknowledged is there, and that the
    /// machine is where the step under way began or where it ends.
    #[track_caller]
    pub(crate) fn check(&mut self, instance: &Instance) {
        let Some(under_way) = self.next_step() else { return };
        if self.n_done > 0 {
            let images = instance.get("/v1/images").expect(200).to_string();
            assert!(images.contains("busybox"), "the image is lost: {images}");
        }
        if self.n_done > 1 {
            assert_eq!(instance.get("/v1/apps/test").status, 200, "the app is lost");
        }
        let found = if self.n_done > 1 { the_machine(instance) } else { None };
        if let Some(acknowledged) = &self.machine {
            let is_gone = found.is_none() && under_way == Step::Destroy;
            assert!(
                is_gone || found.as_ref() == Some(acknowledged),
                "the machine is lost: {found:?}"
            );
        }
        let Some(id) = self.machine.clone().or(found) else { return };
        instance.wait_for(&id, "settled");
        let state = instance.state(&id);
        let before = self.n_done.checked_sub(1).and_then(|last| state_after(STEPS[last]));
        let allowed = [before, state_after(under_way)];
        assert!(
            allowed.contains(&Some(state.as_str())),
            "{under_way:?}: {state}, not one of {allowed:?}"
        );
        self.check_processes(instance, &id, &state, under_way);
    }

    /// Checks that a machine that is not said to be woken sleeps.
    #[track_caller]
    pub(crate) fn check_sleep(&self, instance: &Instance) {
        let (Some(Step::Thaw), Some(init)) = (self.next_step(), self.init) else { return };
        let id = self.machine().expect("it was created");
        if events(instance, id).first().is_some_and(|event| event["type"] == "suspend") {
            wait::eventually("it is frozen", || host::is_frozen(init).then_some(()));
        }
    }

    fn check_processes(&self, instance: &Instance, id: &str, state: &str, under_way: Step) {
        let tag = instance.tag();
        let inits = leftovers::inits_of(&tag, id);
        let shims = leftovers::shims_of(&tag);
        let expected = usize::from(matches!(state, "started" | "suspended"));
        assert_eq!(inits.len(), expected, "{under_way:?}, {state}: {inits:?}");
        assert_eq!(shims.len(), expected, "{under_way:?}, {state}: {shims:?}");
        if matches!(under_way, Step::Write | Step::Freeze | Step::Thaw) {
            assert_eq!(self.init, Some(inits[0].pid), "{under_way:?}: it did not keep running");
        }
    }

    /// Checks that nothing happened twice: two runs have ended so far, three if a restart was asked
    /// for twice.
    #[track_caller]
    pub(crate) fn check_exits(&self, instance: &Instance, lost_at: Option<Step>) {
        let id = self.machine.as_deref().expect("it was created");
        let mut exits = events(instance, id);
        exits.retain(|event| event["type"] == "exit");
        let most = if lost_at == Some(Step::Restart) { 4 } else { 3 };
        assert!((3..=most).contains(&exits.len()), "{lost_at:?}: {exits:#?}");
    }
}

/// The machine of the scenario, if it is in the list.
fn the_machine(instance: &Instance) -> Option<String> {
    let list = instance.get("/v1/apps/test/machines").expect(200);
    let mut machines = list.as_array().expect("a list").iter();
    let machine = machines.find(|machine| machine["name"] == NAME)?;
    machine["id"].as_str().map(str::to_owned)
}

fn ask(instance: &Instance, method: &str, target: &str, body: &Value) -> Result<Value, Setback> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    match instance.try_request(method, target, &body) {
        Err(_no_answer) => Err(Setback::Lost),
        Ok(reply) if matches!(reply.status, 200..300) => Ok(reply.body),
        Ok(reply) => Err(Setback::Refused(reply)),
    }
}
