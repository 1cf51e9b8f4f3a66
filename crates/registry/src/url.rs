//! What this client needs to know of URLs: where they lead, and how to build them.

use crate::reference;
use hyper::Uri;
use std::fmt;

/// Longest URL that is followed, in bytes: signed URLs of blob stores have about two thousand.
pub(crate) const URL_MAX_BYTES: usize = 16 * 1024;

/// Scheme, host and port: what credentials and connections belong to. Source: RFC 6454.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// Whether it is spoken to with TLS.
    pub(crate) is_tls: bool,
    /// Host in lower case, without brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of an absolute `http` or `https` URL without user information.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host().to_ascii_lowercase();
        // Buckets of blob stores may have an underscore, which no host name should.
        let plain = host.trim_end_matches('.').replace('_', "-");
        if authority.as_str().contains('@') || !reference::is_host(&plain) {
            return None;
        }
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches([']', '.']).to_owned();
        Some(Self { is_tls, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_usual = self.port == if self.is_tls { 443 } else { 80 };
        match (self.host.contains(':'), is_usual) {
            (true, true) => write!(f, "[{}]", self.host),
            (true, false) => write!(f, "[{}]:{}", self.host, self.port),
            (false, true) => f.write_str(&self.host),
            (false, false) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Where `location` leads from `base`, without its fragment; nothing when it leads nowhere.
pub(crate) fn follow(base: &Uri, location: &str) -> Option<Uri> {
    if location.len() > URL_MAX_BYTES {
        return None;
    }
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let absolute = if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let parent = base.path().rsplit_once('/').map_or("", |(parent, _)| parent);
        format!("{scheme}://{authority}{parent}/{location}")
    };
    absolute.parse().ok()
}

/// `name=value` pairs as the query of a URL or the body of a form.
pub(crate) fn encode(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

/// Escapes all but the unreserved characters. Source: RFC 3986, 2.3.
fn escape(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_follow(location: &str, expected: Option<&str>) {
        let base = "https://r.io:5000/v2/a/blobs/x?y=z".parse().expect("a URL");
        let found = follow(&base, location).map(|uri| uri.to_string());
        assert_eq!(found.as_deref(), expected, "{location}");
    }

    #[test]
    fn locations_are_relative_to_their_base() {
        check_follow("https://cdn.io/b?sig=1", Some("https://cdn.io/b?sig=1"));
        check_follow("//cdn.io/b", Some("https://cdn.io/b"));
        check_follow("/b?u=https://x/", Some("https://r.io:5000/b?u=https://x/"));
        check_follow("b", Some("https://r.io:5000/v2/a/blobs/b"));
        check_follow("/b#part", Some("https://r.io:5000/b"));
        check_follow("https://", None);
        check_follow(&format!("/{}", "a".repeat(URL_MAX_BYTES)), None);
    }

    #[track_caller]
    fn check_origin(uri: &str, expected: Option<(bool, &str, u16)>) {
        let origin = uri.parse().ok().as_ref().and_then(Origin::of);
        let found = origin.as_ref().map(|o| (o.is_tls, o.host.as_str(), o.port));
        assert_eq!(found, expected, "{uri}");
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        check_origin("https://R.io/a", Some((true, "r.io", 443)));
        check_origin("https://r.io./a", Some((true, "r.io", 443)));
        check_origin("http://[::1]:5000/", Some((false, "::1", 5000)));
        check_origin("https://user:pw@r.io/", None);
        check_origin("ftp://r.io/", None);
        check_origin("https://my_bucket.s3.io/", Some((true, "my_bucket.s3.io", 443)));
        check_origin("https://a..b/", None);
        check_origin("/a", None);
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            encode(&[("a", "b c&d=é"), ("scope", "r:x:pull")]),
            "a=b%20c%26d%3D%C3%A9&scope=r%3Ax%3Apull"
        );
    }
}
