//! Host names and certificates outlive every process, and keys stay where they belong.

use crate::house::{add, add_local, expect_app, make_app, path, with_apps};
use crate::pki::Authority;
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use testkit::instance::kill;
use testkit::{Instance, wait};

const WWW: &str = "www.example.test";

#[test]
fn a_restart_of_any_process_keeps_names_and_certificates() {
    let mut instance = with_apps(&["web", "blog"]);
    let authority = Authority::new(instance.dir(), "ours");
    drop(add(&instance, "web", WWW, &authority.sign(&[WWW])).expect(201));
    drop(add_local(&instance, "blog", "blog.example.test"));
    let local = instance.get("/v1/certificates/authority").expect(200);
    let expect_all = |instance: &Instance| {
        expect_app(instance, "http", WWW, &[], "web");
        expect_app(instance, "https", WWW, &authority.cacert(), "web");
        expect_app(instance, "https", "blog.example.test", &["-k"], "blog");
        assert_eq!(instance.get(&path("web", &format!("/{WWW}"))).status, 200);
        assert_eq!(instance.get("/v1/certificates/authority").expect(200), local);
    };
    expect_all(&instance);

    instance.kill_control();
    expect_all(&instance);

    let before = proxy_of(&instance).expect("there is a proxy");
    kill(before);
    wait::eventually("another proxy", || proxy_of(&instance).filter(|now| *now != before));
    expect_all(&instance);

    instance.end_process();
    instance.start_again();
    expect_all(&instance);
}

#[test]
fn keys_are_in_no_answer_and_in_files_of_the_owner_alone() {
    let instance = with_apps(&["web"]);
    let authority = Authority::new(instance.dir(), "ours");
    let signed = authority.sign(&[WWW]);
    drop(add(&instance, "web", WWW, &signed).expect(201));
    expect_app(&instance, "https", WWW, &authority.cacert(), "web");
    let secret = signed.key.lines().nth(1).expect("a line of the key").to_owned();
    for target in [
        path("web", ""),
        path("web", &format!("/{WWW}")),
        "/v1/proxy".to_owned(),
        "/v1/apps/web".to_owned(),
    ] {
        let text = instance.get(&target).text;
        assert!(!text.contains(&secret) && !text.contains("PRIVATE"), "{target}");
    }
    let holding = wait::eventually("the routes are written down", || {
        let holding = files_with(instance.data_dir(), &secret);
        holding.iter().any(|file| file.ends_with("routes.json")).then_some(holding)
    });
    for file in &holding {
        // One under another name may have been renamed meanwhile.
        let Ok(metadata) = std::fs::metadata(file) else { continue };
        let mode = metadata.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    let names: Vec<_> = holding.iter().filter_map(|file| file.rsplit('/').next()).collect();
    assert!(
        names.iter().all(|name| name.starts_with("dormouse.db") || name.starts_with("routes")),
        "{names:?}"
    );
}

#[test]
fn a_certificate_made_here_is_renewed_before_its_end() {
    let mut instance = Instance::start();
    make_app(&instance, "web", "personal");
    drop(add_local(&instance, "web", WWW));
    let target = path("web", &format!("/{WWW}"));
    let end = |instance: &Instance| {
        let shown = instance.get(&target).expect(200);
        shown["certificates"][0]["expires_at"].as_str().expect("a moment").to_owned()
    };
    let fresh = end(&instance);
    instance.end_process();
    let store = Connection::open(instance.data_dir().join("dormouse.db")).expect("it opens");
    let age = "UPDATE certificates SET expires_at = expires_at - 340 * 86400000";
    assert_eq!(store.execute(age, []).expect("aged"), 1);
    drop(store);
    instance.start_again();
    wait::eventually("it is renewed", || (end(&instance) >= fresh).then_some(()));
}

/// The proxy process of an instance.
fn proxy_of(instance: &Instance) -> Option<u32> {
    let data_dir = instance.data_dir().display().to_string();
    let processes = std::fs::read_dir("/proc").expect("listed").flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut words = line.split('\0');
        line.contains(&data_dir) && words.any(|word| word == "proxy")
    })
}

/// Files below a directory whose bytes contain a text; disks and images are too large to be looked at.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    const LOOKED_AT_MAX_BYTES: u64 = 32 * 1024 * 1024;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            found.extend(files_with(&path, text));
        } else if metadata.is_file() && metadata.len() <= LOOKED_AT_MAX_BYTES {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let is_there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(is_there.then(|| path.display().to_string()));
        }
    }
    found
}
