//! `POST …/exec/attach` (our addition): a command tied to its caller, with a terminal if wanted.
//!
//! The connection is upgraded to [`frame`]s. When the caller goes away, the command loses its input
//! and is killed; when the command ends, its last frame says how and the connection closes.

use super::Answer;
use super::body::read_json;
use super::extract::Operate;
use super::inside::command;
use crate::contract::frame::{self, Frame, HEADER_BYTES};
use crate::contract::{AttachRequest, ErrorBody};
use crate::problem::Problem;
use crate::server::ConnectionHold;
use crate::spec::typed;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use control::{Control, ExecInput, ExecOutput, ExecStream};
use guest_proto::message::ExecOrders;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// `POST …/exec/attach`.
pub(super) async fn attach(
    State(control): State<Control>,
    Operate(on): Operate,
    mut request: Request,
) -> Answer {
    let upgrade = upgrade_of(&mut request)?;
    let hold = request.extensions().get::<ConnectionHold>().cloned();
    let wish: AttachRequest = typed(&read_json(request).await?, "")?;
    let orders = ExecOrders {
        argv: command(wish.command)?,
        env: wish.env,
        user: wish.user.unwrap_or_default(),
        working_dir: wish.working_dir.unwrap_or_default(),
        tty: wish.tty.map(|size| (size.rows, size.cols)),
        has_stdin: wish.stdin,
    };
    let id = &on.record.id;
    let stream = control
        .attach(id, on.cause, orders)
        .await
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    let machine = id.clone();
    tokio::spawn(async move {
        if let Err(error) = relay_upgraded(upgrade, stream).await {
            tracing::debug!(%machine, %error, "attached command lost its caller");
        }
        drop(hold);
    });
    let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, frame::PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

fn upgrade_of(request: &mut Request) -> Result<OnUpgrade, Problem> {
    let asked = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    let is_ours = asked.is_some_and(|word| word.eq_ignore_ascii_case(frame::PROTOCOL));
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    upgrade.filter(|_| is_ours).ok_or_else(|| {
        Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this path needs an upgraded connection",
        )
        .hint("send `Connection: Upgrade` and `Upgrade: dormouse-exec`, or use `POST …/exec`")
    })
}

/// Why a caller was lost.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the connection was not upgraded")]
    Upgrade(#[source] hyper::Error),
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the caller sent nonsense: {0}")]
    Frame(#[from] frame::InvalidFrame),
}

async fn relay_upgraded(upgrade: OnUpgrade, stream: ExecStream) -> Result<(), Lost> {
    let io: TokioIo<Upgraded> = TokioIo::new(upgrade.await.map_err(Lost::Upgrade)?);
    let (reader, writer) = tokio::io::split(io);
    relay(reader, writer, stream).await
}

/// Moves frames both ways until the command has ended or the caller is gone.
async fn relay(
    reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    stream: ExecStream,
) -> Result<(), Lost> {
    let ExecStream { input, mut output } = stream;
    tokio::select! {
        sent = send_output(&mut writer, &mut output) => sent,
        // Only the caller's absence ends this half: after the end of its input it stays.
        received = receive_input(reader, input) => received,
    }
}

async fn send_output(
    writer: &mut (impl AsyncWrite + Unpin),
    output: &mut mpsc::Receiver<ExecOutput>,
) -> Result<(), Lost> {
    while let Some(part) = output.recv().await {
        match part {
            ExecOutput::Stdout(bytes) => send_bytes(writer, &bytes, Frame::Stdout).await?,
            ExecOutput::Stderr(bytes) => send_bytes(writer, &bytes, Frame::Stderr).await?,
            ExecOutput::Ended { exit_code } => {
                writer.write_all(&Frame::Ended(exit_code).encode()).await?;
                break;
            }
            ExecOutput::Failed { reason, message } => {
                let code = reason
                    .and_then(|reason| serde_json::to_value(reason).ok())
                    .and_then(|word| word.as_str().map(str::to_owned))
                    .unwrap_or_else(|| "exec_failed".to_owned());
                let error = format!("failed_precondition: exec request failed: {message}");
                let body = ErrorBody { error, code, ..ErrorBody::default() };
                writer.write_all(&Frame::Failed(body).encode()).await?;
                break;
            }
        }
    }
    writer.shutdown().await?;
    Ok(())
}

async fn send_bytes(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    frame: fn(Vec<u8>) -> Frame,
) -> Result<(), Lost> {
    for part in bytes.chunks(frame::PAYLOAD_MAX_BYTES) {
        writer.write_all(&frame(part.to_vec()).encode()).await?;
    }
    Ok(())
}

async fn receive_input(
    mut reader: impl AsyncRead + Unpin,
    input: mpsc::Sender<ExecInput>,
) -> Result<(), Lost> {
    loop {
        let mut header = [0; HEADER_BYTES];
        reader.read_exact(&mut header).await?;
        let (kind, length) = Frame::header(header)?;
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload).await?;
        let part = match Frame::decode(kind, payload)? {
            Frame::Stdin(bytes) => ExecInput::Bytes(bytes),
            Frame::StdinEnd => ExecInput::End,
            Frame::Resize(size) => ExecInput::Resize { rows: size.rows, cols: size.cols },
            Frame::Stdout(_) | Frame::Stderr(_) | Frame::Ended(_) | Frame::Failed(_) => {
                return Err(frame::InvalidFrame::Kind(kind).into());
            }
        };
        // A command that takes no more input is not the caller's fault: its end will be told.
        if input.send(part).await.is_err() {
            tracing::trace!("input after the command ended was dropped");
        }
    }
}

#[cfg(test)]
mod tests;
