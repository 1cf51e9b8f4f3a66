//! The faults this process was asked to have, read from the environment.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

/// When the process kills itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KillAt {
    Never,
    /// At this hit of the process.
    Nth(u64),
    /// At this hit of one name.
    Named {
        name: String,
        nth: u64,
    },
}

/// How steps are bent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StepPlan {
    Straight,
    Twice,
    FailOnce(u64),
    FailAlways(String),
}

/// What takes longer than it would.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    pub(crate) name: String,
    pub(crate) time: Duration,
}

/// Everything asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kill: KillAt,
    pub(crate) log: Option<File>,
    pub(crate) step: StepPlan,
    pub(crate) delay: Option<Delay>,
    pub(crate) disk_full_from: Option<u64>,
}

impl Plan {
    /// Reads the variables named in the crate's documentation.
    ///
    /// # Panics
    /// When one of them does not parse or the log cannot be opened.
    pub(crate) fn from_env() -> Self {
        Self {
            kill: wanted("DORMOUSE_FAILPOINT", parse_kill).unwrap_or(KillAt::Never),
            log: wanted("DORMOUSE_FAILPOINT_LOG", |path| {
                File::options().append(true).create(true).open(path).ok()
            }),
            step: wanted("DORMOUSE_STEP_FAULT", parse_step).unwrap_or(StepPlan::Straight),
            delay: wanted("DORMOUSE_DELAY", parse_delay),
            disk_full_from: wanted("DORMOUSE_DISK_FULL", parse_count),
        }
    }

    /// Whether nothing at all was asked for.
    pub(crate) fn is_idle(&self) -> bool {
        self.kill == KillAt::Never
            && self.log.is_none()
            && self.step == StepPlan::Straight
            && self.delay.is_none()
            && self.disk_full_from.is_none()
    }
}

/// The parsed value of a variable; `None` when it is unset or empty.
fn wanted<T>(variable: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
    match parse(&value) {
        Some(parsed) => Some(parsed),
        None => panic!("{variable}={value}: not understood or not usable"),
    }
}

fn parse_count(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n| *n > 0)
}

fn parse_kill(text: &str) -> Option<KillAt> {
    match text.split_once('#') {
        None => parse_count(text).map(KillAt::Nth),
        Some((name, nth)) => {
            parse_count(nth).map(|nth| KillAt::Named { name: name.to_owned(), nth })
        }
    }
}

fn parse_step(text: &str) -> Option<StepPlan> {
    match text.split_once(':') {
        None => (text == "twice").then_some(StepPlan::Twice),
        Some(("fail-once", n)) => parse_count(n).map(StepPlan::FailOnce),
        Some(("fail-always", name)) => Some(StepPlan::FailAlways(name.to_owned())),
        Some(_) => None,
    }
}

fn parse_delay(text: &str) -> Option<Delay> {
    let (name, ms) = text.split_once(':')?;
    let time = Duration::from_millis(parse_count(ms)?);
    Some(Delay { name: name.to_owned(), time })
}

/// Appends `line` with one write, so that lines of several processes never mix.
pub(crate) fn append_line(mut log: &File, line: &str) {
    log.write_all(line.as_bytes()).expect("the failpoint log is writable");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_is_a_count_or_a_name_with_a_count() {
        assert_eq!(parse_kill("7"), Some(KillAt::Nth(7)));
        let named = KillAt::Named { name: "store.commit.before".to_owned(), nth: 2 };
        assert_eq!(parse_kill("store.commit.before#2"), Some(named));
        for wrong in ["0", "x", "a#0", "a#", "-1"] {
            assert_eq!(parse_kill(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_delay_is_a_name_and_milliseconds() {
        let delay = Delay { name: "store.sync".to_owned(), time: Duration::from_millis(5) };
        assert_eq!(parse_delay("store.sync:5"), Some(delay));
        for wrong in ["store.sync", "store.sync:", "store.sync:0", "5"] {
            assert_eq!(parse_delay(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn step_fault_is_one_of_three_forms() {
        assert_eq!(parse_step("twice"), Some(StepPlan::Twice));
        assert_eq!(parse_step("fail-once:3"), Some(StepPlan::FailOnce(3)));
        assert_eq!(parse_step("fail-always:net"), Some(StepPlan::FailAlways("net".to_owned())));
        for wrong in ["once", "fail-once:0", "fail-once", "else:1"] {
            assert_eq!(parse_step(wrong), None, "{wrong}");
        }
    }
}
