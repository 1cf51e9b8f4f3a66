//! Calls: which functions there are, what they take, and `has()`.

use super::super::functions::{ABSENT_FUNCTIONS, FUNCTIONS, Function};
use super::super::program::Node;
use super::super::syntax::{Expr, Span};
use super::{Checked, Checker, Typed, path};
use crate::names::Name;
use crate::text::{TextError, did_you_mean};
use crate::value::Type;

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        target: Option<&Expr>,
        function: &str,
        args: &[Expr],
        span: &Span,
    ) -> Checked {
        if function == "has" && target.is_none() {
            return self.has(args, span);
        }
        let is_method = target.is_some();
        let known = FUNCTIONS.iter().find(|(name, m, _)| *name == function && *m == is_method);
        let Some((_, _, found)) = known else {
            return Err(no_function(function, is_method, span));
        };
        let mut nodes = Vec::new();
        let mut types = Vec::new();
        for arg in target.into_iter().chain(args) {
            let typed = self.fixed(arg)?;
            nodes.push(typed.node);
            types.push(typed.ty);
        }
        let ty = found.check(&types).map_err(|wanted| {
            let given: Vec<_> = types.iter().map(ToString::to_string).collect();
            let message = format!("`{function}` needs {wanted}, not ({})", given.join(", "));
            TextError::new(span, message)
        })?;
        let node = fold(*found, nodes, span)?;
        Ok(Typed::still(node, ty))
    }

    fn has(&mut self, args: &[Expr], span: &Span) -> Checked {
        let hint = "write has(memory.KEY) or has(peer.NAME.FACT)";
        let wrong = || TextError::new(span, "has() needs the name of a fact").hint(hint);
        let [arg] = args else { return Err(wrong()) };
        let path = path(arg).ok_or_else(wrong)?;
        let typed = self.name(&path, &arg.span)?;
        let Node::Slot(slot) = typed.node else { return Err(wrong()) };
        match self.slots[slot].name {
            Name::Memory(_) | Name::PeerFact { .. } | Name::Old | Name::New => {
                Ok(Typed::still(Node::Has(slot), Type::Bool))
            }
            Name::Platform(_)
            | Name::Due(_)
            | Name::PeerState(_)
            | Name::PeerAge(_)
            | Name::Writer => Err(wrong()),
        }
    }
}

fn no_function(function: &str, is_method: bool, span: &Span) -> TextError {
    let error = TextError::new(span, format!("there is no function `{function}` here"));
    if let Some((_, hint)) = ABSENT_FUNCTIONS.iter().find(|(name, _)| *name == function) {
        return error.hint(*hint);
    }
    if FUNCTIONS.iter().any(|(name, _, _)| *name == function) {
        let (right, wrong) = if is_method { ("(x)", "x.") } else { ("x.", "(x)") };
        return error.hint(if is_method {
            format!("write `{function}{right}`, not `{wrong}{function}()`")
        } else {
            format!("write `{right}{function}(…)`, not `{function}{wrong}`")
        });
    }
    error.maybe_hint(did_you_mean(function, FUNCTIONS.iter().map(|(name, _, _)| *name)))
}

/// A call of constants is computed now, so that a wrong time is found when the policy is set.
fn fold(function: Function, nodes: Vec<Node>, span: &Span) -> Result<Node, TextError> {
    let is_time = matches!(function, Function::Duration | Function::Timestamp);
    match (&nodes[..], is_time) {
        ([Node::Constant(text)], true) => {
            let value = function.call(std::slice::from_ref(text)).map_err(|_not_a_time| {
                let hint = match function {
                    Function::Duration => "lengths of time look like '90s', '10m', '1h30m'",
                    _ => "moments look like '2026-01-31T09:00:00Z'",
                };
                TextError::new(span, format!("{text} is no time")).hint(hint)
            })?;
            Ok(Node::Constant(value))
        }
        _ => Ok(Node::Call(function, nodes.into())),
    }
}
