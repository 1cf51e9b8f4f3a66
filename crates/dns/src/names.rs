//! Reading a name under `.internal`: which of the documented forms is it?

/// What a name stands for, before anybody has looked whether it exists. Labels in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// `internal` itself, and names that are only there because others lie below them.
    Node,
    /// `_api`: the machines API.
    Api,
    /// `_apps`: names of the apps in the network.
    Apps,
    /// `_peer`: peers of the network; there are none here, and the name is known.
    Peers,
    /// `_instances`: all machines of the network.
    Instances(Which),
    /// Something of one app.
    OfApp {
        /// The label that names the app.
        app: &'a str,
        /// What of it.
        what: OfApp<'a>,
    },
}

/// What of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfApp<'a> {
    /// Every machine.
    Everyone,
    /// Machines in a region.
    Region(&'a str),
    /// The closest machines, at most so many.
    Nearest(usize),
    /// One machine by its id.
    Machine(&'a str),
    /// Machines of a process group.
    Group(&'a str),
    /// Machines with this label.
    Labelled { key: &'a str, value: &'a str },
    /// A name above those of machines with this label.
    AnyLabelled { key: &'a str },
    /// List of machines with their regions.
    Vms(Which),
    /// List of regions.
    Regions(Which),
    /// A name that is only there because others lie below it.
    Node,
}

/// Which machines a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that are started.
    Started,
    /// All of them.
    All,
}

/// Reads the labels in front of `internal`, in lower case. `None`: no form of ours.
pub(crate) fn parse<'a>(labels: &[&'a str]) -> Option<Form<'a>> {
    match labels {
        [] => Some(Form::Node),
        ["_api"] => Some(Form::Api),
        ["_apps"] => Some(Form::Apps),
        ["_peer"] => Some(Form::Peers),
        ["_instances"] => Some(Form::Instances(Which::Started)),
        ["all", "_instances"] => Some(Form::Instances(Which::All)),
        [of_app @ .., app] => Some(Form::OfApp { app, what: parse_of_app(of_app)? }),
    }
}

fn parse_of_app<'a>(labels: &[&'a str]) -> Option<OfApp<'a>> {
    Some(match labels {
        [] | ["global"] => OfApp::Everyone,
        ["vms"] => OfApp::Vms(Which::Started),
        ["all", "vms"] => OfApp::Vms(Which::All),
        ["regions"] => OfApp::Regions(Which::Started),
        ["all", "regions"] => OfApp::Regions(Which::All),
        ["vm" | "process" | "of" | "_metadata"] | ["nearest", "of"] | ["kv", "_metadata"] => {
            OfApp::Node
        }
        [id, "vm"] => OfApp::Machine(id),
        [group, "process"] => OfApp::Group(group),
        [top, "nearest", "of"] => OfApp::Nearest(parse_top(top)?),
        [value, key, "kv", "_metadata"] => OfApp::Labelled { key, value },
        [key, "kv", "_metadata"] => OfApp::AnyLabelled { key },
        [region] => OfApp::Region(region),
        _ => return None,
    })
}

/// Reads `top3`: how many are wanted, at least one.
fn parse_top(label: &str) -> Option<usize> {
    let digits = label.strip_prefix("top")?;
    let is_plain = !digits.starts_with(['+', '0']);
    digits.parse().ok().filter(|_| is_plain)
}
