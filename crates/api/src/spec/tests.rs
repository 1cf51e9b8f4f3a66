//! What a configuration becomes, and what is refused with which words.

use super::{echoed, normalised, parse, to_spec};
use crate::problem::Problem;
use model::spec::secrets::{SecretVariable, SecretsEnv};
use model::spec::{CpuKind, EngineKind, MachineFact, MachineSpec, Persist, RestartMode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The spec of a valid image plus `extra` fields.
fn spec_of(extra: &Value) -> Result<MachineSpec, Problem> {
    let mut config = json!({"image": "demo"});
    for (key, value) in extra.as_object().expect("an object") {
        config[key] = value.clone();
    }
    to_spec(&parse(&config)?)
}

#[track_caller]
fn accept(extra: Value) -> MachineSpec {
    spec_of(&extra).unwrap_or_else(|problem| panic!("{extra}: {problem}"))
}

#[track_caller]
fn refuse(extra: Value, status: u16, code: &str, part_of_error: &str) {
    let problem = spec_of(&extra).expect_err("must be refused");
    let got = (problem.status.as_u16(), problem.body.code.as_str());
    assert_eq!(got, (status, code), "{extra}: {problem}");
    assert!(problem.body.error.contains(part_of_error), "{}", problem.body.error);
    assert!(problem.body.hint.is_some(), "{problem} has no hint");
}

#[test]
fn the_smallest_configuration_has_defaults() {
    let spec = accept(json!({}));
    assert_eq!(spec.image, "demo");
    assert_eq!(
        (spec.guest.cpu_kind, spec.guest.cpus, spec.guest.memory_mib),
        (CpuKind::Shared, 1, 256)
    );
    assert_eq!((spec.restart.mode, spec.restart.max_retries), (RestartMode::OnFailure, 10));
    assert_eq!((spec.stop.signal, spec.stop.timeout.0), (None, 5_000));
    assert_eq!((spec.rootfs.persist, spec.rootfs.size_gib), (Persist::Restart, 8));
    assert_eq!(spec.engine, EngineKind::Container);
}

#[test]
fn an_image_is_required() {
    for config in [json!({}), json!({"image": ""}), json!({"image": null}), json!({"image": "a b"})]
    {
        let problem = parse(&config).and_then(|c| to_spec(&c)).expect_err("no image");
        assert_eq!(problem.status.as_u16(), 400, "{config}");
    }
}

#[test]
fn null_is_absent_and_unknown_fields_are_ignored() {
    let spec = accept(json!({
        "env": null, "guest": null, "restart": {"policy": null}, "services": null,
        "stop_config": {"timeout": null}, "mounts": null, "idle_timeout_s": 5, "nonsense": {"x": 1},
        "metadata": {"kept": "v", "dropped": null}
    }));
    assert_eq!(spec.metadata, BTreeMap::from([("kept".to_owned(), "v".to_owned())]));
}

#[test]
fn wrong_types_name_the_field() {
    for (extra, path) in [
        (json!({"env": {"A": 1}}), "config.env.A"),
        (json!({"env": ["A=1"]}), "config.env"),
        (json!({"guest": {"cpus": "two"}}), "config.guest.cpus"),
        (json!({"guest": {"memory_mb": -1}}), "config.guest.memory_mb"),
        (json!({"guest": {"memory_mb": 1e30}}), "config.guest.memory_mb"),
        (json!({"init": {"cmd": "ls"}}), "config.init.cmd"),
        (json!({"files": {}}), "config.files"),
        (json!({"files": [{"mode": "0644"}]}), "config.files[0].mode"),
        (json!({"restart": "always"}), "config.restart"),
        (json!({"stop_config": {"timeout": "soon"}}), "config.stop_config.timeout"),
        (json!({"stop_config": {"signal": "SIGNOPE"}}), "config.stop_config.signal"),
        (json!({"auto_destroy": "yes"}), "config.auto_destroy"),
        (json!({"services": {}}), "config.services"),
        // A list is no object with its fields in order.
        (json!({"guest": [1, 256]}), "config.guest"),
        (json!({"processes": [[null]]}), "config.processes[0]"),
    ] {
        refuse(extra, 400, "wrong_type", path);
    }
    let problem = parse(&json!([1])).expect_err("an array");
    assert!(problem.body.error.starts_with("json: cannot unmarshal config: "), "{problem}");
}

#[test]
fn sizes_follow_the_table() {
    let size = |extra| {
        let guest = accept(extra).guest;
        (guest.cpus, guest.memory_mib)
    };
    assert_eq!(size(json!({"size": "shared-cpu-4x"})), (4, 1024));
    assert_eq!(size(json!({"size": "performance-16x"})), (16, 32_768));
    assert_eq!(size(json!({"guest": {"cpus": 2}})), (2, 512));
    assert_eq!(size(json!({"guest": {"cpu_kind": "performance"}})), (1, 2048));
    assert_eq!(size(json!({"guest": {"cpus": 1, "memory_mb": 2048}})), (1, 2048));
    assert_eq!(size(json!({"guest": {"cpus": 0, "memory_mb": 0}})), (1, 256));
    assert_eq!(size(json!({"guest": {"memory_mb": 512, "max_memory_mb": 512}})), (1, 512));
    for (extra, words) in [
        (json!({"guest": {"cpus": 3}}), "cpus 3"),
        (json!({"guest": {"cpus": 4096}}), "cpus 4096"),
        (json!({"guest": {"memory_mb": 1}}), "memory_mb 1 "),
        (json!({"guest": {"memory_mb": 300}}), "memory_mb 300"),
        (json!({"guest": {"memory_mb": 4096}}), "memory_mb 4096"),
        (json!({"guest": {"cpu_kind": "performance", "memory_mb": 1024}}), "memory_mb 1024"),
        (json!({"guest": {"cpu_kind": "quantum"}}), "`quantum`"),
        (json!({"size": "shared-cpu-3x"}), "`shared-cpu-3x`"),
        (json!({"size": "huge"}), "`huge`"),
        (json!({"size": "shared-cpu-1x", "guest": {"cpus": 1}}), "exclude each other"),
    ] {
        refuse(extra, 400, "invalid_guest", words);
    }
}

#[test]
fn unsupported_fields_are_never_ignored() {
    for (extra, field) in [
        (json!({"mounts": [{"volume": "vol_1", "path": "/data"}]}), "`config.mounts`"),
        (json!({"containers": [{"name": "a"}]}), "`config.containers`"),
        (json!({"standbys": ["0123456789abcd"]}), "`config.standbys`"),
        (json!({"statics": [{}, {"guest_path": "/a"}]}), "`config.statics`"),
        (json!({"cache_drive": {"size_mb": 1}}), "`config.cache_drive`"),
        (json!({"processes": [{"cmd": ["a"]}, {"cmd": ["b"]}]}), "`config.processes`"),
        (json!({"guest": {"gpus": 1}}), "`config.guest.gpus`"),
        (json!({"guest": {"gpu_kind": "a10"}}), "`config.guest.gpu_kind`"),
        (json!({"guest": {"max_memory_mb": 1024}}), "`config.guest.max_memory_mb`"),
        (json!({"init": {"swap_size_mb": 512}}), "`config.init.swap_size_mb`"),
        (json!({"dns": {"dns_forward_rules": [{"basename": "a"}]}}), "dns_forward_rules"),
        (json!({"restart": {"policy": "spot-price"}}), "`config.restart.policy`"),
    ] {
        refuse(extra, 422, "unsupported_field", field);
    }
    accept(json!({"mounts": [], "schedule": "", "standbys": [], "cache_drive": {"size_mb": 0}}));
}

#[test]
fn the_program_merges_init_and_a_single_process() {
    let program = accept(json!({
        "env": {"A": "1", "B": "1", "GONE": null},
        "init": {"exec": ["x"], "entrypoint": [], "cmd": ["c"], "tty": true, "pid1": true,
                 "user": "nobody", "working_dir": "/srv"},
        "processes": [{"cmd": ["d"], "env": {"B": "2"}, "user": "www"}]
    }))
    .program;
    assert_eq!(program.exec, Some(vec!["x".to_owned()]));
    assert_eq!(program.entrypoint, None, "an empty list is absent");
    assert_eq!(program.cmd, Some(vec!["d".to_owned()]));
    assert_eq!(program.env.get("B").map(String::as_str), Some("2"));
    assert!(!program.env.contains_key("GONE"));
    assert_eq!((program.tty, program.pid1), (true, Some(true)));
    assert_eq!(program.user.as_deref(), Some("www"));
    assert_eq!(program.working_dir.as_deref(), Some("/srv"));
}

#[test]
fn a_process_may_choose_among_the_app_s_secrets() {
    let env = |process: Value| accept(json!({"processes": [process]})).secrets.env;
    let only = |pairs: &[(&str, &str)]| {
        SecretsEnv::Only(
            pairs
                .iter()
                .map(|(env_var, name)| SecretVariable {
                    env_var: (*env_var).to_owned(),
                    name: (*name).to_owned(),
                })
                .collect(),
        )
    };
    assert_eq!(accept(json!({})).secrets.env, SecretsEnv::All);
    assert_eq!(env(json!({"secrets": [], "ignore_app_secrets": false})), SecretsEnv::All);
    assert_eq!(env(json!({"ignore_app_secrets": true})), SecretsEnv::none());
    assert_eq!(
        env(json!({"secrets": [{"env_var": "A"}, {"env_var": "B", "name": "C"}, {"name": "D"}]})),
        only(&[("A", "A"), ("B", "C"), ("D", "D")])
    );
    refuse(json!({"processes": [{"secrets": [{}]}]}), 400, "invalid_secret", "names no variable");
    let file = |more: Value| {
        let mut file = json!({"guest_path": "/key"});
        file.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        json!({"files": [file]})
    };
    let spec = accept(file(json!({"secret_name": "S", "raw_value": ""})));
    assert_eq!(spec.files[0].secret.as_deref(), Some("S"));
    assert_eq!(spec.named_secrets().collect::<Vec<_>>(), ["S"]);
    refuse(file(json!({"secret_name": "S", "raw_value": "aGk="})), 400, "invalid_file", "exclude");
    refuse(file(json!({"secret_name": ""})), 400, "invalid_file", "raw_value");
}

#[test]
fn a_process_may_be_told_facts_of_its_machine() {
    let from = |entry: Value| json!({"processes": [{"env_from": [entry]}]});
    let program = accept(from(json!({"env_var": "WHO", "field_ref": "id"}))).program;
    assert_eq!(program.env_from, BTreeMap::from([("WHO".to_owned(), MachineFact::Id)]));
    for entry in [
        json!({"env_var": "A"}),
        json!({"field_ref": "id"}),
        json!({"env_var": "A", "field_ref": "x"}),
    ] {
        refuse(from(entry), 400, "invalid_env", "env_from");
    }
}

#[test]
fn what_linux_cannot_set_is_refused() {
    refuse(json!({"env": {"": "x"}}), 400, "invalid_env", "cannot be set");
    refuse(json!({"env": {"A=B": "x"}}), 400, "invalid_env", "`A=B`");
    refuse(json!({"env": {"A": "x\0y"}}), 400, "invalid_string", "NUL");
    refuse(json!({"init": {"cmd": ["\0"]}}), 400, "invalid_string", "config.init.cmd");
    refuse(json!({"env": {"A": "x".repeat(128 * 1024)}}), 400, "too_large", "config.env.A");
    let many: BTreeMap<String, String> =
        (0..20).map(|i| (format!("V{i}"), "x".repeat(60_000))).collect();
    refuse(json!({"env": many}), 400, "too_large", "1 MiB together");
    refuse(json!({"init": {"working_dir": "srv"}}), 400, "invalid_init", "working_dir");
}

#[test]
fn files_are_decoded_and_bounded() {
    let spec = accept(json!({"files": [
        {"guest_path": "/etc/motd", "raw_value": "aGkK"},
        {"guest_path": "/run.sh", "raw_value": "", "mode": 493},
    ]}));
    assert_eq!((spec.files[0].content.as_slice(), spec.files[0].mode), (&b"hi\n"[..], 0o644));
    assert_eq!((spec.files[1].content.len(), spec.files[1].mode), (0, 0o755));
    for path in ["", "/", "etc/motd", "/etc/", "/a/../b", "/a\0"] {
        let file = json!({"files": [{"guest_path": path, "raw_value": ""}]});
        refuse(file, 400, "invalid_file", "guest_path");
    }
    refuse(json!({"files": [{"guest_path": "/a"}]}), 400, "invalid_file", "raw_value");
    refuse(
        json!({"files": [{"guest_path": "/a", "raw_value": "%"}]}),
        400,
        "invalid_file",
        "base64",
    );
    refuse(
        json!({"files": [{"guest_path": "/a", "raw_value": "", "mode": 70000}]}),
        400,
        "invalid_file",
        "mode",
    );
    let half = "A".repeat(720_000);
    refuse(
        json!({"files": [{"guest_path": "/a", "raw_value": half}, {"guest_path": "/b", "raw_value": half}]}),
        400,
        "too_large",
        "config.files",
    );
}

#[test]
fn restart_stop_and_rootfs_are_read() {
    let spec = accept(json!({
        "restart": {"policy": "always", "max_retries": 3},
        "stop_config": {"signal": "SIGTERM", "timeout": "1m30s"},
        "rootfs": {"persist": "always", "size_gb": 2}
    }));
    assert_eq!((spec.restart.mode, spec.restart.max_retries), (RestartMode::Always, 3));
    assert_eq!((spec.stop.signal, spec.stop.timeout.0), (Some(15), 90_000));
    assert_eq!((spec.rootfs.persist, spec.rootfs.size_gib), (Persist::Always, 2));
    assert_eq!(accept(json!({"stop_config": {"timeout": 2_000_000_000}})).stop.timeout.0, 2_000);
    assert_eq!(accept(json!({"stop_config": {"timeout": "0s"}})).stop.timeout.0, 5_000);
    let old = accept(json!({"guest": {"persist_rootfs": 1}})).rootfs.persist;
    assert_eq!(old, Persist::Never);
    assert_eq!(accept(json!({"rootfs": {"fs_size_gb": 4}})).rootfs.size_gib, 4);
    refuse(json!({"stop_config": {"timeout": "301s"}}), 400, "invalid_timeout", "5m1s");
    refuse(json!({"stop_config": {"timeout": "-1s"}}), 400, "invalid_timeout", "-1s");
    refuse(json!({"restart": {"policy": "on-fail"}}), 400, "invalid_restart_policy", "`on-fail`");
    refuse(json!({"rootfs": {"persist": "maybe"}}), 400, "invalid_rootfs", "`maybe`");
    refuse(json!({"rootfs": {"size_gb": 99999}}), 400, "invalid_rootfs", "size_gb");
    refuse(json!({"engine": "rocket"}), 400, "invalid_engine", "`rocket`");
}

#[test]
fn the_ages_at_which_it_sleeps_deeper_are_read() {
    let ages = |extra: Value| {
        let deepen = accept(json!({"deepen": extra})).deepen;
        deepen.map(|d| (d.suspend_after.map(|a| a.0), d.stop_after.map(|a| a.0)))
    };
    let both = json!({"suspend_after": "10m", "stop_after": "168h"});
    assert_eq!(ages(both), Some((Some(600_000), Some(604_800_000))));
    assert_eq!(ages(json!({"suspend_after": 1_000_000_000_u64})), Some((Some(1_000), None)));
    assert_eq!(ages(json!({"stop_after": "8760h", "suspend_after": null})).expect("one").0, None);
    assert_eq!(ages(json!({})), None);
    assert_eq!(ages(json!(null)), None);
    let check = |extra: Value, part: &str| {
        refuse(json!({"deepen": extra}), 400, "invalid_deepen", part);
    };
    check(json!({"suspend_after": "0s"}), "config.deepen.suspend_after 0s");
    check(json!({"suspend_after": "999ms"}), "999ms is not between 1s and 8760h");
    check(json!({"stop_after": "-10s"}), "config.deepen.stop_after -10s");
    check(json!({"stop_after": "8761h"}), "8761h0m0s");
    check(json!({"suspend_after": "2h", "stop_after": "2h"}), "stop_after is not longer");
    check(json!({"suspend_after": "2h", "stop_after": "1h"}), "stop_after is not longer");
    refuse(json!({"deepen": {"stop_after": "7d"}}), 400, "wrong_type", "config.deepen.stop_after");
    refuse(json!({"deepen": {"stop_after": true}}), 400, "wrong_type", "config.deepen.stop_after");
    refuse(json!({"deepen": "10m"}), 400, "wrong_type", "config.deepen");
}

#[test]
fn the_echo_keeps_unknown_fields_and_prints_durations() {
    let stored = normalised(&json!({
        "image": "demo", "env": null, "nonsense": {"x": [1]},
        "stop_config": {"timeout": 90_000_000_000_u64},
        "deepen": {"suspend_after": 600_000_000_000_u64, "stop_after": "48h"},
        "checks": {"up": {"interval": 15_000_000_000_u64, "type": "tcp"}},
        "services": [{"internal_port": 80, "force_instance_key": null,
                      "checks": [{"timeout": "2s", "grace_period": 500_000_000}]}]
    }));
    assert_eq!(
        echoed(&stored, &BTreeMap::from([("k".to_owned(), "v".to_owned())])),
        json!({
            "image": "demo", "nonsense": {"x": [1]},
            "stop_config": {"timeout": "1m30s"},
            "deepen": {"suspend_after": "10m0s", "stop_after": "48h0m0s"},
            "checks": {"up": {"interval": "15s", "type": "tcp"}},
            "services": [{"internal_port": 80, "force_instance_key": null,
                          "checks": [{"timeout": "2s", "grace_period": "500ms"}]}],
            "init": {}, "dns": {}, "restart": {"policy": "on-failure", "max_retries": 10},
            "metadata": {"k": "v"}
        })
    );
}
