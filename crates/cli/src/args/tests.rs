//! The command line: that its help reads as committed, and what some lines mean.

use super::{Cli, Verb};
use clap::{CommandFactory as _, Parser as _};
use std::fmt::Write as _;

const GOLDEN: &str = include_str!("help.txt");

/// Help of every verb, in the order of the command line.
fn transcript() -> String {
    let mut text = String::new();
    let mut command = Cli::command().term_width(100);
    command.build();
    add_help(&mut command, &mut text);
    text
}

fn add_help(command: &mut clap::Command, text: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_help();
    write!(text, "$ {name} --help\n{help}\n").expect("writing to a string cannot fail");
    for verb in command.get_subcommands_mut() {
        add_help(verb, text);
    }
}

/// `DORMOUSE_UPDATE_GOLDEN=1` writes the file anew; the change is then seen in review.
#[test]
fn help_reads_as_committed() {
    let text = transcript();
    if std::env::var_os("DORMOUSE_UPDATE_GOLDEN").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/args/help.txt");
        std::fs::write(file, &text).expect("the golden file can be written");
        return;
    }
    let pairs = GOLDEN.lines().zip(text.lines()).enumerate();
    let difference = pairs.into_iter().find(|(_, (golden, now))| golden != now);
    assert_eq!(difference, None, "run with DORMOUSE_UPDATE_GOLDEN=1 if this is meant");
    assert_eq!(GOLDEN.lines().count(), text.lines().count());
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[track_caller]
fn accept(line: &str) -> Cli {
    Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[track_caller]
fn refuse(line: &str) {
    assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
}

#[test]
fn lines_parse() {
    for line in [
        "dormouse up",
        "dormouse --data-dir=/x control --listen=127.0.0.1:0 --region=local --slots-ready=4,8",
        "dormouse --data-dir=/x control --boot-id-file=/b --egress --shim=/s --init=/i",
        "dormouse up --allow-registry *.example.com --allow-registry r.io:5000/team",
        "dormouse up --insecure-registry r.io:5000 --registry-ca /ca --image-budget-gib 20",
        "dormouse run demo",
        "dormouse run --rm --name a --env A=1 --cpus 2 --memory 512 demo sh -c date",
        "dormouse machine create --skip-launch --config -",
        "dormouse m ls --json",
        "dormouse machine exec -it box -- sh -l",
        "dormouse machine exec -i -t box sh -c ls",
        "dormouse machine stop --signal TERM -t 10s a b",
        "dormouse machine suspend --depth freeze a",
        "dormouse machine signal a SIGHUP",
        "dormouse machine wait a stopped failed --timeout 2m",
        "dormouse machine logs -f -n 5 a",
        "dormouse image pull registry.example.com:5000/team/web:1.2 --json",
        "dormouse image import ./x.tar demo:1",
        "dormouse image import - demo",
        "dormouse image show debian:12",
        "dormouse image prune --keep 3 --older-than 7d --max-size 10GB --dry-run",
        "dormouse image rm demo",
        "dormouse token create ci --app web --read-only --ttl 24h",
        "dormouse usage a",
        "dormouse completions bash",
        "dormouse unpack-layer",
    ] {
        accept(line);
    }
}

#[test]
fn wrong_lines_are_refused() {
    for line in [
        "dormouse",
        "dormouse up --slots-ready 8,4",
        "dormouse run",
        "dormouse machine create",
        "dormouse machine create --config x.json demo",
        "dormouse machine start",
        "dormouse machine exec box",
        "dormouse image pull",
        "dormouse image prune --older-than soon",
        "dormouse image prune --max-size much",
        "dormouse machine signal a SIGNOPE",
        "dormouse machine stop -t soon a",
        "dormouse machine suspend --depth deep a",
    ] {
        refuse(line);
    }
}

#[test]
fn options_after_the_image_belong_to_the_command() {
    let Verb::Run(args) = accept("dormouse run demo ls --json -l").verb else { panic!("not run") };
    assert_eq!(format!("{args:?}").matches("--json").count(), 1, "{args:?}");
}

#[test]
fn what_the_supervisor_passes_on_is_what_control_takes() {
    let mut options = daemon::UpOptions::new("/data".into());
    options.egress = true;
    options.shim = Some("/s".into());
    options.init = Some("/i".into());
    options.images = daemon::options::ImageOptions {
        allow_registries: vec!["r.io".to_owned(), "*.example.com".to_owned()],
        insecure_registries: vec!["r.io".to_owned()],
        registry_cas: vec!["/ca".into()],
        docker_config: Some("/c".into()),
        budget_gib: Some(7),
    };
    let line = std::iter::once("dormouse".to_owned()).chain(options.control_args());
    let cli = Cli::try_parse_from(line).expect("control takes it");
    assert!(matches!(cli.verb, Verb::Control(_)));
    assert_eq!(cli.global.data_dir, options.data_dir);
}
