//! Many things at once: a thousand alarms in one second, hundreds of messages a second.

use super::for_all;
use crate::clock::{ms_between, now_ns};
use crate::dormouse::Instance;
use crate::report::Row;
use crate::stats::Samples;
use crate::words;
use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Alarms that fire in the same second.
const ALARMS: usize = 1_000;

/// From setting the first alarm to their moment: several times what setting them takes.
const AHEAD: Duration = Duration::from_secs(20);

/// Longest wait for the last of them.
const ALL_MAX: Duration = Duration::from_mins(5);

/// Pause between two looks at who was woken; each looks at those alone that were not.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// Messages a second, for how many seconds, to how many machines.
const POSTS_PER_S: u64 = 500;
const POSTS_S: u64 = 10;
const INBOXES: usize = 100;

/// Threads that post, each on its own connection and its own part of the schedule.
const POSTERS: u64 = 8;

/// From the moment of the alarms to each machine's wake, as its trace has it.
pub(super) fn alarms(instance: &Rc<Instance>, machines: &[String]) -> anyhow::Result<Row> {
    let machines = &machines[..machines.len().min(ALARMS)];
    words::tell(&format!("{} alarms in one second", machines.len()));
    let at = model::clock::now().plus(model::DurationMs::from_secs(AHEAD.as_secs()));
    let text = Timestamp::from_millisecond(i64::try_from(at.0)?)?.to_string();
    for_all(instance, machines, |api, id| api.set_alarm(id, "storm", &text))?;
    ensure!(model::clock::now() < at, "setting the alarms took longer than {AHEAD:?}");
    std::thread::sleep(Duration::from_millis(at.since(model::clock::now()).0));
    let mut late = Samples::default();
    let mut waiting = machines.to_vec();
    let deadline = Instant::now() + ALL_MAX;
    while !waiting.is_empty() {
        ensure!(Instant::now() < deadline, "{} machines were not woken", waiting.len());
        std::thread::sleep(LOOK_PAUSE);
        let woken =
            for_all(instance, &waiting, |api, id| api.self_of(id).map(|own| woken_at(&own)))?;
        late.append(woken.iter().flatten().map(|woken| ms_since(at.0, *woken)).collect());
        let mut answers = woken.iter();
        waiting.retain(|_| answers.next().is_some_and(Option::is_none));
    }
    let mut row = Row::timed("alarms", &late);
    row.figures.push(("last_ms", late.max()));
    Ok(row)
}

/// When the machine was woken, in Unix milliseconds.
fn woken_at(own: &Value) -> Option<u64> {
    own["wake"]["at"]
        .as_str()
        .and_then(|at| at.parse::<Timestamp>().ok())
        .map_or_else(|| own["wake"]["at"].as_u64(), |at| u64::try_from(at.as_millisecond()).ok())
}

fn ms_since(from_ms: u64, until_ms: u64) -> f64 {
    Duration::from_millis(until_ms.saturating_sub(from_ms)).as_secs_f64() * 1e3
}

/// From the moment at which each post was to be sent to its answer: a slow answer delays nobody unseen.
pub(super) fn posts(instance: &Rc<Instance>, machines: &[String]) -> anyhow::Result<Row> {
    let inboxes = &machines[..machines.len().min(INBOXES)];
    ensure!(!inboxes.is_empty(), "there is nobody to post to");
    words::tell(&format!("{POSTS_PER_S} messages a second for {POSTS_S} s"));
    let apis = (0..POSTERS).map(|_| instance.connect()).collect::<anyhow::Result<Vec<_>>>()?;
    let began_ns = now_ns();
    let all: Vec<anyhow::Result<Samples>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..POSTERS)
            .zip(apis)
            .map(|(poster, mut api)| {
                scope.spawn(move || {
                    let mut samples = Samples::default();
                    for n in (poster..POSTS_PER_S * POSTS_S).step_by(usize::try_from(POSTERS)?) {
                        let due_ns = began_ns + n * 1_000_000_000 / POSTS_PER_S;
                        std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(now_ns())));
                        let id = &inboxes[usize::try_from(n)? % inboxes.len()];
                        api.post_message(id, &json!({"body": format!("message {n}")}))?;
                        samples.push(ms_between(due_ns, now_ns()));
                    }
                    Ok(samples)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
            .collect()
    });
    let mut samples = Samples::default();
    for part in all {
        samples.append(part.context("a post failed")?);
    }
    Ok(Row::timed("posts", &samples))
}
