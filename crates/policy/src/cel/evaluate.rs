//! The value of a condition at one moment, in three values.
//!
//! `&&` and `||` absorb the unknown as CEL does: `false && unknown` is false, `true || unknown` is
//! true, in either order; everything else that touches an unknown is unknown.

use super::program::{Node, Program};
use super::syntax::{Comparison, Operation};
use crate::limits::COMPUTED_TEXT_BYTES_MAX;
use crate::names::{Name, Platform};
use crate::reading::{Absence, Level, Observed, Outcome, Read, Reading, Truth, Unknown, Values};
use crate::value::{Type, Value, signed_ms};
use model::UnixMs;

/// What the names of a program are, read once.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(super) program: &'a Program,
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Cell {
    level: Seen,
    then: Option<(i64, Seen)>,
}

#[derive(Debug)]
enum Seen {
    Known(Value),
    Since(i64),
    Now,
    Unknown(Unknown),
}

impl Cell {
    fn at(&self, now: i64) -> &Seen {
        match &self.then {
            Some((at, later)) if *at <= now => later,
            _ => &self.level,
        }
    }
}

type Evaluated = Result<Value, Unknown>;

impl<'a> Scene<'a> {
    pub(crate) fn new(program: &'a Program, values: &dyn Values) -> Self {
        let cells = program.slots.iter().map(|slot| {
            if slot.name == Name::Platform(Platform::Now) {
                return Cell { level: Seen::Now, then: None };
            }
            let Reading { level, then } = values.read(&slot.name);
            let see = |level| seen(level, slot);
            Cell { level: see(level), then: then.map(|(at, level)| (signed_ms(at), see(level))) }
        });
        Self { program, cells: cells.collect() }
    }

    /// The answer at `now`, with what was read.
    pub(crate) fn outcome(&self, now: UnixMs) -> Outcome {
        let now = signed_ms(now);
        let reads = self.program.slots.iter().enumerate().map(|(at, slot)| {
            let value = match self.slot(at, now) {
                Ok(_) if slot.is_secret => Observed::Secret,
                Ok(value) => Observed::Value(value),
                Err(unknown) => Observed::Unknown(unknown),
            };
            Read { name: slot.text.clone(), value }
        });
        Outcome { reads: reads.collect(), truth: self.truth(now) }
    }

    /// The answer at `now`.
    pub(crate) fn truth(&self, now: i64) -> Truth {
        match self.bool(&self.program.node, now) {
            Ok(truth) => truth.into(),
            Err(unknown) => Truth::Unknown(unknown),
        }
    }

    /// The first moment after `now` at which a reading changes by itself.
    pub(super) fn next_turn(&self, now: i64) -> Option<i64> {
        let turns = self.cells.iter().filter_map(|cell| cell.then.as_ref().map(|(at, _)| *at));
        turns.filter(|at| *at > now).min()
    }

    /// The moment at which a part was zero, when the part is nothing but a clock.
    pub(super) fn zero_of(&self, node: &Node, now: i64) -> Option<i64> {
        let Node::Slot(at) = node else { return None };
        match self.cells[*at].at(now) {
            Seen::Since(zero) => Some(*zero),
            Seen::Known(_) | Seen::Now | Seen::Unknown(_) => None,
        }
    }

    fn slot(&self, at: usize, now: i64) -> Evaluated {
        match self.cells[at].at(now) {
            Seen::Known(value) => Ok(value.clone()),
            Seen::Since(zero) => Ok(Value::Int(now.saturating_sub(*zero).max(0) / 1000)),
            Seen::Now => Ok(Value::Timestamp(now)),
            Seen::Unknown(unknown) => Err(unknown.clone()),
        }
    }

    pub(super) fn value(&self, node: &Node, now: i64) -> Evaluated {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Slot(at) => self.slot(*at, now),
            Node::Has(at) => match self.cells[*at].at(now) {
                Seen::Unknown(Unknown::Absent { .. }) => Ok(Value::Bool(false)),
                Seen::Unknown(unknown) => Err(unknown.clone()),
                Seen::Known(_) | Seen::Since(_) | Seen::Now => Ok(Value::Bool(true)),
            },
            Node::Not(inner) => Ok(Value::Bool(!self.bool(inner, now)?)),
            Node::Negate(inner) => negated(self.value(inner, now)?),
            Node::All(parts) => self.absorbing(parts, now, false),
            Node::Any(parts) => self.absorbing(parts, now, true),
            Node::Compare(comparison, left, right) => {
                let (left, right) = (self.value(left, now)?, self.value(right, now)?);
                compared(*comparison, &left, &right).map(Value::Bool)
            }
            Node::Arithmetic(operation, left, right) => {
                computed(*operation, self.value(left, now)?, self.value(right, now)?)
            }
            Node::In(item, list) => contained(&self.value(item, now)?, &self.value(list, now)?),
            Node::Choice(parts) => {
                let [test, then, otherwise] = &**parts;
                self.value(if self.bool(test, now)? { then } else { otherwise }, now)
            }
            Node::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|i| self.value(i, now)).collect();
                Ok(Value::List(items?.into()))
            }
            Node::Item(list, index) => item_of(&self.value(list, now)?, &self.value(index, now)?),
            Node::Call(function, args) => {
                let args: Result<Vec<_>, _> = args.iter().map(|arg| self.value(arg, now)).collect();
                function.call(&args?)
            }
        }
    }

    fn bool(&self, node: &Node, now: i64) -> Result<bool, Unknown> {
        match self.value(node, now)? {
            Value::Bool(bool) => Ok(bool),
            _ => Err(Unknown::Mismatch),
        }
    }

    /// `&&` (`winner` false) and `||` (`winner` true): one winner decides, else the first unknown.
    fn absorbing(&self, parts: &[Node], now: i64, winner: bool) -> Evaluated {
        let mut unknown = None;
        for part in parts {
            match self.bool(part, now) {
                Ok(truth) if truth == winner => return Ok(Value::Bool(winner)),
                Ok(_) => {}
                Err(why) => unknown = unknown.or(Some(why)),
            }
        }
        unknown.map_or(Ok(Value::Bool(!winner)), Err)
    }
}

