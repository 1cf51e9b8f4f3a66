//! What an evaluation costs. The promise is 5 µs; the test leaves room for a busy box.

use crate::given::{Given, NOW, condition};
use policy::{Value, Values as _};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 20_000;

/// Four times the promise.
const FLOOR: Duration = Duration::from_micros(20);

fn mean(run: impl Fn()) -> Duration {
    let begun = Instant::now();
    (0..ROUNDS).for_each(|_| run());
    begun.elapsed() / ROUNDS
}

#[test]
fn an_evaluation_takes_a_few_microseconds() {
    let given = Given::new(&[
        ("inbox.depth", 3.into()),
        ("intent.phase", "idle".into()),
        ("memory.d", Value::Double(0.5)),
    ])
    .clock("inbox.oldest_s", 20)
    .clock("machine.idle_s", 100);
    let cases = [
        "inbox.depth >= 10 || inbox.oldest_s > 300",
        "inbox.depth == 0 && intent.phase == 'idle'",
        "machine.idle_s > 300 && memory.d < 1.0 && !(intent.phase in ['busy', 'asked']) && inbox.depth * 2 < 100",
    ];
    let read = mean(|| drop(black_box(given.read(&policy::Name::Memory("d".into())))));
    println!("one reading of the test's own values: {read:?}");
    for when in cases {
        let condition = condition(when);
        let evaluation = mean(|| drop(black_box(condition.evaluate(&given, NOW))));
        let crossing = mean(|| {
            black_box(condition.next_crossing(&given, NOW));
        });
        println!("{when}: evaluation {evaluation:?}, crossing {crossing:?}");
        assert!(evaluation < FLOOR, "{when}: {evaluation:?}");
        assert!(crossing < FLOOR, "{when}: {crossing:?}");
    }
}
