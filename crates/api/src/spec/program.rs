//! What to run: `init`, a single process, environment.

use super::present;
use crate::contract::config::{EnvFrom, Init, MachineConfig, Process};
use crate::problem::Problem;
use model::spec::{MachineFact, ProgramSpec};
use std::collections::BTreeMap;

/// Longest argument or `NAME=value`, its end included. Source: execve(2), `MAX_ARG_STRLEN`.
const STRING_MAX_BYTES: usize = 128 * 1024;

/// Most bytes of arguments and environment together: a quarter of the usual 8 MiB stack, as
/// execve(2) counts, less room for pointers and for what image and platform add.
const STRINGS_MAX_BYTES: usize = 1024 * 1024;

/// Words of the facts.
const FACTS: [(&str, MachineFact); 6] = [
    ("id", MachineFact::Id),
    ("version", MachineFact::Version),
    ("app_name", MachineFact::AppName),
    ("private_ip", MachineFact::PrivateIp),
    ("region", MachineFact::Region),
    ("image", MachineFact::Image),
];

pub(super) fn program(config: &MachineConfig) -> Result<ProgramSpec, Problem> {
    let none = Init::default();
    let init = config.init.as_ref().unwrap_or(&none);
    let process = single_process(config.processes.as_deref().unwrap_or_default())?;
    let mut env = present(config.env.as_ref());
    env.extend(present(process.and_then(|p| p.env.as_ref())));
    let pick = |of_process: fn(&Process) -> &Option<Vec<String>>, of_init: &Option<Vec<String>>| {
        let own = process.and_then(|p| of_process(p).clone()).filter(|words| !words.is_empty());
        own.or_else(|| of_init.clone().filter(|words| !words.is_empty()))
    };
    let program = ProgramSpec {
        exec: pick(|p| &p.exec, &init.exec),
        entrypoint: pick(|p| &p.entrypoint, &init.entrypoint),
        cmd: pick(|p| &p.cmd, &init.cmd),
        env,
        env_from: facts(process)?,
        user: process.and_then(|p| p.user.clone()).or_else(|| init.user.clone()).filter(is_set),
        working_dir: init.working_dir.clone().filter(is_set),
        tty: init.tty.unwrap_or(false),
        pid1: init.pid1,
    };
    check_strings(&program)?;
    if program.working_dir.as_ref().is_some_and(|dir| !dir.starts_with('/')) {
        return Err(Problem::invalid("invalid_init", "config.init.working_dir is not absolute")
            .hint("begin it with `/`"));
    }
    Ok(program)
}

/// Variables that hold facts of the machine.
fn facts(process: Option<&Process>) -> Result<BTreeMap<String, MachineFact>, Problem> {
    let listed = process.and_then(|process| process.env_from.as_deref()).unwrap_or_default();
    let fact = |entry: &EnvFrom| {
        let name = entry.env_var.clone().unwrap_or_default();
        let word = entry.field_ref.as_deref().unwrap_or_default();
        match FACTS.iter().find(|(known, _)| *known == word) {
            Some((_, fact)) if !name.is_empty() && !name.contains(['=', '\0']) => Ok((name, *fact)),
            Some(_) | None => {
                let message = format!("config.processes[].env_from `{name}` from `{word}`");
                let known = FACTS.map(|(word, _)| word).join(", ");
                Err(Problem::invalid("invalid_env", message)
                    .hint(format!("name a variable and one of {known}")))
            }
        }
    };
    listed.iter().map(fact).collect()
}

#[allow(clippy::ptr_arg, reason = "passed to `Option<String>::filter`, which gives `&String`")]
fn is_set(text: &String) -> bool {
    !text.is_empty()
}

fn single_process(processes: &[Process]) -> Result<Option<&Process>, Problem> {
    match processes {
        [] => Ok(None),
        [process] => Ok(Some(process)),
        [_, _, ..] => Err(Problem::unsupported(
            "config.processes",
            "a machine runs one process; use an init of your own, or one machine for each",
        )),
    }
}

fn check_strings(program: &ProgramSpec) -> Result<(), Problem> {
    let mut total_bytes = 0;
    let lists = [
        ("config.init.exec", &program.exec),
        ("config.init.entrypoint", &program.entrypoint),
        ("config.init.cmd", &program.cmd),
    ];
    for (field, words) in lists {
        for word in words.iter().flatten() {
            total_bytes += check_string(field, word.len(), word)?;
        }
    }
    for (name, value) in &program.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("config.env has a name that cannot be set: `{name}`");
            return Err(Problem::invalid("invalid_env", message)
                .hint("a name is not empty and has neither `=` nor a NUL byte"));
        }
        let field = format!("config.env.{name}");
        total_bytes += check_string(&field, name.len() + 1 + value.len(), value)?;
    }
    if total_bytes > STRINGS_MAX_BYTES {
        let message = "config.env and config.init are larger than 1 MiB together";
        return Err(Problem::invalid("too_large", message)
            .hint("Linux gives a program about 2 MiB for both; put data into `files`"));
    }
    Ok(())
}

fn check_string(field: &str, len_bytes: usize, text: &str) -> Result<usize, Problem> {
    if text.contains('\0') {
        return Err(Problem::invalid("invalid_string", format!("{field} contains a NUL byte"))
            .hint("Linux ends arguments and environment at the first NUL"));
    }
    if len_bytes >= STRING_MAX_BYTES {
        return Err(Problem::invalid("too_large", format!("{field} is longer than 128 KiB"))
            .hint("Linux takes no longer argument or variable; put data into `files`"));
    }
    Ok(len_bytes + 1)
}
