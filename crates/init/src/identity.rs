//! Who a program runs as: `user[:group]` against `/etc/passwd` and `/etc/group`.
//!
//! The rules are Docker's: names or numbers; a number needs no entry; without a group the user's
//! own and those that list it; with a group only that one. The image wrote the two files, so they
//! may hold anything.

use crate::files;
use crate::start_error::StartError;
use guest_proto::message::StartFailure;
use serde::{Deserialize, Serialize};

/// Who a program runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Supplementary groups, `gid` first.
    pub(crate) groups: Vec<u32>,
    /// Home directory, `/` when the user has no entry.
    pub(crate) home: String,
}

/// Most bytes read of `/etc/passwd` and `/etc/group`: a hundred thousand users.
const ACCOUNTS_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Most supplementary groups, the kernel's own limit (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// Looks `user` up in the accounts of the image.
///
/// # Errors
/// [`StartFailure::UnknownUser`].
pub(crate) fn look_up(user: &str) -> Result<Identity, StartError> {
    let read = |path| files::read_bounded(path, ACCOUNTS_MAX_BYTES).unwrap_or_default();
    resolve(user, &read("/etc/passwd"), &read("/etc/group"))
        .map_err(|message| StartError::new(StartFailure::UnknownUser, message))
}

fn resolve(user: &str, passwd: &[u8], group: &[u8]) -> Result<Identity, String> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let account = passwd_entry(user, passwd);
    let uid = match (&account, number(user.as_bytes())) {
        (Some(account), _) => account.uid,
        (None, Some(uid)) => uid,
        (None, None) => return Err(format!("user `{user}` does not exist in the image")),
    };
    let (gid, listed) = match wanted_group {
        Some(name) => (wanted_gid(name, group)?, Vec::new()),
        None => match &account {
            Some(account) => (account.gid, groups_listing(account.name, group)),
            None => (0, Vec::new()),
        },
    };
    let mut groups = vec![gid];
    for listed in listed {
        if !groups.contains(&listed) && groups.len() < GROUPS_MAX {
            groups.push(listed);
        }
    }
    let home = account.map_or("", |account| account.home);
    let home = if home.is_empty() { "/" } else { home };
    Ok(Identity { uid, gid, groups, home: home.to_owned() })
}

struct Account<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_entry<'a>(wanted: &str, passwd: &'a [u8]) -> Option<Account<'a>> {
    let wanted_uid = number(wanted.as_bytes());
    lines(passwd).find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').take(7).collect();
        let uid = number(fields.get(2)?)?;
        let is_wanted = fields[0] == wanted.as_bytes() || wanted_uid == Some(uid);
        is_wanted.then_some(Account {
            name: fields[0],
            uid,
            gid: number(fields.get(3)?)?,
            home: fields.get(5).and_then(|home| std::str::from_utf8(home).ok()).unwrap_or(""),
        })
    })
}

fn wanted_gid(wanted: &str, group: &[u8]) -> Result<u32, String> {
    let by_name = lines(group).find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let is_wanted = fields.next()? == wanted.as_bytes();
        is_wanted.then(|| number(fields.nth(1)?)).flatten()
    });
    by_name
        .or_else(|| number(wanted.as_bytes()))
        .ok_or_else(|| format!("group `{wanted}` does not exist in the image"))
}

fn groups_listing(user: &[u8], group: &[u8]) -> Vec<u32> {
    lines(group)
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let gid = number(fields.nth(2)?)?;
            let lists_user = fields.next()?.split(|byte| *byte == b',').any(|name| name == user);
            lists_user.then_some(gid)
        })
        .collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#')
}

/// An id; the largest number means "no id" to the kernel.
fn number(digits: &[u8]) -> Option<u32> {
    let is_decimal = digits.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(digits).ok().filter(|_| is_decimal)?.parse().ok()?;
    (value != u32::MAX).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # a comment\n\
        broken line\n\
        odd\xff:x:9:9::/odd:\n\
        big:x:4294967295:0::/:\n\
        app:x:1000:1001:App:/home/app:/bin/sh\n\
        homeless:x:1002:1002\n\
        7:x:70:70::/seven:\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root,app\napp:x:1001:\ndocker:x:99:app\nodd\n";

    #[track_caller]
    fn check(user: &str, expected: Result<(u32, u32, &[u32], &str), &str>) {
        let found = resolve(user, PASSWD, GROUP);
        let found = found.as_ref().map(|id| (id.uid, id.gid, id.groups.as_slice(), &*id.home));
        assert_eq!(found.map_err(String::as_str), expected, "{user}");
    }

    #[test]
    fn users_resolve_as_docker_does() {
        check("", Ok((0, 0, &[0, 10], "/root")));
        check("root", Ok((0, 0, &[0, 10], "/root")));
        check("0", Ok((0, 0, &[0, 10], "/root")));
        check("app", Ok((1000, 1001, &[1001, 10, 99], "/home/app")));
        check("1000", Ok((1000, 1001, &[1001, 10, 99], "/home/app")));
        check("app:", Ok((1000, 1001, &[1001, 10, 99], "/home/app")));
        check("app:wheel", Ok((1000, 10, &[10], "/home/app")));
        check("app:4242", Ok((1000, 4242, &[4242], "/home/app")));
        check("5000", Ok((5000, 0, &[0], "/")));
        check("5000:5001", Ok((5000, 5001, &[5001], "/")));
        check(":wheel", Ok((0, 10, &[10], "/root")));
        check("homeless", Ok((1002, 1002, &[1002], "/")));
        check("7", Ok((70, 70, &[70], "/seven")));
        check("nobody", Err("user `nobody` does not exist in the image"));
        check("app:nobody", Err("group `nobody` does not exist in the image"));
        check("-1", Err("user `-1` does not exist in the image"));
        check("4294967295", Err("user `4294967295` does not exist in the image"));
        check("big", Err("user `big` does not exist in the image"));
    }

    #[test]
    fn empty_files_still_know_root() {
        let root = resolve("", b"", b"").expect("root needs no entry");
        assert_eq!((root.uid, root.gid, root.home.as_str()), (0, 0, "/"));
    }
}
