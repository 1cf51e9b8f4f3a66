//! Machines over thousands of hours of messages, rests, crashes and clocks that jump.

use crate::shell::{AGENT, Chance, DUTY, NIGHTLY, QUEUE, STANDBY, Shell, fact, rest_until};
use govern::limits::RECORD_BYTES_MAX;
use govern::{Selfhood, Stance, Write, Writer, verify};
use model::spec::RestartMode;
use model::{Depth, DurationMs, State, UnixMs, Want};
use std::hash::{BuildHasher, RandomState};

/// Hours that one machine lives.
const HOURS: u64 = 500;

/// Machines for each policy; with six policies 12,000 machine-hours.
const MACHINES: u64 = 4;

#[test]
fn no_wake_is_lost_in_ten_thousand_hours() {
    let seed: u64 = match std::env::var("DORMOUSE_SEED") {
        Ok(text) => text.parse().expect("DORMOUSE_SEED is a number"),
        Err(_) => RandomState::new().hash_one("simulation"),
    };
    println!("DORMOUSE_SEED={seed}");
    let mail = r#"{"rules":[{"id":"mail","effect":"wake","when":"inbox.depth > 0"},
        {"id":"idle","effect":"rest","when":"machine.idle_s > 120","mode":"freeze"}]}"#;
    let mut chance = Chance(seed);
    let mut n_starts = 0;
    let mut n_hours = 0;
    for policy in [DUTY, QUEUE, NIGHTLY, AGENT, STANDBY, mail] {
        for _ in 0..MACHINES {
            let mut life =
                Life { shell: Shell::new(policy), chance: Chance(chance.below(u64::MAX)) };
            life.live();
            n_starts += u64::from(life.shell.n_starts);
            n_hours += HOURS;
        }
    }
    println!("{n_hours} machine-hours, {n_starts} starts");
    assert!(n_starts > 1_000, "{n_starts}");
}

struct Life {
    shell: Shell,
    chance: Chance,
}

impl Life {
    fn live(&mut self) {
        self.shell.chance = Chance(self.chance.below(u64::MAX));
        self.shell.restart =
            if self.chance.below(2) == 0 { RestartMode::No } else { RestartMode::OnFailure };
        let mut lived_ms = 0;
        while lived_ms < HOURS * 3_600_000 {
            let pause = self.chance.below(2_400_000) >> self.chance.below(10);
            self.shell.checks = self.chance.below(4) == 0;
            self.shell.pass_to(self.shell.now.plus(DurationMs(pause)));
            lived_ms += pause;
            self.something();
            self.shell.check_inbox();
            self.check_wakes();
            if self.chance.below(50) == 0 {
                let size = self.shell.selfhood.to_text().len();
                assert!(size < RECORD_BYTES_MAX, "{size}");
            }
        }
        self.settle();
        verify(&self.shell.trace, &self.shell.selfhood.trace).unwrap();
    }

    fn something(&mut self) {
        match self.chance.below(24) {
            0..=5 => {
                let posted = self.shell.try_post(self.chance.below(2) == 0);
                assert!(posted.is_ok() || self.shell.rows.rows.len() == 1_000);
            }
            6..=8 => self.guest(),
            9 => self.shell.crash(),
            10 => self.jump(),
            11 => self.shell.call(Want::Up),
            12 => self.shell.call(Want::Down(Depth::Stop)),
            13 => self.shell.call(Want::Down(Depth::Freeze)),
            14 => self.shell.exit(i32::from(self.chance.below(2) == 0)),
            15 => self.shell.fails_to_start ^= self.chance.below(3) == 0,
            16 => self.shell.idle_since = Some(self.shell.now),
            17..=18 => self.peer(),
            _ => self.owner(),
        }
        self.shell.evaluate();
    }

