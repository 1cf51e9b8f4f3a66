//! What an instance left on the host: there must be nothing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Everything on the host that belongs to the instance `tag` or to files below `data_dir`: mounts,
/// links, cgroups, processes, loop devices, the runtime directory.
#[must_use]
pub fn of_instance(tag: &str, data_dir: &Path) -> Vec<String> {
    let runtime_dir = runtime_dir(tag);
    let mut found = mounts(&runtime_dir);
    found.extend(
        names_in("/sys/class/net", &format!("dm{tag}-")).map(|name| format!("link {name}")),
    );
    found.extend(cgroups(&format!("dormouse-{tag}")));
    found.extend(processes(tag, data_dir).into_iter().map(|process| process.to_string()));
    found.extend(loops(data_dir));
    if runtime_dir.exists() {
        found.push(format!("directory {}", runtime_dir.display()));
    }
    found
}

/// Everything on the host that belongs to one machine: its directory, cgroups, processes, loop
/// devices. Its slot goes back to the pool and is nobody's then.
#[must_use]
pub fn of_machine(tag: &str, data_dir: &Path, id: &str) -> Vec<String> {
    let dir = data_dir.join("machines").join(id);
    let cgroup = format!("dormouse-{tag}/{id}");
    let mut found = cgroups(&cgroup);
    found.extend(processes_in(&cgroup).iter().map(ToString::to_string));
    found.extend(loops(&dir));
    if dir.exists() {
        found.push(format!("directory {}", dir.display()));
    }
    found
}

/// A process on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its command line, words separated by spaces.
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} {}", self.pid, self.command)
    }
}

/// The guest inits that run in a machine; more than one would be a double start.
#[must_use]
pub fn inits_of(tag: &str, id: &str) -> Vec<Process> {
    let mut inits = processes_in(&format!("dormouse-{tag}/{id}"));
    inits.retain(|process| is_first_of_its_namespace(process.pid));
    inits
}

/// The shims of an instance that own a run: those that have a socket for later daemons.
#[must_use]
pub fn shims_of(tag: &str) -> Vec<Process> {
    let place = format!("{}/", runtime_dir(tag).join("shims").display());
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let listening: Vec<&str> = table
        .lines()
        .filter(|line| line.contains(&place))
        .filter_map(|line| line.split_ascii_whitespace().nth(6))
        .collect();
    let has_one = |pid: u32| {
        let links = entries(&format!("/proc/{pid}/fd")).filter_map(|fd| fs::read_link(fd).ok());
        let mut sockets = links.filter_map(|link| link.into_os_string().into_string().ok());
        sockets.any(|link| {
            let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inode.is_some_and(|inode| listening.contains(&inode))
        })
    };
    all_processes()
        .filter(|process| process.command.contains("dormouse-shim") && has_one(process.pid))
        .collect()
}

fn runtime_dir(tag: &str) -> PathBuf {
    Path::new("/run/dormouse").join(tag)
}

fn entries(dir: &str) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn names_in(dir: &str, prefix: &str) -> impl Iterator<Item = String> + use<> {
    let prefix = prefix.to_owned();
    entries(dir)
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(move |name| name.starts_with(&prefix))
}

fn mounts(place: &Path) -> Vec<String> {
    let place = place.display().to_string();
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().filter(|line| line.contains(&place)).map(|line| format!("mount {line}")).collect()
}

fn cgroups(name: &str) -> Vec<String> {
    let root = "/sys/fs/cgroup";
    std::iter::once(PathBuf::from(root))
        .chain(entries(root))
        .map(|hierarchy| hierarchy.join(name))
        .filter(|path| path.exists())
        .map(|path| format!("cgroup {}", path.display()))
        .collect()
}

/// All processes but zombies and threads of the kernel: those have no command line.
fn all_processes() -> impl Iterator<Item = Process> {
    entries("/proc").filter_map(|path| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let cmdline = fs::read(path.join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&cmdline).replace('\0', " ");
        let command = command.trim_end().to_owned();
        (!command.is_empty()).then_some(Process { pid, command })
    })
}

/// Our processes that name the data directory, shims of the instance, and what runs in its machines.
pub(crate) fn processes(tag: &str, data_dir: &Path) -> Vec<Process> {
    let data_dir = data_dir.display().to_string();
    let mut found: Vec<Process> = all_processes()
        .filter(|process| {
            let names_dir = process.command.contains(&data_dir);
            process.command.contains("dormouse") && (names_dir || is_shim_of(process.pid, tag))
        })
        .collect();
    found.extend(processes_in(&format!("dormouse-{tag}/")));
    found
}

/// Control marks its shims in their environment.
fn is_shim_of(pid: u32, tag: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mark = format!("DORMOUSE_INSTANCE={tag}");
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

/// Processes in a cgroup or below it; `cgroup` may end within a name.
fn processes_in(cgroup: &str) -> Vec<Process> {
    let is_inside = |process: &Process| {
        let table = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
        table.contains(cgroup)
    };
    all_processes().filter(is_inside).collect()
}

/// Whether it is PID 1 of a namespace right below the host's.
fn is_first_of_its_namespace(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let mut numbers = numbers.split_ascii_whitespace();
    numbers.next().is_some() && numbers.next() == Some("1") && numbers.next().is_none()
}

fn loops(place: &Path) -> Vec<String> {
    let place = place.display().to_string();
    names_in("/sys/block", "loop")
        .filter_map(|name| {
            let file = format!("/sys/block/{name}/loop/backing_file");
            let backing = fs::read_to_string(file).ok()?;
            backing.starts_with(&place).then(|| format!("loop device {name}: {}", backing.trim()))
        })
        .collect()
}