/// A level as its slot wants it: the default in place of a missing value, numbers as declared.
fn seen(level: Level, slot: &super::program::Slot) -> Seen {
    match level {
        Level::Known(Value::Int(int)) if slot.ty == Type::Double => {
            match super::functions::Function::Double.call(&[Value::Int(int)]) {
                Ok(value) => Seen::Known(value),
                Err(unknown) => Seen::Unknown(unknown),
            }
        }
        Level::Known(value) if value.is_of(&slot.ty) => Seen::Known(value),
        Level::Since(zero) if slot.is_clock => Seen::Since(signed_ms(zero)),
        Level::Known(_) | Level::Since(_) => {
            Seen::Unknown(Unknown::WrongType { name: slot.text.clone() })
        }
        Level::Absent(absence) => match (&slot.default, absence) {
            (Some(default), Absence::Missing) => Seen::Known(default.clone()),
            _ => Seen::Unknown(Unknown::Absent { name: slot.text.clone(), absence }),
        },
    }
}

pub(super) fn compared(
    comparison: Comparison,
    left: &Value,
    right: &Value,
) -> Result<bool, Unknown> {
    let truth = match comparison {
        Comparison::Equal => left.equals(right),
        Comparison::NotEqual => left.equals(right).map(|equal| !equal),
        _ => left.order(right).map(|order| comparison.holds(order)),
    };
    truth.ok_or(Unknown::Mismatch)
}

fn contained(item: &Value, list: &Value) -> Evaluated {
    let Value::List(items) = list else { return Err(Unknown::Mismatch) };
    let mut is_sure = true;
    for other in items.iter() {
        match item.equals(other) {
            Some(true) => return Ok(Value::Bool(true)),
            Some(false) => {}
            None => is_sure = false,
        }
    }
    if is_sure { Ok(Value::Bool(false)) } else { Err(Unknown::Mismatch) }
}

fn item_of(list: &Value, index: &Value) -> Evaluated {
    let (Value::List(items), Value::Int(index)) = (list, index) else {
        return Err(Unknown::Mismatch);
    };
    let item = usize::try_from(*index).ok().and_then(|index| items.get(index));
    item.cloned().ok_or(Unknown::NoItem)
}

fn negated(value: Value) -> Evaluated {
    match value {
        Value::Int(int) => int.checked_neg().map(Value::Int),
        Value::Double(double) => Some(Value::Double(-double)),
        Value::Duration(ms) => ms.checked_neg().map(Value::Duration),
        _ => return Err(Unknown::Mismatch),
    }
    .ok_or(Unknown::Overflow)
}

fn computed(operation: Operation, left: Value, right: Value) -> Evaluated {
    use Operation::{Add, Subtract};
    match (operation, left, right) {
        (operation, Value::Int(a), Value::Int(b)) => whole(operation, a, b).map(Value::Int),
        (operation, Value::Double(a), Value::Double(b)) => broken(operation, a, b),
        (Add, Value::String(a), Value::String(b)) => joined(&a, &b),
        (Add, Value::Timestamp(a), Value::Duration(b))
        | (Add, Value::Duration(a), Value::Timestamp(b)) => whole(Add, a, b).map(Value::Timestamp),
        (Subtract, Value::Timestamp(a), Value::Duration(b)) => {
            whole(Subtract, a, b).map(Value::Timestamp)
        }
        (Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            whole(Subtract, a, b).map(Value::Duration)
        }
        (operation @ (Add | Subtract), Value::Duration(a), Value::Duration(b)) => {
            whole(operation, a, b).map(Value::Duration)
        }
        _ => Err(Unknown::Mismatch),
    }
}

fn whole(operation: Operation, a: i64, b: i64) -> Result<i64, Unknown> {
    let result = match operation {
        Operation::Add => a.checked_add(b),
        Operation::Subtract => a.checked_sub(b),
        Operation::Multiply => a.checked_mul(b),
        Operation::Divide | Operation::Remainder if b == 0 => return Err(Unknown::DivisionByZero),
        Operation::Divide => a.checked_div(b),
        Operation::Remainder => a.checked_rem(b),
    };
    result.ok_or(Unknown::Overflow)
}

/// Arithmetic of doubles; what is not finite is unknown.
fn broken(operation: Operation, a: f64, b: f64) -> Evaluated {
    let result = match operation {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        Operation::Divide if b == 0.0 => return Err(Unknown::DivisionByZero),
        Operation::Divide => a / b,
        Operation::Remainder => return Err(Unknown::Mismatch),
    };
    if result.is_finite() { Ok(Value::Double(result)) } else { Err(Unknown::Overflow) }
}

fn joined(a: &str, b: &str) -> Evaluated {
    if a.len() + b.len() > COMPUTED_TEXT_BYTES_MAX {
        return Err(Unknown::TextTooLong);
    }
    Ok(Value::String([a, b].concat().into()))
}
