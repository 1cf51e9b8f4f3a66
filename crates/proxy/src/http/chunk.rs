//! Where does a chunked body end?
//!
//! Follows the chunks of an HTTP/1 request strictly (RFC 9112 section 7.1): what the HTTP library
//! behind might forgive, and a program behind that might read otherwise, is an error here.

/// Longest line with the size of a chunk, its extensions included, in bytes.
const SIZE_LINE_MAX_BYTES: usize = 256;

/// Most bytes of trailers.
const TRAILERS_MAX_BYTES: usize = 16 * 1024;

/// Most hex digits of a size: 2^60 bytes are enough, and nothing overflows.
const DIGITS_MAX: usize = 15;

/// How far a chunked body has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// In the hex digits.
    Size { size: u64, n_digits: usize },
    /// In the extensions.
    Extension { size: u64, n_bytes: usize },
    /// Behind the carriage return of the size.
    SizeEnd { size: u64 },
    /// In the data.
    Data { left: u64 },
    /// Behind the data.
    DataEnd { has_return: bool },
    /// At the begin of a trailer line.
    TrailerBegin { n_bytes: usize },
    /// In a trailer line.
    Trailer { n_bytes: usize, has_colon: bool },
    /// Behind the carriage return of a trailer line; `is_last` for the empty one.
    TrailerEnd { n_bytes: usize, is_last: bool },
    /// Behind all.
    Done,
}

/// Not a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadChunk;

impl Chunks {
    /// Before the first chunk.
    pub(crate) const fn new() -> Self {
        Self { state: State::Size { size: 0, n_digits: 0 } }
    }

    /// Whether the body has ended.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of `bytes` that belong to the body.
    ///
    /// # Errors
    /// [`BadChunk`]; nothing of what follows means anything.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            at += self.step(&bytes[at..])?;
        }
        Ok(at)
    }

    /// One byte, or as many of the data as there are. `rest` is not empty.
    fn step(&mut self, rest: &[u8]) -> Result<usize, BadChunk> {
        let byte = rest[0];
        let mut n_taken = 1;
        self.state = match (&self.state, byte) {
            (State::Size { size, n_digits }, b) if b.is_ascii_hexdigit() => {
                let digit = char::from(b).to_digit(16).ok_or(BadChunk)?;
                let (size, n_digits) = (size * 16 + u64::from(digit), n_digits + 1);
                if n_digits > DIGITS_MAX {
                    return Err(BadChunk);
                }
                State::Size { size, n_digits }
            }
            (State::Size { size, n_digits: 1.. }, b'\r') => State::SizeEnd { size: *size },
            (State::Size { size, n_digits: 1.. }, b';') => {
                State::Extension { size: *size, n_bytes: 0 }
            }
            (State::Extension { size, .. }, b'\r') => State::SizeEnd { size: *size },
            (State::Extension { size, n_bytes }, b)
                if is_text(b) && *n_bytes < SIZE_LINE_MAX_BYTES =>
            {
                State::Extension { size: *size, n_bytes: n_bytes + 1 }
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::TrailerBegin { n_bytes: 0 },
            (State::SizeEnd { size }, b'\n') => State::Data { left: *size },
            (State::Data { left }, _) => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                n_taken = rest.len().min(wanted);
                match left - n_taken as u64 {
                    0 => State::DataEnd { has_return: false },
                    left => State::Data { left },
                }
            }
            (State::DataEnd { has_return: false }, b'\r') => State::DataEnd { has_return: true },
            (State::DataEnd { has_return: true }, b'\n') => State::Size { size: 0, n_digits: 0 },
            (State::TrailerBegin { n_bytes }, b'\r') => {
                State::TrailerEnd { n_bytes: *n_bytes, is_last: true }
            }
            (State::TrailerBegin { n_bytes }, b) if super::head::is_token(b) => {
                State::Trailer { n_bytes: n_bytes + 1, has_colon: false }
            }
            (State::Trailer { n_bytes, has_colon: true }, b'\r') => {
                State::TrailerEnd { n_bytes: *n_bytes, is_last: false }
            }
            (State::Trailer { n_bytes, has_colon }, b) if *n_bytes < TRAILERS_MAX_BYTES => {
                let is_valid =
                    if *has_colon { is_text(b) } else { super::head::is_token(b) || b == b':' };
                if !is_valid {
                    return Err(BadChunk);
                }
                State::Trailer { n_bytes: n_bytes + 1, has_colon: *has_colon || b == b':' }
            }
            (State::TrailerEnd { is_last: true, .. }, b'\n') => State::Done,
            (State::TrailerEnd { n_bytes, .. }, b'\n') => State::TrailerBegin { n_bytes: *n_bytes },
            _ => return Err(BadChunk),
        };
        Ok(n_taken)
    }
}

/// Bytes of a header's value or an extension.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::{BadChunk, Chunks};

    /// Where the body in `bytes` ends, when they arrive in pieces of `piece` bytes.
    fn end(bytes: &[u8], piece: usize) -> Result<Option<usize>, BadChunk> {
        let mut chunks = Chunks::new();
        let mut at = 0;
        for piece in bytes.chunks(piece) {
            at += chunks.follow(piece)?;
            if chunks.is_done() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    #[track_caller]
    fn check(body: &str, expected: Result<Option<usize>, BadChunk>) {
        for piece in [1, 2, 3, 7, 1024] {
            assert_eq!(end(body.as_bytes(), piece), expected, "{body:?} in pieces of {piece}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        check("5\r\nhello\r\n0\r\n\r\nGET", Ok(Some(15)));
        check("0\r\n\r\n", Ok(Some(5)));
        check("00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", Ok(Some(28)));
        check("0\r\nX: y\r\nZ:\r\n\r\nrest", Ok(Some(15)));
        check("5\r\nhel", Ok(None));
    }

    #[test]
    fn what_could_be_read_otherwise_is_an_error() {
        for body in [
            "\r\n",
            ";x\r\n",
            "g\r\n",
            "5\nhello",
            "5\rhello",
            "5 \r\nhello",
            " 5\r\nhello",
            "+5\r\n",
            "0x5\r\n",
            "5\r\nhelloX",
            "5\r\nhello\n",
            "5\r\nhello\r5",
            "0\r\n x: y\r\n",
            "0\r\nx y\r\n",
            "0\r\nx\r\n",
            "0\r\nx:\ny",
            "0\r\n\n",
            "1000000000000000\r\n",
            "5;\u{1}\r\n",
        ] {
            check(body, Err(BadChunk));
        }
        check(&format!("5;{}\r\n", "x".repeat(300)), Err(BadChunk));
        check(&format!("0\r\n{}\r\n", "x: yyyyyy\r\n".repeat(2000)), Err(BadChunk));
    }
}
