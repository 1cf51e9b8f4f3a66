//! Configurations that cannot be, and those we cannot do.

use crate::{MACHINES, create, refused};
use serde_json::{Value, json};
use testkit::{Instance, Reply};
use tests::fixture;

/// One instance, many configurations; each is busybox with something wrong.
struct Desk(Instance);

impl Desk {
    fn open() -> Self {
        let instance = fixture::with_busybox();
        instance.ensure_app();
        Self(instance)
    }

    fn ask(&self, field: &str, value: Value) -> Reply {
        let mut config = json!({"image": "busybox", "init": {"exec": ["/bin/true"]}});
        config[field] = value;
        create(&self.0, &config)
    }

    #[track_caller]
    fn refuses(&self, field: &str, value: Value, status: u16, code: &str) {
        refused(self.ask(field, value), status, code);
    }

    /// Nothing of all that was refused has become a machine.
    #[track_caller]
    fn close(self) {
        let machines = self.0.get(MACHINES).expect(200);
        assert_eq!(machines, json!([]));
    }
}

#[test]
fn fields_of_the_wrong_type_are_named() {
    let desk = Desk::open();
    let rows = [
        ("image", json!(7)),
        ("image", json!(["busybox"])),
        ("env", json!("A=1")),
        ("env", json!({"A": 1})),
        ("init", json!([])),
        ("init", json!({"exec": "true"})),
        ("init", json!({"exec": [1, 2]})),
        ("guest", json!("big")),
        ("guest", json!({"cpus": "two"})),
        ("guest", json!({"cpus": -1})),
        ("guest", json!({"cpus": 1.5})),
        ("guest", json!({"memory_mb": 99_999_999_999_u64})),
        ("restart", json!({"policy": 3})),
        ("restart", json!({"max_retries": -1})),
        ("stop_config", json!({"timeout": {}})),
        ("stop_config", json!({"signal": "SIGNOTHING"})),
        ("files", json!({"guest_path": "/x"})),
        ("files", json!([{"guest_path": "/x", "raw_value": 7}])),
        ("metadata", json!([])),
        ("auto_destroy", json!("yes")),
        ("rootfs", json!({"size_gb": "8"})),
        ("dns", json!({"nameservers": "9.9.9.9"})),
        ("services", json!({})),
    ];
    for (field, value) in rows {
        let refusal = refused(desk.ask(field, value.clone()), 400, "wrong_type");
        assert!(refusal.error.contains(&format!("config.{field}")), "{value}: {}", refusal.error);
    }
    desk.close();
}

#[test]
fn impossible_sizes_are_refused() {
    let desk = Desk::open();
    let guest = |cpus: u32, memory_mb: u32| json!({"cpus": cpus, "memory_mb": memory_mb});
    let performance = |cpus: u32, memory_mb: u32| json!({"cpu_kind": "performance", "cpus": cpus, "memory_mb": memory_mb});
    for wish in [
        guest(3, 1024),
        guest(1000, 1024),
        guest(u32::MAX, 256),
        guest(1, 1),
        guest(1, 255),
        guest(1, 257),
        guest(1, 300),
        guest(1, 4096),
        guest(1, u32::MAX),
        guest(8, 256),
        performance(1, 1024),
        performance(1, 2049),
        performance(3, 8192),
        json!({"cpu_kind": "quantum"}),
    ] {
        desk.refuses("guest", wish, 400, "invalid_guest");
    }
    desk.refuses("size", json!("enormous"), 400, "invalid_guest");
    desk.refuses("size", json!("shared-cpu-99999999999x"), 400, "invalid_guest");
    // Zero is unset, as clients send it.
    assert_eq!(desk.ask("guest", guest(0, 0)).status, 200);
}

#[test]
fn more_than_the_host_has_is_no_capacity() {
    let desk = Desk::open();
    let size = json!({"cpu_kind": "performance", "cpus": 128, "memory_mb": 1_048_576});
    let refusal = refused(desk.ask("guest", size), 409, "insufficient_capacity");
    assert!(refusal.error.starts_with("aborted: could not reserve resource for machine"));
    desk.close();
}

