//! Host names and certificates: each name has one app, and the app's generation follows.

use crate::sample::{
    NOW, app, app_name, certificate, hostname, network, open_with_app, refuse, write,
};
use model::{AppName, DurationMs, UnixMs};
use store::{AppRecord, AuthorityRecord, CertificateSource, Reader, Store, StoreError};

const LATER: UnixMs = UnixMs(NOW.0 + 1);

fn other_app() -> AppRecord {
    let name: AppName = "blog".parse().expect("a name");
    AppRecord { name, id: "ponmlkjihgfedcba".to_owned(), ..app() }
}

#[track_caller]
fn read<T>(store: &Store, query: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>) -> T {
    store.read(query).expect("reads")
}

#[test]
fn a_name_belongs_to_one_app_of_the_host() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| tx.insert_hostname(&hostname("www.example.com")));
    write(&store, |tx| tx.insert_app(&other_app()));
    let error = refuse(&store, |tx| {
        let app = other_app().name;
        tx.insert_hostname(&store::HostnameRecord { app, ..hostname("www.example.com") })
    });
    assert!(matches!(error, StoreError::Taken { .. }), "{error:?}");
    let owner = read(&store, |reader| reader.hostname("www.example.com")).map(|found| found.app);
    assert_eq!(owner, Some(app_name()));
}

#[test]
fn every_change_raises_the_generation_of_the_app_alone() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| tx.insert_app(&other_app()));
    let generation = |store: &Store| read(store, |reader| reader.route_generation(&app_name()));
    let mut last = generation(&store);
    assert_eq!(last, NOW.0);
    let mut grows = |store: &Store| {
        let now = generation(store);
        assert!(now > last, "{now} after {last}");
        last = now;
    };
    write(&store, |tx| tx.insert_hostname(&hostname("www.example.com")));
    grows(&store);
    write(&store, |tx| tx.put_certificate(&app_name(), &certificate(CertificateSource::Local)));
    grows(&store);
    write(&store, |tx| {
        let gone =
            tx.remove_certificate(&app_name(), "www.example.com", CertificateSource::Local, LATER)?;
        assert!(gone);
        Ok(())
    });
    grows(&store);
    write(&store, |tx| {
        assert!(tx.remove_hostname(&app_name(), "www.example.com")?);
        assert!(!tx.remove_hostname(&app_name(), "www.example.com")?);
        Ok(())
    });
    grows(&store);
    assert_eq!(read(&store, |reader| reader.route_generation(&other_app().name)), NOW.0);
}

#[test]
fn the_owners_certificate_is_served_before_one_made_here() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.insert_hostname(&hostname("www.example.com"))?;
        tx.insert_hostname(&hostname("bare.example.com"))
    });
    let served = |store: &Store| {
        let routes = read(store, |reader| reader.hostname_routes(&app_name()));
        assert_eq!(routes.len(), 2);
        assert_eq!((routes[0].name.as_str(), &routes[0].certificate), ("bare.example.com", &None));
        routes[1].certificate.clone().map(|(_, key)| key)
    };
    assert_eq!(served(&store), None);
    for source in [CertificateSource::Local, CertificateSource::Custom] {
        write(&store, move |tx| tx.put_certificate(&app_name(), &certificate(source)));
        assert_eq!(served(&store), Some(certificate(source).private_key));
    }
    let found = read(&store, |reader| reader.certificates("www.example.com"));
    let expected = [CertificateSource::Custom, CertificateSource::Local].map(certificate);
    assert_eq!(found, expected);
    let bytes = |without| {
        read(&store, move |reader| {
            reader.certificate_bytes(&app_name(), ("www.example.com", without))
        })
    };
    assert_eq!(bytes(CertificateSource::Local), expected[0].private_key.len() as u64 + 5);
}

#[test]
fn an_app_that_is_deleted_frees_its_names() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.insert_hostname(&hostname("www.example.com"))?;
        tx.put_certificate(&app_name(), &certificate(CertificateSource::Custom))?;
        tx.delete_app(&app_name())?;
        tx.insert_app(&other_app())?;
        assert_eq!(tx.certificates("www.example.com")?, []);
        let app = other_app().name;
        tx.insert_hostname(&store::HostnameRecord { app, ..hostname("www.example.com") })
    });
}

#[test]
fn names_are_listed_in_pages() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        for name in ["c.example.com", "a.example.com", "b.example.org"] {
            tx.insert_hostname(&hostname(name))?;
        }
        Ok(())
    });
    let page = |filter: &'static str, after: &'static str, limit| {
        let found = read(&store, |reader| reader.hostnames(&app_name(), filter, after, limit));
        found.into_iter().map(|found| found.name).collect::<Vec<_>>()
    };
    assert_eq!(page("", "", 2), ["a.example.com", "b.example.org"]);
    assert_eq!(page("", "b.example.org", 2), ["c.example.com"]);
    assert_eq!(page("example.com", "", 9), ["a.example.com", "c.example.com"]);
    assert_eq!(page("%", "", 9), Vec::<String>::new());
    assert_eq!(read(&store, |reader| reader.hostname_count(&app_name(), "example.com")), 2);
}

#[test]
fn names_of_other_organisations_are_seen_below_a_wildcard() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.insert_hostname(&hostname("www.example.com"))?;
        tx.insert_hostname(&hostname("deep.www.example.org"))
    });
    let is_other = |base: &'static str, org: &'static str| {
        read(&store, move |reader| reader.is_other_org_below(base, org))
    };
    assert!(is_other("example.com", "acme"));
    assert!(!is_other("example.com", &network().org.leak()[..]));
    assert!(!is_other("example.org", "acme"));
}

#[test]
fn certificates_that_end_soon_are_found() {
    let (_dir, store) = open_with_app();
    write(&store, |tx| {
        tx.insert_hostname(&hostname("www.example.com"))?;
        tx.put_certificate(&app_name(), &certificate(CertificateSource::Local))
    });
    let end = certificate(CertificateSource::Local).expires_at;
    let ending = |at| {
        read(&store, move |reader| reader.certificates_ending(CertificateSource::Local, at, 9))
            .len()
    };
    assert_eq!((ending(end), ending(end.plus(DurationMs(1)))), (0, 1));
}

#[test]
fn there_is_one_authority() {
    let (_dir, store) = open_with_app();
    assert_eq!(read(&store, |reader| reader.authority()), None);
    for n in ["first", "other"] {
        let authority = AuthorityRecord {
            certificate: n.to_owned(),
            private_key: n.to_owned(),
            expires_at: NOW,
        };
        let stored = authority.clone();
        write(&store, move |tx| tx.put_authority(&stored));
        assert_eq!(read(&store, |reader| reader.authority()), Some(authority));
    }
}

#[test]
fn keys_are_not_shown() {
    let record = certificate(CertificateSource::Custom);
    let authority = AuthorityRecord {
        certificate: String::new(),
        private_key: "s3cret".to_owned(),
        expires_at: NOW,
    };
    let route = store::HostnameRoute {
        name: String::new(),
        certificate: Some((String::new(), "s3cret".to_owned())),
    };
    let shown = format!("{record:?} {authority:?} {route:?}");
    assert!(!shown.contains("s3cret") && !shown.contains(&record.private_key), "{shown}");
}
