//! Answers as plain lines: what a person reads and a shell takes apart.
//!
//! Lists are lines of fields with a tab between them. Tabs, line ends and other control characters in
//! a field are escaped as in JSON, so that a line stays a line whatever others have written.

use crate::failure::Failure;
use serde_json::{Value, json};

/// How an answer is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// Not at all: it is done.
    Nothing,
    /// One fact: its value.
    Fact,
    /// All facts, `KEY=VALUE`.
    Facts,
    /// The fact of this key among all.
    FactOf(String),
    /// The number of a message.
    Seq,
    /// Messages: number, sender, text.
    Messages,
    /// Holds: name, end, reason.
    Holds,
    /// Alarms: name, next firing, what it is, whether it is due.
    Alarms,
    /// Why the machine is as it is.
    Why,
    /// A notice of a rest: how deep, deadline, vetoes left, cause.
    Notice,
    /// A peer: its state and facts.
    Peer,
    /// The policy.
    Policy,
}

impl Show {
    /// The text of an answer.
    ///
    /// # Errors
    /// [`Failure::Refused`] when what was asked for is not in it.
    pub fn text(&self, answer: &Value) -> Result<String, Failure> {
        Ok(match self {
            Self::Nothing => String::new(),
            Self::Fact => fact(answer),
            Self::Facts => facts(answer).join("\n"),
            Self::FactOf(key) => {
                let found = answer["facts"].get(key).ok_or_else(|| missing(key))?;
                fact(found)
            }
            Self::Seq => plain(&answer["seq"]),
            Self::Messages => {
                lines(answer["messages"].as_array().into_iter().flatten(), |message| {
                    vec![plain(&message["seq"]), plain(&message["from"]), plain(&message["body"])]
                })
            }
            Self::Holds => named(&answer["holds"], |hold| {
                vec![plain(&hold["expires_at"]), plain(&hold["reason"])]
            }),
            Self::Alarms => named(&answer["alarms"], alarm),
            Self::Why => why(answer),
            Self::Notice => notice(&answer["notice"]),
            Self::Peer => {
                let state = &answer["state"];
                let age = plain(&state["age_s"]);
                let head = [("state", plain(&state["state"])), ("age_s", age)];
                let head = head.iter().filter(|(_, value)| !value.is_empty());
                let mut all: Vec<_> = head.map(|(name, value)| format!("{name}={value}")).collect();
                all.extend(
                    facts(&answer["memory"]).into_iter().map(|fact| format!("memory.{fact}")),
                );
                all.join("\n")
            }
            Self::Policy if answer["policy"].is_null() => String::new(),
            Self::Policy => format!("{:#}", answer["policy"]),
        })
    }
}

fn missing(key: &str) -> Failure {
    Failure::Refused {
        status: 404,
        body: json!({
            "error": format!("there is no fact `{key}`"),
            "code": "self_missing",
        }),
    }
}

fn facts(answer: &Value) -> Vec<String> {
    let facts = answer["facts"].as_object().into_iter().flatten();
    facts.map(|(key, value)| escaped(&format!("{key}={}", fact(value)))).collect()
}

/// The value of a fact, such that `dm set` would make the same of it.
fn fact(fact: &Value) -> String {
    if fact["secret"] == true {
        return "(secret)".to_owned();
    }
    match &fact["value"] {
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => text.clone(),
        value => value.to_string(),
    }
}

fn alarm(alarm: &Value) -> Vec<String> {
    let kinds = ["at", "every", "cron"].into_iter().filter(|kind| alarm[kind].is_string());
    let pattern = kinds.map(|kind| format!("{kind} {}", plain(&alarm[kind]))).next();
    let zone = alarm["tz"].as_str().map(|zone| format!(" {zone}")).unwrap_or_default();
    let due = if alarm["due"].is_object() { "due" } else { "" };
    vec![plain(&alarm["next"]), pattern.unwrap_or_default() + &zone, due.to_owned()]
}

fn why(answer: &Value) -> String {
    let explain = &answer["explain"];
    let mut all = vec![plain(&explain["sentence"])];
    all.extend(explain["woken"].as_str().map(|woken| format!("woken {woken}")));
    let because = explain["because"].as_array().into_iter().flatten();
    all.extend(because.map(|line| format!("- {}", plain(line))));
    all.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n")
}

