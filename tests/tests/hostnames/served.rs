//! What visitors see who come by a host name.

use crate::house::{
    HTTPS, NO_HANDSHAKE, UNTRUSTED, add, add_local, expect_app, expect_exit, is_from, path, visit,
    with_apps,
};
use crate::pki::Authority;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use testkit::{Instance, wait};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const WWW: &str = "www.example.test";

#[test]
fn an_own_name_is_served_with_its_own_certificate() {
    let instance = with_apps(&["web", "blog"]);
    let authority = Authority::new(instance.dir(), "ours");
    assert_ne!(visit(&instance, "http", WWW, &[]).status, 200, "nobody has it yet");
    expect_exit(&instance, WWW, &["-k"], NO_HANDSHAKE);
    let made = add(&instance, "web", "WWW.example.test.", &authority.sign(&[WWW])).expect(201);
    assert_eq!((&made["hostname"], &made["status"]), (&json!(WWW), &json!("active")));
    expect_app(&instance, "http", WWW, &[], "web");
    expect_app(&instance, "https", WWW, &authority.cacert(), "web");
    expect_exit(&instance, WWW, &[], UNTRUSTED);
    for args in [&["--http1.1"][..], &["--tlsv1.3"], &["--tls-max", "1.2"]] {
        let all = [args, &authority.cacert()].concat();
        expect_app(&instance, "https", WWW, &all, "web");
    }
    expect_app(&instance, "https", "blog.localhost", &["-k"], "blog");
}

#[test]
fn a_wildcard_covers_one_label_and_a_whole_name_comes_before_it() {
    let instance = with_apps(&["web", "blog"]);
    let authority = Authority::new(instance.dir(), "ours");
    let wildcard = authority.sign(&["*.example.test"]);
    drop(add(&instance, "web", "*.example.test", &wildcard).expect(201));
    drop(add(&instance, "blog", "blog.example.test", &wildcard).expect(201));
    for scheme in ["http", "https"] {
        expect_app(&instance, scheme, "a.example.test", &authority.cacert(), "web");
        expect_app(&instance, scheme, "b.example.test", &authority.cacert(), "web");
        expect_app(&instance, scheme, "blog.example.test", &authority.cacert(), "blog");
    }
    for name in ["example.test", "a.b.example.test"] {
        assert_ne!(visit(&instance, "http", name, &[]).status, 200, "{name}");
        expect_exit(&instance, name, &["-k"], NO_HANDSHAKE);
    }
}

#[test]
fn without_a_certificate_the_proxy_makes_one_that_nobody_trusts() {
    let instance = with_apps(&["web"]);
    expect_app(&instance, "https", "web.localhost", &["-k"], "web");
    expect_exit(&instance, "web.localhost", &[], UNTRUSTED);
    drop(add_local(&instance, "web", WWW));
    let left = instance.delete(&path("web", &format!("/{WWW}/acme"))).expect(200);
    assert!(left["warning"].as_str().is_some_and(|text| text.contains("no certificate")), "{left}");
    assert_eq!((&left["status"], &left["configured"]), (&json!("no_certificate"), &json!(false)));
    expect_app(&instance, "https", WWW, &["-k"], "web");
    expect_exit(&instance, WWW, &[], UNTRUSTED);
}

#[test]
fn the_hosts_own_authority_signs_for_those_who_trust_it() {
    let instance = with_apps(&["web"]);
    let made = add_local(&instance, "web", WWW);
    assert_eq!((&made["status"], &made["acme_requested"]), (&json!("active"), &json!(true)));
    let entry = &made["certificates"][0];
    assert_eq!((&entry["source"], &entry["issued"][0]["type"]), (&json!("fly"), &json!("ecdsa")));
    assert!(entry["issuer"].as_str().is_some_and(|by| by.starts_with("CN=Dormouse authority")));
    assert_eq!(made["validation_errors"][0]["code"], "local_authority", "{made}");
    drop(add_local(&instance, "web", "*.shop.test"));
    let authority = instance.get("/v1/certificates/authority").expect(200);
    let file = instance.dir().join("local.pem");
    std::fs::write(&file, authority["certificate"].as_str().expect("PEM")).expect("written");
    let trusting = ["--cacert", file.to_str().expect("a plain path")];
    expect_app(&instance, "https", WWW, &trusting, "web");
    expect_app(&instance, "https", "a.shop.test", &trusting, "web");
    expect_exit(&instance, WWW, &[], UNTRUSTED);

    let ours = Authority::new(instance.dir(), "ours");
    drop(add(&instance, "web", WWW, &ours.sign(&[WWW])).expect(201));
    expect_app(&instance, "https", WWW, &ours.cacert(), "web");
    drop(instance.delete(&path("web", &format!("/{WWW}/custom"))).expect(200));
    expect_app(&instance, "https", WWW, &trusting, "web");
}

