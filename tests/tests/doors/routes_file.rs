//! The file with the last good routes cannot be read: it is set aside, and control knows them all.

use crate::house::{HOST, HTTP, house, proxy, up};
use std::fs;
use testkit::{eventually, instance};

#[test]
fn a_file_of_routes_that_cannot_be_read_is_set_aside_and_made_anew() {
    let mut instance = house();
    let id = up(&instance, "http 80", HTTP, &["http"]);
    let file = instance.data_dir().join("routes.json");
    let aside = instance.data_dir().join("set-aside");
    let newer = "{\"format\":1000000,\"routes\":\"of a later release\"}";
    for (n_before, text) in [newer, "{\"format\":", "", "\0\0\0"].into_iter().enumerate() {
        let before = proxy(&instance);
        instance.end_process();
        instance::kill(before);
        fs::write(&file, text).expect("written");
        instance.start_again();
        instance.wait_until_served(&id);
        assert_eq!(instance.visit(HTTP, HOST, "/").header("x-machine"), Some(id.as_str()));
        let kept = fs::read_dir(&aside).expect("set aside").flatten();
        let kept: Vec<String> =
            kept.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect();
        assert_eq!(kept.len(), n_before + 1, "{kept:?}");
        assert!(kept.iter().any(|kept| kept == text), "{kept:?}");
        eventually("the routes are written down anew", || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains(&id)).then_some(())
        });
    }
}
