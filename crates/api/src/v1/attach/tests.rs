//! The relay between a caller's frames and a command.

use super::{Lost, relay};
use crate::contract::TerminalSize;
use crate::contract::frame::{Frame, HEADER_BYTES};
use control::{ExecInput, ExecOutput, ExecStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

struct Bench {
    caller: DuplexStream,
    input: mpsc::Receiver<ExecInput>,
    output: mpsc::Sender<ExecOutput>,
    relay: JoinHandle<Result<(), Lost>>,
}

fn bench() -> Bench {
    let (caller, server) = tokio::io::duplex(256 * 1024);
    let (input, input_rx) = mpsc::channel(8);
    let (output, output_rx) = mpsc::channel(8);
    let (reader, writer) = tokio::io::split(server);
    let stream = ExecStream { input, output: output_rx };
    let relay = tokio::spawn(relay(reader, writer, stream));
    Bench { caller, input: input_rx, output, relay }
}

async fn next_frame(caller: &mut DuplexStream) -> Frame {
    let mut header = [0; HEADER_BYTES];
    caller.read_exact(&mut header).await.expect("a header");
    let (kind, length) = Frame::header(header).expect("valid");
    let mut payload = vec![0; length];
    caller.read_exact(&mut payload).await.expect("a payload");
    Frame::decode(kind, payload).expect("valid")
}

#[tokio::test]
async fn bytes_and_sizes_go_both_ways_until_the_command_ends() {
    let mut b = bench();
    for frame in [
        Frame::Stdin(b"ls\n".to_vec()),
        Frame::Resize(TerminalSize { rows: 4, cols: 5 }),
        Frame::StdinEnd,
    ] {
        b.caller.write_all(&frame.encode()).await.expect("sent");
    }
    assert_eq!(b.input.recv().await, Some(ExecInput::Bytes(b"ls\n".to_vec())));
    assert_eq!(b.input.recv().await, Some(ExecInput::Resize { rows: 4, cols: 5 }));
    assert_eq!(b.input.recv().await, Some(ExecInput::End));
    b.output.send(ExecOutput::Stdout(vec![7; 70_000])).await.expect("sent");
    b.output.send(ExecOutput::Ended { exit_code: 3 }).await.expect("sent");
    assert_eq!(next_frame(&mut b.caller).await, Frame::Stdout(vec![7; 65_536]));
    assert_eq!(next_frame(&mut b.caller).await, Frame::Stdout(vec![7; 70_000 - 65_536]));
    assert_eq!(next_frame(&mut b.caller).await, Frame::Ended(3));
    b.relay.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_input_of_its_command() {
    let mut b = bench();
    drop(b.caller);
    assert_eq!(b.input.recv().await, None);
    assert!(b.output.is_closed());
    assert!(matches!(b.relay.await.expect("no panic"), Err(Lost::Io(_))));
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    let mut b = bench();
    b.caller.write_all(&[9, 0, 0, 0, 0]).await.expect("sent");
    assert!(matches!(b.relay.await.expect("no panic"), Err(Lost::Frame(_))));
}
