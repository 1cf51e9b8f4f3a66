//! `dormouse api METHOD PATH`: any call, as it is.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use anyhow::Context as _;
use clap::Args;
use client::{RawAnswer, RawRequest};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Uri};
use std::process::ExitCode;

/// Where what can be called is described.
const DESCRIPTION: &str = "/v1/openapi.json";

/// A call.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(value_parser = method)]
    method: Method,
    /// Path and query, e.g. `/v1/apps`
    path: String,
    /// The body: itself, `@FILE`, or `-` for stdin; JSON unless `--content-type` says otherwise
    #[arg(long, short, value_name = "BODY", allow_hyphen_values = true)]
    data: Option<String>,
    /// What the body is
    #[arg(long, value_name = "TYPE", requires = "data")]
    content_type: Option<HeaderValue>,
    /// A header to send along
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Show status and headers of the answer on stderr
    #[arg(long, short)]
    include: bool,
}

fn method(text: &str) -> Result<Method, String> {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let found = known.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "expected GET, POST, PUT, PATCH or DELETE".to_owned())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected `name: value`")?;
    let name = name.trim().parse().map_err(|_invalid| format!("`{name}` is no header name"))?;
    let value =
        value.trim().parse().map_err(|_invalid| "the value has characters that none may have")?;
    Ok((name, value))
}

pub(super) async fn api(context: &Context, args: &ApiArgs) -> anyhow::Result<ExitCode> {
    let body = args.data.as_deref().map(body).transpose()?.unwrap_or_default();
    if args.content_type.is_none() && !body.is_empty() {
        must_be_json(&body)?;
    }
    let mut answer = context.client.raw(request(args, body)?).await.map_err(with_description)?;
    if args.include {
        output::notice(&head(&answer));
    }
    // As it comes: some answers have no end.
    let mut ends_line = true;
    while let Some(bytes) = answer.next().await? {
        output::bytes_as_they_are(&bytes)?;
        ends_line = bytes.last().map_or(ends_line, |byte| *byte == b'\n');
    }
    if !ends_line {
        output::line("")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn request(args: &ApiArgs, body: Vec<u8>) -> Result<RawRequest, Failure> {
    if !args.path.starts_with('/') || args.path.parse::<Uri>().is_err() {
        let hint = "write path and query like `/v1/apps?org_slug=personal`, and blanks as `%20`";
        return Err(Failure::new(format!("`{}` is not a path", args.path), hint));
    }
    Ok(RawRequest {
        method: args.method.clone(),
        path: args.path.clone(),
        body,
        content_type: args.content_type.clone(),
        headers: args.header.clone(),
    })
}

fn body(data: &str) -> anyhow::Result<Vec<u8>> {
    let read = match data.strip_prefix('@') {
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read {file}")),
        None if data == "-" => {
            let mut bytes = Vec::new();
            let read = std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes);
            read.map(|_| bytes).context("cannot read stdin")
        }
        None => Ok(data.as_bytes().to_vec()),
    };
    read.map_err(|error| match error.downcast_ref::<std::io::Error>() {
        Some(_) => Failure::new(
            format!("{error:#}"),
            "`--data` is the body itself, `@FILE`, or `-` for stdin",
        )
        .into(),
        None => error,
    })
}

fn must_be_json(body: &[u8]) -> Result<(), Failure> {
    let checked = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    checked.map(drop).map_err(|error| {
        Failure::new(
            format!("the body is not JSON: {error}"),
            "quote it for the shell, e.g. `--data '{\"a\": 1}'`; say what else it is with \
             `--content-type`",
        )
    })
}

/// An unknown path is answered without a word on what there is.
fn with_description(error: client::ClientError) -> anyhow::Error {
    if error.status() == Some(404) && error.hint().is_none() {
        let hint = format!("`dormouse api GET {DESCRIPTION}` describes every path there is");
        return Failure::new(error.to_string(), hint).with_code(crate::failure::NOT_FOUND).into();
    }
    error.into()
}

fn head(answer: &RawAnswer) -> String {
    let mut lines = vec![answer.status.to_string()];
    lines.extend(answer.headers.iter().map(|(name, value)| {
        format!("{name}: {}", output::one_line(&String::from_utf8_lossy(value.as_bytes())))
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{body, header, method, must_be_json};
    use hyper::Method;

    #[test]
    fn methods_and_headers_are_read() {
        assert_eq!(method("post"), Ok(Method::POST));
        assert!(method("FETCH").is_err());
        let (name, value) = header("If-Match: 7").expect("a header");
        assert_eq!((name.as_str(), value.as_bytes()), ("if-match", &b"7"[..]));
        assert!(header("If-Match").is_err() && header("a b: c").is_err());
    }

    #[test]
    fn a_body_is_itself_or_in_a_file() {
        assert_eq!(body("{}").expect("itself"), b"{}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "[1]").expect("it can be written");
        assert_eq!(body(&format!("@{}", file.path().display())).expect("read"), b"[1]");
        assert!(body("@/no/such/file").is_err());
        assert!(must_be_json(b"{\"a\": 1}").is_ok() && must_be_json(b"{a: 1}").is_err());
    }
}
