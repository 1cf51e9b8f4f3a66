//! What keeps a machine awake that its services would put to rest.

use crate::house::{House, PORT, Place, host, stops};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use std::thread;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// A WebSocket to this machine that has said something and heard it back.
pub(crate) async fn socket(house: &House, place: &Place) -> WebSocketStream<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(house.instance.door(PORT)).await.expect("open");
    let request = http_request(place);
    let (mut socket, _answer) = client_async(request, stream).await.expect("a WebSocket");
    socket.send(Message::text("hello")).await.expect("sent");
    let heard = socket.next().await.expect("something").expect("a message");
    assert_eq!(heard, Message::text("hello"));
    socket
}

fn http_request(place: &Place) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let url = format!("ws://{}:{PORT}/socket", host(place));
    let mut request = url.into_client_request().expect("a request");
    let id = place.id.parse().expect("a header");
    request.headers_mut().insert("fly-force-instance-id", id);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_websockets_commands_and_holds_each_do() {
    let house = House::new();
    let place = |app: &str| house.awake(app, &stops(), &json!({}));
    let [nobody, asked, talked, worked, held] =
        ["nobody", "asked", "talked", "worked", "held"].map(place);

    let request = house.hang(&asked);
    let mut websocket = socket(&house, &talked).await;
    let hold = json!({"ttl": "1h", "reason": "an upload"});
    drop(house.ask(&held, "PUT", "/holds/upload", &hold).expect(200));
    thread::scope(|scope| {
        let command = scope.spawn(|| {
            let wait = "while [ ! -e /tmp/enough ]; do sleep 0.05; done";
            let body = json!({"command": ["/bin/sh", "-c", wait], "timeout": 60});
            let target = format!("{}/exec", House::path(&worked));
            house.instance.post(&target, &body).expect(200)
        });
        let kept =
            [(&asked, "requests"), (&talked, "requests"), (&worked, "exec"), (&held, "hold")];
        for (place, by) in kept {
            house.wait_for_keeper(place, by);
        }
        house.pass();
        house.wait_for(&nobody, "stopped");
        for (place, by) in kept {
            assert_eq!(house.state(place), "started", "{by}");
            house.wait_for_keeper(place, by);
        }
        let body = json!({"command": ["/bin/touch", "/tmp/enough"], "timeout": 60});
        drop(house.instance.post(&format!("{}/exec", House::path(&worked)), &body).expect(200));
        assert_eq!(command.join().expect("no panic")["exit_code"], 0);
        house.wait_for(&worked, "stopped");
    });
    drop(request);
    house.wait_for(&asked, "stopped");
    websocket.close(None).await.expect("closed");
    house.wait_for(&talked, "stopped");
    drop(house.ask(&held, "DELETE", "/holds/upload", &json!(null)).expect(200));
    house.wait_for(&held, "stopped");
}
