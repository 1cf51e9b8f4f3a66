//! The worked policies of the design, each with a story.

use crate::given::{Given, NOW};
use model::UnixMs;
use policy::{
    Effect, Level, Policy, Reading, RuleState, Severity, Value, Write, WriteRefused, Writer,
    advance, check_write, dry_run, lint,
};
use serde_json::json;

const DUTY: &str = include_str!("worked/duty-monitor.json");
const QUEUE: &str = include_str!("worked/queue-worker.json");
const NIGHTLY: &str = include_str!("worked/nightly-job.json");
const AGENT: &str = include_str!("worked/waiting-agent.json");
const STANDBY: &str = include_str!("worked/standby.json");

fn policy(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap_or_else(|findings| panic!("{}", findings[0]))
}

fn later(s: u64) -> UnixMs {
    UnixMs(NOW.0 + s * 1000)
}

/// Follows one rule through time, looking only when it asks to be looked at.
struct Story<'a> {
    policy: &'a Policy,
    rule: usize,
    state: RuleState,
    next: Option<UnixMs>,
}

impl<'a> Story<'a> {
    fn of(policy: &'a Policy, id: &str) -> Self {
        let rule = policy.rules().iter().position(|rule| &*rule.id == id).expect("the rule");
        Self { policy, rule, state: RuleState::default(), next: None }
    }

    /// Whether the rule stands `s` seconds after the beginning.
    fn at(&mut self, s: u64, given: &Given) -> bool {
        let rule = &self.policy.rules()[self.rule];
        let now = later(s);
        let (when, until) = rule.evaluate(given, now);
        let until = until.map(|outcome| outcome.truth);
        let advanced = advance(rule, self.state, &when.truth, until.as_ref(), now);
        self.state = advanced.state;
        let crossing = rule.next_crossing(given, now);
        self.next = crossing.into_iter().chain(advanced.next).min();
        advanced.stands
    }

    /// Seconds after the beginning at which it must be looked at again.
    fn next_s(&self) -> Option<u64> {
        self.next.map(|next| (next.0 - NOW.0) / 1000)
    }
}

#[test]
fn none_of_them_has_an_error_or_a_warning() {
    for text in [DUTY, QUEUE, NIGHTLY, AGENT, STANDBY] {
        let findings = lint(policy(text).document());
        let worst = findings.iter().filter(|finding| finding.severity > Severity::Note);
        assert_eq!(worst.count(), 0, "{text}: {findings:#?}");
    }
}

#[test]
fn their_hashes_never_change() {
    let hashes = [DUTY, QUEUE, NIGHTLY, AGENT, STANDBY]
        .map(|text| policy(text).hash().hex()[..16].to_owned());
    let expected = [
        "d4f10263f82bd552",
        "8eb91971914c5e95",
        "4c4d2474696cf395",
        "d3306c5afcb1f64c",
        "2e03718a29ceecf5",
    ];
    assert_eq!(hashes, expected);
}

#[test]
fn the_canonical_form_has_one_spelling() {
    let text = policy(DUTY).document().canonical();
    assert_eq!(
        text,
        r#"{"facts":{"watching":{"default":false,"type":"bool","writers":["self","owner"]}},"rules":[{"effect":"hold","id":"duty","when":"memory.watching"},{"effect":"rest","for":"1m","id":"idle","mode":"suspend","when":"machine.idle_s > 300"}]}"#
    );
    assert_eq!(policy(&text).hash(), policy(DUTY).hash());
    assert_eq!(policy(&DUTY.replace("60s", "1m")).hash(), policy(DUTY).hash());
    assert_ne!(policy(&DUTY.replace("60s", "61s")).hash(), policy(DUTY).hash());
}

#[test]
fn the_duty_monitor_rests_only_when_idle_for_long_and_off_duty() {
    let policy = policy(DUTY);
    let idle = Given::default().clock("machine.idle_s", 0);
    let mut rest = Story::of(&policy, "idle");
    assert!(!rest.at(0, &idle));
    assert_eq!(rest.next_s(), Some(301));
    assert!(!rest.at(301, &idle));
    assert_eq!(rest.next_s(), Some(361));
    assert!(rest.at(361, &idle));
    let mut duty = Story::of(&policy, "duty");
    assert!(!duty.at(0, &idle), "the default is no duty");
    assert!(duty.at(1, &idle.and([("memory.watching", Reading::known(true))])));
}

