//! Paths and queries, with everything unusual percent-encoded.

use std::fmt::Write as _;

/// `text` as one segment of a path or one value of a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        out
    })
}

/// Path of a machine, with `rest` (which begins with `/` or `?`, or is empty) after it.
pub(crate) fn machine(app: &str, id: &str, rest: &str) -> String {
    format!("/v1/apps/{}/machines/{}{rest}", encoded(app), encoded(id))
}

/// Path of a machine's self, with `rest` (which begins with `/` or `?`, or is empty) after it.
pub(crate) fn selfhood(app: &str, id: &str, rest: &str) -> String {
    machine(app, id, &format!("/self{rest}"))
}

/// Path of an app, with `rest` after it.
pub(crate) fn app(app: &str, rest: &str) -> String {
    format!("/v1/apps/{}{rest}", encoded(app))
}

#[cfg(test)]
mod tests {
    use super::{encoded, machine};

    #[test]
    fn unusual_bytes_are_encoded() {
        assert_eq!(encoded("a-b_c.d~9"), "a-b_c.d~9");
        assert_eq!(encoded("a/b ?ü"), "a%2Fb%20%3F%C3%BC");
        assert_eq!(machine("x/y", "1", "/start"), "/v1/apps/x%2Fy/machines/1/start");
    }
}
