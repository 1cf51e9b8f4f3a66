//! One file for each verb.

pub(crate) mod app;
pub(crate) mod completions;
mod control;
mod doctor;
pub(crate) mod down;
pub(crate) mod image;
pub(crate) mod machine;
pub(crate) mod policy;
pub(crate) mod run;
pub(crate) mod token;
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
        Verb::UnpackLayer => Ok(::image::unpack::child_main()),
        Verb::Completions(args) => completions::completions(&args),
        Verb::Down(args) => down::down(&global, &args),
        Verb::Doctor => context::run(&global, async |c| doctor::doctor(c).await),
        Verb::Run(args) => context::run(&global, async |c| run::run(c, &args).await),
        Verb::Machine(verb) => context::run(&global, async |c| machine::machine(c, &verb).await),
        Verb::App(verb) => context::run(&global, async |c| app::app(c, &verb).await),
        Verb::Image(verb) => context::run(&global, async |c| image::image(c, &verb).await),
        Verb::Policy(verb) => policy::policy(&global, &verb),
        Verb::Token(verb) => context::run(&global, async |c| token::token(c, &verb).await),
        Verb::Usage(args) => context::run(&global, async |c| usage::usage(c, &args).await),
    }
}
