//! Every record beside the machine's comes back as it was stored, and its keys hold.

use crate::sample::{
    NOW, app, app_name, digest, image, machine, machine_id, network, open, open_with_app, refuse,
    run_id, write,
};
use model::spec::ImageRef;
use model::{DurationMs, UnixMs};
use serde_json::json;
use store::{
    ImageRecord, MeterInterval, NewPlan, OwnerKind, PlanKind, Store, StoreError, TagRecord,
    TokenReach, TokenRecord, TokenRight, TokenScope, Usage, UsageOf,
};

#[test]
fn apps_and_networks_keep_their_keys() {
    let (_dir, store) = open_with_app();
    assert_eq!(store.read(|r| r.app(&app_name())).expect("reads"), Some(app()));
    let found = store.read(|r| r.network("personal", &network().name)).expect("reads");
    assert_eq!(found, Some(network()));
    assert!(matches!(refuse(&store, |tx| tx.insert_app(&app())), StoreError::Taken { .. }));
    let error = refuse(&store, |tx| tx.add_v4_block(7, 0x6440_0000));
    assert!(matches!(error, StoreError::Taken { .. }), "a block belongs to one network");
    write(&store, |tx| tx.add_v4_block(7, 0x6440_0100));
    write(&store, |tx| tx.insert_machine(&machine(1)));
    let error = refuse(&store, |tx| tx.delete_app(&app_name()));
    assert!(matches!(error, StoreError::Referenced { referrers: 1, .. }), "{error}");
}

#[test]
fn an_image_stays_while_something_needs_it() {
    let (_dir, store) = open();
    write(&store, |tx| {
        tx.put_image(&image(1))?;
        tx.add_ref(OwnerKind::Image, digest(1).as_str(), &digest(77))?;
        tx.add_ref(OwnerKind::Machine, machine_id(1).as_str(), &digest(1))?;
        tx.add_ref(OwnerKind::Machine, machine_id(1).as_str(), &digest(1))
    });
    assert_eq!(store.read(|r| r.image(&digest(1))).expect("reads"), Some(image(1)));
    let tagged = || store.read(|r| r.tag("local", "debian", "v1")).expect("reads");
    let plain = TagRecord { digest: digest(1), points_to: digest(1) };
    assert_eq!(tagged(), Some(plain));
    assert_eq!(store.read(|r| r.machines_of_image(&digest(1))).expect("reads"), [machine_id(1)]);
    let error = refuse(&store, |tx| tx.delete_image(&digest(1)));
    assert!(matches!(error, StoreError::Referenced { referrers: 1, .. }), "{error}");
    assert_eq!(store.read(|r| r.digests_in_use()).expect("reads"), [digest(1), digest(77)].into());
    write(&store, |tx| {
        tx.remove_ref(OwnerKind::Machine, machine_id(1).as_str(), &digest(1))?;
        tx.delete_image(&digest(1))
    });
    assert!(store.read(|r| r.digests_in_use()).expect("reads").is_empty());
    assert_eq!(tagged(), None, "the tag goes with its image");
}

#[test]
fn a_private_image_is_for_those_who_were_granted_it() {
    let (_dir, store) = open_with_app();
    let private = || ImageRecord { is_private: true, ..image(1) };
    let is_granted = || store.read(|r| r.is_granted(&digest(1), "web")).expect("reads");
    let is_private = || {
        let found = store.read(|r| r.image(&digest(1))).expect("reads");
        found.map(|image| image.is_private)
    };
    write(&store, move |tx| tx.put_image(&private()));
    assert_eq!((is_private(), is_granted()), (Some(true), false));
    write(&store, |tx| tx.grant_image(&digest(1), "web"));
    write(&store, |tx| tx.grant_image(&digest(1), "web"));
    assert!(is_granted());
    drop(refuse(&store, |tx| tx.grant_image(&digest(1), "nobody")));
    drop(refuse(&store, |tx| tx.grant_image(&digest(2), "web")));
    write(&store, |tx| tx.delete_app(&app_name()));
    assert!(!is_granted(), "whoever takes the name later has no right to it");
    write(&store, |tx| tx.put_image(&image(1)));
    write(&store, move |tx| tx.put_image(&private()));
    assert_eq!(is_private(), Some(false), "what was public stays public");
}