#[test]
fn the_queue_worker_wakes_by_number_or_age_and_works_until_empty() {
    let policy = policy(QUEUE);
    let depth = |n: i64, oldest_s: u64| {
        Given::new(&[("inbox.depth", n.into()), ("intent.phase", "idle".into())])
            .and([("inbox.oldest_s", Reading::since(UnixMs(NOW.0 - oldest_s * 1000)))])
    };
    let mut pile = Story::of(&policy, "pile");
    assert!(!pile.at(0, &depth(3, 100)));
    assert_eq!(pile.next_s(), Some(201), "the oldest message becomes too old");
    assert!(pile.at(201, &depth(3, 100)));
    assert!(pile.at(210, &depth(1, 0)), "until nothing is left");
    let empty = Given::new(&[
        ("inbox.depth", 0.into()),
        ("inbox.oldest_s", 0.into()),
        ("intent.phase", "idle".into()),
    ]);
    assert!(!pile.at(220, &empty));
    assert!(!pile.at(230, &depth(50, 0)), "cooldown");
    assert_eq!(pile.next_s(), Some(280));
    assert!(pile.at(280, &depth(50, 0)));
    let mut drained = Story::of(&policy, "drained");
    assert!(!drained.at(0, &empty));
    assert_eq!(drained.next_s(), Some(45));
    assert!(drained.at(45, &empty));
}

#[test]
fn the_nightly_job_runs_at_night_within_its_budget() {
    let policy = policy(NIGHTLY);
    let alarm = &policy.alarms()["night"];
    let night = alarm.next(NOW, NOW).expect("every night");
    let month = Reading::since(UnixMs(NOW.0 - 35_990_000));
    let given = Given::new(&[("memory.progress", Value::Int(0))]).and([
        ("usage.started_s_month", month),
        ("due.night", Reading::known(false).then(night, Level::Known(true.into()))),
    ]);
    let report = dry_run(&policy, &given, NOW);
    let answers: Vec<_> =
        report.iter().map(|r| (&*r.id, r.effect, r.when.truth.is_true(), r.next)).collect();
    let expected = [
        ("night", Effect::Wake, false, Some(night)),
        ("budget", Effect::DenyWake, false, Some(later(10))),
        ("finished", Effect::Rest, false, None),
    ];
    assert_eq!(answers, expected);
    assert!(policy.rules()[0].when.evaluate(&given, night).truth.is_true());
}

#[test]
fn the_agent_cannot_approve_itself() {
    let policy = policy(AGENT);
    let write = |old: Option<&str>, new: &str, writer: Writer| {
        let (old, new) = (old.map(|old| json!(old)), json!(new));
        let write = Write {
            key: "approval",
            old: old.as_ref(),
            new: Some(&new),
            writer: &writer,
            others: policy::MemorySize::default(),
        };
        check_write(&policy, &write, &Given::default(), NOW)
    };
    assert!(write(None, "asked", Writer::Machine).is_ok());
    assert!(write(Some("asked"), "asked", Writer::Machine).is_ok(), "no change is no transition");
    assert!(write(Some("asked"), "yes", Writer::Owner).is_ok());
    let refused = write(Some("asked"), "yes", Writer::Machine).expect_err("not by itself");
    assert!(matches!(&refused, WriteRefused::Transition { is_for_others: true, .. }), "{refused}");
    let refused = write(None, "yes", Writer::Machine).expect_err("not around the question");
    assert_eq!(refused.hint().as_deref(), Some("from here it may become `\"asked\"`"));
    assert!(write(Some("asked"), "none", Writer::Machine).is_err(), "nor by forgetting it");
}

#[test]
fn the_standby_takes_over_only_with_its_witness() {
    let policy = policy(STANDBY);
    let ages = |primary_s, witness_s| {
        Given::default()
            .clock("peer.primary.age_s", primary_s)
            .clock("peer.witness.age_s", witness_s)
    };
    let mut takeover = Story::of(&policy, "takeover");
    assert!(!takeover.at(0, &ages(0, 60)));
    assert!(!takeover.at(0, &ages(20, 0)));
    assert_eq!(takeover.next_s(), Some(1));
    assert!(!takeover.at(1, &ages(20, 0)));
    assert_eq!(takeover.next_s(), Some(10), "the witness falls silent before `for` is over");
    let beat_again = |s: u64| ages(20, 0).and([("peer.witness.age_s", Reading::since(later(s)))]);
    assert!(!takeover.at(5, &beat_again(5)));
    assert_eq!(takeover.next_s(), Some(11));
    assert!(takeover.at(11, &beat_again(5)));
    let lost = Given::default().clock("peer.primary.age_s", 60);
    assert!(!Story::of(&policy, "takeover").at(0, &lost), "an unknown witness starts nothing");
}
