//! Name and neighbours of the machine: host name, `/etc/hosts`, `/etc/hostname`,
//! `/etc/resolv.conf`.
//!
//! A program can often do without them, so a failure is told in the log and the start goes on.

use crate::files;
use crate::start_error::text;
use guest_proto::Orders;
use guest_proto::message::HostsLine;
use rustix::io::Errno;
use std::fmt::Write as _;

/// Writes those that the orders name; returns a sentence for each that failed.
pub(crate) fn write(orders: &Orders) -> Vec<String> {
    let mut failures = Vec::new();
    let mut note = |what: &str, result: Result<(), Errno>| {
        if let Err(error) = result {
            failures.push(format!("cannot write {what}: {}", text(error)));
        }
    };
    if !orders.hosts.is_empty() {
        note("/etc/hosts", put("/etc/hosts", &hosts_text(&orders.hosts)));
    }
    if !orders.hostname.is_empty() {
        note("/etc/hostname", put("/etc/hostname", &format!("{}\n", orders.hostname)));
        note("the host name", set_hostname(&orders.hostname));
    }
    if !orders.resolv_conf.is_empty() {
        note("/etc/resolv.conf", put("/etc/resolv.conf", &orders.resolv_conf));
    }
    failures
}

/// An image without `/etc` gets one.
fn put(path: &str, text: &str) -> Result<(), Errno> {
    match files::replace(path, text.as_bytes(), 0o644) {
        Err(Errno::NOENT) => {
            files::make_dirs("/etc")?;
            files::replace(path, text.as_bytes(), 0o644)
        }
        result => result,
    }
}

/// In a container the launcher has set the name already and init is not permitted to.
fn set_hostname(name: &str) -> Result<(), Errno> {
    match rustix::system::sethostname(name.as_bytes()) {
        Err(Errno::PERM) => Ok(()),
        result => result,
    }
}

fn hosts_text(lines: &[HostsLine]) -> String {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{}\t{}", line.address, line.names.join(" "))
            .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lines_name_the_canonical_name_first() {
        let line = HostsLine {
            address: "fdaa::2".to_owned(),
            names: vec!["a.vm.app.internal".to_owned(), "a".to_owned()],
        };
        assert_eq!(hosts_text(&[line]), "fdaa::2\ta.vm.app.internal a\n");
    }
}
