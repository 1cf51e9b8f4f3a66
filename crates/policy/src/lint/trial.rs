//! Trying conditions with every kind of value that their names can have.

use crate::cel::program::{Node, Slot};
use crate::cel::syntax::Comparison;
use crate::condition::Condition;
use crate::limits::{LINT_ASSIGNMENTS_MAX, LINT_EVALUATIONS_MAX};
use crate::names::{Name, Platform};
use crate::policy::Policy;
use crate::reading::{Absence, Reading, Truth, Values};
use crate::value::{Type, Value, truncated};
use model::UnixMs;
use std::collections::BTreeMap;
use std::fmt;

/// How many evaluations one lint may still make.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(LINT_EVALUATIONS_MAX)
    }
}

impl Budget {
    pub(super) const fn is_spent(&self) -> bool {
        self.0 == 0
    }

    fn take(&mut self, n: usize) -> bool {
        let is_enough = n <= self.0;
        self.0 = if is_enough { self.0 - n } else { 0 };
        is_enough
    }
}

/// What is known of a condition over all values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Always,
    Never,
    NeverKnown,
    Varies,
    /// It is not of a form that can be tried.
    Unclear,
}

/// Conditions, and the values to try them with.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    conditions: Vec<&'a Condition>,
    /// For each name its values; `None` when the conditions are not of a form that can be tried.
    domains: Option<Vec<(Name, Vec<Value>)>>,
}

/// One combination of values.
#[derive(Clone, Debug)]
pub(super) struct Assignment(BTreeMap<Name, Value>);