fn notice(notice: &Value) -> String {
    if notice.is_null() {
        return String::new();
    }
    let fields = ["mode", "deadline", "vetoes_left", "cause"];
    line(&fields.map(|field| plain(&notice[field])))
}

/// Lines of an object's members, the name first.
fn named(object: &Value, fields: impl Fn(&Value) -> Vec<String>) -> String {
    let members = object.as_object().into_iter().flatten();
    let rows = members.map(|(name, value)| {
        let mut row = vec![name.clone()];
        row.extend(fields(value));
        line(&row)
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn lines<'a>(
    values: impl Iterator<Item = &'a Value>,
    fields: impl Fn(&'a Value) -> Vec<String>,
) -> String {
    values.map(|value| line(&fields(value))).collect::<Vec<_>>().join("\n")
}

fn line(fields: &[String]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| escaped(field)).collect();
    fields.join("\t").trim_end_matches('\t').to_owned()
}

/// A text as it is, nothing for `null`, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Without control characters: nothing may end a line or move a terminal's cursor.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            c if c.is_control() => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(show: &Show, answer: &Value, expected: &str) {
        assert_eq!(show.text(answer).expect("shown"), expected);
    }

    #[test]
    fn facts_read_as_they_are_set() {
        let facts = json!({"facts": {
            "a": {"value": 5}, "b": {"value": "five"}, "c": {"value": "5"},
            "d": {"value": null, "secret": true}, "e": {"value": "two\nlines"},
            "f": {"value": {"x": [1]}},
        }});
        let lines = "a=5\nb=five\nc=\"5\"\nd=(secret)\ne=two\\nlines\nf={\"x\":[1]}";
        check(&Show::Facts, &facts, lines);
        check(&Show::FactOf("b".to_owned()), &facts, "five");
        assert!(Show::FactOf("z".to_owned()).text(&facts).is_err());
        check(&Show::Fact, &json!({"key": "e", "value": "two\nlines"}), "two\nlines");
    }

    #[test]
    fn lists_are_lines_of_fields() {
        let messages = json!({"messages": [
            {"seq": 7, "from": "peer:a", "body": "a\tb\n\u{1b}[2J"}, {"seq": 8, "from": "owner", "body": ""},
        ]});
        check(&Show::Messages, &messages, "7\tpeer:a\ta\\tb\\n\\u001b[2J\n8\towner");
        check(&Show::Messages, &json!({"messages": []}), "");
        let holds = json!({"holds": {"job": {"expires_at": "T", "reason": "r", "writer": "self"}}});
        check(&Show::Holds, &holds, "job\tT\tr");
        let alarms = json!({"alarms": {
            "a": {"cron": "0 2 * * *", "tz": "Europe/Rome", "next": "N", "due": {"count": 1}},
            "b": {"at": "T", "missed": "once"},
        }});
        check(&Show::Alarms, &alarms, "a\tN\tcron 0 2 * * * Europe/Rome\tdue\nb\t\tat T");
    }

    #[test]
    fn reasons_come_as_sentences() {
        let why = json!({"explain": {"sentence": "awake", "because": ["x\u{7}"], "woken": "by a"}});
        check(&Show::Why, &why, "awake\nwoken by a\n- x\\u0007");
        let notice = json!({"notice": {
            "mode": "stop", "deadline": "T", "vetoes_left": 3, "cause": "rule", "rule": "idle"}});
        check(&Show::Notice, &notice, "stop\tT\t3\trule");
        check(&Show::Notice, &json!({"notice": null}), "");
        let peer = json!({
            "state": {"state": "started", "age_s": 3}, "memory": {"facts": {"k": {"value": 1}}}});
        check(&Show::Peer, &peer, "state=started\nage_s=3\nmemory.k=1");
    }

    #[test]
    fn a_policy_is_a_document() {
        check(&Show::Policy, &json!({"policy": {"rules": []}}), "{\n  \"rules\": []\n}");
        check(&Show::Policy, &json!({"policy": null}), "");
        check(&Show::Seq, &json!({"seq": 4}), "4");
        check(&Show::Nothing, &json!({"revision": 4}), "");
    }
}