#[test]
fn values_that_linux_cannot_have_are_refused() {
    let desk = Desk::open();
    desk.refuses("image", json!(""), 400, "image_missing");
    desk.refuses("image", json!("busy box"), 400, "invalid_image");
    desk.refuses("image", json!("büsybox"), 400, "invalid_image");
    desk.refuses("image", json!("b".repeat(2000)), 400, "invalid_image");
    let unknown = format!("sha256:{}", "0".repeat(64));
    desk.refuses("image", json!(unknown), 404, "image_not_found");
    desk.refuses("env", json!({"": "x"}), 400, "invalid_env");
    desk.refuses("env", json!({"A=B": "x"}), 400, "invalid_env");
    desk.refuses("env", json!({"A": "x\u{0}y"}), 400, "invalid_string");
    desk.refuses("env", json!({"A": "x".repeat(200_000)}), 400, "too_large");
    desk.refuses("init", json!({"exec": ["a\u{0}b"]}), 400, "invalid_string");
    desk.refuses("init", json!({"exec": ["x".repeat(200_000)]}), 400, "too_large");
    desk.refuses("init", json!({"exec": ["/bin/true"], "working_dir": "tmp"}), 400, "invalid_init");
    desk.refuses("restart", json!({"policy": "sometimes"}), 400, "invalid_restart_policy");
    desk.refuses("stop_config", json!({"timeout": "-1s"}), 400, "invalid_timeout");
    desk.refuses("stop_config", json!({"timeout": "301s"}), 400, "invalid_timeout");
    desk.refuses("rootfs", json!({"size_gb": 4_000_000_000_u32}), 400, "invalid_rootfs");
    desk.refuses("rootfs", json!({"persist": "forever"}), 400, "invalid_rootfs");
    desk.refuses("engine", json!("jet"), 400, "invalid_engine");
    let file = |path: &str, text: &str| json!([{"guest_path": path, "raw_value": text}]);
    for path in ["", "x", "/", "/x/", "/../x", "/a/../../b", "/a\u{0}b", &"/x".repeat(3000)] {
        desk.refuses("files", file(path, "eA=="), 400, "invalid_file");
    }
    desk.refuses("files", file("/x", "no base64!"), 400, "invalid_file");
    desk.refuses("files", json!([{"guest_path": "/x"}]), 400, "invalid_file");
    let mode = json!([{"guest_path": "/x", "raw_value": "", "mode": 99_999}]);
    desk.refuses("files", mode, 400, "invalid_file");
    desk.close();
}

#[test]
fn ten_megabytes_of_environment_are_too_large() {
    let desk = Desk::open();
    let many: serde_json::Map<_, _> =
        (0..100).map(|n| (format!("V{n}"), json!("x".repeat(100_000)))).collect();
    desk.refuses("env", Value::Object(many), 413, "body_too_large");
    desk.close();
}

#[test]
fn fields_we_know_and_do_not_support_are_refused_with_a_way_out() {
    let desk = Desk::open();
    let rows = [
        ("mounts", json!([{"volume": "vol_x", "path": "/data"}])),
        ("volumes", json!([{}])),
        ("containers", json!([{"name": "c"}])),
        ("statics", json!([{"guest_path": "/x", "url_prefix": "/"}])),
        ("standbys", json!(["0e286039a42d18"])),
        ("cache_drive", json!({"size_mb": 1})),
        ("spot", json!(true)),
        ("guest", json!({"gpus": 1})),
        ("guest", json!({"gpu_kind": "a100"})),
        ("guest", json!({"kernel_args": ["quiet"]})),
        ("guest", json!({"memory_mb": 256, "max_memory_mb": 512})),
        ("init", json!({"swap_size_mb": 512})),
        ("init", json!({"kernel_args": ["quiet"]})),
        ("restart", json!({"policy": "spot-price"})),
        ("processes", json!([{"exec": ["a"]}, {"exec": ["b"]}])),
        ("dns", json!({"dns_forward_rules": [{"basename": "x", "addr": "y"}]})),
    ];
    for (field, value) in rows {
        let refusal = refused(desk.ask(field, value.clone()), 422, "unsupported_field");
        assert!(refusal.error.contains(field), "{value}: {}", refusal.error);
    }
    desk.close();
}

#[test]
fn zero_values_of_unsupported_fields_ask_for_nothing() {
    let desk = Desk::open();
    let config = json!({"image": "busybox", "mounts": [], "schedule": "", "standbys": null,
        "guest": {"gpus": 0, "gpu_kind": "", "kernel_args": null},
        "init": {"exec": ["/bin/true"], "swap_size_mb": 0}, "spot": false});
    assert_eq!(create(&desk.0, &config).status, 200);
}

#[test]
fn unknown_fields_are_ignored_and_echoed() {
    let desk = Desk::open();
    let deep = json!({"a": [1, null, {"ü": "💤"}], "guest": {"cpus": "x"}});
    let config = json!({"image": "busybox", "init": {"exec": ["/bin/true"], "humour": "dry"},
        "brand_new": deep});
    let made = create(&desk.0, &config).expect(200);
    let shown = desk.0.get(&Instance::path(made["id"].as_str().expect("an id"))).expect(200);
    assert_eq!(shown["config"]["brand_new"], deep);
    assert_eq!(shown["config"]["init"]["humour"], "dry");
}

#[test]
fn names_are_checked_and_unique() {
    let desk = Desk::open();
    let ask = |name: &str| {
        let body = json!({"name": name, "config": {"image": "busybox"}, "skip_launch": true});
        desk.0.post(MACHINES, &body)
    };
    for name in ["-x", "a b", "a/b", "ä", "a\nb", "../x", &"x".repeat(64)] {
        refused(ask(name), 400, "invalid_name");
    }
    let longest = "x".repeat(63);
    assert_eq!(ask(&longest).status, 200);
    refused(ask(&longest), 409, "name_taken");
    let machines = desk.0.get(MACHINES).expect(200);
    assert_eq!(machines.as_array().map(Vec::len), Some(1), "{machines}");
}

#[test]
fn names_of_apps_are_checked_and_unique() {
    let desk = Desk::open();
    let ask = |name: &str| desk.0.post("/v1/apps", &json!({"name": name, "org_slug": "personal"}));
    refused(ask("test"), 422, "name_taken");
    for name in ["", "-x", "A b", "ä", &"x".repeat(64), "../../etc"] {
        refused(ask(name), 422, "invalid_name");
    }
    refused(desk.0.post("/v1/apps", &json!({"name": "x"})), 400, "org_missing");
}
