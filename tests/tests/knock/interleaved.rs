//! Knocks while machines are stopped, killed, restarted, updated and destroyed by others, as a seed
//! says.
//!
//! Whatever comes between, a knock gets an answer: of the machine that was asked for and of the run
//! that is up, or words that say why not. No machine ever runs twice.
//!
//! What happens follows from the seed; when it happens is the host's choice, so a seed that failed
//! fails again often, not always. `DORMOUSE_SEED` sets it.

use crate::house::{HOST, HTTP, expect_from, house, http, sleeper, with};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use testkit::{Asked, Instance, Reply, leftovers};

/// Things done to machines.
const ROUNDS: usize = 240;

/// Machines of the app.
const MACHINES: usize = 3;

/// Visitors at any time.
const VISITORS: usize = 6;

/// How long a visitor is willing to wait: whoever waits so long was forgotten.
const HOLD: &str = "45s";

/// What a visitor may be told in a world where machines are killed and destroyed.
const HONEST: [(u16, &str); 11] = [
    // The machine that it asked for has been destroyed.
    (404, "machine_not_routed"),
    // It was destroyed, killed, stopped or updated while the visitor was held.
    (503, "died_waking"),
    (503, "stopped_waking"),
    (503, "machine_destroyed"),
    (503, "machine_not_found"),
    // It was on its way down, or between two versions.
    (503, "wrong_state"),
    (503, "wake_failed"),
    (503, "machine_gone"),
    (503, "no_machine"),
    // It was killed with the request in its hands: nobody may ask again in the visitor's name.
    (502, "backend_closed"),
    (502, "machine_ended"),
];

/// Chance from a seed.
struct Dice(u64);

impl Dice {
    /// Below `n`. Source of the numbers: splitmix64.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("below a usize")
    }
}

/// An answer that came from a run.
struct Answered {
    machine: String,
    /// When the run began, which is its name, in nanoseconds of Unix time.
    run: u128,
    asked_at: u128,
}

/// Ends the visits when dropped, by a panic too.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct World<'a> {
    instance: &'a Instance,
    seed: u64,
    began: Instant,
    machines: Mutex<Vec<String>>,
    history: Mutex<Vec<String>>,
    answers: Mutex<Vec<Answered>>,
    told: Mutex<BTreeMap<String, usize>>,
    is_over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_ns() -> u128 {
    let now = clock_gettime(ClockId::Realtime);
    let (s, ns) = (u128::try_from(now.tv_sec), u128::try_from(now.tv_nsec));
    s.expect("after 1970") * 1_000_000_000 + ns.expect("less than a second")
}

