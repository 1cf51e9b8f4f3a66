//! Names, types and clocks of a condition: turns its tree into a [`Program`] or says what is wrong.
//!
//! * `calls`: functions and `has()`.

mod calls;

use super::program::{ClockComparison, Node, Program, Slot};
use super::syntax::{Comparison, Expr, Kind, Operation, Span};
use super::types::{compare_hint, is_comparable, join_hint, result_type};
use crate::names::{Place, Vocabulary};
use crate::text::{TextError, did_you_mean};
use crate::value::{Type, Value};

/// Compiles a condition for its place.
pub(crate) fn compile(text: &str, vocabulary: &Vocabulary<'_>) -> Result<Program, TextError> {
    let expr = super::parser::parse(text)?;
    let mut checker = Checker { vocabulary, slots: Vec::new(), clocks: Vec::new() };
    let typed = checker.expr(&expr)?;
    checker.still(&typed, &expr.span)?;
    if !typed.ty.fits(&Type::Bool) {
        let message = format!("a condition is true or false; this is of type {}", typed.ty);
        return Err(TextError::new(&expr.span, message));
    }
    Ok(Program { node: typed.node, slots: checker.slots, clocks: checker.clocks })
}

/// How a value moves while time passes and nobody writes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slope {
    Still,
    Up,
    Down,
}

struct Typed {
    node: Node,
    ty: Type,
    slope: Slope,
}

impl Typed {
    const fn still(node: Node, ty: Type) -> Self {
        Self { node, ty, slope: Slope::Still }
    }
}

struct Checker<'a> {
    vocabulary: &'a Vocabulary<'a>,
    slots: Vec<Slot>,
    clocks: Vec<ClockComparison>,
}

type Checked = Result<Typed, TextError>;

