//! Datagrams: each visitor's address is a flow to one machine until it is silent.

use super::drain::DrainToken;
use super::{HOLD_MAX, Visitor};
use crate::access_log::Line;
use crate::desk::{Admitted, Ask, Desk, RunPhase, Target, Wishes};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Most flows of one door; further visitors are not heard until one ends.
const FLOWS_MAX: usize = 4_096;

/// Most datagrams of a flow that wait for its machine; more are dropped, as networks do.
const WAITING_MAX: usize = 32;

/// Silence after which a flow ends.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Largest datagram.
const DATAGRAM_MAX_BYTES: usize = 65_535;

/// Serves a door until it is closed.
pub(crate) async fn serve(desk: Desk, door: UdpSocket, at: SocketAddr, mut drain: DrainToken) {
    let door = Arc::new(door);
    let mut flows: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let (tell_ended, mut ended) = mpsc::channel(FLOWS_MAX);
    let mut bytes = vec![0; DATAGRAM_MAX_BYTES];
    loop {
        let (n_read, peer) = tokio::select! {
            () = drain.begun() => return,
            Some(peer) = ended.recv() => {
                flows.remove(&peer);
                continue;
            }
            got = door.recv_from(&mut bytes) => match got {
                Ok(got) => got,
                // An answer of ours could not be delivered; that says nothing about others.
                Err(_undelivered) => continue,
            },
        };
        if !flows.contains_key(&peer) {
            if flows.len() >= FLOWS_MAX {
                desk.metrics().too_many();
                continue;
            }
            let (datagrams, inbox) = mpsc::channel(WAITING_MAX);
            flows.insert(peer, datagrams);
            let (desk, door, tell_ended) = (desk.clone(), Arc::clone(&door), tell_ended.clone());
            tokio::spawn(async move {
                flow(desk, &door, (peer, at), inbox).await;
                if tell_ended.send(peer).await.is_err() {
                    tracing::trace!(%peer, "the flow outlived its door");
                }
            });
        }
        if let Some(flow) = flows.get(&peer) {
            // A full inbox drops the datagram.
            drop(flow.try_send(bytes[..n_read].to_vec()));
        }
    }
}

async fn flow(
    desk: Desk,
    door: &UdpSocket,
    (peer, at): (SocketAddr, SocketAddr),
    mut inbox: mpsc::Receiver<Vec<u8>>,
) {
    let port = at.port();
    let visitor = Visitor { peer, local: at, port, is_tls: false, sni: None, alpn: None };
    let mut line = Line::new("udp");
    let ask = Ask {
        port,
        target: Target::DatagramOwner,
        wishes: Wishes::default(),
        request: None,
        deadline: Instant::now() + HOLD_MAX,
    };
    match desk.admit(&ask).await {
        Ok(admitted) => {
            line.admitted(&admitted);
            admitted.place.meter().opened();
            if let Err(error) = pass(door, peer, &mut inbox, &admitted, &mut line).await {
                tracing::debug!(%peer, %error, "a flow broke");
            }
            admitted.place.meter().passed(line.received_bytes, line.sent_bytes);
        }
        Err(turned) => line.turned(&turned),
    }
    line.write(&visitor);
}

/// Passes datagrams both ways until neither side has said anything for a while, or the run is over.
async fn pass(
    door: &UdpSocket,
    peer: SocketAddr,
    inbox: &mut mpsc::Receiver<Vec<u8>>,
    admitted: &Admitted,
    line: &mut Line,
) -> io::Result<()> {
    let machine = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    machine.connect((admitted.route.v4, admitted.service.internal_port)).await?;
    let mut phase = admitted.place.phase();
    let mut bytes = vec![0; DATAGRAM_MAX_BYTES];
    loop {
        tokio::select! {
            datagram = inbox.recv() => {
                let Some(datagram) = datagram else { return Ok(()) };
                line.received_bytes += datagram.len() as u64;
                // The program may not listen yet: that is a datagram lost.
                drop(machine.send(&datagram).await);
            }
            got = machine.recv(&mut bytes) => {
                let Ok(n_read) = got else { continue };
                line.sent_bytes += n_read as u64;
                door.send_to(&bytes[..n_read], peer).await?;
            }
            () = over(&mut phase) => return Ok(()),
            () = tokio::time::sleep(IDLE_MAX) => return Ok(()),
        }
        admitted.place.touch();
    }
}

async fn over(phase: &mut watch::Receiver<RunPhase>) {
    // The sender goes with the record: the run is over then too.
    drop(phase.wait_for(|phase| *phase == RunPhase::Ended).await);
}
