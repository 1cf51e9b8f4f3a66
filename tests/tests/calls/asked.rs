//! The calls of the table, and the words in which they are refused.

use crate::states::{Kind, RESTING, config};
use serde_json::{Value, json};
use testkit::{Instance, Reply};

/// Makes a call, as the table names it; `exec, signal` are two.
#[track_caller]
pub(crate) fn ask(instance: &Instance, kind: Kind, id: &str, call: &str) -> Vec<Reply> {
    let path = Instance::path(id);
    let post = |verb: &str, body: &Value| instance.post(&format!("{path}{verb}"), body);
    match call {
        "start" => vec![post("/start", &Value::Null)],
        "stop" => vec![post("/stop", &Value::Null)],
        "suspend" => vec![post("/suspend", &Value::Null)],
        "restart" => vec![post("/restart", &Value::Null)],
        "update" => vec![post("", &json!({"config": config(kind, &json!({"round": "2"}))}))],
        "destroy" => vec![instance.delete(&path)],
        "by force" => vec![instance.delete(&format!("{path}?force=true"))],
        "exec, signal" => vec![
            post("/exec", &json!({"command": ["echo", "here"]})),
            post("/signal", &json!({"signal": "SIGCONT"})),
        ],
        other => panic!("docs/states.md has a call `{other}` that nobody makes"),
    }
}

/// The word of a refusal. Source: machines-api 1.3.
pub(crate) fn refusal(call: &str, state: &str, status: u16) -> String {
    let verb = if call == "by force" { "destroy" } else { call };
    match (status, call, state) {
        (404, ..) => "not_found: machine not found".to_owned(),
        (409, "start", _) => "aborted: machine still attempting to start".to_owned(),
        (409, "update", "replacing") => {
            "aborted: machine getting replaced, refusing to update".to_owned()
        }
        (409, ..) => format!("aborted: machine still {state}"),
        (412, "start", "replacing") => {
            "failed_precondition: machine getting replaced, refusing to start".to_owned()
        }
        (412, "destroy", _) => "failed_precondition: unable to destroy machine, not currently \
                                stopped, suspended, failed or created"
            .to_owned(),
        (412, "exec, signal", _) => "failed_precondition: machine not running".to_owned(),
        _ => format!("failed_precondition: unable to {verb} machine from current state: '{state}'"),
    }
}

/// The state in which the machine settles after a call that was let through; `None` when the call
/// leaves it as it is.
pub(crate) fn settles(call: &str, row: &str) -> Option<&'static str> {
    let was_up = matches!(
        row,
        "creating"
            | "starting, waking"
            | "started"
            | "resting"
            | "restarting"
            | "backoff"
            | "updating"
    );
    match call {
        // It ends again at once.
        "start" | "restart" if row == "backoff" => None,
        // Its rule still wants the rest.
        "start" if row == RESTING => None,
        "start" | "restart" => Some("started"),
        "stop" => Some("stopped"),
        "suspend" => Some("suspended"),
        "update" if was_up => Some("started"),
        "update" => Some("stopped"),
        "destroy" | "by force" => Some("destroyed"),
        _ => None,
    }
}