impl Values for Assignment {
    fn read(&self, name: &Name) -> Reading {
        let value = self.0.get(name).cloned();
        value.map_or(Reading::absent(Absence::Missing), Reading::known)
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name} = {value}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<'a> Trial<'a> {
    pub(super) fn of(policy: &Policy, conditions: &[&'a Condition]) -> Self {
        let conditions = conditions.to_vec();
        let domains = domains(policy, &conditions);
        Self { conditions, domains }
    }

    /// What is known of the only condition.
    pub(super) fn verdict(&self, budget: &mut Budget) -> Verdict {
        let Some(assignments) = self.assignments(budget) else { return Verdict::Unclear };
        let answers =
            assignments.map(|assignment| self.conditions[0].evaluate(&assignment, NOW).truth);
        let (mut is_true, mut is_false) = (false, false);
        for answer in answers {
            is_true |= answer == Truth::True;
            is_false |= answer == Truth::False;
        }
        match (is_true, is_false) {
            (true, true) => Verdict::Varies,
            (true, false) => Verdict::Always,
            (false, true) => Verdict::Never,
            (false, false) => Verdict::NeverKnown,
        }
    }

    /// The first combination of which the answers are as wanted.
    pub(super) fn example(
        &self,
        is_wanted: impl Fn(&[bool]) -> bool,
        budget: &mut Budget,
    ) -> Option<Assignment> {
        self.assignments(budget)?.find(|assignment| is_wanted(&self.answers(assignment)))
    }

    /// Whether the second condition is true wherever the first is.
    pub(super) fn implies(&self, budget: &mut Budget) -> bool {
        let Some(mut assignments) = self.assignments(budget) else { return false };
        assignments.all(|assignment| self.answers(&assignment) != [true, false])
    }

    fn answers(&self, assignment: &Assignment) -> Vec<bool> {
        let answer = |condition: &&Condition| condition.evaluate(assignment, NOW).truth.is_true();
        self.conditions.iter().map(answer).collect()
    }

    /// Every combination that can be; `None` when they cannot be listed or the budget is spent.
    fn assignments(&self, budget: &mut Budget) -> Option<impl Iterator<Item = Assignment>> {
        let domains = self.domains.as_ref()?;
        let n = domains.iter().try_fold(1_usize, |n, (_, values)| n.checked_mul(values.len()))?;
        let is_small = n <= LINT_ASSIGNMENTS_MAX;
        if !is_small || !budget.take(n * self.conditions.len()) {
            return None;
        }
        Some((0..n).map(|index| assignment(domains, index)).filter(Assignment::is_possible))
    }
}

/// The moment of the trial: no condition that looks at `now` is tried.
const NOW: UnixMs = UnixMs(0);

fn assignment(domains: &[(Name, Vec<Value>)], mut index: usize) -> Assignment {
    let mut chosen = BTreeMap::new();
    for (name, values) in domains {
        chosen.insert(name.clone(), values[index % values.len()].clone());
        index /= values.len();
    }
    Assignment(chosen)
}

impl Assignment {
    /// Whether the platform could ever show these values together.
    fn is_possible(&self) -> bool {
        let get = |name| self.0.get(&Name::Platform(name));
        let is_zero = |name| get(name).is_none_or(|v| v.equals(&Value::Int(0)) == Some(true));
        let is_down = matches!(get(Platform::State), Some(Value::String(state))
            if matches!(&**state, "stopped" | "suspended" | "created" | "failed" | "destroyed"))
            || !is_zero(Platform::Rest);
        let is_up =
            matches!(get(Platform::State), Some(Value::String(state)) if &**state == "started");
        let is_empty = get(Platform::InboxDepth).is_some() && is_zero(Platform::InboxDepth);
        let up_clocks = [Platform::Idle, Platform::Uptime, Platform::Inflight, Platform::ConnsIn];
        let impossible = [
            is_empty && !is_zero(Platform::InboxOldest),
            is_up && !is_zero(Platform::Rest),
            is_down && !up_clocks.into_iter().all(is_zero),
        ];
        !impossible.contains(&true)
    }
}

/// For each name of the conditions a value from every stretch that they can tell apart.
fn domains(policy: &Policy, conditions: &[&Condition]) -> Option<Vec<(Name, Vec<Value>)>> {
    let mut constants: BTreeMap<Name, (Slot, Vec<Value>)> = BTreeMap::new();
    for condition in conditions {
        let slots = &condition.program.slots;
        for slot in slots {
            constants.entry(slot.name.clone()).or_insert_with(|| (slot.clone(), Vec::new()));
        }
        let mut uses = Vec::new();
        collect(condition.root(), &mut uses)?;
        for (at, values) in uses {
            constants.get_mut(&slots[at].name)?.1.extend(values);
        }
    }
    let of = |(name, (slot, constants)): (Name, (Slot, Vec<Value>))| {
        let values = stretches(policy, &slot, &constants)?;
        Some((name, values)).filter(|(_, values)| !values.is_empty())
    };
    constants.into_iter().map(of).collect()
}

/// The constants that each slot is compared with; `None` when a slot is used in any other way.
fn collect(node: &Node, uses: &mut Vec<(usize, Vec<Value>)>) -> Option<()> {
    match node {
        Node::Constant(_) => Some(()),
        Node::Slot(at) => {
            uses.push((*at, Vec::new()));
            Some(())
        }
        Node::Not(inner) => collect(inner, uses),
        Node::All(parts) | Node::Any(parts) => parts.iter().try_for_each(|p| collect(p, uses)),
        Node::Choice(parts) => parts.iter().try_for_each(|part| collect(part, uses)),
        Node::Compare(comparison, left, right) => {
            let (slot, constant) = match (&**left, &**right) {
                (Node::Slot(slot), Node::Constant(value))
                | (Node::Constant(value), Node::Slot(slot)) => (*slot, value.clone()),
                (Node::Constant(_), Node::Constant(_)) => return Some(()),
                _ => return None,
            };
            let is_text_order = comparison.needs_order() && matches!(constant, Value::String(_));
            let is_list = matches!(constant, Value::List(_));
            (!is_text_order && !is_list).then(|| uses.push((slot, vec![constant])))
        }
        Node::In(item, list) => match (&**item, &**list) {
            (Node::Slot(slot), Node::Constant(Value::List(values))) => {
                uses.push((*slot, values.to_vec()));
                Some(())
            }
            (Node::Constant(_), Node::Constant(_)) => Some(()),
            _ => None,
        },
        Node::Has(_)
        | Node::Negate(_)
        | Node::Arithmetic(..)
        | Node::List(_)
        | Node::Item(..)
        | Node::Call(..) => None,
    }
}

fn stretches(policy: &Policy, slot: &Slot, constants: &[Value]) -> Option<Vec<Value>> {
    if slot.name == Name::Platform(Platform::Now) {
        return None;
    }
    if !slot.values.is_empty() {
        return Some(slot.values.clone());
    }
    let whole: fn(i64) -> Value = match slot.ty {
        Type::Bool => return Some(vec![Value::Bool(false), Value::Bool(true)]),
        Type::String => return Some(texts(constants)),
        Type::Double => return Some(within(policy, slot, broken_numbers(constants))),
        Type::Int => Value::Int,
        Type::Timestamp => Value::Timestamp,
        Type::Duration => Value::Duration,
        Type::List(_) | Type::Dyn => return None,
    };
    let numbers: Option<Vec<i64>> = constants.iter().map(floor_of).collect();
    let mut numbers = numbers?;
    numbers.extend([0, 1]);
    let mut near: Vec<i64> =
        numbers.iter().flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]).collect();
    near.sort_unstable();
    near.dedup();
    Some(within(policy, slot, near.into_iter().map(whole).collect()))
}

