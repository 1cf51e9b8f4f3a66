//! What the host asks.

use crate::harness::{Machine, program};
use guest_proto::message::{Answer, ListenSocket, Process, Question};
use guest_proto::{FromGuest, Orders, ToGuest};

fn ask(machine: &mut Machine, id: u64, question: Question) -> Answer {
    machine.send(&ToGuest::Ask { id, question });
    answer(machine, id)
}

/// The processes of the machine.
pub(crate) fn processes(machine: &mut Machine) -> Vec<Process> {
    match ask(machine, 0, Question::Processes) {
        Answer::Processes { processes } => processes,
        other => panic!("{other:?} is no list of processes"),
    }
}

fn answer(machine: &mut Machine, wanted: u64) -> Answer {
    match machine.expect(|message| matches!(message, FromGuest::Answer { id, .. } if *id == wanted))
    {
        FromGuest::Answer { answer, .. } => answer,
        other => unreachable!("{other:?} was not awaited"),
    }
}

fn socket(proto: &str, address: &str) -> ListenSocket {
    ListenSocket { proto: proto.to_owned(), address: address.to_owned() }
}

#[test]
fn processes_are_listed_with_their_sockets() {
    let server = Orders {
        user: "app".to_owned(),
        working_dir: "/tmp".to_owned(),
        ..program(&["busybox", "httpd", "-f", "-p", "0.0.0.0:8080"])
    };
    let mut machine = Machine::started(server);
    ask(&mut machine, 1, Question::WaitListening { port: 8080, timeout_ms: 10_000 });
    let processes = processes(&mut machine);
    let init = processes.iter().find(|process| process.pid == 1).expect("init is there");
    assert_eq!((&*init.command, init.stime), ("/init", 0));
    let httpd = processes
        .iter()
        .find(|process| process.command.starts_with("busybox httpd"))
        .expect("httpd");
    assert_eq!(httpd.directory, "/tmp");
    assert_eq!(httpd.listen_sockets, [socket("tcp", "0.0.0.0:8080")]);
    assert!(httpd.rss > 0 && httpd.rtime < 60, "{httpd:?}");
}

#[test]
fn a_port_is_awaited_until_it_listens() {
    let mut machine = Machine::shell("busybox usleep 50000; exec busybox httpd -f -p 0.0.0.0:8081");
    let question = Question::WaitListening { port: 8081, timeout_ms: 10_000 };
    let Answer::Listening { sockets } = ask(&mut machine, 7, question) else {
        panic!("no sockets");
    };
    assert!(sockets.contains(&socket("tcp", "0.0.0.0:8081")), "{sockets:?}");
    assert_eq!(ask(&mut machine, 8, Question::Listening), Answer::Listening { sockets });
}

#[test]
fn the_wait_for_a_port_has_an_end() {
    let mut machine = Machine::started(program(&["sleep", "1000"]));
    let question = Question::WaitListening { port: 9, timeout_ms: 30 };
    assert_eq!(ask(&mut machine, 1, question), Answer::Listening { sockets: Vec::new() });
}

#[test]
fn waits_are_bounded() {
    let mut machine = Machine::started(program(&["sleep", "1000"]));
    for id in 0..64 {
        let question = Question::WaitListening { port: 9, timeout_ms: 60_000 };
        machine.send(&ToGuest::Ask { id, question });
    }
    let question = Question::WaitListening { port: 9, timeout_ms: 60_000 };
    assert!(matches!(ask(&mut machine, 64, question), Answer::Failed { .. }));
}

#[test]
fn file_systems_are_flushed() {
    let mut machine = Machine::started(program(&["sleep", "1000"]));
    assert_eq!(ask(&mut machine, 3, Question::Quiesce), Answer::Done);
}

#[test]
fn many_processes_with_long_names_fit_in_an_answer() {
    // Each command line is longer than an entry's fair share of the answer.
    let script = "w=$(head -c 3500 /dev/zero | busybox tr '\\0' x); i=0; while [ $i -lt 1500 ]; do \
                  busybox sh -c 'read x < /tmp/never' $w & i=$((i+1)); done; echo ready; wait";
    let mut machine = Machine::shell(&format!("mkfifo /tmp/never; {script}"));
    machine.expect_stdout("ready");
    let Answer::Processes { processes } = ask(&mut machine, 1, Question::Processes) else {
        panic!("no processes");
    };
    assert!((500..1_500).contains(&processes.len()), "{} processes", processes.len());
}
