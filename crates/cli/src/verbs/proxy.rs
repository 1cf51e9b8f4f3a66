//! `dormouse proxy`: what it has open, and the process itself.

use crate::args::Global;
use crate::context::{self, Context};
use crate::output::{one_line, table};
use crate::verbs::up::UpArgs;
use api::contract::moment::rfc3339;
use clap::{Args, Subcommand};
use control::{Proxies, Replaced};
use model::spec::service::{Port, Service, Transport};
use proxy_proto::message::{DescribedMachine, Description, Door, Load};
use proxy_proto::route::{MachineRoute, RouteState};
use std::process::ExitCode;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum ProxyVerb {
    /// List open ports, the apps behind them, and their machines
    Routes(RoutesArgs),
    /// The proxy process; started by `up`
    #[command(hide = true)]
    Run(Box<UpArgs>),
}

/// What to list.
#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    /// Only of this app
    #[arg(short, long, value_name = "APP")]
    app: Option<String>,
}

pub(super) fn proxy(global: &Global, verb: &ProxyVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ProxyVerb::Run(args) => {
            daemon::proxy_process::run(&args.options(global))?;
            Ok(ExitCode::SUCCESS)
        }
        ProxyVerb::Routes(args) => context::run(global, async |c| routes(c, args).await),
    }
}