    /// What the program does, when it runs.
    fn guest(&mut self) {
        if !self.shell.is_up() {
            return;
        }
        match self.chance.below(8) {
            0..=2 => self.shell.work(),
            3 => drop(self.shell.own(Write::Take { max: 3 })),
            4 => {
                let lasts = DurationMs(1 + self.chance.below(3_600_000));
                let name = format!("h{}", self.chance.below(4));
                self.shell.own(Write::Hold { name, lasts, reason: String::new() });
            }
            5 => {
                let texts = ["inbox.depth > 0", "machine.rest_s > 900", "inbox.oldest_s > 60"];
                let text = texts[usize::try_from(self.chance.below(3)).unwrap()];
                self.shell.own(rest_until(text, Depth::Suspend));
            }
            6 => {
                let phase = ["idle", "busy"][usize::try_from(self.chance.below(2)).unwrap()];
                let phase = Some(phase.to_owned());
                self.shell.own(Write::Intent { objective: None, phase, done: None });
            }
            _ => self.facts(&Writer::Machine),
        }
    }

    fn owner(&mut self) {
        match self.chance.below(4) {
            0 => drop(self.shell.write(Write::ResetBreaker, &Writer::Owner)),
            1 => {
                let hold = model::state::HoldDown {
                    reason: "for a while".to_owned(),
                    until: Some(self.shell.later(1 + self.chance.below(4000))),
                };
                self.shell.write(Write::HoldDown(Some(hold)), &Writer::Owner).unwrap();
            }
            _ => self.facts(&Writer::Owner),
        }
    }

    /// Some fact; most are refused by most policies.
    fn facts(&mut self, writer: &Writer) {
        let coin = self.chance.below(2) == 0;
        let write = match self.chance.below(5) {
            0 => fact("watching", coin),
            1 => fact("progress", if coin { 1.0 } else { 0.0 }),
            2 => fact("approval", if coin { "asked" } else { "yes" }),
            3 => fact("leading", coin),
            _ => fact("scratch.n", self.chance.below(100)),
        };
        drop(self.shell.write(write, writer));
    }

    fn peer(&mut self) {
        let name = ["primary", "witness"][usize::try_from(self.chance.below(2)).unwrap()];
        let now = self.shell.now;
        self.shell.peers.0.insert(name.to_owned(), (now, Selfhood::default()));
    }

    fn jump(&mut self) {
        let by = self.chance.below(4 * 3_600_000);
        let now = self.shell.now.0;
        let to = if self.chance.below(2) == 0 { now + by } else { now - by };
        self.shell.set_clock(UnixMs(to));
    }

    /// What wants the machine up has it up, or on its way, or owed with the reason in the trace.
    fn check_wakes(&self) {
        let shell = &self.shell;
        let state = &shell.machine.state;
        match shell.stance() {
            Stance::Up { by } => {
                let is_on_its_way = state.leads_up() || matches!(state, State::Starting { .. });
                assert!(is_on_its_way, "{by} is lost in {state:?}");
            }
            Stance::Owed { by, gate, .. } => {
                assert!(shell.machine.owed.is_some(), "{by} is not owed behind {gate:?}");
            }
            _ => {}
        }
        let wakes = shell.rows.rows.values().filter(|row| row.wake);
        let is_heard = wakes
            .filter(|row| shell.selfhood.mutes.messages_through < row.seq)
            .all(|_| state.leads_up() || is_answered(shell));
        assert!(is_heard, "a message is not heard: {:?} {state:?}", shell.stance());
    }

    /// In the end nothing that wants it up is left waiting for ever.
    fn settle(&mut self) {
        self.shell.fails_to_start = false;
        self.shell.write(Write::HoldDown(None), &Writer::Owner).unwrap();
        self.shell.write(Write::ResetBreaker, &Writer::Owner).unwrap();
        if self.shell.try_post(true).is_err() {
            return;
        }
        self.shell.pass_s(120);
        let denied =
            matches!(self.shell.stance(), Stance::Owed { gate: model::admit::Gate::Deny, .. });
        assert!(self.shell.is_up() || denied, "{:?}", self.shell.stance());
    }
}

/// A message does not need the machine up: its wake is owed, or its patience is spent.
fn is_answered(shell: &Shell) -> bool {
    let is_spent = shell.selfhood.inbox.attempts >= govern::limits::MESSAGE_WAKES_MAX
        || shell.selfhood.inbox.spent_in.is_some();
    is_spent || matches!(shell.stance(), Stance::Owed { .. } | Stance::Up { .. })
}