#[test]
fn a_name_that_nobody_has_gets_no_certificate() {
    let instance = with_apps(&["web", "blog"]);
    let authority = Authority::new(instance.dir(), "ours");
    drop(add(&instance, "web", WWW, &authority.sign(&[WWW])).expect(201));
    expect_app(&instance, "https", WWW, &authority.cacert(), "web");
    for name in ["nobody.test", "example.test", "xwww.example.test"] {
        let seen = visit(&instance, "https", name, &["-k"]);
        assert_eq!(seen.exit, NO_HANDSHAKE, "{name}: {seen:?}");
        assert_ne!(visit(&instance, "http", name, &[]).status, 200, "{name}");
    }
}

#[test]
fn a_changed_certificate_is_for_new_connections_and_old_ones_go_on() {
    let instance = with_apps(&["web"]);
    let (first, other) =
        (Authority::new(instance.dir(), "first"), Authority::new(instance.dir(), "other"));
    drop(add(&instance, "web", WWW, &first.sign(&[WWW])).expect(201));
    expect_app(&instance, "https", WWW, &first.cacert(), "web");
    let mut old = connect(&instance, &first);
    assert_eq!(ask(&mut old), "web");

    let refusal = add(&instance, "web", WWW, &other.sign(&[WWW])).refusal(422);
    assert_eq!(refusal.code, "certificate_exists");
    let mut body = other.sign(&[WWW]).body(WWW);
    body["replace"] = json!(true);
    drop(instance.post(&path("web", "/custom"), &body).expect(201));
    expect_app(&instance, "https", WWW, &other.cacert(), "web");
    expect_exit(&instance, WWW, &first.cacert(), UNTRUSTED);
    assert_eq!(ask(&mut old), "web", "the old connection goes on");
}

#[test]
fn a_removed_name_is_nobodys() {
    let instance = with_apps(&["web", "blog"]);
    let authority = Authority::new(instance.dir(), "ours");
    drop(add(&instance, "web", WWW, &authority.sign(&[WWW])).expect(201));
    expect_app(&instance, "https", WWW, &authority.cacert(), "web");
    let one = path("web", &format!("/{WWW}"));
    assert_eq!(instance.delete(&one).status, 204);
    assert_eq!(instance.delete(&one).refusal(404).code, "certificate_not_found");
    expect_exit(&instance, WWW, &["-k"], NO_HANDSHAKE);
    wait::eventually("nobody answers under it", || {
        let seen = visit(&instance, "http", WWW, &[]);
        is_from(&seen, "web").is_none().then_some(())
    });
    drop(add(&instance, "blog", WWW, &authority.sign(&[WWW])).expect(201));
    expect_app(&instance, "https", WWW, &authority.cacert(), "blog");
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A connection that trusts `authority` alone.
fn connect(instance: &Instance, authority: &Authority) -> Tls {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM");
    roots.add(root).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(WWW).expect("a name");
    let stream = instance.connect(HTTPS);
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a bound");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), stream)
}

/// Asks once more on a connection that stays open.
fn ask(stream: &mut Tls) -> String {
    let request = format!("GET / HTTP/1.1\r\nhost: {WWW}:{HTTPS}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).expect("a line") > 0, "the connection has ended");
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    String::from_utf8(body).expect("text").trim().to_owned()
}
