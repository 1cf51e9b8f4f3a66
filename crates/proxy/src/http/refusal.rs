//! Requests that are refused for their form, before anybody is asked about them.

use hyper::StatusCode;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// More than [`super::head::HEAD_MAX_BYTES`].
    HeadTooLarge,
    /// More than [`super::head::HEADERS_MAX`].
    TooManyHeaders,
    /// A line that ends in a line feed alone.
    BareLineFeed,
    /// A carriage return within a line.
    BareCarriageReturn,
    /// A control byte.
    ControlByte,
    /// A first line that is none.
    RequestLine,
    /// A target that is none.
    Target,
    /// `CONNECT`: we are no tunnel.
    Connect,
    /// A header continued on the next line.
    FoldedLine,
    /// A header line that is none, a space before its colon included.
    HeaderLine,
    /// A host that is none.
    BadHost,
    /// No host.
    NoHost,
    /// More than one host.
    TwoHosts,
    /// The target names another host than `Host`.
    OtherHost,
    /// A length that is no number.
    BadLength,
    /// More than one length.
    TwoLengths,
    /// An encoding other than `chunked`, or `chunked` where it cannot be.
    BadEncoding,
    /// Both a length and an encoding.
    LengthAndEncoding,
    /// A chunk that is none.
    BadChunk,
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body stopped arriving.
    BodyTimeout,
    /// `Expect` with something other than `100-continue`.
    Expectation,
}

impl Refusal {
    /// Status of the answer.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Stable word.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyHeaders => "too_many_headers",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::Connect => "method_not_allowed",
            Self::Expectation => "expectation_failed",
            Self::BadHost | Self::NoHost | Self::TwoHosts | Self::OtherHost => "invalid_host",
            Self::BadLength
            | Self::TwoLengths
            | Self::BadEncoding
            | Self::LengthAndEncoding
            | Self::BadChunk => "invalid_framing",
            _ => "malformed_request",
        }
    }

    /// A sentence.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "the head of the request is larger than 65536 bytes",
            Self::TooManyHeaders => "the request has more than 128 header lines",
            Self::BareLineFeed => "a line of the head ends in a line feed without carriage return",
            Self::BareCarriageReturn => "a line of the head contains a carriage return",
            Self::ControlByte => "the head contains a control byte",
            Self::RequestLine => "the first line is not that of an HTTP/1 request",
            Self::Target => "the target of the request is not valid",
            Self::Connect => "this proxy opens no tunnels",
            Self::FoldedLine => "a header is continued on the next line",
            Self::HeaderLine => "a header line is not `name: value`",
            Self::BadHost => "the host is not valid",
            Self::NoHost => "the request names no host",
            Self::TwoHosts => "the request names more than one host",
            Self::OtherHost => "the target names another host than the header `Host`",
            Self::BadLength => "`Content-Length` is not a number",
            Self::TwoLengths => "the request has more than one `Content-Length`",
            Self::BadEncoding => "the only `Transfer-Encoding` that is read is one `chunked`",
            Self::LengthAndEncoding => {
                "the request has both `Content-Length` and `Transfer-Encoding`"
            }
            Self::BadChunk => "the body is not made of valid chunks",
            Self::HeadTimeout => "the head of the request did not arrive in time",
            Self::BodyTimeout => "the body of the request stopped arriving",
            Self::Expectation => "the only expectation that is met is `100-continue`",
        }
    }
}
