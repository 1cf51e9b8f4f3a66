//! A server for inside machines, such as visitors meet: good, slow, silent, broken.
//!
//! * `http PORT [WORD…]`: HTTP/1.1 and h2 without TLS; see [`http`].
//! * `echo PORT [WORD…]`: sends back every byte and every datagram.
//! * `greet PORT [WORD…]`: says which machine it is before it hears anything, then sends back.
//! * `mute PORT [WORD…]`: takes every connection and never says a word.
//! * `deaf PORT`: runs and never listens.
//! * `dying PORT after=MS`: ends after so long, and has never listened.
//!
//! Words: `v4` or `v6` for one family only, `after=MS` to listen so much later.

mod http;
mod place;
mod raw;

use place::Place;
use std::io::{self, Write as _};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match words.split_first() {
        Some((kind, rest)) => match Place::read(rest) {
            Some(place) => run(kind, &place).await,
            None => Err(io::Error::other("KIND PORT [v4|v6] [after=MS]")),
        },
        None => Err(io::Error::other("KIND PORT [v4|v6] [after=MS]")),
    };
    match ended {
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody reads the log of a machine whose log cannot be written.
            drop(writeln!(io::stderr(), "guest-server: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(kind: &str, place: &Place) -> io::Result<()> {
    match kind {
        "http" => http::serve(place.listen().await?).await,
        "echo" => tokio::try_join!(raw::echo(place, false), raw::echo_datagrams(place)).map(drop),
        "greet" => raw::echo(place, true).await,
        "mute" => raw::mute(place).await,
        "deaf" => std::future::pending().await,
        "dying" => {
            place.pause().await;
            Ok(())
        }
        _ => Err(io::Error::other("unknown kind")),
    }
}

/// The machine that this runs in.
fn machine() -> String {
    std::env::var("FLY_MACHINE_ID").unwrap_or_default()
}
