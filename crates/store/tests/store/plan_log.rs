//! The plan log against a simple oracle, through random orders, failures and reopening.

use crate::sample::{NOW, machine_id};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use store::{NewPlan, PlanId, PlanKind, PlanRecord, PlanState, Store, StoreError};

const STEPS: [&str; 3] = ["image", "disk", "register"];
const N_MACHINES: u32 = 2;

#[derive(Clone, Debug)]
enum Op {
    Begin { machine: u32 },
    Complete { plan: usize, step: usize },
    Attempt { plan: usize },
    Fail { plan: usize },
    Finish { plan: usize },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let plan = 0..6_usize;
    prop_oneof![
        3 => (0..N_MACHINES).prop_map(|machine| Op::Begin { machine }),
        8 => (plan.clone(), 0..STEPS.len()).prop_map(|(plan, step)| Op::Complete { plan, step }),
        1 => plan.clone().prop_map(|plan| Op::Attempt { plan }),
        1 => plan.clone().prop_map(|plan| Op::Fail { plan }),
        3 => plan.prop_map(|plan| Op::Finish { plan }),
        1 => Just(Op::Reopen),
    ]
}

/// What a plan should be: the oracle's row.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    machine: u32,
    done: usize,
    attempts: u32,
    state: PlanState,
}

impl Expected {
    fn of(plan: &PlanRecord) -> Self {
        Self {
            machine: u32::from_str_radix(plan.machine.as_str(), 16).expect("a sample's id"),
            done: plan.done as usize,
            attempts: plan.attempts,
            state: plan.state,
        }
    }
}

#[derive(Default)]
struct Oracle(Vec<Expected>);

impl Oracle {
    fn running(&mut self, plan: usize) -> Option<&mut Expected> {
        self.0.get_mut(plan).filter(|p| p.state == PlanState::Running)
    }

    /// Whether the operation is legal; if so, it has happened.
    fn allows(&mut self, op: &Op) -> bool {
        match *op {
            Op::Reopen => true,
            Op::Begin { machine } => {
                let is_free =
                    !self.0.iter().any(|p| p.machine == machine && p.state == PlanState::Running);
                if is_free {
                    let state = PlanState::Running;
                    self.0.push(Expected { machine, done: 0, attempts: 0, state });
                }
                is_free
            }
            Op::Complete { plan, step } => self
                .running(plan)
                .filter(|p| p.done == step)
                .map(|p| (p.done, p.attempts) = (p.done + 1, 0))
                .is_some(),
            Op::Attempt { plan } => self.running(plan).map(|p| p.attempts += 1).is_some(),
            Op::Fail { plan } => self.running(plan).map(|p| p.state = PlanState::Failed).is_some(),
            Op::Finish { plan } => self
                .running(plan)
                .filter(|p| p.done == STEPS.len())
                .map(|p| p.state = PlanState::Done)
                .is_some(),
        }
    }
}

/// Does it for real; `ids` are the numbers of the plans in the order they began.
fn carry_out(store: &Store, ids: &mut Vec<PlanId>, op: &Op) -> Result<(), StoreError> {
    let id_of = |plan: usize| ids.get(plan).copied().unwrap_or(PlanId(9_999));
    match *op {
        Op::Reopen => Ok(()),
        Op::Begin { machine } => {
            let begin = move |tx: &store::Tx<'_>| tx.begin_plan(&new_plan(machine), NOW);
            ids.push(store.write_blocking("begin", begin)?);
            Ok(())
        }
        Op::Complete { plan, step } => {
            let id = id_of(plan);
            let output = json!({ "step": step });
            store.write_blocking("step", move |tx| {
                tx.complete_step(id, STEPS[step], &output, NOW).map(drop)
            })
        }
        Op::Attempt { plan } => {
            let id = id_of(plan);
            store.write_blocking("attempt", move |tx| tx.record_attempt(id, "no", NOW).map(drop))
        }
        Op::Fail { plan } => {
            let id = id_of(plan);
            store.write_blocking("fail", move |tx| tx.fail_plan(id, "given up", NOW))
        }
        Op::Finish { plan } => {
            let id = id_of(plan);
            store.write_blocking("finish", move |tx| tx.finish_plan(id, NOW))
        }
    }
}

