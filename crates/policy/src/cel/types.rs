//! Which types can be compared and joined: CEL's rules, without its silent `false`s.

use super::syntax::{Comparison, Operation};
use crate::value::Type;

/// Whether values of two types can be compared in this way.
pub(super) fn is_comparable(comparison: Comparison, a: &Type, b: &Type) -> bool {
    if a.is_number() && b.is_number() {
        return true;
    }
    let has_order = |ty: &Type| !matches!(ty, Type::Bool | Type::List(_));
    a.fits(b) && (!comparison.needs_order() || (has_order(a) && has_order(b)))
}

/// The type of an operation's result; `None` when it cannot join two such types.
pub(super) fn result_type(operation: Operation, a: &Type, b: &Type) -> Option<Type> {
    use Operation::{Add, Remainder, Subtract};
    Some(match (operation, a, b) {
        (_, Type::Dyn, other) | (_, other, Type::Dyn) => match other {
            Type::Bool | Type::List(_) => return None,
            Type::Int => Type::Int,
            Type::Double if operation != Remainder => Type::Double,
            Type::Dyn => Type::Dyn,
            _ if matches!(operation, Add | Subtract) => Type::Dyn,
            _ => return None,
        },
        (_, Type::Int, Type::Int) => Type::Int,
        (operation, Type::Double, Type::Double) if operation != Remainder => Type::Double,
        (Add, Type::String, Type::String) => Type::String,
        (Add, Type::Timestamp, Type::Duration)
        | (Add, Type::Duration, Type::Timestamp)
        | (Subtract, Type::Timestamp, Type::Duration) => Type::Timestamp,
        (Subtract, Type::Timestamp, Type::Timestamp)
        | (Add | Subtract, Type::Duration, Type::Duration) => Type::Duration,
        _ => return None,
    })
}

/// What to write instead of a comparison of two types.
pub(super) fn compare_hint(a: &Type, b: &Type) -> Option<String> {
    let text = match (a, b) {
        (Type::Duration, _) | (_, Type::Duration) => "a length of time is written duration('90s')",
        (Type::Timestamp, _) | (_, Type::Timestamp) => {
            "a moment is written timestamp('2026-01-31T09:00:00Z')"
        }
        (Type::String, other) | (other, Type::String) if other.is_number() => {
            "a number is written without quotes"
        }
        (Type::Bool, Type::Bool) => "bool has no order: use `==`, `!` or the value itself",
        _ => return None,
    };
    Some(text.to_owned())
}

/// What to write instead of an operation on two types.
pub(super) fn join_hint(a: &Type, b: &Type) -> Option<String> {
    let text = match (a, b) {
        (Type::Int, Type::Double) | (Type::Double, Type::Int) => {
            "write the whole number with a point (`100.0`), or convert with double(…) or int(…)"
        }
        (Type::Timestamp | Type::Duration, Type::Int | Type::Double)
        | (Type::Int | Type::Double, Type::Timestamp | Type::Duration) => {
            "a length of time is written duration('90s')"
        }
        _ => return None,
    };
    Some(text.to_owned())
}
