//! Names under `.internal`, asked with `dig` and with what programs inside use.

use crate::guest::Guest;
use crate::resolver::{V4, V6, becomes, check, dig};
use crate::{field, stranger, waiting};
use serde_json::json;
use tests::fixture;

/// Port of servers inside machines.
const PORT: &str = "7000";

/// Zone of the app of most tests.
const ZONE: &str = "test.internal";

#[test]
fn every_form_of_a_private_name_is_answered() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let labels = json!({"metadata": {"role": "db", "fly_process_group": "worker"}});
    let b = waiting(&instance, &labels);
    let guest = Guest::of(&instance, &a);
    let (of_a, of_b) = (field(&instance, &a, "private_ip"), field(&instance, &b, "private_ip"));
    let (of_a, of_b) = (of_a.as_str(), of_b.as_str());

    becomes(&guest, &["AAAA", ZONE], "NOERROR", &[of_a, of_b]);
    for everyone in ["global", "local"] {
        check(&guest, &["AAAA", &format!("{everyone}.{ZONE}")], "NOERROR", &[of_a, of_b]);
    }
    check(&guest, &["AAAA", &format!("{b}.vm.{ZONE}")], "NOERROR", &[of_b]);
    check(&guest, &["AAAA", &format!("{}.VM.Test.INTERNAL", b.to_uppercase())], "NOERROR", &[of_b]);
    check(&guest, &["AAAA", &format!("worker.process.{ZONE}")], "NOERROR", &[of_b]);
    check(&guest, &["AAAA", &format!("db.role.kv._metadata.{ZONE}")], "NOERROR", &[of_b]);
    check(&guest, &["AAAA", "_api.internal"], "NOERROR", &["fdaa::4"]);
    let nearest = dig(&guest, &[V6, "AAAA", &format!("top1.nearest.of.{ZONE}")]);
    assert_eq!(nearest.answers.len(), 1, "{}", nearest.text);

    let (mut first, mut second) = (&a, &b);
    if first > second {
        (first, second) = (second, first);
    }
    let vms = format!("\"{first} local,{second} local\"");
    check(&guest, &["TXT", &format!("vms.{ZONE}")], "NOERROR", &[&vms]);
    check(&guest, &["TXT", &format!("regions.{ZONE}")], "NOERROR", &["\"local\""]);
    check(&guest, &["TXT", "_apps.internal"], "NOERROR", &["\"test\""]);
    check(&guest, &["TXT", "_peer.internal"], "NOERROR", &[]);
    let instances = dig(&guest, &[V6, "TXT", "_instances.internal"]);
    let text: String = instances.answers.into_iter().collect::<String>().replace(['"', ' '], "");
    for (id, ip) in [(&a, of_a), (&b, of_b)] {
        let entry = format!("instance={id},app=test,ip={ip},region=local");
        assert!(text.split(';').any(|own| own == entry), "{entry} in {text}");
    }

    for unknown in ["elsewhere.test.internal", "nobody.internal", "test.flycast", "x.y.z.internal"]
    {
        check(&guest, &["AAAA", unknown], "NXDOMAIN", &[]);
    }
    check(&guest, &["A", ZONE], "NOERROR", &[]);
    for words in [[V4, "+notcp"], [V4, "+tcp"], [V6, "+tcp"]] {
        let heard = dig(&guest, &[&words[..], &["AAAA", &format!("{b}.vm.{ZONE}")]].concat());
        assert_eq!(heard.answers.into_iter().collect::<Vec<_>>(), [of_b], "{words:?}");
    }
}

#[test]
fn only_started_machines_have_addresses() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let b = waiting(&instance, &json!({"restart": {"policy": "no"}}));
    let hidden = waiting(&instance, &json!({"dns": {"skip_registration": true}}));
    let guest = Guest::of(&instance, &a);
    let (of_a, of_b) = (field(&instance, &a, "private_ip"), field(&instance, &b, "private_ip"));
    let name = format!("{b}.vm.{ZONE}");
    becomes(&guest, &["AAAA", ZONE], "NOERROR", &[&of_a, &of_b]);
    check(&guest, &["AAAA", &format!("{hidden}.vm.{ZONE}")], "NXDOMAIN", &[]);

    instance.stop_machine(&b);
    becomes(&guest, &["AAAA", &name], "NOERROR", &[]);
    check(&guest, &["AAAA", ZONE], "NOERROR", &[&of_a]);
    check(&guest, &["TXT", &format!("vms.{ZONE}")], "NOERROR", &[&format!("\"{a} local\"")]);
    let all = dig(&guest, &[V6, "TXT", &format!("all.vms.{ZONE}")]);
    assert!(all.text.contains(&format!("{b} local")), "{}", all.text);

    instance.start_machine(&b);
    becomes(&guest, &["AAAA", &name], "NOERROR", &[&of_b]);
    fixture::destroy(&instance, &b);
    becomes(&guest, &["AAAA", &name], "NXDOMAIN", &[]);
}

