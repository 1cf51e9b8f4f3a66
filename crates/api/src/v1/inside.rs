//! Looking into a running machine: exec to its end, processes, listening ports, use.

use super::body::JsonBody;
use super::extract::{Operate, Read};
use super::query::{Params, wrong};
use super::{Answer, reply};
use crate::contract::exec::{Line, TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S};
use crate::contract::{ExecReply, ExecRequest, shell_words};
use crate::problem::Problem;
use axum::extract::State;
use control::Control;
use guest_proto::message::{ExecOrders, Process};
use model::DurationMs;

/// `POST …/exec`.
pub(super) async fn exec(
    State(control): State<Control>,
    Operate(on): Operate,
    body: JsonBody,
) -> Answer {
    let wish: ExecRequest = body.to()?;
    if wish.container.as_deref().is_some_and(|name| !name.is_empty()) {
        return Err(Problem::unsupported("container", "leave it out: a machine has one program"));
    }
    let timeout_s = wish.timeout.filter(|s| *s > 0).unwrap_or(TIMEOUT_DEFAULT_S).min(TIMEOUT_MAX_S);
    let stdin = wish.stdin.clone().unwrap_or_default().into_bytes();
    let what = control::ExecRequest {
        orders: ExecOrders {
            argv: argv(&wish)?,
            env: wish.env.unwrap_or_default(),
            user: wish.user.unwrap_or_default(),
            working_dir: wish.working_dir.unwrap_or_default(),
            tty: None,
            has_stdin: !stdin.is_empty(),
        },
        stdin,
        timeout: DurationMs::from_secs(timeout_s),
    };
    let id = &on.record.id;
    let outcome =
        control.exec(id, on.cause, what).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&ExecReply {
        exit_code: outcome.exit_code,
        exit_signal: outcome.exit_signal,
        stdout: String::from_utf8_lossy(&outcome.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&outcome.stderr).into_owned(),
        truncated: outcome.is_truncated,
    })
}

fn argv(wish: &ExecRequest) -> Result<Vec<String>, Problem> {
    let given = wish.command.as_ref().filter(|line| !line.is_empty());
    let argv = match given.or(wish.cmd.as_ref()) {
        Some(Line::Words(words)) => words.clone(),
        Some(Line::Text(line)) => shell_words::split(line).ok_or_else(|| {
            Problem::invalid("invalid_command", "a quote in the command is not closed")
                .hint("send `command` as a list of words")
        })?,
        None => Vec::new(),
    };
    command(argv)
}

/// `argv`, if it can be run.
pub(super) fn command(argv: Vec<String>) -> Result<Vec<String>, Problem> {
    let problem = |text: &str| {
        Problem::invalid("invalid_command", text)
            .hint("send e.g. `\"command\": [\"sh\", \"-c\", \"echo hello\"]`")
    };
    if argv.first().is_none_or(String::is_empty) {
        return Err(problem("`command` is empty"));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(problem("`command` contains a NUL byte"));
    }
    Ok(argv)
}

/// `GET …/ps?sort_by=&order=`.
pub(super) async fn processes(
    State(control): State<Control>,
    Read(on): Read,
    params: Params,
) -> Answer {
    let compare = comparison(params.text("sort_by").unwrap_or("pid"))?;
    let is_descending = match params.text("order") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => return Err(wrong("order", other, "asc or desc")),
    };
    let id = &on.record.id;
    let mut processes =
        control.processes(id).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    processes.sort_by(compare);
    if is_descending {
        processes.reverse();
    }
    reply::ok(&processes)
}

type Comparison = fn(&Process, &Process) -> std::cmp::Ordering;

fn comparison(field: &str) -> Result<Comparison, Problem> {
    match field {
        "pid" => Ok(|a, b| a.pid.cmp(&b.pid)),
        "stime" => Ok(|a, b| a.stime.cmp(&b.stime)),
        "rtime" => Ok(|a, b| a.rtime.cmp(&b.rtime)),
        "cpu" => Ok(|a, b| a.cpu.cmp(&b.cpu)),
        "rss" => Ok(|a, b| a.rss.cmp(&b.rss)),
        "command" => Ok(|a, b| a.command.cmp(&b.command)),
        other => Err(wrong("sort_by", other, "pid, stime, rtime, cpu, rss or command")),
    }
}

/// `GET …/listening` (our addition).
pub(super) async fn listening(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let sockets = control.listening(id).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&sockets)
}

/// `GET …/stats` (our addition): what the run uses now.
pub(super) async fn stats(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let usage = control.usage_now(id).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&usage)
}
