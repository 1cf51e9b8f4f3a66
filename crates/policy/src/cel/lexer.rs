//! Words and signs of a condition.

use super::syntax::Span;
use crate::text::TextError;

/// A word or sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Ident(String),
    /// A whole number without its sign: the smallest `i64` has a larger size than the largest.
    Int(u64),
    Double(f64),
    Text(String),
    Sign(&'static str),
    End,
}

/// The signs, longer ones before those they begin with.
const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}",
];

/// Cuts `text` into tokens; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Span)>, TextError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        found.push((token, start..lexer.at));
        if is_end {
            return Ok(found);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.at += blank;
            let comment = self.rest().starts_with("//");
            if comment {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if blank == 0 {
                return;
            }
        }
    }

    fn token(&mut self) -> Result<Token, TextError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if let Some(quoted) = rest.strip_prefix(['r', 'R']).filter(|r| r.starts_with(['\'', '"'])) {
            self.at += 1;
            return self.quoted(quoted, true);
        }
        if matches!(first, '\'' | '"') {
            return self.quoted(rest, false);
        }
        let begins_number = first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()));
        if begins_number {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Token::Ident(self.word().to_owned()));
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            self.at += sign.len();
            return Ok(Token::Sign(sign));
        }
        Err(self.unexpected(first))
    }

    fn unexpected(&self, first: char) -> TextError {
        let span = self.at..self.at + first.len_utf8();
        let error = TextError::new(&span, format!("unexpected {first:?}"));
        match first {
            '&' => error.hint("and is written `&&`"),
            '|' => error.hint("or is written `||`"),
            '=' => error.hint("equality is written `==`"),
            '’' | '‘' | '“' | '”' => error.hint("texts stand in straight quotes: 'text'"),
            _ => error,
        }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn number(&mut self) -> Result<Token, TextError> {
        let start = self.at;
        if let Some(hex) = self.rest().strip_prefix("0x").or_else(|| self.rest().strip_prefix("0X"))
        {
            self.at += 2;
            let digits = &hex[..hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len())];
            self.at += digits.len();
            self.no_word_after(start)?;
            return u64::from_str_radix(digits, 16).map(Token::Int).map_err(|_bad_number| {
                TextError::new(&(start..self.at), "this number is not one of 64 bits")
            });
        }
        self.digits();
        let mut is_double = false;
        if self.rest().starts_with('.') {
            is_double = true;
            self.at += 1;
            if self.digits() == 0 {
                return Err(TextError::new(&(start..self.at), "a digit must follow the point"));
            }
        }
        if self.rest().starts_with(['e', 'E']) {
            is_double = true;
            self.at += 1;
            self.at += usize::from(self.rest().starts_with(['+', '-']));
            if self.digits() == 0 {
                return Err(TextError::new(&(start..self.at), "a digit must follow the exponent"));
            }
        }
        self.no_word_after(start)?;
        self.number_token(start, is_double)
    }

    fn number_token(&self, start: usize, is_double: bool) -> Result<Token, TextError> {
        let text = &self.text[start..self.at];
        let token = if is_double {
            text.parse().ok().filter(|d: &f64| d.is_finite()).map(Token::Double)
        } else {
            text.parse().ok().map(Token::Int)
        };
        token.ok_or_else(|| TextError::new(&(start..self.at), "this number is out of range"))
    }

    fn digits(&mut self) -> usize {
        let rest = self.rest();
        let n = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        self.at += n;
        n
    }

    fn no_word_after(&mut self, start: usize) -> Result<(), TextError> {
        let word = self.word();
        if word.is_empty() {
            return Ok(());
        }
        let error = TextError::new(&(start..self.at), "a number cannot end in letters");
        Err(match word {
            "u" | "U" => error.hint("leave out the `u`: there are no unsigned numbers here"),
            "ms" | "s" | "m" | "h" | "d" => error.hint(
                "names that end in `_s` are compared with plain seconds; elsewhere write duration('…')",
            ),
            _ => error,
        })
    }

    /// `quoted` begins with its quote, and `self.at` points at it.
    fn quoted(&mut self, quoted: &'a str, is_raw: bool) -> Result<Token, TextError> {
        let start = self.at;
        let quote = quoted.chars().next().unwrap_or('"');
        let unterminated = || TextError::new(&(start..start + 1), "this text has no end");
        let mut text = String::new();
        let mut chars = quoted.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at = start + at + 1;
                    return Ok(Token::Text(text));
                }
                '\n' | '\r' => return Err(unterminated()),
                '\\' if !is_raw => {
                    let (_, escape) = chars.next().ok_or_else(unterminated)?;
                    let span = start + at..start + at + 1 + escape.len_utf8();
                    text.push(escaped(escape, &mut chars, &span)?);
                }
                c => text.push(c),
            }
        }
        Err(unterminated())
    }
}

/// The character that `\` and `escape` stand for.
fn escaped(
    escape: char,
    chars: &mut impl Iterator<Item = (usize, char)>,
    span: &Span,
) -> Result<char, TextError> {
    let n_digits = match escape {
        'n' => return Ok('\n'),
        't' => return Ok('\t'),
        'r' => return Ok('\r'),
        '\\' | '\'' | '"' | '`' | '?' => return Ok(escape),
        'x' | 'X' => 2,
        'u' => 4,
        'U' => 8,
        _ => {
            let error = TextError::new(span, format!("unknown escape `\\{escape}`"));
            return Err(error.hint("a backslash itself is written `\\\\`"));
        }
    };
    let digits = chars.take(n_digits).map(|(_, c)| c.to_digit(16)).collect::<Vec<_>>();
    let code =
        digits.iter().try_fold(0_u32, |code, digit| code.checked_mul(16)?.checked_add((*digit)?));
    code.filter(|_| digits.len() == n_digits).and_then(char::from_u32).ok_or_else(|| {
        TextError::new(span, format!("`\\{escape}` needs {n_digits} hex digits of a character"))
    })
}
