//! Facts, spans and moments as words of the command line write them.

use api::contract::selfhood::{Moment, Span};
use policy::period::Period;
use serde_json::Value;

/// A fact: its key, and its value as JSON.
pub(crate) type FactWord = (String, Value);

/// `KEY=VALUE`: a value is JSON, or else a text.
pub(crate) fn fact(word: &str) -> Result<FactWord, String> {
    let pair = word.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("expected `KEY=VALUE`")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_text| Value::from(value));
    if value.is_null() {
        return Err(format!("`unset {key}` removes a fact"));
    }
    Ok((key.to_owned(), value))
}

/// `90`, `90s`, `1h30m`.
pub(crate) fn span(word: &str) -> Result<Span, String> {
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let with_unit = if is_number { format!("{word}s") } else { word.to_owned() };
    with_unit.parse::<Period>().map(Span).map_err(|_wrong| dm::when::SPAN_FORMS.to_owned())
}

/// `+90s`, `09:00` (the next, UTC), or RFC 3339.
pub(crate) fn moment(word: &str) -> Result<Moment, String> {
    let text = dm::when::moment(word, dm::when::now_s())
        .ok_or_else(|| dm::when::MOMENT_FORMS.to_owned())?;
    text.parse().map_err(|_wrong| dm::when::MOMENT_FORMS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{fact, moment, span};
    use serde_json::json;

    #[test]
    fn facts_are_json_or_text() {
        assert_eq!(fact("a=5"), Ok(("a".to_owned(), json!(5))));
        assert_eq!(fact("a.b=x=y"), Ok(("a.b".to_owned(), json!("x=y"))));
        assert_eq!(fact("a=\"5\""), Ok(("a".to_owned(), json!("5"))));
        for wrong in ["a", "=5", "a=null"] {
            assert!(fact(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_and_moments() {
        assert_eq!(span("90").map(|span| span.to_ms().0), Ok(90_000));
        assert_eq!(span("1h30m").map(|span| span.to_ms().0), Ok(5_400_000));
        let at = moment("2026-11-21T11:00:00+01:00").map(|at| at.to_string());
        assert_eq!(at.as_deref(), Ok("2026-11-21T10:00:00Z"));
        assert!(moment("+5m").is_ok() && moment("09:00").is_ok());
        for wrong in ["", "soon", "-5s"] {
            assert!(span(wrong).is_err() && moment(wrong).is_err(), "{wrong}");
        }
    }
}
