//! Text to tree, with bounds on length, nesting, height and number of parts.
//!
//! Precedence, loosest first: `?:`, `||`, `&&`, comparisons and `in`, `+ -`, `* / %`, `! -`, then
//! calls, members and brackets. Source: the CEL language definition, "Syntax".

use super::lexer::{Token, tokens};
use super::syntax::{Comparison, Expr, Kind, Operation, Span};
use crate::limits::{CONDITION_BYTES_MAX, HEIGHT_MAX, NESTING_MAX, NODES_MAX};
use crate::text::TextError;

/// Parses one condition.
pub(crate) fn parse(text: &str) -> Result<Expr, TextError> {
    if text.len() > CONDITION_BYTES_MAX {
        let span = CONDITION_BYTES_MAX..text.len();
        let message = format!("{} bytes are more than {CONDITION_BYTES_MAX}", text.len());
        return Err(TextError::new(&span, message).hint("split it into several rules"));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, nesting: 0, n_nodes: 0 };
    let expr = parser.choice()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("an operator")),
    }
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    nesting: u16,
    n_nodes: usize,
}

type Parsed = Result<Expr, TextError>;

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at].1.clone()
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Token::Sign(s) if *s == sign);
        if is_it {
            self.advance();
        }
        is_it
    }

    /// Takes the sign; otherwise an error that names what was opened at `opened`.
    fn expect(&mut self, sign: &'static str) -> Result<usize, TextError> {
        let end = self.span().end;
        if self.eat(sign) { Ok(end) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> TextError {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Ident(word) => format!("`{word}`"),
            Token::Int(_) | Token::Double(_) => "a number".to_owned(),
            Token::Text(_) => "a text".to_owned(),
        };
        let error = TextError::new(&self.span(), format!("expected {wanted}, found {found}"));
        match self.peek() {
            Token::Ident(word) if word == "and" => error.hint("and is written `&&`"),
            Token::Ident(word) if word == "or" => error.hint("or is written `||`"),
            Token::Sign("{") => error.hint("there are no maps here"),
            _ => error,
        }
    }

    /// Makes a part above parts of height at most `below`.
    fn node(&mut self, kind: Kind, span: Span, below: u16) -> Parsed {
        self.n_nodes += 1;
        if self.n_nodes > NODES_MAX || below >= HEIGHT_MAX {
            let message = format!(
                "too long: at most {NODES_MAX} parts, {HEIGHT_MAX} operators upon each other"
            );
            return Err(TextError::new(&span, message).hint("split it into several rules"));
        }
        Ok(Expr { kind, span, height: below + 1 })
    }

    /// Runs `inner` one level deeper; every recursion of the parser passes here.
    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, TextError>,
    ) -> Result<T, TextError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            let message = format!("nested more than {NESTING_MAX} deep");
            return Err(TextError::new(&self.span(), message));
        }
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn choice(&mut self) -> Parsed {
        self.nested(|p| {
            let test = p.any()?;
            if !p.eat("?") {
                return Ok(test);
            }
            let then = p.choice()?;
            p.expect(":")?;
            let otherwise = p.choice()?;
            let span = test.span.start..otherwise.span.end;
            let below = test.height.max(then.height).max(otherwise.height);
            p.node(Kind::Choice(Box::new([test, then, otherwise])), span, below)
        })
    }

    fn any(&mut self) -> Parsed {
        self.chain("||", Self::all, Kind::Any)
    }

    fn all(&mut self) -> Parsed {
        self.chain("&&", Self::comparison, Kind::All)
    }

    /// `a SIGN b SIGN c` as one flat part, so that a long chain is not a high tree.
    fn chain(
        &mut self,
        sign: &str,
        operand: fn(&mut Self) -> Parsed,
        make: fn(Vec<Expr>) -> Kind,
    ) -> Parsed {
        let first = operand(self)?;
        if !matches!(self.peek(), Token::Sign(s) if *s == sign) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat(sign) {
            parts.push(operand(self)?);
        }
        let span = parts[0].span.start..parts[parts.len() - 1].span.end;
        let below = parts.iter().map(|part| part.height).max().unwrap_or(0);
        self.node(make(parts), span, below)
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let make = match self.peek() {
                Token::Sign(sign) => match comparison_of(sign) {
                    Some(comparison) => Some(comparison),
                    None => return Ok(left),
                },
                Token::Ident(word) if word == "in" => None,
                _ => return Ok(left),
            };
            self.advance();
            let right = self.sum()?;
            let (span, below) = around(&left, &right);
            let (left_box, right_box) = (Box::new(left), Box::new(right));
            let kind = match make {
                Some(comparison) => Kind::Compare(comparison, left_box, right_box),
                None => Kind::In(left_box, right_box),
            };
            left = self.node(kind, span, below)?;
        }
    }

    fn sum(&mut self) -> Parsed {
        self.operations(Self::product, |sign| match sign {
            "+" => Some(Operation::Add),
            "-" => Some(Operation::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Parsed {
        self.operations(Self::unary, |sign| match sign {
            "*" => Some(Operation::Multiply),
            "/" => Some(Operation::Divide),
            "%" => Some(Operation::Remainder),
            _ => None,
        })
    }

    fn operations(
        &mut self,
        operand: fn(&mut Self) -> Parsed,
        operation: fn(&str) -> Option<Operation>,
    ) -> Parsed {
        let mut left = operand(self)?;
        loop {
            let Token::Sign(sign) = self.peek() else { return Ok(left) };
            let Some(operation) = operation(sign) else { return Ok(left) };
            self.advance();
            let right = operand(self)?;
            let (span, below) = around(&left, &right);
            let kind = Kind::Arithmetic(operation, Box::new(left), Box::new(right));
            left = self.node(kind, span, below)?;
        }
    }

    /// Any number of `!` or of `-`, taken in a loop, then a member.
    fn unary(&mut self) -> Parsed {
        let mut signs = Vec::new();
        while let Token::Sign(sign @ ("!" | "-")) = *self.peek() {
            signs.push((sign, self.span().start));
            self.advance();
        }
        let smallest = Token::Int(i64::MIN.unsigned_abs());
        let is_smallest = *self.peek() == smallest && signs.last().is_some_and(|(s, _)| *s == "-");
        let mut expr = if is_smallest {
            let start = signs.pop().map_or(0, |(_, start)| start);
            let end = self.span().end;
            self.advance();
            self.node(Kind::Int(i64::MIN), start..end, 0)?
        } else {
            self.member()?
        };
        for (sign, start) in signs.into_iter().rev() {
            let (span, below) = (start..expr.span.end, expr.height);
            let kind = match sign {
                "!" => Kind::Not(Box::new(expr)),
                _ => Kind::Negate(Box::new(expr)),
            };
            expr = self.node(kind, span, below)?;
        }
        Ok(expr)
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        loop {
            let start = expr.span.start;
            if self.eat(".") {
                expr = self.dotted(expr)?;
            } else if self.eat("[") {
                let index = self.choice()?;
                let end = self.expect("]")?;
                let below = expr.height.max(index.height);
                let kind = Kind::Index(Box::new(expr), Box::new(index));
                expr = self.node(kind, start..end, below)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn dotted(&mut self, target: Expr) -> Parsed {
        let (start, end) = (target.span.start, self.span().end);
        let Token::Ident(word) = self.peek().clone() else {
            return Err(self.unexpected("a name after the point"));
        };
        self.advance();
        if !self.eat("(") {
            let below = target.height;
            return self.node(Kind::Select(Box::new(target), word), start..end, below);
        }
        let (args, end) = self.list_until(")")?;
        let below = args.iter().map(|arg| arg.height).max().unwrap_or(0).max(target.height);
        let kind = Kind::Call { target: Some(Box::new(target)), function: word, args };
        self.node(kind, start..end, below)
    }

    fn primary(&mut self) -> Parsed {
        let span = self.span();
        match self.peek().clone() {
            Token::Int(size) => {
                let Ok(int) = i64::try_from(size) else {
                    return Err(TextError::new(&span, "this number is out of range"));
                };
                self.advance();
                self.node(Kind::Int(int), span, 0)
            }
            Token::Double(double) => {
                self.advance();
                self.node(Kind::Double(double), span, 0)
            }
            Token::Text(text) => {
                self.advance();
                self.node(Kind::Text(text), span, 0)
            }
            Token::Ident(word) => self.word(word, span),
            Token::Sign("(") => {
                self.advance();
                let inner = self.choice()?;
                let end = self.expect(")")?;
                Ok(Expr { span: span.start..end, ..inner })
            }
            Token::Sign("[") => {
                self.advance();
                let (items, end) = self.list_until("]")?;
                let below = items.iter().map(|item| item.height).max().unwrap_or(0);
                self.node(Kind::List(items), span.start..end, below)
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: String, span: Span) -> Parsed {
        let kind = match word.as_str() {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "null" => {
                let error = TextError::new(&span, "there is no `null` here");
                return Err(error.hint("has(memory.KEY) tells whether a fact is there"));
            }
            "in" => return Err(self.unexpected("a value")),
            _ => Kind::Ident(word),
        };
        self.advance();
        let Kind::Ident(function) = kind else { return self.node(kind, span, 0) };
        if !self.eat("(") {
            return self.node(Kind::Ident(function), span, 0);
        }
        let (args, end) = self.list_until(")")?;
        let below = args.iter().map(|arg| arg.height).max().unwrap_or(0);
        self.node(Kind::Call { target: None, function, args }, span.start..end, below)
    }

    /// Parts between commas up to `close`; also gives where that ends.
    fn list_until(&mut self, close: &'static str) -> Result<(Vec<Expr>, usize), TextError> {
        let mut parts = Vec::new();
        let mut end = self.span().end;
        if self.eat(close) {
            return Ok((parts, end));
        }
        loop {
            parts.push(self.choice()?);
            if !self.eat(",") {
                break;
            }
        }
        end = end.max(self.expect(close)?);
        Ok((parts, end))
    }
}

fn around(left: &Expr, right: &Expr) -> (Span, u16) {
    (left.span.start..right.span.end, left.height.max(right.height))
}

fn comparison_of(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
