//! One thing that can be asked of the API: how, by whom, and who answers.
//!
//! The rows of [`super::table`] are made of these. The router serves them and
//! [`crate::openapi`] describes them, so that nothing is served that is not described.
//!
//! * `refusals`: the statuses of what is refused.

mod refusals;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use control::Control;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// An operation.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its method.
    pub(crate) method: Method,
    /// Its path, with `{parameters}`.
    pub(crate) path: String,
    /// Its name; that of the Machines API where that API has the operation.
    pub(crate) id: String,
    /// What it does, in a line.
    pub(crate) summary: &'static str,
    /// The chapter it belongs to.
    pub(crate) chapter: &'static str,
    /// Who may ask for it.
    pub(crate) right: Right,
    /// What stands in the query and in headers.
    pub(crate) parameters: Vec<Parameter>,
    /// What may be sent: any one of these. None without a body.
    pub(crate) bodies: Vec<Content>,
    /// Whether it makes no sense without a body.
    pub(crate) is_body_required: bool,
    /// Statuses of success and what comes with them.
    pub(crate) answers: Vec<(u16, Option<Content>)>,
    /// Statuses of refusals that do not follow from the rest.
    pub(super) also_refused: Vec<u16>,
    /// Who answers.
    pub(super) handler: MethodRouter<Control>,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Everybody, without a token.
    Nobody,
    /// Whoever has a token, of any right and reach.
    Any,
    /// A token that may read there.
    Read,
    /// A token that may write what machines remember.
    SelfWrite,
    /// A token that may operate there.
    Operate,
    /// The owner of the host.
    Owner,
    /// A machine, from inside.
    Machine,
}

impl Right {
    /// Its word in the description.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Any => "any",
            Self::Read => "read",
            Self::SelfWrite => "self-write",
            Self::Operate => "operate",
            Self::Owner => "owner",
            Self::Machine => "machine",
        }
    }
}

/// A parameter beside those of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it stands.
    pub(crate) place: Place,
    /// What it may be.
    pub(crate) kind: Kind,
    /// What it means.
    pub(crate) about: &'static str,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// After `?`.
    Query,
    /// In the head.
    Header,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// `true`, `1` or nothing; `false`, `0`.
    Flag,
    /// A whole number.
    Count,
    /// Seconds, or a Go duration.
    Seconds,
    /// One of these.
    Word(&'static [&'static str]),
    /// Any of these, repeated or with commas.
    Words(&'static [&'static str]),
}

/// Parameter `name` of the query.
pub(super) const fn query(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, kind, about }
}

/// Header `name`.
pub(super) const fn header(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Header, kind, about }
}

/// Something in a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    /// Its media type.
    pub(crate) media: &'static str,
    /// What its JSON looks like; bytes and texts have none.
    pub(crate) schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// JSON, one value.
pub(super) const JSON: &str = "application/json";
/// JSON, one value a line, as long as there are any.
pub(super) const JSON_LINES: &str = "application/x-ndjson";

impl Content {
    fn of<T: JsonSchema>(media: &'static str) -> Self {
        Self { media, schema: Some(SchemaGenerator::subschema_for::<T>) }
    }
}

/// `GET path`.
pub(super) fn get<T: 'static>(
    path: impl Into<String>,
    handler: impl Handler<T, Control>,
) -> Operation {
    Operation::new(Method::GET, path.into(), on(MethodFilter::GET, handler))
}

/// `POST path`.
pub(super) fn post<T: 'static>(
    path: impl Into<String>,
    handler: impl Handler<T, Control>,
) -> Operation {
    Operation::new(Method::POST, path.into(), on(MethodFilter::POST, handler))
}

/// `PUT path`.
pub(super) fn put<T: 'static>(
    path: impl Into<String>,
    handler: impl Handler<T, Control>,
) -> Operation {
    Operation::new(Method::PUT, path.into(), on(MethodFilter::PUT, handler))
}

/// `PATCH path`.
pub(super) fn patch<T: 'static>(
    path: impl Into<String>,
    handler: impl Handler<T, Control>,
) -> Operation {
    Operation::new(Method::PATCH, path.into(), on(MethodFilter::PATCH, handler))
}

/// `DELETE path`.
pub(super) fn delete<T: 'static>(
    path: impl Into<String>,
    handler: impl Handler<T, Control>,
) -> Operation {
    Operation::new(Method::DELETE, path.into(), on(MethodFilter::DELETE, handler))
}

impl Operation {
    /// To look needs the right to read, all else that to operate, unless [`Self::needs`] says otherwise.
    fn new(method: Method, path: String, handler: MethodRouter<Control>) -> Self {
        let right = if method == Method::GET { Right::Read } else { Right::Operate };
        Self {
            method,
            path,
            id: String::new(),
            summary: "",
            chapter: "",
            right,
            parameters: Vec::new(),
            bodies: Vec::new(),
            is_body_required: false,
            answers: Vec::new(),
            also_refused: Vec::new(),
            handler,
        }
    }

    /// Its name and what it does.
    pub(super) fn is(self, id: impl Into<String>, summary: &'static str) -> Self {
        Self { id: id.into(), summary, ..self }
    }

    /// Who may ask for it.
    pub(super) fn needs(self, right: Right) -> Self {
        Self { right, ..self }
    }

    /// What may stand in the query and in headers.
    pub(super) fn takes(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend_from_slice(parameters);
        self
    }

    /// It needs a `T` as JSON.
    pub(super) fn sends<T: JsonSchema>(self) -> Self {
        Self { is_body_required: true, ..self.may_send::<T>() }
    }

    /// A `T` as JSON may come along; nothing at all is `{}`.
    pub(super) fn may_send<T: JsonSchema>(mut self) -> Self {
        self.bodies.push(Content::of::<T>(JSON));
        self
    }

    /// Text or bytes of this media type may be sent.
    pub(super) fn may_send_raw(mut self, media: &'static str) -> Self {
        self.bodies.push(Content { media, schema: None });
        self
    }

    /// Success is `status` with a `T` as JSON.
    pub(super) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answers.push((status, Some(Content::of::<T>(JSON))));
        self
    }

    /// Success is `status` with a `T` as JSON in each line.
    pub(super) fn answers_lines<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answers.push((status, Some(Content::of::<T>(JSON_LINES))));
        self
    }

    /// Success is `status` with something else.
    pub(super) fn answers_raw(mut self, status: u16, media: &'static str) -> Self {
        self.answers.push((status, Some(Content { media, schema: None })));
        self
    }

    /// It may also be refused with these statuses; [`Self::refusals`] has those that go without saying.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.also_refused.extend_from_slice(statuses);
        self
    }

    /// Success is `status` alone.
    pub(super) fn answers_nothing(mut self, status: u16) -> Self {
        self.answers.push((status, None));
        self
    }
}

/// The same chapter for all of `operations`.
pub(super) fn chapter(name: &'static str, operations: Vec<Operation>) -> Vec<Operation> {
    operations.into_iter().map(|operation| Operation { chapter: name, ..operation }).collect()
}
