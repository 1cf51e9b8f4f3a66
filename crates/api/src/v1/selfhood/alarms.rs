//! Alarms.

use super::on::{Pen, record, shown};
use super::show;
use crate::contract::selfhood::{AlarmPut, Alarms};
use crate::v1::Answer;
use crate::v1::body::JsonBody;
use crate::v1::extract::{Key, Read};
use axum::extract::State;
use control::Control;
use govern::Write;

/// `GET self/alarms`.
pub(super) async fn list(State(control): State<Control>, Read(on): Read) -> Answer {
    let selfhood = record(&control, &on)?.selfhood;
    let alarms = show::alarms(&selfhood);
    shown(selfhood.revision, &Alarms { revision: selfhood.revision, alarms })
}

/// `PUT self/alarms/{name}`.
pub(super) async fn put(
    State(control): State<Control>,
    pen: Pen,
    Key(name): Key,
    body: JsonBody,
) -> Answer {
    let put: AlarmPut = body.to()?;
    pen.written(&control, Write::Alarm { name, alarm: put.into() }).await
}

/// `DELETE self/alarms/{name}`.
pub(super) async fn remove(State(control): State<Control>, pen: Pen, Key(name): Key) -> Answer {
    pen.written(&control, Write::DropAlarm { name }).await
}

/// `POST self/alarms/{name}/ack`: one firing of it.
pub(super) async fn ack(State(control): State<Control>, pen: Pen, Key(name): Key) -> Answer {
    pen.written(&control, Write::AckAlarm { name }).await
}
