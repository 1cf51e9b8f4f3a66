//! The environment of programs and commands: what the orders say, and Docker's defaults.

use std::collections::BTreeMap;

/// `PATH` of a program that has none.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment: `base`, then `more` over it, then defaults for what is missing.
pub(crate) fn complete(
    base: &BTreeMap<String, String>,
    more: &BTreeMap<String, String>,
    home: &str,
    has_terminal: bool,
) -> BTreeMap<String, String> {
    let mut env = base.clone();
    env.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut add_default = |name: &str, value: &str| {
        env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    add_default("PATH", DEFAULT_PATH);
    add_default("HOME", home);
    if has_terminal {
        add_default("TERM", "xterm");
    }
    env
}

/// `NAME=value` lines.
pub(crate) fn lines(env: BTreeMap<String, String>) -> Vec<String> {
    env.into_iter()
        .map(|(mut name, value)| {
            name.push('=');
            name.push_str(&value);
            name
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn later_words_win_and_defaults_fill_gaps() {
        let env = complete(&map(&[("A", "1"), ("B", "1")]), &map(&[("B", "2")]), "/root", true);
        let expected = map(&[
            ("A", "1"),
            ("B", "2"),
            ("PATH", DEFAULT_PATH),
            ("HOME", "/root"),
            ("TERM", "xterm"),
        ]);
        assert_eq!(env, expected);
    }

    #[test]
    fn what_is_set_stays() {
        let set = map(&[("HOME", "/h"), ("PATH", "/p")]);
        assert_eq!(complete(&set, &BTreeMap::new(), "/root", false), set);
    }
}
