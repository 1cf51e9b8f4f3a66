//! The environment of programs and commands: what the orders say, Docker's defaults, and the host's
//! tools at the end of `PATH`.

use std::collections::BTreeMap;

/// `PATH` of a program that has none.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the launcher puts the host's tools, if it has any.
const TOOLS_DIR: &str = "/.fly/bin";

/// The whole environment: `base`, then `more` over it, then defaults for what is missing.
///
/// The tools come last in the `PATH` of `base` and of the default, so that no program of the image is
/// hidden by them. A `PATH` in `more` is meant as it is.
pub(crate) fn complete(
    base: &BTreeMap<String, String>,
    more: &BTreeMap<String, String>,
    home: &str,
    has_terminal: bool,
) -> BTreeMap<String, String> {
    let mut env = base.clone();
    let path = env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    add_tools(path);
    env.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut add_default = |name: &str, value: &str| {
        env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    add_default("HOME", home);
    if has_terminal {
        add_default("TERM", "xterm");
    }
    env
}

/// An empty `PATH` is somebody's wish; one that has the tools has them where somebody wants them.
fn add_tools(path: &mut String) {
    if !path.is_empty() && path.split(':').all(|dir| dir != TOOLS_DIR) {
        path.push(':');
        path.push_str(TOOLS_DIR);
    }
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
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/.fly/bin"),
            ("HOME", "/root"),
            ("TERM", "xterm"),
        ]);
        assert_eq!(env, expected);
    }

    #[test]
    fn what_is_set_stays() {
        let set = map(&[("HOME", "/h"), ("PATH", "/p:/.fly/bin:/q")]);
        assert_eq!(complete(&set, &BTreeMap::new(), "/root", false), set);
    }

    #[test]
    fn tools_come_last_where_nobody_says_otherwise() {
        let path = |base: &[(&str, &str)], more: &[(&str, &str)]| {
            complete(&map(base), &map(more), "/root", false)["PATH"].clone()
        };
        assert_eq!(path(&[("PATH", "/p")], &[]), "/p:/.fly/bin");
        assert_eq!(path(&[("PATH", "/p")], &[("PATH", "/only")]), "/only");
        assert_eq!(path(&[("PATH", "")], &[]), "");
    }
}