async fn routes(context: &Context, args: &RoutesArgs) -> anyhow::Result<ExitCode> {
    let proxies = context.client.proxy(args.app.as_deref()).await?;
    context.show(&proxies, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(proxies: &Proxies) -> String {
    let replaced = proxies.replaced.iter().map(text_of_replaced);
    std::iter::once(text_of_newest(&proxies.newest))
        .chain(replaced)
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn text_of_newest(description: &Description) -> String {
    let doors: Vec<[String; 3]> = description.doors.iter().map(door).collect();
    let machines: Vec<[String; 9]> = description.machines.iter().map(row).collect();
    let doors = match doors.as_slice() {
        [] => "no doors: no machine has a service with ports".to_owned(),
        doors => table(["DOOR", "APPS", "STATE"], doors),
    };
    let columns =
        ["MACHINE", "APP", "STATE", "PORTS", "REQUESTS", "CONNECTIONS", "HELD", "LAST", "PROBLEMS"];
    format!("{doors}\n\n{}{}", table(columns, &machines), left_off(description.n_left_off))
}

/// What a proxy without doors still serves.
fn text_of_replaced(proxy: &Replaced) -> String {
    let Replaced { pid, loads, n_left_off } = proxy;
    if loads.is_empty() {
        return format!("process {pid} was replaced and serves none of these machines any more");
    }
    let loads: Vec<[String; 4]> = loads.iter().map(row_of_replaced).collect();
    let loads = table(["MACHINE", "REQUESTS", "CONNECTIONS", "LAST"], &loads);
    format!("process {pid} was replaced and still serves\n{loads}{}", left_off(*n_left_off))
}

fn left_off(n: u32) -> String {
    match n {
        0 => String::new(),
        n => format!("\n({n} machines more; ask for one app with --app)"),
    }
}

fn door(door: &Door) -> [String; 3] {
    let state = door.problem.as_deref().map_or_else(|| "open".to_owned(), one_line);
    [door.address.clone(), door.apps.join(", "), state]
}

fn row(machine: &DescribedMachine) -> [String; 9] {
    let (route, load) = (&machine.route, &machine.load);
    [
        route.machine.to_string(),
        route.app.clone(),
        state(&route.state).to_owned(),
        ports(route),
        load.n_requests.to_string(),
        load.n_connections.to_string(),
        machine.n_held.to_string(),
        last(load),
        problems(machine),
    ]
}

fn row_of_replaced(load: &Load) -> [String; 4] {
    let Load { machine, n_requests, n_connections, .. } = load;
    [machine.to_string(), n_requests.to_string(), n_connections.to_string(), last(load)]
}

fn last(load: &Load) -> String {
    load.last_at.map_or_else(|| "-".to_owned(), rfc3339)
}

const fn state(state: &RouteState) -> &'static str {
    match state {
        RouteState::Up { .. } => "up",
        RouteState::Asleep => "asleep",
        RouteState::Moving => "moving",
        RouteState::Unavailable => "unavailable",
    }
}

/// Where visitors come in, and the port inside: `443,80->8080`.
fn ports(route: &MachineRoute) -> String {
    let service = |service: &Service| {
        let port = |port: &Port| match port.first == port.last {
            true => port.first.to_string(),
            false => format!("{}-{}", port.first, port.last),
        };
        let outside = service.ports.iter().map(port).collect::<Vec<_>>().join(",");
        let outside = if outside.is_empty() { "none" } else { &outside };
        let transport = match service.protocol {
            Transport::Tcp => "",
            Transport::Udp => "/udp",
        };
        format!("{outside}->{}{transport}", service.internal_port)
    };
    route.services.iter().map(service).collect::<Vec<_>>().join(" ")
}

/// Why visitors are kept from it, or sent elsewhere.
fn problems(machine: &DescribedMachine) -> String {
    let cordoned = machine.route.is_cordoned.then(|| "cordoned".to_owned());
    let pressed = machine.load.is_over_soft.then(|| "above its soft limit".to_owned());
    let failing = machine.failing.iter().map(|check| format!("{} fails", one_line(check)));
    cordoned.into_iter().chain(pressed).chain(failing).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described() -> Proxies {
        let load = json!({"machine": "0e286039a42d18", "n_requests": 2, "n_connections": 1,
            "n_upgraded": 0, "is_over_soft": true, "last_at": 1_795_255_200_000_u64});
        let machine = json!({
            "route": {"machine": "0e286039a42d18", "generation": 1, "app": "web", "network": 1,
                "region": "local", "state": {"state": "up", "run": "r", "since": 0},
                "v4": "100.64.0.2", "v6": "fdaa:0:1:a7b:7d:1:2:2", "is_cordoned": true,
                "services": [
                    {"internal_port": 8080, "ports": [{"first": 80, "last": 80},
                        {"first": 9000, "last": 9010}]},
                    {"internal_port": 53, "protocol": "udp"}]},
            "load": load, "failing": ["alive"], "n_held": 3});
        let doors = json!([
            {"address": "127.0.0.1:80", "apps": ["web", "api"], "problem": null},
            {"address": "127.0.0.1:53/udp", "apps": ["web"], "problem": "taken by app dns"}]);
        let replaced = json!([{"pid": 7, "loads": [], "n_left_off": 0},
            {"pid": 8, "loads": [load], "n_left_off": 5}]);
        serde_json::from_value(json!({"doors": doors, "machines": [machine], "metrics": [],
            "n_left_off": 4, "replaced": replaced}))
        .expect("a description")
    }

    #[test]
    fn routes_tell_doors_machines_loads_problems_and_who_was_replaced() {
        let expected = "\
DOOR              APPS      STATE
127.0.0.1:80      web, api  open
127.0.0.1:53/udp  web       taken by app dns

MACHINE         APP  STATE  PORTS                            REQUESTS  CONNECTIONS  HELD  \
LAST                  PROBLEMS
0e286039a42d18  web  up     80,9000-9010->8080 none->53/udp  2         1            3     \
2026-11-21T10:00:00Z  cordoned, above its soft limit, alive fails
(4 machines more; ask for one app with --app)

process 7 was replaced and serves none of these machines any more

process 8 was replaced and still serves
MACHINE         REQUESTS  CONNECTIONS  LAST
0e286039a42d18  2         1            2026-11-21T10:00:00Z
(5 machines more; ask for one app with --app)";
        assert_eq!(text(&described()), expected);
    }

    #[test]
    fn without_services_there_are_no_doors() {
        let said = text(&Proxies::default());
        assert!(said.starts_with("no doors"), "{said}");
    }
}