#[test]
fn tags_move_and_images_without_a_tag_have_none() {
    let (_dir, store) = open();
    write(&store, |tx| {
        tx.put_image(&image(1))?;
        let nameless = ImageRef { tag: String::new(), ..image(2).image };
        tx.put_image(&ImageRecord { image: nameless, ..image(2) })?;
        tx.put_tag(&ImageRef { digest: digest(2), ..image(1).image }, &digest(3))
    });
    let tag = store.read(|r| r.tag("local", "debian", "v1")).expect("reads");
    assert_eq!(tag, Some(TagRecord { digest: digest(2), points_to: digest(3) }));
    let names = || store.read(|r| r.tags_by_image()).expect("reads");
    assert_eq!(names(), [(digest(2), vec!["local/debian:v1".to_owned()])].into());
    let other = ImageRef { tag: "v2".to_owned(), ..image(1).image };
    write(&store, move |tx| tx.put_image(&ImageRecord { image: other, ..image(1) }));
    let first = store.read(|r| r.image(&digest(1))).expect("reads").expect("it is there");
    assert_eq!(first.image, image(1).image, "it keeps the name that it came by");
    assert_eq!(names()[&digest(1)], ["local/debian:v2"]);
}

#[test]
fn an_image_was_used_until_its_last_machine_went() {
    let (_dir, store) = open();
    let later = UnixMs(NOW.0 + 5);
    write(&store, move |tx| {
        tx.put_image(&image(1))?;
        tx.put_image(&image(2))?;
        tx.add_ref(OwnerKind::Machine, machine_id(1).as_str(), &digest(1))?;
        tx.touch_images_of(OwnerKind::Machine, machine_id(1).as_str(), later)
    });
    let used = store.read(|r| r.images()).expect("reads").into_iter().map(|i| i.last_used_at);
    assert_eq!(used.collect::<Vec<_>>(), [later, NOW]);
    let counted = store.read(|r| r.machines_by_image()).expect("reads");
    assert_eq!(counted, [(digest(1), 1)].into());
}

#[test]
fn usage_is_what_was_started_within_the_window() {
    let (_dir, store) = open();
    let at = |s: u64| UnixMs(NOW.0 + s * 1_000);
    let interval = move |run: u32, from: u64, to: Option<u64>| MeterInterval {
        machine: machine_id(1),
        app: app_name(),
        run: run_id(run),
        from: at(from),
        to: to.map(at),
        cpus: 2,
        memory_mib: 512,
        cpu_us: 0,
    };
    write(&store, move |tx| {
        tx.open_interval(&interval(1, 0, None))?;
        tx.open_interval(&interval(1, 0, None))?; // an effect may run twice
        tx.close_interval(&run_id(1), at(10), 5_000)?;
        tx.close_interval(&run_id(1), at(99), 9_000)?; // the first end stays
        tx.open_interval(&interval(2, 20, None))
    });
    let usage = |since, until| {
        store.read(|r| r.usage(UsageOf::Machine(&machine_id(1)), at(since), at(until)))
    };
    let expect = |started_s: u64, cpu_us| {
        vec![Usage { cpus: 2, memory_mib: 512, started_ms: started_s * 1_000, cpu_us }]
    };
    assert_eq!(usage(0, 30).expect("reads"), expect(20, 5_000), "10 closed and 10 still open");
    assert_eq!(usage(5, 8).expect("reads"), expect(3, 0), "clipped on both sides");
    assert_eq!(usage(10, 20).expect("reads"), [], "nothing for the stopped time");
    let of_app = store.read(|r| r.usage(UsageOf::App(&app_name()), at(0), at(30))).expect("reads");
    assert_eq!(of_app, expect(20, 5_000));
    let open = store.read(|r| r.open_intervals()).expect("reads");
    assert_eq!(open, [interval(2, 20, None)]);
    let error = refuse(&store, move |tx| tx.open_interval(&interval(2, 25, None)));
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    write(&store, move |tx| tx.close_interval(&run_id(2), at(15), 0));
    assert_eq!(usage(0, 30).expect("reads"), expect(10, 5_000), "a clock set back bills nothing");
}

