//! How many calls holders of tokens may make. Off unless the operator wants it.
//!
//! Each action has a bucket for each thing that it is done to: starting one machine does not keep
//! anybody from starting another. Source of the paces: machines-api 1.2.

use crate::auth::Identity;
use crate::problem::Problem;
use axum::http::{Method, Request, StatusCode};
use model::bucket::{Bucket, Pace};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Any action.
const ACTION: Pace = Pace { burst: 3, per_second: 1 };

/// Looking at one machine.
const LOOK: Pace = Pace { burst: 10, per_second: 5 };

/// Deletions of apps, together; 100 a minute.
const APP_DELETIONS: Pace = Pace { burst: 100, per_second: 2 };

/// Buckets that are looked through for full ones, which need not be kept, before another is added.
const KEPT_MAX: usize = 4096;

/// Counts the calls of token holders; clones count together.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// So many times the paces of the Machines API.
    factor: NonZeroU32,
    buckets: Arc<Mutex<HashMap<Action, Bucket<Instant>>>>,
}

/// What is done to what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Action {
    verb: String,
    /// A machine, or an app; nothing for what counts together.
    on: String,
}

impl Limits {
    /// So many times the paces of the Machines API.
    pub(super) fn new(factor: NonZeroU32) -> Self {
        Self { factor, buckets: Arc::default() }
    }

    /// Counts one call.
    ///
    /// # Errors
    /// 429, when there were too many.
    pub(super) fn admit<B>(&self, who: &Identity, request: &Request<B>) -> Result<(), Problem> {
        let Identity::Token(_) = who else { return Ok(()) };
        let Some((action, pace)) = action(request.method(), request.uri().path()) else {
            return Ok(());
        };
        self.take(action, pace, Instant::now()).map_err(too_fast)
    }

    fn take(&self, action: Action, pace: Pace, now: Instant) -> Result<(), Duration> {
        let factor = self.factor.get();
        let pace = Pace {
            burst: pace.burst.saturating_mul(factor),
            per_second: pace.per_second.saturating_mul(factor),
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEPT_MAX {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        buckets.entry(action).or_insert(Bucket::full(pace, now)).take(now)
    }
}

fn too_fast(wait: Duration) -> Problem {
    let text = "rate limit exceeded";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text)
        .hint(format!("wait {} s: each action on each machine or app is counted", seconds(wait)))
        .retryable()
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// What a request counts as; `None` for what is not counted: what a machine remembers has bounds of
/// its own, and what is not below an app is the owner's.
fn action(method: &Method, path: &str) -> Option<(Action, Pace)> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    if (segments.next(), segments.next()) != (Some("v1"), Some("apps")) {
        return None;
    }
    let app = segments.next()?;
    let rest: Vec<&str> = segments.collect();
    let on = |verb: String, on: &str| Action { verb, on: on.to_owned() };
    match rest.as_slice() {
        ["machines", _, "self", ..] => None,
        ["machines", machine] if method == Method::GET => {
            Some((on("GET machine".to_owned(), machine), LOOK))
        }
        ["machines", machine, verb @ ..] => {
            let verb = verb.first().copied().unwrap_or("machine");
            Some((on(format!("{method} {verb}"), machine), ACTION))
        }
        [] if method == Method::DELETE => Some((on("DELETE app".to_owned(), ""), APP_DELETIONS)),
        [] => Some((on(format!("{method} app"), app), ACTION)),
        [verb, ..] => Some((on(format!("{method} {verb}"), app), ACTION)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &Method, path: &str, expected: Option<(&str, &str, Pace)>) {
        let found = action(method, path);
        let found = found.as_ref().map(|(a, pace)| (a.verb.as_str(), a.on.as_str(), *pace));
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn each_action_counts_for_its_machine_or_app() {
        let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
        check(&get, "/v1/apps", None);
        check(&post, "/v1/tokens", None);
        check(&get, "/v1/apps/web", Some(("GET app", "web", ACTION)));
        check(&delete, "/v1/apps/web", Some(("DELETE app", "", APP_DELETIONS)));
        check(&post, "/v1/apps/web/machines", Some(("POST machines", "web", ACTION)));
        check(&post, "/v1/apps/web/secrets/A", Some(("POST secrets", "web", ACTION)));
        check(&get, "/v1/apps/web/machines/m1", Some(("GET machine", "m1", LOOK)));
        check(&post, "/v1/apps/web/machines/m1", Some(("POST machine", "m1", ACTION)));
        check(&post, "/v1/apps/web/machines/m1/start", Some(("POST start", "m1", ACTION)));
        check(&get, "/v1/apps/web/machines/m1/metadata/k", Some(("GET metadata", "m1", ACTION)));
        check(&get, "/v1/apps/web/machines/m1/self/memory", None);
    }

    #[test]
    fn a_burst_passes_and_what_comes_after_waits() {
        let now = Instant::now();
        let n_passed = |factor: u32, pace: Pace| {
            let limits = Limits::new(NonZeroU32::new(factor).expect("not zero"));
            let (action, _) = action(&Method::GET, "/v1/apps/web").expect("counted");
            (0..1000).filter(|_| limits.take(action.clone(), pace, now).is_ok()).count()
        };
        assert_eq!([n_passed(1, ACTION), n_passed(1, LOOK), n_passed(10, ACTION)], [3, 10, 30]);
        assert_eq!(n_passed(1, APP_DELETIONS), 100);
    }

    #[test]
    fn the_refusal_says_what_the_machines_api_says() {
        let problem = too_fast(Duration::from_millis(1));
        assert_eq!(problem.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(problem.body.error, "rate limit exceeded");
        assert!(problem.body.retryable);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
    }
}
