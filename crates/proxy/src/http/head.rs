//! Is the head of an HTTP/1 request well formed in the one way that every reader reads alike?
//!
//! A proxy and a program that disagree about where a message ends can be made to serve one visitor
//! the answer of another. So nothing ambiguous passes: a head is looked at whole, byte by byte,
//! before the HTTP library sees it, and what two readers might read in two ways is refused.
//!
//! Sources: RFC 9112 sections 2.2, 3.2, 5, 6.3 and 11.2; RFC 9110 section 5.

use super::host::Host;
use super::refusal::Refusal;

/// Longest head in bytes. As the limit of large servers.
pub(crate) const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Most header lines.
pub(crate) const HEADERS_MAX: usize = 128;

/// Empty lines before a request that are skipped (RFC 9112 section 2.2 asks for one at least).
const EMPTY_LINES_MAX: usize = 2;

/// How the bytes after a head are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes; 0 without a body.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What is known of the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The head has not ended.
    Incomplete,
    /// A good head.
    Good {
        /// Where it begins: behind empty lines.
        begin: usize,
        /// Where it ends, its empty line included.
        end: usize,
        /// What follows it.
        framing: Framing,
    },
    /// It is refused and nothing after it is read.
    Bad(Refusal),
}

/// Looks at the head at the begin of `bytes`; `default_port` is that of a host without one.
pub(crate) fn judge(bytes: &[u8], default_port: u16) -> Verdict {
    let begin = skip_empty_lines(bytes);
    match Lines::new(&bytes[begin..]).read_head(default_port) {
        Ok(Some((len, framing))) => Verdict::Good { begin, end: begin + len, framing },
        Ok(None) if bytes.len() - begin > HEAD_MAX_BYTES => Verdict::Bad(Refusal::HeadTooLarge),
        Ok(None) => Verdict::Incomplete,
        Err(refusal) => Verdict::Bad(refusal),
    }
}

fn skip_empty_lines(bytes: &[u8]) -> usize {
    let n_empty = bytes.chunks(2).take(EMPTY_LINES_MAX).take_while(|pair| *pair == b"\r\n").count();
    2 * n_empty
}

/// Lines of a head.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Length of the head and what follows; `None` when it has not ended.
    fn read_head(mut self, default_port: u16) -> Result<Option<(usize, Framing)>, Refusal> {
        let Some(line) = self.next()? else { return Ok(None) };
        let request = RequestLine::parse(line)?;
        let mut facts = Facts::default();
        while let Some(line) = self.next()? {
            if line.is_empty() {
                if self.at > HEAD_MAX_BYTES {
                    return Err(Refusal::HeadTooLarge);
                }
                return Ok(Some((self.at, facts.framing(&request, default_port)?)));
            }
            facts.add(line)?;
        }
        Ok(None)
    }

    /// The next line without its end; `None` when it has not ended.
    fn next(&mut self) -> Result<Option<&'a [u8]>, Refusal> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|b| matches!(b, b'\r' | b'\n' | 0)) else {
            return Ok(None);
        };
        match (rest[len], rest.get(len + 1)) {
            (b'\r', Some(b'\n')) => {
                self.at += len + 2;
                Ok(Some(&rest[..len]))
            }
            (b'\r', None) => Ok(None),
            (b'\r', Some(_)) => Err(Refusal::BareCarriageReturn),
            (b'\n', _) => Err(Refusal::BareLineFeed),
            _ => Err(Refusal::ControlByte),
        }
    }
}

/// The first line, as far as it matters here.
struct RequestLine {
    is_1_0: bool,
    /// Authority of an absolute target, and its default port.
    absolute: Option<(Host, u16)>,
}

impl RequestLine {
    fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let mut words = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refusal::RequestLine);
        };
        let is_1_0 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Refusal::RequestLine),
        };
        if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
            return Err(Refusal::RequestLine);
        }
        if method == b"CONNECT" {
            return Err(Refusal::Connect);
        }
        Ok(Self { is_1_0, absolute: parse_target(target, method)? })
    }
}

fn parse_target(target: &[u8], method: &[u8]) -> Result<Option<(Host, u16)>, Refusal> {
    if !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
        return Err(Refusal::Target);
    }
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Ok(None);
    }
    let text = std::str::from_utf8(target).map_err(|_not_ascii| Refusal::Target)?;
    let (scheme, rest) = text.split_once("://").ok_or(Refusal::Target)?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(Refusal::Target),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let host = Host::parse(&rest[..end]).ok_or(Refusal::Target)?;
    Ok(Some((host, default_port)))
}

/// What the header lines say about framing and host.
#[derive(Default)]
struct Facts {
    n_headers: usize,
    length: Option<u64>,
    is_chunked: bool,
    /// The outer is whether there was one.
    host: Option<Option<Host>>,
}

impl Facts {
    fn add(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.n_headers += 1;
        if self.n_headers > HEADERS_MAX {
            return Err(Refusal::TooManyHeaders);
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(Refusal::FoldedLine);
        }
        let colon = line.iter().position(|b| *b == b':').ok_or(Refusal::HeaderLine)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(Refusal::HeaderLine);
        }
        if value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
            return Err(Refusal::ControlByte);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.add_host(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.add_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.add_encoding(value),
            _ => Ok(()),
        }
    }

    fn add_host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.host.is_some() {
            return Err(Refusal::TwoHosts);
        }
        let text = std::str::from_utf8(trim(value)).map_err(|_not_ascii| Refusal::BadHost)?;
        let host = if text.is_empty() { None } else { Some(Host::parse(text)) };
        self.host = match host {
            None => Some(None),
            Some(Some(host)) => Some(Some(host)),
            Some(None) => return Err(Refusal::BadHost),
        };
        Ok(())
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::TwoLengths);
        }
        let digits = trim(value);
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(digits).map_err(|_not_ascii| Refusal::BadLength)?;
        let length = is_number.then(|| text.parse().ok()).flatten();
        self.length = Some(length.ok_or(Refusal::BadLength)?);
        Ok(())
    }

    fn add_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let is_first = !std::mem::replace(&mut self.is_chunked, true);
        let is_known = trim(value).eq_ignore_ascii_case(b"chunked");
        if is_first && is_known { Ok(()) } else { Err(Refusal::BadEncoding) }
    }

    fn framing(&self, request: &RequestLine, default_port: u16) -> Result<Framing, Refusal> {
        let host = match &self.host {
            None if request.is_1_0 => None,
            None => return Err(Refusal::NoHost),
            Some(host) => host.as_ref(),
        };
        if let Some((absolute, scheme_port)) = &request.absolute {
            let is_same = host.is_some_and(|host| {
                host.is_same(absolute, default_port) || host.is_same(absolute, *scheme_port)
            });
            if !is_same {
                return Err(Refusal::OtherHost);
            }
        }
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Refusal::LengthAndEncoding),
            (true, None) if request.is_1_0 => Err(Refusal::BadEncoding),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// Without spaces and tabs around it.
fn trim(value: &[u8]) -> &[u8] {
    let is_text = |b: &u8| !matches!(b, b' ' | b'\t');
    let Some(first) = value.iter().position(is_text) else { return &[] };
    let last = value.iter().rposition(is_text).unwrap_or(first);
    &value[first..=last]
}

/// Bytes of a method or header name (RFC 9110 section 5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests;