impl World<'_> {
    fn note(&self, what: &str) {
        let at = self.began.elapsed();
        lock(&self.history).push(format!("{:>9.3} {what}", at.as_secs_f64() * 1000.0));
    }

    /// Ends everything with the history.
    fn fail(&self, why: &str) -> ! {
        self.is_over.store(true, Ordering::SeqCst);
        let history = lock(&self.history).join("\n");
        panic!("seed {}: {why}\n{history}", self.seed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn pick(&self, dice: &mut Dice) -> String {
        let machines = lock(&self.machines);
        machines[dice.below(machines.len())].clone()
    }

    /// Knocks until all is over.
    fn visit(&self, n: usize) {
        let mut dice = Dice(self.seed ^ (n as u64 + 1).wrapping_mul(0x1000_0001));
        while !self.is_over() {
            let wanted = (dice.below(2) == 0).then(|| self.pick(&mut dice));
            self.knock(n, wanted.as_deref());
        }
    }

    fn knock(&self, n: usize, wanted: Option<&str>) {
        let mut headers = vec![("dormouse-hold", HOLD)];
        headers.extend(wanted.map(|id| ("fly-force-instance-id", id)));
        let asked = Asked { headers: &headers, ..Asked::get(HOST, "/") };
        let name = wanted.unwrap_or("any");
        let asked_at = unix_ns();
        let reply = match self.instance.try_visit(HTTP, &asked) {
            Ok(reply) => reply,
            Err(error) => self.fail(&format!("visitor {n} of {name}: no answer: {error}")),
        };
        if reply.status == 200 {
            self.note(&format!("visitor {n} of {name}: {}", self.take(&reply, wanted, asked_at)));
            return;
        }
        let code = reply.body["code"].as_str().unwrap_or_default();
        self.note(&format!("visitor {n} of {name}: {} {code}", reply.status));
        *lock(&self.told).entry(format!("{} {code}", reply.status)).or_default() += 1;
        if !HONEST.contains(&(reply.status, code)) {
            self.fail(&format!("visitor {n} of {name}: {} {}", reply.status, reply.text));
        }
    }

    /// Checks whose answer it is, and keeps it; the run in words.
    fn take(&self, reply: &Reply, wanted: Option<&str>, asked_at: u128) -> String {
        let (Some(machine), Some(run)) = (reply.header("x-machine"), reply.header("x-run")) else {
            self.fail(&format!("an answer of nobody: {reply:?}"));
        };
        if wanted.is_some_and(|wanted| wanted != machine) {
            self.fail(&format!("{wanted:?} was asked, {machine} answered"));
        }
        let run = run.parse().expect("a number");
        lock(&self.answers).push(Answered { machine: machine.to_owned(), run, asked_at });
        format!("200 {machine} {run}")
    }

    /// Does things to machines.
    fn meddle(&self) {
        let _visitors_go_home = Ending(&self.is_over);
        let mut dice = Dice(self.seed);
        for round in 0..ROUNDS {
            if self.is_over() {
                return;
            }
            let id = self.pick(&mut dice);
            let what = dice.below(12);
            self.note(&format!("round {round}: {} {id}", word(what)));
            let path = Instance::path(&id);
            match what {
                0..=3 => self.ask("POST", &format!("{path}/stop"), &json!({"signal": "SIGKILL"})),
                4..=6 => self.kill(&id),
                7..=8 => self.ask("POST", &format!("{path}/restart?timeout=1s"), &Value::Null),
                9 => self.ask("POST", &format!("{path}/start"), &Value::Null),
                10 => self.update(&path, round),
                _ => self.replace(&id),
            }
            self.check_inits();
        }
    }

    /// Refusals are fine: others do things to the same machine.
    fn ask(&self, method: &str, path: &str, body: &Value) {
        let reply = self.instance.request(method, path, body);
        if reply.status >= 500 {
            self.fail(&format!("{method} {path}: {} {}", reply.status, reply.text));
        }
        self.note(&format!("  {}", reply.status));
    }

    /// Kills the program, as a crash would.
    fn kill(&self, id: &str) {
        for init in leftovers::inits_of(&self.instance.tag(), id) {
            let children = format!("/proc/{0}/task/{0}/children", init.pid);
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let programs = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
            for program in programs.filter_map(Pid::from_raw) {
                // It may have ended by itself a moment ago.
                kill_process(program, Signal::KILL).ok();
            }
        }
    }

    fn update(&self, path: &str, round: usize) {
        let config = self.instance.get(path).body["config"].clone();
        if config.is_object() {
            let config = with(config, &json!({"env": {"ROUND": round.to_string()}}));
            self.ask("POST", path, &json!({"config": config}));
        }
    }

    fn replace(&self, id: &str) {
        let new = sleeper(self.instance, "http 80", &[service()]);
        lock(&self.machines)
            .iter_mut()
            .filter(|old| *old == id)
            .for_each(|old| old.clone_from(&new));
        self.note(&format!("  now {new}"));
        self.ask("DELETE", &format!("{}?force=true", Instance::path(id)), &Value::Null);
    }

    fn check_inits(&self) {
        for id in lock(&self.machines).clone() {
            let inits = leftovers::inits_of(&self.instance.tag(), &id);
            if inits.len() > 1 {
                self.fail(&format!("{id} runs more than once: {inits:?}"));
            }
        }
    }

    /// Nobody was answered by a run after the next one had begun.
    fn check_runs(&self) {
        let answers = lock(&self.answers);
        for answer in answers.iter() {
            let later = answers.iter().find(|other| {
                other.machine == answer.machine
                    && other.run > answer.run
                    && other.run < answer.asked_at
            });
            if let Some(later) = later {
                let (old, new) = (answer.run, later.run);
                self.fail(&format!(
                    "{} was answered by run {old} after {new} began",
                    answer.machine
                ));
            }
        }
    }
}

fn word(what: usize) -> &'static str {
    match what {
        0..=3 => "stop",
        4..=6 => "kill",
        7..=8 => "restart",
        9 => "start",
        10 => "update",
        _ => "replace",
    }
}

fn service() -> Value {
    with(http(), &json!({"concurrency": {"type": "requests", "soft_limit": 3}}))
}

#[test]
fn no_knock_is_lost_and_none_is_answered_by_the_wrong_run() {
    let instance = house();
    let machines = (0..MACHINES).map(|_| sleeper(&instance, "http 80", &[service()])).collect();
    let given = std::env::var("DORMOUSE_SEED").ok().and_then(|seed| seed.parse().ok());
    let chance = u64::try_from(unix_ns() % 1_000_000).expect("six digits");
    let world = World {
        instance: &instance,
        seed: given.unwrap_or(chance),
        began: Instant::now(),
        machines: Mutex::new(machines),
        history: Mutex::default(),
        answers: Mutex::default(),
        told: Mutex::default(),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for n in 0..VISITORS {
            let world = &world;
            scope.spawn(move || world.visit(n));
        }
        world.meddle();
    });
    world.check_runs();
    let (n_served, told) = (lock(&world.answers).len(), lock(&world.told).clone());
    let n_told: usize = told.values().sum();
    if n_served < ROUNDS || n_served < n_told {
        world.fail(&format!("{n_served} were served, the others were told {told:?}"));
    }
    // When all is quiet each machine sleeps and wakes as if nothing had been.
    let machines = lock(&world.machines).clone();
    for id in &machines {
        instance.stop_machine(id);
        let forced = [("fly-force-instance-id", id.as_str())];
        expect_from(&instance.visit_with(HTTP, HOST, "/", &forced), id);
        world.check_inits();
        let route = instance.wait_for_route(id, |route| route["load"]["n_requests"] == 0);
        assert_eq!(route["n_held"], 0, "{route}");
    }
}
