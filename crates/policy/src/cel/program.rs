//! A checked condition, ready to be evaluated.

use super::functions::Function;
use super::syntax::{Comparison, Operation};
use crate::names::Name;
use crate::value::{Type, Value};
use std::sync::Arc;

/// A condition whose names are resolved and whose types fit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    pub(crate) node: Node,
    /// The names it uses, each once, in the order of the text.
    pub(crate) slots: Vec<Slot>,
    /// Its comparisons with a clock: all the ways in which time can change its answer.
    pub(crate) clocks: Vec<ClockComparison>,
}

/// A name of the condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    pub(crate) name: Name,
    pub(crate) text: Arc<str>,
    pub(crate) ty: Type,
    pub(crate) is_clock: bool,
    pub(crate) is_secret: bool,
    pub(crate) default: Option<Value>,
    /// All values it can have, where they are few words.
    pub(crate) values: Vec<Value>,
}

/// A comparison of which exactly one side moves with time, always in the same direction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClockComparison {
    pub(crate) comparison: Comparison,
    pub(crate) left: Node,
    pub(crate) right: Node,
}

/// A part of a checked condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Constant(Value),
    /// The value of `slots[i]`.
    Slot(usize),
    /// Whether `slots[i]` has a value.
    Has(usize),
    Not(Box<Node>),
    Negate(Box<Node>),
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Arithmetic(Operation, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    Choice(Box<[Node; 3]>),
    List(Box<[Node]>),
    /// `list[i]`
    Item(Box<Node>, Box<Node>),
    Call(Function, Box<[Node]>),
}
