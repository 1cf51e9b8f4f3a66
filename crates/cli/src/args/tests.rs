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
        "dormouse up --vms-ready 0,0",
        "dormouse up --allow-registry *.example.com --allow-registry r.io:5000/team",
        "dormouse up --insecure-registry r.io:5000 --registry-ca /ca --image-budget-gib 20",
        "dormouse run demo",
        "dormouse run --rm --name a --env A=1 --cpus 2 --memory 512 demo sh -c date",
        "dormouse machine create --skip-launch --config -",
        "dormouse machine create --policy policy.json demo",
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
        "dormouse policy set a policy.json --if-revision 7",
        "dormouse policy show a",
        "dormouse policy clear a",
        "dormouse policy lint -",
        "dormouse policy dry-run policy.json --memory {\"a\":1}",
        "dormouse policy dry-run --machine a --as self",
        "dormouse policy dry-run policy.json -m a -a web",
        "dormouse memory get a",
        "dormouse memory get a progress --after 7 --timeout 5s",
        "dormouse memory set a x=1 y=text --if-revision 7",
        "dormouse memory unset a x y",
        "dormouse intent a --objective o --phase p --done true",
        "dormouse inbox post a text --id 7 --wake",
        "dormouse inbox ls a --after 7 -n 5",
        "dormouse inbox ack a 7 8",
        "dormouse inbox dead a",
        "dormouse hold put a job --for 5m --reason busy",
        "dormouse hold drop a job",
        "dormouse alarm set a night --every 1h --missed all",
        "dormouse alarm set a once --at +5m",
        "dormouse alarm set a once --cron x --tz Europe/Rome",
        "dormouse alarm ack a night",
        "dormouse hook set a push --scheme github --secret-file -",
        "dormouse hook set a push --scheme hmac-sha256-hex --header x-signature --draw-secret",
        "dormouse hook ls -a web",
        "dormouse hook rm push",
        "dormouse hook rotate push --overlap 2h --secret-file -",
        "dormouse hook secret -a web",
        "dormouse hook secret --rotate --overlap 0s",
        "dormouse hook outbox a",
        "dormouse explain a --json",
        "dormouse wake a",
        "dormouse rest a --clear",
        "dormouse trace a -f -n 5",
        "dormouse trace a verify",
        "dormouse trace a replay --seq 7",
        "dormouse hold-down put a --reason broken --until 09:00",
        "dormouse hold-down release a",
        "dormouse breaker reset a",
        "dormouse self show a",
        "dormouse self export a -o x.json",
        "dormouse self import a -",
        "dormouse token create ci --app web --read-only --ttl 24h",
        "dormouse usage a",
        "dormouse machine create --egress-default deny demo",
        "dormouse machine update a --env A=1 --memory 512 -- sh -c date",
        "dormouse machine update a --config - --if-version 01J8Z3 --skip-launch",
        "dormouse machine versions a",
        "dormouse machine listening a",
        "dormouse machine cordon a b",
        "dormouse machine labels a --set role=worker --unset old",
        "dormouse machine lease take a --ttl 60 --description deploy",
        "dormouse machine lease release a --lease 5c35f65c9f95",
        "dormouse app show web",
        "dormouse app events web",
        "dormouse app addresses web",
        "dormouse machine events -f a",
        "dormouse machine ram a",
        "dormouse region ls",
        "dormouse region room --cpus 2 --memory 512",
        "dormouse secret-key ls -a web",
        "dormouse secret-key generate k hs256",
        "dormouse secret-key sign k file",
        "dormouse token deploy web --ttl 24h",
        "dormouse usage -a web --since 2026-11-01T00:00:00Z",
        "dormouse secret set -a web A=1 B=@/file C=-",
        "dormouse secret ls --show",
        "dormouse secret unset A",
        "dormouse api GET /v1/apps",
        "dormouse api post /v1/apps --data {} -H If-Match:7 -i",
        "dormouse api PUT /v1/x --data - --content-type text/plain",
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
        "dormouse up --vms-ready 1",
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
        "dormouse policy dry-run",
        "dormouse policy dry-run x.json --as self",
        "dormouse policy dry-run x.json --memory []",
        "dormouse memory set a",
        "dormouse memory set a x",
        "dormouse memory get a --timeout 5s",
        "dormouse inbox ack a",
        "dormouse inbox ack a x",
        "dormouse hold put a job",
        "dormouse hold put a job --for ever",
        "dormouse alarm set a night",
        "dormouse alarm set a night --every 1h --at +5m",
        "dormouse alarm set a night --every 1h --tz Europe/Rome",
        "dormouse alarm set a night --at noon",
        "dormouse hook set a",
        "dormouse hook rotate",
        "dormouse hook secret --overlap 1h",
        "dormouse hook set a push --header x",
        "dormouse hook set a push --draw-secret --secret-file x",
        "dormouse trace a verify -f",
        "dormouse trace a repeat",
        "dormouse machine create --egress-default maybe demo",
        "dormouse machine lease a",
        "dormouse machine events -f -n 5 a",
        "dormouse usage --since 2026-11-01T00:00:00Z",
        "dormouse secret-key generate k",
        "dormouse secret set",
        "dormouse api /v1/apps",
        "dormouse api FETCH /v1/apps",
        "dormouse api GET /v1/apps --content-type text/plain",
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
