//! The `Authorization` header: forgiving in its words, because users paste tokens as they find them.

/// Most tokens tried of one header.
const TOKENS_MAX: usize = 8;

/// The tokens of an `Authorization` header: after `Bearer` or `FlyV1` (either word, in any case, also
/// one after the other), joined by commas. Access is granted if any one is valid.
pub fn bearer_tokens(header: &str) -> impl Iterator<Item = &str> {
    let mut rest = header.trim();
    while let Some((word, after)) = rest.split_once(char::is_whitespace) {
        if !word.eq_ignore_ascii_case("bearer") && !word.eq_ignore_ascii_case("flyv1") {
            break;
        }
        rest = after.trim_start();
    }
    rest.split(',').map(str::trim).filter(|token| !token.is_empty()).take(TOKENS_MAX)
}

#[cfg(test)]
mod tests {
    use super::bearer_tokens;

    #[track_caller]
    fn check(header: &str, tokens: &[&str]) {
        assert_eq!(bearer_tokens(header).collect::<Vec<_>>(), tokens, "{header}");
    }

    #[test]
    fn both_scheme_words_are_stripped() {
        check("Bearer abc", &["abc"]);
        check("bearer  abc ", &["abc"]);
        check("FlyV1 fm2_a,fm2_b", &["fm2_a", "fm2_b"]);
        check("Bearer FlyV1 fm2_a, fm2_b", &["fm2_a", "fm2_b"]);
        check("abc", &["abc"]);
        check("", &[]);
        check("Bearer ", &["Bearer"]);
        check(&"x,".repeat(100), &["x"; 8]);
    }
}
