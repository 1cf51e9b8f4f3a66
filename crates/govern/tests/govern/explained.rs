//! Why, in sentences; and what would be.

use crate::shell::{DUTY, NIGHTLY, NOW, QUEUE, Shell, fact, policy_write, rest_until};
use govern::{Stance, Write, Writer, dry_run, explain};
use model::{Depth, DurationMs, UnixMs, Want};

#[test]
fn asleep_by_its_own_word() {
    let mut shell = Shell::up(NIGHTLY);
    shell.pass_s(60);
    shell.own(rest_until("inbox.depth > 0", Depth::Stop));
    shell.pass_s(5);
    assert_eq!(
        shell.explain(),
        "asleep by its own word since 21:01 UTC until `inbox.depth > 0` (now 0); \
         next: alarm `night` 02:00 Europe/Rome in 3 h"
    );
}

#[test]
fn awake_because() {
    let mut shell = Shell::up(DUTY);
    assert!(shell.explain().starts_with("awake because nothing wants it to rest; next: "));
    shell.fact("watching", true, &Writer::Machine);
    assert!(
        shell
            .explain()
            .starts_with("awake because rule `duty`: `memory.watching` (now true) keeps it so"),
        "{}",
        shell.explain()
    );
    let why = explain(&shell.selfhood, &shell.policy, &shell.view(), shell.now);
    assert_eq!(why.woken.as_deref(), Some("by a call by local at 21:00 UTC"));
    assert_eq!(why.because.len(), 1);
    assert_eq!(why.next.map(|next| next.at.since(NOW).0 / 1000), Some(301));
}

#[test]
fn asleep_by_a_rule_whose_condition_is_over() {
    let mut shell = Shell::up(DUTY);
    shell.pass_s(600);
    assert!(!shell.is_up());
    assert_eq!(
        shell.explain(),
        "asleep (suspended) by rule `idle` since 21:06 UTC; nothing wakes it but a call or a request"
    );
    let mut worker = Shell::up(QUEUE);
    worker.call(Want::Down(Depth::Stop));
    worker.pass_s(1);
    let told = worker.explain();
    assert!(
        told.starts_with(
            "stopped by a call by local since 21:00 UTC; waits for rule `pile`: `inbox"
        ),
        "{told}"
    );
}

#[test]
fn asleep_and_nobody_will_wake_it() {
    let shell = Shell::new("{}");
    assert_eq!(shell.explain(), "asleep; nothing wakes it but a call or a request");
}

#[test]
fn a_dry_run_says_what_would_be_and_when_next() {
    let shell = Shell::up("{}");
    let writes = [policy_write(DUTY), fact("watching", true)];
    let run =
        dry_run(&shell.selfhood, &shell.policy, &writes, &Writer::Owner, &shell.view(), shell.now)
            .unwrap();
    assert!(matches!(run.verdict.stance, Stance::Held { .. }));
    assert_eq!(run.rules.len(), 2);
    let idle_at = shell.idle_since.expect("it is idle").plus(DurationMs::from_secs(301));
    assert_eq!(run.verdict.next_at, Some(idle_at));
    assert!(shell.selfhood.facts.is_empty());
    let refused = dry_run(
        &shell.selfhood,
        &shell.policy,
        &[fact("watching", true)],
        &Writer::Owner,
        &shell.view(),
        UnixMs(NOW.0 + 5),
    );
    assert_eq!(refused.unwrap_err().code(), "memory_undeclared");
}

#[test]
fn every_sentence_is_one_line() {
    let mut shell = Shell::up(DUTY);
    let reason = "a\nb".to_owned();
    let hold = Write::Hold { name: "h".to_owned(), lasts: DurationMs(60_000), reason };
    shell.own(hold);
    assert!(!shell.explain().contains('\n'), "{}", shell.explain());
}
