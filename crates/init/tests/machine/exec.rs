//! Commands beside the program.

use crate::harness::{Machine, code, program, shell, signal};
use guest_proto::message::{Ended, ExecOrders, StartFailure};
use guest_proto::stream::{STREAM_WINDOW_BYTES, STREAMS_MAX};
use guest_proto::{Channel, FromGuest, ReceiveWindow, SendWindow, StreamId, ToGuest};
use rustix::process::Signal;

pub(crate) const STREAM: StreamId = StreamId(2);

fn idle() -> Machine {
    Machine::started(program(&["sleep", "1000"]))
}

/// Both ways to run a command: by init, and by the agent beside a program that is PID 1 of its own
/// namespace.
fn idle_in_each_mode() -> [Machine; 2] {
    [idle(), idle_as_pid1()]
}

/// A program that is PID 1 of its own namespace, where it is pid 1.
pub(crate) fn idle_as_pid1() -> Machine {
    Machine::started_with_second(shell("while true; do sleep 1000 & wait; done"))
}

pub(crate) fn sh(script: &str) -> ExecOrders {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    ExecOrders { argv, ..ExecOrders::default() }
}

pub(crate) fn start(machine: &mut Machine, stream: StreamId, exec: ExecOrders) {
    machine.send(&ToGuest::Exec { stream, exec });
    machine.expect(
        |message| matches!(message, FromGuest::ExecStarted { stream: s, .. } if *s == stream),
    );
}

pub(crate) fn ended(machine: &mut Machine, wanted: StreamId) -> Ended {
    let is_it = |message: &FromGuest| matches!(message, FromGuest::ExecEnded { stream, .. } if *stream == wanted);
    match machine.expect(is_it) {
        FromGuest::ExecEnded { ended, .. } => ended,
        other => unreachable!("{other:?} was not awaited"),
    }
}

pub(crate) fn read_until(machine: &mut Machine, text: &str) -> String {
    let mut output = String::new();
    while !output.contains(text) {
        output.push_str(&String::from_utf8_lossy(&machine.expect_data(STREAM)));
    }
    output
}

#[track_caller]
pub(crate) fn check_refused(
    machine: &mut Machine,
    stream: StreamId,
    exec: ExecOrders,
    expected: StartFailure,
) {
    machine.send(&ToGuest::Exec { stream, exec });
    let is_it = |message: &FromGuest| matches!(message, FromGuest::ExecFailed { stream: s, .. } if *s == stream);
    match machine.expect(is_it) {
        FromGuest::ExecFailed { reason, .. } => assert_eq!(reason, expected),
        other => unreachable!("{other:?} was not awaited"),
    }
}

#[test]
fn a_command_runs_beside_the_program() {
    for mut machine in idle_in_each_mode() {
        start(&mut machine, STREAM, sh("echo out; pwd; exit 9"));
        assert_eq!(read_until(&mut machine, "/\n"), "out\n/\n");
        assert_eq!(ended(&mut machine, STREAM), code(9));
        start(&mut machine, STREAM, sh("kill -KILL $$"));
        assert_eq!(ended(&mut machine, STREAM), signal(Signal::KILL));
    }
}

#[test]
fn a_command_that_cannot_start_says_why() {
    for mut machine in idle_in_each_mode() {
        let argv = |words: &[&str]| ExecOrders {
            argv: words.iter().map(|word| (*word).to_owned()).collect(),
            ..ExecOrders::default()
        };
        check_refused(&mut machine, STREAM, argv(&[]), StartFailure::EmptyArgv);
        check_refused(&mut machine, STREAM, argv(&["nonesuch"]), StartFailure::NotFound);
        check_refused(&mut machine, STREAM, argv(&["/etc/passwd"]), StartFailure::NotExecutable);
        check_refused(&mut machine, StreamId(3), sh("true"), StartFailure::Other);
        check_refused(&mut machine, StreamId::MAIN, sh("true"), StartFailure::Other);
        let nobody = ExecOrders { user: "nobody".to_owned(), ..sh("true") };
        check_refused(&mut machine, STREAM, nobody, StartFailure::UnknownUser);
        let nowhere = ExecOrders { working_dir: "/nowhere".to_owned(), ..sh("true") };
        check_refused(&mut machine, STREAM, nowhere, StartFailure::WorkingDir);
        start(&mut machine, STREAM, sh("true"));
    }
}

#[test]
fn ten_megabytes_go_both_ways_under_credit() {
    const TOTAL: usize = 10 * 1024 * 1024;
    for mut machine in idle_in_each_mode() {
        start(&mut machine, STREAM, ExecOrders { has_stdin: true, ..sh("cat") });
        let input: Vec<u8> = (0..=250).cycle().take(TOTAL).collect();
        let mut output = Vec::new();
        let (mut window, mut taken) = (SendWindow::new(), ReceiveWindow::new());
        let mut sent = 0;
        while output.len() < TOTAL {
            while sent < TOTAL && window.left_bytes() > 0 {
                let n_bytes = window.left_bytes().min(TOTAL - sent).min(60_000);
                machine.send_data(STREAM, Channel::Stdin, &input[sent..sent + n_bytes]);
                window.spend(n_bytes);
                sent += n_bytes;
                if sent == TOTAL {
                    machine.send(&ToGuest::End { stream: STREAM });
                }
            }
            let bytes = machine.expect_data(STREAM);
            taken.receive(bytes.len()).expect("init keeps to its credit");
            output.extend_from_slice(&bytes);
            if let Some(bytes) = taken.consume(bytes.len()) {
                machine.send(&ToGuest::Credit { stream: STREAM, bytes });
            }
            for credit in machine.credits(STREAM) {
                window.grant(credit);
            }
        }
        assert!(output == input, "what went in came out");
        assert_eq!(ended(&mut machine, STREAM), code(0));
    }
}

