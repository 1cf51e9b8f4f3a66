//! A machine to write into, and what a write answers.

use crate::contract::selfhood::{REVISION_HEADER, Written};
use crate::problem::Problem;
use crate::v1::extract::{OnMachine, OperateSelf};
use crate::v1::{Answer, reply};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use control::{Control, ControlError, SelfRecord, SelfWritten};
use govern::{Write, Writer};
use model::MachineId;
use serde::Serialize;

/// A machine to write into, by somebody.
#[derive(Debug)]
pub(super) struct Pen {
    /// The machine.
    pub(super) on: OnMachine,
    /// Who writes.
    pub(super) writer: Writer,
    /// Only at this revision.
    pub(super) if_match: Option<u64>,
}

impl FromRequestParts<Control> for Pen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        let OperateSelf(on) = OperateSelf::from_request_parts(parts, state).await?;
        Self::of(on, &parts.headers)
    }
}

impl Pen {
    /// The pen of whoever was let to this machine.
    pub(super) fn of(on: OnMachine, headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self { writer: on.who.writer()?, if_match: if_match(headers)?, on })
    }

    /// The machine.
    pub(super) const fn id(&self) -> &MachineId {
        &self.on.record.id
    }

    /// Writes, at the revision that the caller has named. Only memory and policy can be written so.
    pub(super) async fn write(
        &self,
        control: &Control,
        write: Write,
    ) -> Result<SelfWritten, Problem> {
        let write = match write {
            Write::Memory { patch, if_match } => {
                Write::Memory { patch, if_match: self.if_match.or(if_match) }
            }
            Write::Policy { text, hash, .. } => {
                Write::Policy { text, hash, if_match: self.if_match }
            }
            other if self.if_match.is_none() => other,
            _ => {
                return Err(Problem::unsupported(
                    "If-Match",
                    "leave it out: it is for `self/memory` and `self/policy`",
                ));
            }
        };
        let written = control.self_write(self.id(), write, self.writer.clone()).await;
        written.map_err(|e| self.problem(&e))
    }

    /// Writes, and answers with the revision.
    pub(super) async fn written(&self, control: &Control, write: Write) -> Answer {
        let SelfWritten { revision, .. } = self.write(control, write).await?;
        shown(revision, &Written { revision })
    }

    /// What control says about this machine.
    pub(super) fn problem(&self, error: &ControlError) -> Problem {
        Problem::from_control(error, Some(self.id()))
    }
}

/// All that the machine remembers.
pub(super) fn record(control: &Control, on: &OnMachine) -> Result<SelfRecord, Problem> {
    let id = &on.record.id;
    control.self_record(id).map_err(|e| Problem::from_control(&e, Some(id)))
}

/// 200 with `body`, and `revision` in the header and as the tag of `If-Match`.
pub(super) fn shown(revision: u64, body: &impl Serialize) -> Answer {
    answered(StatusCode::OK, revision, body)
}

/// As [`shown`], with another status.
pub(super) fn answered(status: StatusCode, revision: u64, body: &impl Serialize) -> Answer {
    let mut response = reply::json(status, body)?;
    let tag = HeaderValue::try_from(format!("\"{revision}\"")).expect("digits in quotes");
    response.headers_mut().insert(header::ETAG, tag);
    let name = HeaderName::from_static(REVISION_HEADER);
    response.headers_mut().insert(name, HeaderValue::from(revision));
    Ok(response)
}

/// The revision of `If-Match`: `"7"` or `7`. `*` is true of every machine.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let revision = quoted.unwrap_or(text).parse();
    revision.map(Some).map_err(|_not_a_number| {
        Problem::invalid("invalid_if_match", "`If-Match` is no revision")
            .hint("send one revision in quotes, as `ETag` of the last answer has it: `\"7\"`")
    })
}

#[cfg(test)]
mod tests {
    use super::{HeaderMap, if_match, shown};
    use axum::http::header;
    use serde_json::json;

    fn of(text: &str) -> Result<Option<u64>, u16> {
        let headers = HeaderMap::from_iter([(header::IF_MATCH, text.parse().expect("a header"))]);
        if_match(&headers).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn if_match_is_a_revision() {
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
        assert_eq!(of("\"7\""), Ok(Some(7)));
        assert_eq!(of(" 7 "), Ok(Some(7)));
        assert_eq!(of("*"), Ok(None));
        for wrong in ["", "W/\"7\"", "\"7\", \"8\"", "-1", "seven", "\"7"] {
            assert_eq!(of(wrong), Err(400), "{wrong}");
        }
    }

    #[test]
    fn answers_carry_their_revision() {
        let response = shown(7, &json!({})).expect("an answer");
        assert_eq!(response.headers()["dormouse-revision"], "7");
        assert_eq!(response.headers()["etag"], "\"7\"");
    }
}