/// The whole number at or below a constant.
fn floor_of(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) | Value::Timestamp(n) | Value::Duration(n) => Some(*n),
        Value::Double(double) if double.abs() < 1e15 => Some(truncated(double.floor())),
        _ => None,
    }
}

/// Each constant, and a text that is none of them.
fn texts(constants: &[Value]) -> Vec<Value> {
    let mut texts = constants.to_vec();
    let other = (0_u8..).map(|n| if n == 0 { String::new() } else { format!("other-{n}") });
    let mut other = other.map(|text| Value::from(text.as_str()));
    texts.extend(other.find(|text| !constants.contains(text)));
    texts
}

/// Each constant, a number between each two, one below and one above all.
fn broken_numbers(constants: &[Value]) -> Vec<Value> {
    let mut numbers: Vec<f64> = constants
        .iter()
        .filter_map(|constant| match constant {
            Value::Double(double) => Some(*double),
            Value::Int(int) => Some(*int as f64),
            _ => None,
        })
        .chain([0.0, 1.0])
        .collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    let between: Vec<f64> =
        numbers.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect();
    let below = numbers.first().map(|first| first - 1.0);
    let above = numbers.last().map(|last| last + 1.0);
    numbers.extend(between.into_iter().chain(below).chain(above));
    numbers.into_iter().map(Value::Double).collect()
}

/// The values that the name can have at all; its bounds are among them.
fn within(policy: &Policy, slot: &Slot, mut values: Vec<Value>) -> Vec<Value> {
    let (min, max) = match &slot.name {
        Name::Memory(key) => {
            let schema = policy.fact(key);
            let read = |bound: Option<&serde_json::Value>| schema?.ty.read(bound?);
            let min = read(schema.and_then(|s| s.min.as_ref()));
            (min, read(schema.and_then(|s| s.max.as_ref())))
        }
        Name::Platform(Platform::LastExit) | Name::PeerFact { .. } => (None, None),
        _ if slot.ty == Type::Double => (Some(Value::Double(0.0)), None),
        _ => (Some(Value::Int(0)), None),
    };
    values.extend(min.iter().chain(&max).cloned());
    let is = |comparison: Comparison, value: &Value, bound: &Option<Value>| {
        let order = bound.as_ref().and_then(|bound| value.order(bound));
        order.is_none_or(|order| comparison.holds(order))
    };
    values.retain(|value| {
        is(Comparison::GreaterOrEqual, value, &min) && is(Comparison::LessOrEqual, value, &max)
    });
    values
}
