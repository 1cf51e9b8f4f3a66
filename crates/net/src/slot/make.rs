//! Making a slot, opening one that exists, removing one.
//!
//! A slot is whole when the router's end of its link is up: that is the last step of making it and
//! the first thing that is asked when it is opened again.

use super::hold::{HOLD_ARGUMENT, MAPPED, NET_MADE, USER_MADE};
use super::{GUEST_LINK, IDS_PER_SLOT, Slot, host_id_base, link_name};
use crate::error::{Error, Result, at};
use crate::router::{GATEWAY_V6, Router};
use crate::{namespace, pin, sysctl};
use model::SlotId;
use netlink::{
    Batch, Link, Prefix, Route, Socket, Target, VethPair, add_route, add_veth, delete_link,
    link_named, set_up,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Longest wait for a word of the helper, in seconds; it takes about a millisecond.
const HELPER_DEADLINE_S: i64 = 5;
/// Longest complaint of the helper that is kept, in bytes.
const COMPLAINT_MAX: u64 = 512;

/// Settings of a slot's namespace.
///
/// The first two are Docker's: any user of the machine may use low ports; the others keep the
/// guest from waiting for, or believing, what could come over the link.
const SETTINGS: [(&str, &str); 7] = [
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
];

/// The pins of one slot.
#[derive(Debug)]
pub(super) struct Pins {
    pub(super) net: PathBuf,
    pub(super) user: PathBuf,
}

impl Pins {
    pub(super) fn of(dir: &Path, id: SlotId) -> Self {
        Self { net: dir.join(format!("slot-{id}.net")), user: dir.join(format!("slot-{id}.user")) }
    }

    /// The slot that a file in the pin directory belongs to.
    pub(super) fn owner(file_name: &str) -> Option<SlotId> {
        let rest = file_name.strip_prefix("slot-")?;
        let number = rest.strip_suffix(".net").or_else(|| rest.strip_suffix(".user"))?;
        number.parse().ok().map(SlotId)
    }
}

/// Makes a new slot; what an earlier attempt left under the same number is replaced.
pub(super) fn make(router: &Router, pins: &Path, helper: &Path, id: SlotId) -> Result<Slot> {
    let pins = Pins::of(pins, id);
    bear(helper, &pins, id)?;
    let netns = namespace::open(&pins.net)?;
    let mut socket = namespace::run_inside(netns.as_fd(), || {
        sysctl::set_all(&SETTINGS)?;
        let (first, last) = (host_id_base(id), host_id_base(id) + IDS_PER_SLOT - 1);
        sysctl::set("ipv4/ping_group_range", &format!("{first} {last}"))?;
        Ok::<_, Error>(Socket::open()?)
    })??;

    let name = link_name(router.tag(), id);
    let [_, _, high, low] = u32::from(id.0).to_be_bytes();
    let pair = VethPair {
        name: &name,
        peer_name: GUEST_LINK,
        peer_netns: netns.as_fd(),
        mac: [0x02, 0x64, 0x6d, 0x00, high, low],
    };
    let mut batch = Batch::new();
    delete_link(&mut batch, &name);
    add_veth(&mut batch, &pair);
    router.socket().apply(batch)?;
    let router_end = whole(id, link_named(&mut router.socket(), &name)?, "its link")?;
    set_guest_side_up(&mut socket, id)?;
    let mut batch = Batch::new();
    set_up(&mut batch, &name, router_end.index);
    router.socket().apply(batch)?;
    open_parts(id, name, &pins, socket, router_end)
}

/// Opens the slot that an earlier daemon made.
pub(super) fn open(router: &Router, pins: &Path, id: SlotId) -> Result<Slot> {
    let pins = Pins::of(pins, id);
    for (path, lacks) in [(&pins.net, "its network namespace"), (&pins.user, "its user namespace")]
    {
        if !pin::is_pin(path)? {
            return Err(Error::SlotNotWhole { slot: id, lacks });
        }
    }
    let name = link_name(router.tag(), id);
    let link = link_named(&mut router.socket(), &name)?.filter(|link| link.is_up);
    let router_end = whole(id, link, "its link")?;
    let netns = namespace::open(&pins.net)?;
    let socket = namespace::run_inside(netns.as_fd(), Socket::open)??;
    open_parts(id, name, &pins, socket, router_end)
}

/// Removes every part of the slot or tap, whole or not; routes go with the link.
pub(super) fn remove(router: &Router, pins: &Path, id: SlotId) -> Result<()> {
    let mut batch = Batch::new();
    delete_link(&mut batch, &link_name(router.tag(), id));
    // Not the shared socket: the kernel takes its time with this, and works for others meanwhile.
    router.open_in_router(Socket::open)??.apply(batch)?;
    let pins = Pins::of(pins, id);
    pin::unpin(&pins.net)?;
    pin::unpin(&pins.user)
}

fn open_parts(
    id: SlotId,
    link_name: String,
    pins: &Pins,
    mut socket: Socket,
    router_end: Link,
) -> Result<Slot> {
    let guest_end = whole(id, link_named(&mut socket, GUEST_LINK)?, "the guest's end of its link")?;
    let carried = netlink::addresses_of(&mut socket, Some(guest_end.index))?;
    Ok(Slot {
        id,
        link_name,
        netns: namespace::open(&pins.net)?,
        userns: namespace::open(&pins.user)?,
        socket,
        router_index: router_end.index,
        guest_index: guest_end.index,
        carried,
    })
}

fn whole(slot: SlotId, link: Option<Link>, lacks: &'static str) -> Result<Link> {
    link.ok_or(Error::SlotNotWhole { slot, lacks })
}

fn set_guest_side_up(socket: &mut Socket, id: SlotId) -> Result<()> {
    let loopback = whole(id, link_named(socket, "lo")?, "its loopback")?;
    let guest_end = whole(id, link_named(socket, GUEST_LINK)?, "the guest's end of its link")?;
    let mut batch = Batch::new();
    set_up(&mut batch, "lo", loopback.index);
    set_up(&mut batch, GUEST_LINK, guest_end.index);
    add_route(
        &mut batch,
        &Route {
            to: Prefix { addr: Ipv6Addr::UNSPECIFIED.into(), len: 0 },
            target: Target::Gateway(guest_end.index, GATEWAY_V6.into()),
            source: None,
        },
    );
    Ok(socket.apply(batch)?)
}

/// Has the helper make both namespaces, maps the ids, and pins them.
fn bear(helper: &Path, pins: &Pins, id: SlotId) -> Result<()> {
    let mut birth = Birth::begin(helper)?;
    birth.hear(USER_MADE)?;
    let map = format!("0 {} {IDS_PER_SLOT}\n", host_id_base(id));
    for file in ["uid_map", "gid_map"] {
        let path = birth.proc_path(file);
        fs::write(&path, &map).map_err(at("write", &path))?;
    }
    birth.say(MAPPED)?;
    birth.hear(NET_MADE)?;
    pin::pin(&birth.proc_path("ns/user"), &pins.user)?;
    pin::pin(&birth.proc_path("ns/net"), &pins.net)
}

/// A running helper; it ends when this is dropped.
#[derive(Debug)]
struct Birth {
    helper: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Birth {
    fn begin(helper: &Path) -> Result<Self> {
        let mut child = Command::new(helper)
            .arg(HOLD_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(at("run the slot helper", helper))?;
        let stdin = child.stdin.take();
        Ok(Self { helper: helper.to_owned(), child, stdin })
    }

    fn proc_path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    fn say(&mut self, word: u8) -> Result<()> {
        let helper = &self.helper;
        let stdin = self.stdin.as_mut().expect("open until dropped");
        stdin.write_all(&[word]).map_err(at("speak to the slot helper", helper))
    }

    fn hear(&mut self, expected: u8) -> Result<()> {
        let stdout = self.child.stdout.as_mut().expect("piped at the start");
        let mut waiting = [PollFd::new(&*stdout, PollFlags::IN)];
        let deadline = Timespec { tv_sec: HELPER_DEADLINE_S, tv_nsec: 0 };
        let n_ready = rustix::io::retry_on_intr(|| poll(&mut waiting, Some(&deadline)))
            .map_err(at("wait for the slot helper", &self.helper))?;
        if n_ready == 0 {
            return Err(self.problem(format!("no answer within {HELPER_DEADLINE_S} s")));
        }
        let mut word = [0];
        match stdout.read(&mut word) {
            Ok(1) if word[0] == expected => Ok(()),
            Ok(1) => Err(self.problem("it spoke out of turn".to_owned())),
            Ok(_) => {
                let complaint = self.complaint();
                Err(self.problem(complaint))
            }
            Err(e) => Err(at("listen to the slot helper", &self.helper)(e)),
        }
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.take();
        let read = stderr.map(|stderr| stderr.take(COMPLAINT_MAX).read_to_string(&mut text));
        match read {
            Some(Ok(n)) if n > 0 => text.trim().to_owned(),
            _ => "it ended without a word".to_owned(),
        }
    }

    fn problem(&self, problem: String) -> Error {
        Error::Helper { helper: self.helper.clone(), problem }
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It has ended by itself in all but the failure cases, where killing it is the point.
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            tracing::warn!(helper = %self.helper.display(), %error, "slot helper cannot be ended");
        }
    }
}
