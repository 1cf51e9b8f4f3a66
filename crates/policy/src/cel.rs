//! Conditions: a subset of CEL, the Common Expression Language, with three-valued results.
//!
//! The subset: literals, names, `a.b` and `a['b']`, lists and `list[i]`, `+ - * / %`, comparisons,
//! `in`, `&& || !`, `? :`, `has(name)`, `size`, `startsWith`, `endsWith`, `contains`, `duration`,
//! `timestamp`, `int`, `double`, `string`. There are no macros that loop, so an evaluation visits
//! each part of the text at most once.
//!
//! What differs from CEL, always towards "unknown": a division by zero, a number out of range, a
//! missing value and a comparison of different types at run time are unknown, never an error that
//! ends the evaluation; types are checked before anything runs; a clock may only be compared, so
//! that the next moment at which the result changes can be computed.
//!
//! * `lexer`, `parser`: text to [`syntax`].
//! * [`check`], `types`: names and types, and the use of clocks; gives a [`program`].
//! * [`mod@evaluate`], [`crossing`]: the result now, and when time alone changes it.

pub(crate) mod check;
pub(crate) mod crossing;
pub(crate) mod evaluate;
pub(crate) mod functions;
mod lexer;
pub(crate) mod parser;
pub(crate) mod program;
pub(crate) mod syntax;
mod types;