#[test]
fn tokens_are_found_by_hash_and_void_when_revoked_or_expired() {
    let (_dir, store) = open();
    let token = TokenRecord {
        id: "t1".to_owned(),
        name: "owner".to_owned(),
        hash: "ab".repeat(32),
        scope: TokenScope { reach: TokenReach::App(app_name()), right: TokenRight::Operate },
        created_at: NOW,
        expires_at: Some(NOW.plus(DurationMs(10))),
        revoked_at: None,
        parent: None,
    };
    let stored = token.clone();
    write(&store, move |tx| tx.insert_token(&stored));
    let found = |hash: &str| store.read(|r| r.token_by_hash(hash)).expect("reads");
    assert_eq!(found(&token.hash).as_ref(), Some(&token));
    assert_eq!(found("else"), None);
    assert!(token.is_valid_at(NOW.plus(DurationMs(9))));
    assert!(!token.is_valid_at(NOW.plus(DurationMs(10))));
    write(&store, |tx| tx.revoke_token("t1", NOW));
    write(&store, |tx| tx.revoke_token("t1", NOW.plus(DurationMs(5))));
    let revoked = found(&token.hash).expect("it is still known");
    assert_eq!(revoked.revoked_at, Some(NOW));
    assert!(!revoked.is_valid_at(NOW));
    assert_eq!(store.read(|r| r.tokens()).expect("reads"), [revoked]);
}

#[test]
fn plans_of_a_machine_come_newest_first_with_all_they_hold() {
    let (_dir, store) = open();
    let begin = |kind| {
        let plan = NewPlan {
            machine: machine_id(1),
            kind,
            version: 3,
            steps: vec!["only".to_owned()],
            input: json!({"a": [1]}),
        };
        store.write_blocking("begin", move |tx| tx.begin_plan(&plan, NOW)).expect("it begins")
    };
    let first = begin(PlanKind::Create);
    write(&store, move |tx| {
        tx.record_attempt(first, "no route", NOW)?;
        tx.fail_plan(first, "no route, 3 times", NOW)
    });
    let second = begin(PlanKind::Destroy);
    let plans = store.read(|r| r.plans_of(&machine_id(1))).expect("reads");
    assert_eq!(plans.iter().map(|p| p.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!((plans[0].kind, plans[0].version), (PlanKind::Destroy, 3));
    assert_eq!(plans[0].input, json!({"a": [1]}));
    assert_eq!(plans[1].error.as_deref(), Some("no route, 3 times"));
    let active = store.read(|r| r.active_plan(&machine_id(1))).expect("reads");
    assert_eq!(active.as_ref(), Some(&plans[0]));
}

#[test]
fn single_values_and_numbers_last() {
    let (dir, store) = open();
    let boot: model::BootId = "6c2cbb1e-5b1f-4bd8-9a0f-0a2f4f6d7c11".parse().expect("a UUID");
    assert_eq!(store.read(|r| r.last_boot()).expect("reads"), None);
    let stored = boot.clone();
    write(&store, move |tx| tx.put_boot(&stored));
    for expected in 1..=3 {
        let next = store.write_blocking("next", |tx| tx.next_number("slot")).expect("stored");
        assert_eq!(next, expected);
    }
    drop(store);
    let store = Store::open(dir.path()).expect("opens again");
    assert_eq!(store.read(|r| r.last_boot()).expect("reads"), Some(boot));
    assert_eq!(store.read(|r| r.last_number("slot")).expect("reads"), 3);
}

#[test]
fn a_token_is_withdrawn_with_the_one_it_was_made_with() {
    let (_dir, store) = open();
    let token = |id: &str, parent: Option<&str>| TokenRecord {
        id: id.to_owned(),
        name: "ci".to_owned(),
        hash: id.repeat(32),
        scope: TokenScope { reach: TokenReach::All, right: TokenRight::Operate },
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        parent: parent.map(str::to_owned),
    };
    let all =
        [token("t1", None), token("t2", Some("t1")), token("t3", Some("t2")), token("u1", None)];
    write(&store, move |tx| all.iter().try_for_each(|token| tx.insert_token(token)));
    write(&store, |tx| tx.revoke_token("t1", NOW));
    let late = token("t4", Some("t2"));
    write(&store, move |tx| tx.insert_token(&late));
    let tokens = store.read(|r| r.tokens()).expect("they read");
    let void: Vec<_> = tokens.iter().filter(|token| !token.is_valid_at(NOW)).collect();
    assert_eq!(
        void.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(),
        ["t1", "t2", "t3", "t4"]
    );
}
