//! The inbox: posted once, delivered until acknowledged, buried after the fifth delivery.

use crate::shell::Shell;
use govern::limits::{INBOX_DEPTH_MAX, SEEN_FOR};
use govern::write::{Message, MessageRow, Reply};
use govern::{Ground, Write, Writer, apply};

fn post(shell: &mut Shell, id: &str) -> (u64, bool) {
    let message = Message { id: Some(id.to_owned()), body: "b".to_owned(), ..Message::default() };
    match shell.write(Write::Post(message), &Writer::Owner).unwrap() {
        Reply::Posted { seq, is_new } => (seq, is_new),
        other => panic!("{other:?}"),
    }
}

fn take(shell: &mut Shell) -> Vec<u64> {
    match shell.own(Write::Take { max: 10 }) {
        Reply::Taken { seqs, .. } => seqs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_id_is_the_same_message_until_a_day_after_its_ack() {
    let mut shell = Shell::up("{}");
    assert_eq!(post(&mut shell, "a"), (1, true));
    assert_eq!(post(&mut shell, "a"), (1, false));
    shell.own(Write::Ack { seqs: vec![1] });
    assert_eq!(post(&mut shell, "a"), (1, false));
    shell.pass_s(SEEN_FOR.0 / 1000 + 1);
    assert_eq!(post(&mut shell, "a"), (2, true));
    shell.check_inbox();
}

#[test]
fn what_is_not_acknowledged_comes_again_and_is_buried_after_the_fifth_time() {
    let mut shell = Shell::up("{}");
    post(&mut shell, "a");
    post(&mut shell, "b");
    for _ in 0..5 {
        assert_eq!(take(&mut shell), [1, 2]);
        assert!(take(&mut shell).is_empty(), "hidden for a minute");
        shell.pass_s(60);
    }
    shell.own(Write::Ack { seqs: vec![2] });
    assert!(take(&mut shell).is_empty());
    assert_eq!(shell.rows.dead, [1]);
    assert_eq!((shell.selfhood.inbox.depth, shell.selfhood.inbox.dead), (0, 1));
    shell.check_inbox();
}

#[test]
fn acks_in_any_order_find_the_oldest() {
    let mut shell = Shell::up("{}");
    for n in 0..6 {
        post(&mut shell, &n.to_string());
        shell.pass_s(1);
    }
    for seqs in [vec![2, 3], vec![1], vec![1, 6], vec![5, 4, 4]] {
        shell.own(Write::Ack { seqs });
        shell.check_inbox();
    }
    assert_eq!(shell.selfhood.inbox.depth, 0);
}

#[test]
fn a_full_inbox_and_a_full_host_refuse() {
    let mut shell = Shell::up("{}");
    shell.checks = false;
    for _ in 0..INBOX_DEPTH_MAX {
        shell.post(false);
    }
    let refused = shell.try_post(false).unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("inbox_full", 429));
    shell.own(Write::Ack { seqs: vec![1] });
    shell.post(false);
    let ground = Ground {
        selfhood: &Shell::new("{}").selfhood,
        policy: &shell.policy,
        rows: &shell.rows,
        inbox_room: 4,
        now: shell.now,
    };
    let message = Message { body: "12345".to_owned(), ..Message::default() };
    let refused = apply(&ground, &Write::Post(message), &Writer::Owner).unwrap_err();
    assert_eq!(refused.code(), "inbox_full");
}

#[test]
fn an_empty_take_changes_nothing() {
    let mut shell = Shell::up("{}");
    let revision = shell.selfhood.revision;
    assert!(take(&mut shell).is_empty());
    assert_eq!(shell.selfhood.revision, revision);
}

/// Nobody can take another's ids before it, not even with a name or id that looks like both.
#[test]
fn an_id_is_that_of_its_writer() {
    let mut shell = Shell::up("{}");
    let token = |name: &str| Writer::Token(name.to_owned());
    let posts = [
        (Writer::Owner, "a"),
        (Writer::Peer("db".to_owned()), "a"),
        (token("ci"), "a"),
        (token("ci"), "x/a"),
        (token("ci/x"), "a"),
        (Writer::Owner, "owner/a"),
    ];
    for (seq, is_new) in [(0, true), (0, false)] {
        for (n, (writer, id)) in (1..).zip(&posts) {
            let id = Some((*id).to_owned());
            let post = Write::Post(Message { id, ..Message::default() });
            assert_eq!(shell.write(post, writer).unwrap(), Reply::Posted { seq: seq + n, is_new });
        }
    }
    for row in shell.rows.rows.values() {
        let key = row.key().unwrap();
        assert_eq!(Some(MessageRow::id_of_key(&key, &row.from)), row.id, "{key}");
    }
}
