//! Devices, rights and attributes.

use super::{Case, refused, shown};
use crate::archive::Archive;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use tar::EntryType;

const BAD: &str = "image_bad_entry";

/// `cap_net_raw+ep` as a file carries it. Source: `struct vfs_cap_data`, revision 2.
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = devices();
    cases.extend(rights());
    cases.extend(attributes());
    cases
}

fn devices() -> Vec<Case> {
    vec![
        shown(
            "device node",
            |_| {
                let tar = Archive::new().device("dev/sda", 8, 0).device("dev/mem", 1, 1);
                tar.entry(EntryType::Block, "dev/loop0", "", b"", |header| {
                    header.set_device_major(7).unwrap();
                    header.set_device_minor(0).unwrap();
                })
            },
            |image| {
                assert_eq!(image.imported.n_devices_dropped, 3);
                assert_eq!(std::fs::read_dir(image.path("dev")).unwrap().count(), 0);
            },
        ),
        shown(
            "device 0:0, an overlay's whiteout",
            |_| Archive::new().file("a", b"1").device("b", 0, 0),
            |image| {
                assert_eq!(image.imported.n_devices_dropped, 1);
                image.assert_absent("b");
            },
        ),
        shown(
            "device in place of a file",
            |_| Archive::new().file("a", b"1").device("a", 8, 0),
            |image| image.assert_absent("a"),
        ),
        shown(
            "named pipe",
            |_| Archive::new().entry(EntryType::Fifo, "pipe", "", b"", |h| h.set_mode(0o600)),
            |image| {
                assert!(image.path("pipe").metadata().unwrap().file_type().is_fifo());
                assert_eq!(image.mode("pipe"), 0o600);
            },
        ),
    ]
}

fn with_mode(tar: Archive, name: &str, mode: u32, owner: u64) -> Archive {
    tar.entry(EntryType::Regular, name, "", b"x", |header| {
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
    })
}

fn rights() -> Vec<Case> {
    vec![
        shown(
            "set-id and sticky bits",
            |_| {
                let tar = with_mode(Archive::new(), "su", 0o4755, 0);
                let tar = with_mode(tar, "sg", 0o2755, 42);
                tar.entry(EntryType::Directory, "tmp", "", b"", |h| h.set_mode(0o1777))
            },
            |image| {
                let modes = ["su", "sg", "tmp"].map(|name| image.mode(name));
                assert_eq!(modes, [0o4755, 0o2755, 0o1777]);
                assert_eq!(image.path("sg").metadata().unwrap().gid(), 42);
            },
        ),
        shown(
            "file type hidden in the mode",
            |_| with_mode(Archive::new(), "a", 0o060_644, 0),
            |image| {
                assert!(image.path("a").metadata().unwrap().is_file());
                assert_eq!(image.mode("a"), 0o644);
            },
        ),
        shown(
            "owner 65,535",
            |_| with_mode(Archive::new(), "a", 0o600, 65_535),
            |image| assert_eq!(image.path("a").metadata().unwrap().uid(), 65_535),
        ),
        refused("owner beyond 65,535", BAD, "owner beyond 65,535", |_| {
            Archive::new().pax(&[("uid", b"65536")]).file("a", b"").finish()
        }),
        refused("owner that is a host's", BAD, "owner beyond 65,535", |_| {
            Archive::new().pax(&[("gid", b"520093696")]).file("a", b"").finish()
        }),
        refused("owner below zero", "image_malformed", "PAX header", |_| {
            Archive::new().pax(&[("uid", b"-1")]).file("a", b"").finish()
        }),
        shown(
            "time before 1970 and after 2500",
            |_| {
                let tar = Archive::new().pax(&[("mtime", b"-1.5")]).file("old", b"");
                tar.pax(&[("mtime", b"99999999999")]).file("new", b"")
            },
            |image| {
                image.assert_file("old", b"");
                image.assert_file("new", b"");
            },
        ),
    ]
}

fn attributes() -> Vec<Case> {
    vec![
        shown(
            "attributes of overlays",
            |_| {
                let overlay: [(&str, &[u8]); 5] = [
                    ("SCHILY.xattr.user.overlay.opaque", b"y"),
                    ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
                    ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                    ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                    ("SCHILY.xattr.trusted.overlay.metacopy", b""),
                ];
                Archive::new().pax(&overlay).dir("d").file("d/a", b"1")
            },
            |image| {
                assert_eq!(image.imported.n_xattrs_dropped, 5);
                assert_eq!(image.attributes("d"), [""; 0]);
            },
        ),
        shown(
            "attributes of the host's security",
            |_| {
                let host: [(&str, &[u8]); 5] = [
                    ("SCHILY.xattr.security.selinux", b"x"),
                    ("SCHILY.xattr.security.ima", b"x"),
                    ("SCHILY.xattr.system.posix_acl_access", b"x"),
                    ("SCHILY.xattr.trusted.any", b"x"),
                    ("SCHILY.xattr.nonsense", b"x"),
                ];
                Archive::new().pax(&host).file("a", b"1")
            },
            |image| {
                assert_eq!(image.imported.n_xattrs_dropped, 5);
                assert_eq!(image.attributes("a"), [""; 0]);
            },
        ),
        shown(
            "capabilities of a file",
            |_| {
                let pax: [(&str, &[u8]); 1] = [("SCHILY.xattr.security.capability", &NET_RAW)];
                Archive::new().pax(&pax).file("a", b"1").pax(&pax).dir("d")
            },
            |image| {
                assert_eq!(image.attributes("a"), ["security.capability"]);
                assert_eq!(image.attributes("d"), [""; 0]);
                assert_eq!(image.imported.n_xattrs_dropped, 1);
            },
        ),
        refused("capabilities that are none", BAD, "attribute of `a`", |_| {
            let pax: [(&str, &[u8]); 1] = [("SCHILY.xattr.security.capability", b"nonsense")];
            Archive::new().pax(&pax).file("a", b"1").finish()
        }),
        shown(
            "attributes of a user",
            |_| {
                let value = b"line one\nline two=\0";
                Archive::new().pax(&[("SCHILY.xattr.user.kept", value)]).file("a", b"1")
            },
            |image| {
                let mut value = [0; 64];
                let n = rustix::fs::getxattr(image.path("a"), "user.kept", &mut value).unwrap();
                assert_eq!(&value[..n], b"line one\nline two=\0");
            },
        ),
        shown(
            "attributes of a link",
            |_| Archive::new().pax(&[("SCHILY.xattr.user.a", b"1")]).symlink("link", "/etc/passwd"),
            |image| {
                assert_eq!(image.imported.n_xattrs_dropped, 1);
                assert_eq!(image.attributes("link"), [""; 0]);
            },
        ),
        refused("attributes of 64 KiB and more", BAD, "too large attributes", |_| {
            let value = vec![b'x'; 64 * 1024];
            Archive::new().pax(&[("SCHILY.xattr.user.x", &value)]).file("a", b"").finish()
        }),
        refused("attribute with a name of 300 bytes", BAD, "attribute of `a`", |_| {
            let name = format!("SCHILY.xattr.user.{}", "n".repeat(300));
            Archive::new().pax(&[(&name, b"1")]).file("a", b"").finish()
        }),
    ]
}