#[test]
fn without_credit_nothing_flows_and_nothing_is_lost() {
    let mut machine = idle();
    start(&mut machine, STREAM, sh("head -c 300000 /dev/zero"));
    let mut received = 0;
    while received < STREAM_WINDOW_BYTES as usize {
        received += machine.expect_data(STREAM).len();
    }
    assert_eq!(received, STREAM_WINDOW_BYTES as usize, "the window and not a byte more");
    machine.send(&ToGuest::Credit { stream: STREAM, bytes: 100_000 });
    while received < 300_000 {
        received += machine.expect_data(STREAM).len();
    }
    assert_eq!(ended(&mut machine, STREAM), code(0));
}

#[test]
fn a_host_that_overruns_its_credit_loses_the_stream() {
    let mut machine = idle();
    start(&mut machine, STREAM, ExecOrders { has_stdin: true, ..sh("sleep 1000") });
    for _ in 0..=(STREAM_WINDOW_BYTES / 60_000 + 2) {
        machine.send_data(STREAM, Channel::Stdin, &[0; 60_000]);
    }
    machine.expect(|message| *message == FromGuest::Reset { stream: STREAM });
}

#[test]
fn a_terminal_has_its_size_and_hears_of_a_new_one() {
    for mut machine in idle_in_each_mode() {
        let script = "trap 'stty size; exit 2' WINCH; tty; stty size; sleep 1000 & wait";
        start(
            &mut machine,
            STREAM,
            ExecOrders { tty: Some((11, 22)), has_stdin: true, ..sh(script) },
        );
        assert_eq!(read_until(&mut machine, "22\r\n"), "/dev/pts/0\r\n11 22\r\n");
        machine.send(&ToGuest::Resize { stream: STREAM, rows: 33, cols: 44 });
        assert_eq!(read_until(&mut machine, "44\r\n"), "33 44\r\n");
        assert_eq!(ended(&mut machine, STREAM), code(2));
    }
}

#[test]
fn a_terminal_passes_keys_and_the_end_of_input() {
    for mut machine in idle_in_each_mode() {
        start(
            &mut machine,
            STREAM,
            ExecOrders { tty: Some((24, 80)), has_stdin: true, ..sh("cat; echo over") },
        );
        machine.send_data(STREAM, Channel::Stdin, b"hello\n");
        read_until(&mut machine, "hello\r\nhello\r\n");
        machine.send(&ToGuest::End { stream: STREAM });
        read_until(&mut machine, "over\r\n");
        assert_eq!(ended(&mut machine, STREAM), code(0));
        start(
            &mut machine,
            STREAM,
            ExecOrders { tty: Some((24, 80)), has_stdin: true, ..sh("echo up; cat") },
        );
        read_until(&mut machine, "up");
        machine.send_data(STREAM, Channel::Stdin, b"\x03");
        assert_eq!(ended(&mut machine, STREAM), signal(Signal::INT));
    }
}

#[test]
fn reset_kills_the_process_group() {
    for mut machine in idle_in_each_mode() {
        start(&mut machine, STREAM, sh("sleep 4242 & echo up; wait"));
        read_until(&mut machine, "up");
        machine.send(&ToGuest::Reset { stream: STREAM });
        let probe = "while busybox pgrep -f 'sleep 424[2]' >/dev/null; do true; done; echo gone";
        start(&mut machine, STREAM, sh(probe));
        read_until(&mut machine, "gone");
    }
}

#[test]
fn a_process_left_behind_holds_the_end_up_for_a_second_at_most() {
    for mut machine in idle_in_each_mode() {
        let before = std::time::Instant::now();
        start(&mut machine, STREAM, sh("sleep 1000 & echo done"));
        read_until(&mut machine, "done\n");
        assert_eq!(ended(&mut machine, STREAM), code(0));
        let waited = before.elapsed().as_millis();
        assert!((900..5_000).contains(&waited), "{waited} ms");
    }
}

#[test]
fn streams_are_bounded() {
    for mut machine in idle_in_each_mode() {
        let streams: Vec<_> = (1..).map(|n| StreamId(n * 2)).take(STREAMS_MAX).collect();
        for stream in &streams {
            start(&mut machine, *stream, sh("sleep 1000"));
        }
        check_refused(&mut machine, StreamId(1_000), sh("true"), StartFailure::Other);
        machine.send(&ToGuest::Reset { stream: streams[0] });
        start(&mut machine, StreamId(1_000), sh("true"));
    }
}

#[test]
fn a_new_epoch_drops_the_streams() {
    for mut machine in idle_in_each_mode() {
        start(&mut machine, STREAM, sh("sleep 1000"));
        machine.epoch = 2;
        machine.greet();
        start(&mut machine, STREAM, sh("echo mine"));
        assert_eq!(read_until(&mut machine, "mine\n"), "mine\n");
        assert_eq!(ended(&mut machine, STREAM), code(0));
    }
}
