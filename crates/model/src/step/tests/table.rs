//! The tables of docs/states.md are computed here and compared with the text.

use super::*;

/// What the table calls the state.
fn name(state: &State) -> &'static str {
    match state {
        State::Creating { launch: true, .. } => "creating",
        State::Creating { launch: false, .. } => "creating_only",
        State::Starting { then: None, .. } => "starting",
        State::Starting { then: Some(_), .. } => "starting_to_rest",
        State::Started { .. } => "started",
        State::Resting { .. } => "resting",
        State::Stopping { then: AfterStop::Stay, .. } => "stopping",
        State::Stopping { then: AfterStop::Start { .. }, .. } => "restarting",
        State::Stopped { .. } => "stopped",
        State::Suspending { wake: None, .. } => "suspending",
        State::Suspending { wake: Some(_), .. } => "suspending_to_wake",
        State::Suspended { wake: None, depth: Depth::Freeze, .. } => "frozen",
        State::Suspended { wake: None, .. } => "suspended",
        State::Suspended { wake: Some(_), .. } => "waking",
        State::Backoff { .. } => "backoff",
        State::Updating { run: None, .. } => "updating",
        State::Updating { run: Some(_), .. } => "updating_run",
        State::Failed { .. } => "failed",
        State::Destroying { run: None, .. } => "destroying",
        State::Destroying { run: Some(_), .. } => "destroying_run",
        State::Destroyed { .. } => "destroyed",
    }
}

type Column = (&'static str, Event);

fn wishes() -> Vec<Column> {
    vec![
        ("up", want(Want::Up, Cause::knock())),
        ("stop", down(Depth::Stop, api())),
        ("freeze", down(Depth::Freeze, api())),
        ("suspend", down(Depth::Suspend, api())),
        ("restart", Event::Restart { cause: api(), seed: seed(9), stop: ORDER }),
        ("update", Event::Update { launch: false, stop: ORDER }),
        ("destroy", Event::Destroy { force: false }),
        ("by force", Event::Destroy { force: true }),
    ]
}

fn reports() -> Vec<Column> {
    let failed = |is_transient| Event::RunFailed {
        run: run_id(1),
        code: "c".to_owned(),
        message: "m".to_owned(),
        is_transient,
        seed: seed(9),
    };
    let policy = RestartPolicy::default();
    vec![
        ("prepared", Event::Prepared { seed: seed(9) }),
        ("runs", Event::RunStarted { run: run_id(1), at: NOW }),
        ("exit 0", exited(1, 0, RestartMode::OnFailure)),
        ("exit 1", exited(1, 1, RestartMode::OnFailure)),
        ("failed, passing", failed(true)),
        ("failed, lasting", failed(false)),
        ("slept", Event::Slept { run: run_id(1), depth: Depth::Freeze, ram_bytes: 0 }),
        ("sleep failed", Event::SleepFailed { run: run_id(1), message: "m".to_owned() }),
        ("woke", Event::Woke { run: run_id(1) }),
        ("removed", Event::Removed),
        ("reboot", reboot(policy, false)),
    ]
}

fn cell(machine: &Machine, event: &Event) -> &'static str {
    match step(machine, event, NOW) {
        Err(_) => "✗",
        Ok(next) if next.machine == *machine => "·",
        Ok(next) => name(&next.machine.state),
    }
}

fn table(columns: &[Column]) -> String {
    let heads: Vec<_> = columns.iter().map(|(head, _)| *head).collect();
    let mut text = format!("| in | {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len() + 1));
    for (row, state) in states() {
        let machine = machine(state);
        assert_eq!(name(&machine.state), row);
        let cells: Vec<_> = columns.iter().map(|(_, event)| cell(&machine, event)).collect();
        text += &format!("| {row} | {} |\n", cells.join(" | "));
    }
    text
}

#[test]
fn the_tables_in_the_text_are_those_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/states.md");
    let text = std::fs::read_to_string(path).expect("docs/states.md is readable");
    for table in [table(&wishes()), table(&reports())] {
        assert!(text.contains(&table), "docs/states.md must contain:\n{table}");
    }
}
