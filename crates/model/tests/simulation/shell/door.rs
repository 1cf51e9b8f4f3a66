//! The one door: everybody's wishes pass the gates here.

use super::{HOUR, Sim, order};
use crate::visitors::{self, Wish};
use model::state::{HoldDown, Rest};
use model::{
    Admission, Answer, Call, Cause, DurationMs, Event, State, Want, admit, admit_call, answer, step,
};

impl Sim {
    pub(super) fn visit(&mut self) {
        if !self.is_up {
            return;
        }
        self.checks.settled(&self.stored, self.world.is_alive(), self.items.values());
        match visitors::wish(&mut self.chance) {
            Wish::Want(want, cause) => self.want(want, cause),
            Wish::Call(call) => self.call(call),
            Wish::Forgive => {
                self.submit(&Event::Forgive);
            }
            Wish::HoldDown(on) => {
                let until = Some(self.now().plus(DurationMs(HOUR)));
                let hold = on.then(|| HoldDown { reason: "repair".to_owned(), until });
                self.submit(&Event::HoldDown { hold });
            }
        }
    }

    fn call(&mut self, call: Call) {
        let now = self.now();
        let facts = visitors::facts(&mut self.chance, now, &self.stored, self.rested_at);
        let cause = visitors::api();
        if admit_call(&self.stored, &facts, call, &cause, self.now()) != Admission::Go {
            return;
        }
        assert_eq!(answer(&self.stored.state, call), Answer::Go);
        let (seed, stop) = (self.seed(), order());
        let event = match call {
            Call::Restart => Event::Restart { cause, seed, stop },
            Call::Update => Event::Update { launch: self.chance.percent(30), stop },
            Call::Destroy => Event::Destroy { force: false },
            _ => Event::Destroy { force: true },
        };
        assert!(step(&self.stored, &event, self.now()).is_ok(), "admitted, so it is legal");
        self.submit(&event);
    }

    pub(super) fn want(&mut self, want: Want, cause: Cause) {
        let now = self.now();
        let mut facts = visitors::facts(&mut self.chance, now, &self.stored, self.rested_at);
        facts.can_suspend = self.can_suspend;
        match admit(&self.stored, &facts, want, &cause, self.now()) {
            Admission::Go => {
                let event = self.rest_or_want(want, cause);
                assert!(step(&self.stored, &event, self.now()).is_ok(), "admitted, so it is legal");
                self.submit(&event);
            }
            Admission::Owed { not_before, .. } => {
                self.submit(&Event::Owe { cause, not_before });
            }
            Admission::Already | Admission::Refused(_) => {}
        }
    }

    /// Some guests listen for rest notices.
    fn rest_or_want(&mut self, want: Want, cause: Cause) -> Event {
        let (seed, stop) = (self.seed(), order());
        match want {
            Want::Down(depth)
                if matches!(cause, Cause::Idle { .. })
                    && matches!(self.stored.state, State::Started { .. }) =>
            {
                let rest = Rest { depth, cause, order: stop };
                let vetoes = u8::try_from(self.chance.below(4)).expect("below four");
                Event::Notice { rest, vetoes }
            }
            want => Event::Want { want, cause, seed, stop },
        }
    }
}
