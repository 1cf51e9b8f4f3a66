//! Challenges: how a registry says what it wants to see (`WWW-Authenticate`).
//!
//! Pure. Reads any number of challenges in any number of headers, quoted or not, in any order;
//! what cannot be understood is skipped up to the next comma.
//!
//! Source: RFC 9110, 11.3 and 11.6.1; Docker Registry v2 token authentication.

/// Longest header that is read, in bytes: realm, service and a scope of many repositories.
const HEADER_MAX_BYTES: usize = 8 * 1024;
/// Challenges that are read; a registry sends one or two.
const CHALLENGES_MAX: usize = 8;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A user name and a password, sent to the registry itself.
    Basic,
    /// A token, which the token server at `realm` gives out.
    Bearer {
        /// URL of the token server.
        realm: String,
        /// What the token server calls the registry.
        service: Option<String>,
        /// What the token must allow: `repository:team/web:pull`, several with spaces.
        scope: Option<String>,
    },
}

/// The challenges in `WWW-Authenticate` headers, in their order; those of other schemes and those
/// without a realm to ask are left out.
pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    headers
        .into_iter()
        .filter(|header| header.len() <= HEADER_MAX_BYTES)
        .flat_map(|header| Scanner { rest: header }.challenges())
        .filter_map(Raw::into_challenge)
        .take(CHALLENGES_MAX)
        .collect()
}

/// A scheme and its parameters, names in lower case.
#[derive(Debug, Default)]
struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Raw {
    fn into_challenge(self) -> Option<Challenge> {
        if self.scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !self.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            let found = self.parameters.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let realm = value("realm")?;
        Some(Challenge::Bearer { realm, service: value("service"), scope: value("scope") })
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn challenges(mut self) -> Vec<Raw> {
        let mut found: Vec<Raw> = Vec::new();
        loop {
            self.skip(|c| matches!(c, ',' | ' ' | '\t'));
            if self.rest.is_empty() {
                return found;
            }
            let word = self.take(is_token);
            if let Some(value) = self.value_after_equals() {
                if let Some(raw) = found.last_mut() {
                    raw.parameters.push((word.to_ascii_lowercase(), value));
                }
            } else if word.is_empty() {
                self.skip(|c| c != ',');
            } else {
                found.push(Raw { scheme: word, parameters: Vec::new() });
            }
        }
    }

    /// The value, when `=` comes next; the rest stays as it was otherwise.
    fn value_after_equals(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start_matches([' ', '\t']).strip_prefix('=')?;
        self.skip(|c| matches!(c, ' ' | '\t'));
        Some(match self.rest.strip_prefix('"') {
            Some(quoted) => {
                self.rest = quoted;
                self.quoted()
            }
            None => self.take(|c| !matches!(c, ',' | ' ' | '\t')),
        })
    }

    /// A quoted string after its first quote; without a last one it goes to the end.
    fn quoted(&mut self) -> String {
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return value;
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => value.push(c),
            }
        }
        self.rest = "";
        value
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(is_skipped);
    }

    fn take(&mut self, is_taken: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !is_taken(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }
}

/// Source: RFC 9110, 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) }
    }

    #[track_caller]
    fn check(header: &str, expected: &[Challenge]) {
        assert_eq!(parse([header]), expected, "{header}");
    }

    #[test]
    fn challenges_of_real_registries() {
        check(
            r#"Bearer realm="https://auth.example.com/token",service="r.example.com",scope="repository:a/b:pull""#,
            &[bearer(
                "https://auth.example.com/token",
                Some("r.example.com"),
                Some("repository:a/b:pull"),
            )],
        );
        check(r#"Basic realm="Registry Realm""#, &[Challenge::Basic]);
        check(
            r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull,push",error="invalid_token""#,
            &[bearer("https://a/t", Some("s"), Some("repository:x:pull,push"))],
        );
    }

    #[test]
    fn spaces_case_order_escapes_and_missing_quotes() {
        check(
            r#"bearer Realm = "https://a/t" , SERVICE=s"#,
            &[bearer("https://a/t", Some("s"), None)],
        );
        check(r#"BEARER realm=https://a/t"#, &[bearer("https://a/t", None, None)]);
        check(r#"Bearer realm="https://a/\"t\\""#, &[bearer("https://a/\"t\\", None, None)]);
        check(r#"Bearer realm="https://a/t"#, &[bearer("https://a/t", None, None)]);
    }

    #[test]
    fn several_challenges_in_one_header_and_in_many() {
        let bearer = bearer("https://a/t", None, None);
        check(
            r#"Basic realm="x", Bearer realm="https://a/t""#,
            &[Challenge::Basic, bearer.clone()],
        );
        check(
            r#"Negotiate YII=, Basic realm="x, Bearer y", Bearer realm="https://a/t""#,
            &[Challenge::Basic, bearer.clone()],
        );
        assert_eq!(parse(["Basic", r#"Bearer realm="https://a/t""#]), [Challenge::Basic, bearer]);
    }

    #[test]
    fn what_cannot_be_used_is_left_out() {
        for header in
            ["", ",,,", "Bearer", "Bearer realm=\"\"", "Digest realm=\"x\"", "=\"x\"", "\u{1f600}"]
        {
            check(header, &[]);
        }
        check(&format!("Bearer realm=\"{}\"", "a".repeat(HEADER_MAX_BYTES)), &[]);
        assert_eq!(parse(["Basic, ".repeat(50).as_str()]).len(), CHALLENGES_MAX);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in "\\PC{0,120}") {
            drop(parse([header.as_str()]));
        }

        #[test]
        fn quoted_values_come_back(value in "[ -~]{1,40}", service in "[a-z.]{1,20}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer service={service},realm=\"{quoted}\"");
            prop_assert_eq!(parse([header.as_str()]), vec![bearer(&value, Some(&service), None)]);
        }
    }
}
