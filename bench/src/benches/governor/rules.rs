//! What an evaluation costs, inside this process, on one core.

use super::POLICY;
use crate::clock::{ms_between, now_ns};
use crate::report::Row;
use anyhow::anyhow;
use govern::values::{SelfValues, Snapshot};
use govern::write::NoRows;
use govern::{Ground, Selfhood, View, Write, Writer, apply, evaluate, no_policy};
use model::restart::RestartLog;
use model::state::Nudges;
use model::{Machine, State, UnixMs};
use policy::Policy;
use std::collections::BTreeMap;
use std::hint::black_box;

/// Evaluations of a machine that are timed.
const EVALUATIONS: u32 = 20_000;

/// 2026-11-22T00:00:00Z: any moment will do.
const NOW: UnixMs = UnixMs(1_795_305_600_000);

/// A rule: its condition, its state, and when time alone changes it. A machine: all of that for five rules,
/// and what follows from it.
pub(super) fn measure() -> anyhow::Result<Row> {
    let (selfhood, policy) = governed()?;
    let machine = stopped();
    let view = View { rested_at: Some(NOW), ..View::of(&machine) };
    let values = Snapshot {
        own: SelfValues { selfhood: &selfhood, policy: &policy, now: NOW },
        view: &view,
    };
    let n_rules = u32::try_from(policy.rules().len())?;
    let rules_us = timed(|| {
        for rule in policy.rules() {
            black_box((rule.evaluate(&values, NOW), rule.next_crossing(&values, NOW)));
        }
    });
    let rule_us = rules_us / f64::from(n_rules);
    let machine_us = timed(|| drop(black_box(evaluate(&selfhood, &policy, &view, NOW))));
    Ok(Row {
        name: "rules".to_owned(),
        figures: vec![
            ("rule_us", rule_us),
            ("rules_per_s", 1e6 / rule_us),
            ("machine_us", machine_us),
        ],
        ..Row::default()
    })
}

/// Microseconds that `work` takes, the mean of many times.
fn timed(mut work: impl FnMut()) -> f64 {
    for _ in 0..EVALUATIONS / 10 {
        work();
    }
    let began_ns = now_ns();
    for _ in 0..EVALUATIONS {
        work();
    }
    ms_between(began_ns, now_ns()) * 1e3 / f64::from(EVALUATIONS)
}

/// A record with the policy and a fact.
fn governed() -> anyhow::Result<(Selfhood, Policy)> {
    let policy = Policy::parse(POLICY.as_bytes()).map_err(|findings| anyhow!("{findings:?}"))?;
    let none = no_policy();
    let set = Write::Policy { text: POLICY.to_owned(), hash: None, if_match: None };
    let empty = Selfhood::default();
    let first = written(&empty, &none, &set)?;
    let patch = BTreeMap::from([("progress".to_owned(), 0.5.into())]);
    let second = written(&first, &policy, &Write::Memory { patch, if_match: None })?;
    Ok((second, policy))
}

fn written(selfhood: &Selfhood, policy: &Policy, write: &Write) -> anyhow::Result<Selfhood> {
    let ground = Ground { selfhood, policy, rows: &NoRows, inbox_room: u64::MAX, now: NOW };
    Ok(apply(&ground, write, &Writer::Owner)?.next)
}

fn stopped() -> Machine {
    Machine {
        state: State::Stopped { since: NOW, exit: None },
        revision: 1,
        restarts: RestartLog::default(),
        owed: None,
        hold_down: None,
        nudges: Nudges::default(),
        unprepared: None,
    }
}

#[cfg(test)]
mod tests {
    use super::governed;

    #[test]
    fn the_policy_has_five_rules_and_compiles() {
        let (selfhood, policy) = governed().unwrap();
        assert_eq!(policy.rules().len(), 5);
        assert_eq!(selfhood.facts.len(), 1);
    }
}
