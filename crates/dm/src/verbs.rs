//! What words mean: each verb becomes the calls it makes and how their answers are shown.
//!
//! * `memory`: facts and intent. `inbox`: messages, also to peers. `waking`: holds, alarms, beats.
//! * `rest`: rests, stops, notices, reasons. `peers`: what peers show.

mod inbox;
mod memory;
mod peers;
mod rest;
mod waking;

use crate::errand::Errand;
use crate::failure::Failure;
use crate::help;
use crate::words::Words;

/// What is to be done.
#[derive(Debug)]
pub enum Wish {
    /// A text is to be shown.
    Help(String),
    /// The host is to be asked.
    Errand(Errand),
}

/// Options that take a value, of all verbs: none of them means two things.
const OPTIONS_WITH_VALUE: [&str; 16] = [
    "alarm",
    "at",
    "cron",
    "every",
    "for",
    "hops",
    "id",
    "if-revision",
    "missed",
    "mode",
    "note",
    "reason",
    "take",
    "tz",
    "until",
    "wait",
];

/// Whether answers are wanted as JSON. What comes after `--` is no option.
#[must_use]
pub fn wants_json(words: &[String]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// Reads the words after the program's name.
///
/// # Errors
/// [`Failure::Usage`]; [`Failure::Output`] when a body cannot be read from standard input.
pub fn parse(words: Vec<String>) -> Result<Wish, Failure> {
    let mut words = words.into_iter();
    let Some(verb) = words.by_ref().find(|word| word != "--json") else {
        return Err(Failure::usage("there is no verb", "`dm help` shows all of them"));
    };
    if matches!(verb.as_str(), "help" | "--help" | "-h") {
        return words.next().map_or_else(|| Ok(Wish::Help(help::all())), |verb| help_on(&verb));
    }
    if verb == "--version" {
        return Ok(Wish::Help(format!("dm {}", env!("CARGO_PKG_VERSION"))));
    }
    let known = help::verb(&verb).ok_or_else(|| unknown(&verb))?;
    let mut words = Words::sort(known.name, &OPTIONS_WITH_VALUE, words)?;
    while words.flag("json") {}
    if words.flag("help") {
        return Ok(Wish::Help(known.text()));
    }
    let errand = errand(known.name, &mut words)?;
    words.end()?;
    Ok(Wish::Errand(errand))
}

fn help_on(verb: &str) -> Result<Wish, Failure> {
    help::verb(verb).map(|known| Wish::Help(known.text())).ok_or_else(|| unknown(verb))
}

fn unknown(verb: &str) -> Failure {
    Failure::usage(format!("there is no verb `{verb}`"), "`dm help` shows all of them")
}

fn errand(verb: &str, words: &mut Words) -> Result<Errand, Failure> {
    match verb {
        "get" => memory::get(words),
        "set" => memory::set(words),
        "unset" => memory::unset(words),
        "phase" => memory::phase(words),
        "done" => Ok(memory::done(words)),
        "inbox" => inbox::inbox(words),
        "ack" => inbox::ack(words),
        "post" => inbox::post(words),
        "hold" => waking::hold(words),
        "release" => waking::release(words),
        "alarm" => waking::alarm(words),
        "unalarm" => waking::unalarm(words),
        "beat" => Ok(waking::beat()),
        "sleep" => rest::sleep(words),
        "stop" => Ok(rest::stop()),
        "suspend" => Ok(rest::suspend()),
        "why" => Ok(rest::why()),
        "wait-notice" => rest::wait_notice(words),
        "notices" => Ok(rest::notices()),
        "peer" => peers::peer(words),
        "policy" => Ok(rest::policy()),
        other => Err(unknown(other)),
    }
}

#[cfg(test)]
mod tests;