fn new_plan(machine: u32) -> NewPlan {
    NewPlan {
        machine: machine_id(machine),
        kind: PlanKind::Create,
        version: 1,
        steps: STEPS.map(str::to_owned).to_vec(),
        input: json!({ "size": 8 }),
    }
}

fn agree(store: &Store, ids: &[PlanId], oracle: &Oracle) {
    let plans: Vec<PlanRecord> = ids
        .iter()
        .map(|id| store.read(|r| r.plan(*id)).expect("reads").expect("history is readable by id"))
        .collect();
    let found: Vec<Expected> = plans.iter().map(Expected::of).collect();
    assert_eq!(found, oracle.0);
    for plan in &plans {
        let outputs: BTreeMap<_, _> = (0..plan.done as usize)
            .map(|step| (STEPS[step].to_owned(), json!({ "step": step })))
            .collect();
        assert_eq!(plan.outputs, outputs, "each plan has its own steps' outputs");
    }
    let active = store.read(|r| r.active_plans()).expect("reads");
    let n_running = oracle.0.iter().filter(|p| p.state == PlanState::Running).count();
    assert_eq!(active.len(), n_running);
}

fn check(dir: &Path, ops: &[Op]) {
    let mut store = Some(Store::open(dir).expect("opens"));
    let (mut ids, mut oracle) = (Vec::new(), Oracle::default());
    for op in ops {
        if matches!(op, Op::Reopen) {
            store = None;
        }
        let current = store.get_or_insert_with(|| Store::open(dir).expect("opens again"));
        let outcome = carry_out(current, &mut ids, op);
        assert_eq!(outcome.is_ok(), oracle.allows(op), "{op:?}: {outcome:?}");
        agree(current, &ids, &oracle);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_to_the_oracle(ops in prop::collection::vec(op(), 1..40)) {
        let dir = tempfile::tempdir().expect("a directory");
        check(dir.path(), &ops);
    }
}

/// Two plans in flight, of which one has come further: each goes on with its own next step. (The
/// library this log learnt from mixed them up after a restart.)
#[test]
fn two_plans_in_flight_keep_their_own_progress() {
    let dir = tempfile::tempdir().expect("a directory");
    let complete = |plan, step| Op::Complete { plan, step };
    let ops = [Op::Begin { machine: 0 }, Op::Begin { machine: 1 }, complete(0, 0), complete(0, 1)];
    check(dir.path(), &ops);
    let store = Store::open(dir.path()).expect("opens again");
    let active = store.read(|r| r.active_plans()).expect("reads");
    let next: Vec<_> = active.iter().map(PlanRecord::next_step).collect();
    assert_eq!(next, [Some("register"), Some("image")]);
}

#[test]
fn a_second_plan_is_refused_by_name() {
    let (_dir, store) = crate::sample::open();
    let begin = |tx: &store::Tx<'_>| tx.begin_plan(&new_plan(1), NOW);
    let first = store.write_blocking("begin", begin).expect("the first begins");
    match store.write_blocking("begin", begin) {
        Err(StoreError::PlanActive { machine, plan }) => {
            assert_eq!((machine, plan), (machine_id(1), first));
        }
        other => panic!("two plans at once: {other:?}"),
    }
}

#[test]
fn an_unknown_plan_is_not_a_success() {
    let (_dir, store) = crate::sample::open();
    assert_eq!(store.read(|r| r.plan(PlanId(1))).expect("reads"), None);
    let finish = store.write_blocking("finish", |tx| tx.finish_plan(PlanId(1), NOW));
    assert!(matches!(finish, Err(StoreError::NotFound { .. })));
}
