//! Notifications that wait to be delivered.

use crate::contract::selfhood::{Letter, Outbox};
use crate::problem::Problem;
use crate::v1::extract::Read;
use crate::v1::{Answer, reply};
use axum::extract::State;
use control::{Control, WaitingLetter};

/// `GET self/outbox`.
pub(super) async fn list(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let letters = control.self_outbox(id).map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&Outbox { letters: letters.into_iter().map(shown).collect() })
}

fn shown(letter: WaitingLetter) -> Letter {
    let WaitingLetter { id, rule, to, at, attempts, next_at, until, last_code, last_error } =
        letter;
    let (at, next_at, until) = (at.into(), next_at.into(), until.into());
    Letter { id, rule, to, at, attempts, next_at, until, last_code, last_error }
}