#[test]
fn another_network_has_no_names() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let other = stranger(&instance);
    let (here, there) = (Guest::of(&instance, &a), Guest::of(&instance, &other));
    let of_a = field(&instance, &a, "private_ip");
    becomes(&here, &["AAAA", ZONE], "NOERROR", &[&of_a]);
    becomes(&there, &["TXT", "_apps.internal"], "NOERROR", &["\"other\""]);
    check(&here, &["TXT", "_apps.internal"], "NOERROR", &["\"test\""]);
    check(&here, &["AAAA", "other.internal"], "NXDOMAIN", &[]);
    check(&here, &["AAAA", &format!("{other}.vm.other.internal")], "NXDOMAIN", &[]);
    check(&there, &["AAAA", ZONE], "NXDOMAIN", &[]);
    check(&there, &["AAAA", &format!("{a}.vm.{ZONE}")], "NXDOMAIN", &[]);
    let instances = dig(&there, &[V6, "TXT", "all._instances.internal"]);
    assert!(instances.text.contains(&other) && !instances.text.contains(&a), "{}", instances.text);
}

#[test]
fn programs_inside_find_their_neighbours_and_another_app_does_not() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let serve = format!("echo hello > /tmp/index.html; exec httpd -f -p '[::]:{PORT}' -h /tmp");
    let b = fixture::started(&instance, &serve, &json!({}));
    let resolv_conf = instance.sh(&a, "cat /etc/resolv.conf");
    assert_eq!(resolv_conf, "nameserver fdaa::3\nnameserver 169.254.1.1\n");

    let of_b = field(&instance, &b, "private_ip");
    for name in [format!("{b}.vm.{ZONE}"), format!("global.{ZONE}")] {
        testkit::eventually(&format!("nslookup finds {name}"), || {
            let said = instance.exec(&a, &["/bin/nslookup", &name]);
            said["stdout"].as_str().expect("text").contains(&of_b).then_some(())
        });
    }
    let url = format!("http://{b}.vm.{ZONE}:{PORT}/");
    testkit::eventually("wget gets it", || {
        let said = instance.exec(&a, &["/bin/timeout", "20", "/bin/wget", "-q", "-O-", &url]);
        (said["stdout"] == "hello\n").then_some(())
    });

    let other = stranger(&instance);
    let path = format!("/v1/apps/other/machines/{other}/exec");
    let get = |url: &str| {
        let body = json!({"command": ["/bin/timeout", "20", "/bin/wget", "-q", "-O-", url], "timeout": 30});
        instance.post(&path, &body).expect(200)
    };
    let by_name = get(&url);
    assert_ne!(by_name["exit_code"], 0, "{by_name}");
    assert!(by_name["stderr"].as_str().expect("text").contains("bad address"), "{by_name}");
    let by_address = get(&format!("http://[{of_b}]:{PORT}/"));
    assert_ne!(by_address["exit_code"], 0, "{by_address}");
    let refused = by_address["stderr"].as_str().expect("text");
    assert!(refused.contains("No route to host"), "{by_address}");
}

/// The answer is there at once, and says why to who can read it.
#[test]
fn without_a_way_out_names_outside_are_refused_with_a_reason() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let guest = Guest::of(&instance, &a);
    becomes(&guest, &["AAAA", "_api.internal"], "NOERROR", &["fdaa::4"]);
    for server in [V6, V4] {
        let heard = dig(&guest, &[server, "A", "example.com"]);
        assert_eq!(heard.status, "REFUSED", "{}", heard.text);
        assert!(heard.text.contains("EDE: 15 (Blocked)"), "{}", heard.text);
        assert!(heard.text.contains("egress rules"), "{}", heard.text);
    }
    let said = instance.exec(&a, &["/bin/nslookup", "example.com"]);
    assert_ne!(said["exit_code"], 0, "{said}");
    assert!(said.to_string().contains("REFUSED"), "{said}");
}

#[test]
fn names_are_answered_while_control_is_replaced() {
    let instance = fixture::with_busybox();
    let a = waiting(&instance, &json!({}));
    let guest = Guest::of(&instance, &a);
    let of_a = field(&instance, &a, "private_ip");
    becomes(&guest, &["AAAA", ZONE], "NOERROR", &[&of_a]);
    for _ in 0..3 {
        let dead = instance.control_pid();
        testkit::instance::kill(dead);
        check(&guest, &["AAAA", ZONE], "NOERROR", &[&of_a]);
        testkit::eventually("another control is there", || {
            (instance.control_pid() != dead && instance.try_request("GET", "/healthz", b"").is_ok())
                .then_some(())
        });
        check(&guest, &["AAAA", ZONE], "NOERROR", &[&of_a]);
    }
    let b = waiting(&instance, &json!({}));
    let of_b = field(&instance, &b, "private_ip");
    becomes(&guest, &["AAAA", ZONE], "NOERROR", &[&of_a, &of_b]);
}
