//! One file for each verb.

pub(crate) mod alarm;
pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod breaker;
pub(crate) mod certs;
pub(crate) mod completions;
mod control;
mod doctor;
pub(crate) mod down;
mod explain;
pub(crate) mod hold;
pub(crate) mod hold_down;
pub(crate) mod hook;
pub(crate) mod image;
pub(crate) mod inbox;
pub(crate) mod intent;
pub(crate) mod machine;
pub(crate) mod man;
pub(crate) mod memory;
pub(crate) mod policy;
pub(crate) mod proxy;
pub(crate) mod region;
pub(crate) mod rest;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod secret_key;
pub(crate) mod selfhood;
pub(crate) mod token;
pub(crate) mod trace;
pub(crate) mod up;
pub(crate) mod usage;

use crate::args::{Cli, Verb};
use crate::context;
use std::process::ExitCode;

/// Does what the command line says.
pub(crate) fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = cli.global;
    match cli.verb {
        Verb::Up(args) => up::up(&global, &args),
        Verb::Control(args) => control::control(&global, &args),
        Verb::Proxy(verb) => proxy::proxy(&global, &verb),
        Verb::UnpackLayer => Ok(::image::unpack::child_main()),
        Verb::Completions(args) => completions::completions(&args),
        Verb::Man(args) => man::man(&args),
        Verb::Down(args) => down::down(&global, &args),
        Verb::Doctor => context::run(&global, async |c| doctor::doctor(c).await),
        Verb::Run(args) => context::run(&global, async |c| run::run(c, &args).await),
        Verb::Machine(verb) => context::run(&global, async |c| machine::machine(c, &verb).await),
        Verb::Api(args) => context::run(&global, async |c| api::api(c, &args).await),
        Verb::Secret(verb) => context::run(&global, async |c| secret::secret(c, &verb).await),
        Verb::SecretKey(v) => context::run(&global, async |c| secret_key::secret_key(c, &v).await),
        Verb::Region(verb) => context::run(&global, async |c| region::region(c, &verb).await),
        Verb::App(verb) => context::run(&global, async |c| app::app(c, &verb).await),
        Verb::Image(verb) => context::run(&global, async |c| image::image(c, &verb).await),
        Verb::Policy(verb) => policy::policy(&global, &verb),
        Verb::Memory(verb) => context::run(&global, async |c| memory::memory(c, &verb).await),
        Verb::Intent(args) => context::run(&global, async |c| intent::intent(c, &args).await),
        Verb::Inbox(verb) => context::run(&global, async |c| inbox::inbox(c, &verb).await),
        Verb::Hold(verb) => context::run(&global, async |c| hold::hold(c, &verb).await),
        Verb::Alarm(verb) => context::run(&global, async |c| alarm::alarm(c, &verb).await),
        Verb::Hook(verb) => context::run(&global, async |c| hook::hook(c, &verb).await),
        Verb::Certs(verb) => context::run(&global, async |c| certs::certs(c, &verb).await),
        Verb::Explain(args) => context::run(&global, async |c| explain::explain(c, &args).await),
        Verb::Wake(args) => context::run(&global, async |c| explain::wake(c, &args).await),
        Verb::Rest(args) => context::run(&global, async |c| rest::rest(c, &args).await),
        Verb::Trace(args) => context::run(&global, async |c| trace::trace(c, &args).await),
        Verb::HoldDown(v) => context::run(&global, async |c| hold_down::hold_down(c, &v).await),
        Verb::Breaker(verb) => context::run(&global, async |c| breaker::breaker(c, &verb).await),
        Verb::Selfhood(verb) => context::run(&global, async |c| selfhood::selfhood(c, &verb).await),
        Verb::Token(verb) => context::run(&global, async |c| token::token(c, &verb).await),
        Verb::Usage(args) => context::run(&global, async |c| usage::usage(c, &args).await),
    }
}
