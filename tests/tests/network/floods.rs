//! Machines that ask without end, or send what is no question.

use crate::guest::Guest;
use crate::resolver::{becomes, check};
use crate::{field, waiting};
use serde_json::json;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tests::fixture;

/// Questions of a neighbour that must all be answered meanwhile, each asked once.
const QUESTIONS: usize = 30;

/// A question for `test.internal`, type AAAA.
fn question(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut bytes = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["test", "internal"] {
        bytes.push(u8::try_from(label.len()).expect("short"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 28, 0, 1]);
    bytes
}

#[test]
fn a_flood_of_one_machine_leaves_the_others_their_answers() {
    let instance = fixture::with_busybox();
    let (flooder, other) = (waiting(&instance, &json!({})), waiting(&instance, &json!({})));
    let addresses = [&flooder, &other].map(|id| field(&instance, id, "private_ip"));
    let addresses = addresses.each_ref().map(String::as_str);
    let (flooder, other) = (Guest::of(&instance, &flooder), Guest::of(&instance, &other));
    becomes(&other, &["AAAA", "test.internal"], "NOERROR", &addresses);

    let (is_over, n_sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for (resolver, any) in [("[fdaa::3]:53", "[::]:0"), ("169.254.1.1:53", "0.0.0.0:0")] {
            let (flooder, is_over, n_sent) = (&flooder, &is_over, &n_sent);
            scope.spawn(move || {
                flooder.inside(|| {
                    let mut socket = UdpSocket::bind(any).expect("bound");
                    for id in (0..=u16::MAX).cycle() {
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        // From another port now and then, as who wants to look like many.
                        if id % 64 == 0 {
                            socket = UdpSocket::bind(any).expect("bound");
                        }
                        if socket.send_to(&question(id), resolver).is_ok() {
                            n_sent.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            });
        }
        let asked = std::panic::catch_unwind(|| {
            testkit::eventually("the flood is there", || {
                (n_sent.load(Ordering::Relaxed) > 20_000).then_some(())
            });
            for _ in 0..QUESTIONS {
                check(&other, &["AAAA", "test.internal"], "NOERROR", &addresses);
            }
        });
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = asked {
            std::panic::resume_unwind(panic);
        }
    });
    println!("answered {QUESTIONS} of {QUESTIONS} beside {} questions", n_sent.into_inner());
    // Who flooded is heard again, too.
    becomes(&flooder, &["AAAA", "test.internal"], "NOERROR", &addresses);
}

/// Answers, lies and noise from a machine change nothing of what others hear.
#[test]
fn what_is_no_question_changes_nothing() {
    let instance = fixture::with_busybox();
    let (liar, other) = (waiting(&instance, &json!({})), waiting(&instance, &json!({})));
    let addresses = [&liar, &other].map(|id| field(&instance, id, "private_ip"));
    let addresses = addresses.each_ref().map(String::as_str);
    let (liar, other) = (Guest::of(&instance, &liar), Guest::of(&instance, &other));
    becomes(&other, &["AAAA", "test.internal"], "NOERROR", &addresses);
    liar.inside(|| {
        let socket = UdpSocket::bind("[::]:0").expect("bound");
        for shape in shapes() {
            socket.send_to(&shape, "[fdaa::3]:53").expect("sent");
        }
    });
    check(&other, &["AAAA", "test.internal"], "NOERROR", &addresses);
    check(&liar, &["AAAA", "test.internal"], "NOERROR", &addresses);
}

/// An answer that nobody asked for, counts that lie, names that point at themselves, cut messages.
fn shapes() -> Vec<Vec<u8>> {
    let whole = question(7);
    let mut answer = whole.clone();
    answer[2] |= 0x80;
    answer[7] = 1;
    // Its name is the one of the question; AAAA, one day, ::1.
    answer.extend_from_slice(&[0xc0, 12, 0, 28, 0, 1, 0, 1, 0x51, 0x80, 0, 16]);
    answer.extend_from_slice(&[0; 15]);
    answer.push(1);
    let mut many = whole.clone();
    many[4..12].fill(0xff);
    let looped = [&whole[..12], &[0xc0, 12, 0, 28, 0, 1]].concat();
    let update = [&[0, 9, 0x28, 0], &whole[4..]].concat();
    let mut shapes = vec![answer, many, looped, update, vec![0xff; 1_400], Vec::new()];
    shapes.extend((1..whole.len()).map(|n_bytes| whole[..n_bytes].to_vec()));
    shapes
}