impl Checker<'_> {
    fn expr(&mut self, expr: &Expr) -> Checked {
        if let Some(path) = path(expr) {
            return self.name(&path, &expr.span);
        }
        match &expr.kind {
            Kind::Bool(bool) => Ok(constant(Value::Bool(*bool), Type::Bool)),
            Kind::Int(int) => Ok(constant(Value::Int(*int), Type::Int)),
            Kind::Double(double) => Ok(constant(Value::Double(*double), Type::Double)),
            Kind::Text(text) => Ok(constant(Value::from(text.as_str()), Type::String)),
            Kind::Ident(word) => self.name(word, &expr.span),
            Kind::Select(_, field) => {
                Err(TextError::new(&expr.span, format!("a value has no field `{field}`")))
            }
            Kind::Index(list, index) => self.item(list, index, &expr.span),
            Kind::Call { target, function, args } => {
                self.call(target.as_deref(), function, args, &expr.span)
            }
            Kind::List(items) => self.list(items),
            Kind::Not(inner) => {
                let inner = self.bool(inner, "`!`")?;
                Ok(Typed::still(Node::Not(Box::new(inner)), Type::Bool))
            }
            Kind::Negate(inner) => self.negate(inner),
            Kind::All(parts) => {
                let parts = self.bools(parts, "`&&`")?;
                Ok(Typed::still(Node::All(parts), Type::Bool))
            }
            Kind::Any(parts) => {
                let parts = self.bools(parts, "`||`")?;
                Ok(Typed::still(Node::Any(parts), Type::Bool))
            }
            Kind::Compare(comparison, left, right) => {
                self.compare(*comparison, left, right, &expr.span)
            }
            Kind::Arithmetic(operation, left, right) => {
                self.arithmetic(*operation, left, right, &expr.span)
            }
            Kind::In(item, list) => self.within(item, list),
            Kind::Choice(parts) => self.choice(parts),
        }
    }

    fn name(&mut self, path: &str, span: &Span) -> Checked {
        let found = self
            .vocabulary
            .find(path)
            .map_err(|no| TextError::new(span, no.message).maybe_hint(no.hint))?;
        let ty = found.ty.clone();
        let needs_crossing = !matches!(self.vocabulary.place, Place::Guard { .. });
        let slope = if found.is_clock && needs_crossing { Slope::Up } else { Slope::Still };
        let slot = self.slots.iter().position(|slot| slot.name == found.name);
        let slot = slot.unwrap_or_else(|| {
            self.slots.push(Slot {
                text: found.name.to_string().into(),
                name: found.name,
                ty: found.ty,
                is_clock: found.is_clock,
                is_secret: found.is_secret,
                default: found.default,
                values: found.values,
            });
            self.slots.len() - 1
        });
        Ok(Typed { node: Node::Slot(slot), ty, slope })
    }

    /// A part that does not move with time.
    fn fixed(&mut self, expr: &Expr) -> Checked {
        let typed = self.expr(expr)?;
        self.still(&typed, &expr.span)?;
        Ok(typed)
    }

    fn still(&self, typed: &Typed, span: &Span) -> Result<(), TextError> {
        if typed.slope == Slope::Still {
            return Ok(());
        }
        let error = TextError::new(span, "a clock is used where no crossing can be computed");
        Err(error.hint(
            "compare the clock itself, plus or minus something, with a value that stands still: \
             `machine.idle_s > 300`, `now - memory.since > duration('1h')`",
        ))
    }

    fn bool(&mut self, expr: &Expr, what: &str) -> Result<Node, TextError> {
        let typed = self.fixed(expr)?;
        if typed.ty.fits(&Type::Bool) {
            return Ok(typed.node);
        }
        let message = format!("{what} needs bool, this is of type {}", typed.ty);
        let error = TextError::new(&expr.span, message);
        Err(if typed.ty.is_number() { error.hint("compare it: `… > 0`") } else { error })
    }

    fn bools(&mut self, parts: &[Expr], what: &str) -> Result<Box<[Node]>, TextError> {
        parts.iter().map(|part| self.bool(part, what)).collect()
    }

    fn negate(&mut self, inner: &Expr) -> Checked {
        let typed = self.expr(inner)?;
        if !(typed.ty.is_number() || typed.ty == Type::Duration) {
            let message = format!("`-` needs a number, this is of type {}", typed.ty);
            return Err(TextError::new(&inner.span, message));
        }
        let slope = typed.slope.turned();
        let node = match typed.node {
            Node::Constant(Value::Int(int)) if int != i64::MIN => Node::Constant(Value::Int(-int)),
            Node::Constant(Value::Double(double)) => Node::Constant(Value::Double(-double)),
            node => Node::Negate(Box::new(node)),
        };
        Ok(Typed { node, ty: typed.ty, slope })
    }

    fn compare(
        &mut self,
        comparison: Comparison,
        left: &Expr,
        right: &Expr,
        span: &Span,
    ) -> Checked {
        let (a, b) = (self.expr(left)?, self.expr(right)?);
        if !is_comparable(comparison, &a.ty, &b.ty) {
            let sign = comparison.text();
            let message = format!("`{sign}` cannot compare {} with {}", a.ty, b.ty);
            return Err(TextError::new(span, message).maybe_hint(compare_hint(&a.ty, &b.ty)));
        }
        if !comparison.needs_order() {
            self.possible(&a, &b, &right.span)?;
            self.possible(&b, &a, &left.span)?;
        }
        match (a.slope, b.slope) {
            (Slope::Still, Slope::Still) => {}
            (Slope::Still, _) | (_, Slope::Still) => self.clocks.push(ClockComparison {
                comparison,
                left: a.node.clone(),
                right: b.node.clone(),
            }),
            _ => {
                let error = TextError::new(span, "two clocks are compared with each other");
                return Err(error.hint("compare each with a value that stands still"));
            }
        }
        let node = Node::Compare(comparison, Box::new(a.node), Box::new(b.node));
        Ok(Typed::still(node, Type::Bool))
    }

    /// A name with few values is compared with one of them.
    fn possible(&self, name: &Typed, with: &Typed, span: &Span) -> Result<(), TextError> {
        let (Node::Slot(slot), Node::Constant(value)) = (&name.node, &with.node) else {
            return Ok(());
        };
        let slot = &self.slots[*slot];
        let is_possible =
            slot.values.is_empty() || slot.values.iter().any(|v| v.equals(value) == Some(true));
        if is_possible {
            return Ok(());
        }
        let words: Vec<String> = slot.values.iter().map(ToString::to_string).collect();
        let guess = did_you_mean(&value.to_string(), words.iter().map(String::as_str));
        let hint = guess.unwrap_or_else(|| format!("it is one of {}", words.join(", ")));
        Err(TextError::new(span, format!("`{}` is never {value}", slot.text)).hint(hint))
    }

    fn arithmetic(
        &mut self,
        operation: Operation,
        left: &Expr,
        right: &Expr,
        span: &Span,
    ) -> Checked {
        let (a, b) = (self.expr(left)?, self.expr(right)?);
        let Some(ty) = result_type(operation, &a.ty, &b.ty) else {
            let sign = operation.text();
            let message = format!("`{sign}` cannot join {} and {}", a.ty, b.ty);
            return Err(TextError::new(span, message).maybe_hint(join_hint(&a.ty, &b.ty)));
        };
        let slope = match operation {
            Operation::Add => a.slope.with(b.slope),
            Operation::Subtract => a.slope.with(b.slope.turned()),
            Operation::Multiply | Operation::Divide | Operation::Remainder => {
                self.still(&a, &left.span)?;
                self.still(&b, &right.span)?;
                Some(Slope::Still)
            }
        };
        let slope =
            slope.ok_or_else(|| TextError::new(span, "two clocks are joined into one value"))?;
        let node = Node::Arithmetic(operation, Box::new(a.node), Box::new(b.node));
        Ok(Typed { node, ty, slope })
    }

    fn within(&mut self, item: &Expr, list: &Expr) -> Checked {
        let (a, b) = (self.fixed(item)?, self.fixed(list)?);
        let of = match &b.ty {
            Type::List(of) => of,
            Type::Dyn => &Type::Dyn,
            other => {
                let message = format!("`in` needs a list, this is of type {other}");
                return Err(TextError::new(&list.span, message).hint("write `[…]` or use contains"));
            }
        };
        if !is_comparable(Comparison::Equal, &a.ty, of) {
            let message = format!("a {} cannot be in a {}", a.ty, b.ty);
            return Err(TextError::new(&item.span, message));
        }
        if let Node::Constant(Value::List(values)) = &b.node {
            for value in values.iter() {
                let value = constant(value.clone(), Type::Dyn);
                self.possible(&a, &value, &list.span)?;
            }
        }
        Ok(Typed::still(Node::In(Box::new(a.node), Box::new(b.node)), Type::Bool))
    }

    fn list(&mut self, items: &[Expr]) -> Checked {
        let mut of = Type::Dyn;
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let typed = self.fixed(item)?;
            if !typed.ty.fits(&of) {
                let message = format!("a list of {of} has no place for {}", typed.ty);
                return Err(TextError::new(&item.span, message));
            }
            if of == Type::Dyn {
                of = typed.ty;
            }
            nodes.push(typed.node);
        }
        let values: Option<Vec<Value>> = nodes
            .iter()
            .map(|node| match node {
                Node::Constant(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        let node = match values {
            Some(values) => Node::Constant(Value::List(values.into())),
            None => Node::List(nodes.into()),
        };
        Ok(Typed::still(node, Type::List(Box::new(of))))
    }

    fn item(&mut self, list: &Expr, index: &Expr, span: &Span) -> Checked {
        let (a, b) = (self.fixed(list)?, self.fixed(index)?);
        match (&a.ty, &b.ty) {
            (Type::List(of), Type::Int | Type::Dyn) => {
                let of = (**of).clone();
                Ok(Typed::still(Node::Item(Box::new(a.node), Box::new(b.node)), of))
            }
            (Type::List(_), other) => {
                let message = format!("a list's items have numbers, this is of type {other}");
                Err(TextError::new(&index.span, message))
            }
            (other, _) => {
                Err(TextError::new(span, format!("`[…]` needs a list, this is of type {other}")))
            }
        }
    }

    fn choice(&mut self, parts: &[Expr; 3]) -> Checked {
        let test = self.bool(&parts[0], "the test before `?`")?;
        let (a, b) = (self.fixed(&parts[1])?, self.fixed(&parts[2])?);
        if !a.ty.fits(&b.ty) {
            let span = parts[1].span.start..parts[2].span.end;
            let message = format!("both sides of `:` need one type, not {} and {}", a.ty, b.ty);
            return Err(TextError::new(&span, message));
        }
        let ty = if a.ty == Type::Dyn { b.ty } else { a.ty };
        Ok(Typed::still(Node::Choice(Box::new([test, a.node, b.node])), ty))
    }
}

impl Slope {
    const fn turned(self) -> Self {
        match self {
            Self::Still => Self::Still,
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }

    /// The slope of a sum; `None` when both move, as their sum might do anything.
    const fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            (slope, Self::Still) | (Self::Still, slope) => Some(slope),
            _ => None,
        }
    }
}

const fn constant(value: Value, ty: Type) -> Typed {
    Typed::still(Node::Constant(value), ty)
}

/// The dotted name that a part spells, if it does: `a.b` and `a['b']` are the same.
fn path(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(word) => Some(word.clone()),
        Kind::Select(inner, field) => Some(format!("{}.{field}", path(inner)?)),
        Kind::Index(inner, index) => match &index.kind {
            Kind::Text(field) => Some(format!("{}.{field}", path(inner)?)),
            _ => None,
        },
        _ => None,
    }
}
