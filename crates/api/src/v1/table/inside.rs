//! Looking into running machines.

use super::machines::{NONCE, on};
use crate::contract::shapes::{ListenSocket, LogLine, Process, Stats};
use crate::contract::{AttachRequest, ExecReply, ExecRequest};
use crate::v1::operation::{Kind, Operation, get, post, query};
use crate::v1::{attach, inside, logs};

const SORTED_BY: &[&str] = &["pid", "stime", "rtime", "cpu", "rss", "command"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(on("/exec"), inside::exec)
            .is("Machines_exec", "Run a command to its end; 200 also when it failed.")
            .takes(&[NONCE])
            .sends::<ExecRequest>()
            .answers::<ExecReply>(200)
            .refuses(&[422]),
        post(on("/exec/attach"), attach::attach)
            .is("Machines_attach", "Run a command over an upgraded connection, with a terminal.")
            .takes(&[NONCE])
            .sends::<AttachRequest>()
            .answers_nothing(101)
            .refuses(&[422, 426]),
        get(on("/ps"), inside::processes)
            .is("Machines_list_processes", "The processes in a machine.")
            .takes(&[
                query("sort_by", Kind::Word(SORTED_BY), "`pid` by default."),
                query("order", Kind::Word(&["asc", "desc"]), "`asc` by default."),
            ])
            .answers::<Vec<Process>>(200)
            .refuses(&[412]),
        get(on("/listening"), inside::listening)
            .is("Machines_list_listening", "What listens in a machine.")
            .answers::<Vec<ListenSocket>>(200)
            .refuses(&[412]),
        get(on("/stats"), inside::stats)
            .is("Machines_stats", "What the run of a machine uses now.")
            .answers::<Stats>(200)
            .refuses(&[412]),
        get(on("/logs"), logs::logs)
            .is("Machines_logs", "The output of a machine, a line of JSON for each of its lines.")
            .takes(&[
                query("tail", Kind::Count, "Only the last lines: 100 by default, at most 10,000."),
                query("follow", Kind::Flag, "Go on with new lines."),
            ])
            .answers_lines::<LogLine>(200),
    ]
}
