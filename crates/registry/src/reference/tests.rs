//! What users write, and what they get wrong.

use super::*;
use proptest::prelude::*;

const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[track_caller]
fn check(text: &str, expected: &str) {
    let parsed: Reference = text.parse().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(parsed.to_string(), expected, "{text}");
    assert_eq!(expected.parse::<Reference>().as_ref(), Ok(&parsed), "{expected} reads back");
}

#[track_caller]
fn refuse(text: &str, expected: WhyInvalid) {
    let error = text.parse::<Reference>().expect_err(text);
    assert_eq!(error.why, expected, "{text}");
    assert!(!error.why.hint().is_empty());
}

#[test]
fn short_names_mean_docker_hub() {
    check("alpine", "docker.io/library/alpine:latest");
    check("alpine:3.20", "docker.io/library/alpine:3.20");
    check("team/web", "docker.io/team/web:latest");
    check("docker.io/alpine", "docker.io/library/alpine:latest");
    check("index.docker.io/alpine", "docker.io/library/alpine:latest");
    check("registry-1.docker.io/library/alpine", "docker.io/library/alpine:latest");
}

#[test]
fn a_first_part_with_dot_or_colon_or_localhost_is_a_registry() {
    check("localhost/a", "localhost/a:latest");
    check("localhost:5000/a:1", "localhost:5000/a:1");
    check("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest");
    check("[::1]:5000/a", "[::1]:5000/a:latest");
    check("Registry.Example.COM/a", "registry.example.com/a:latest");
    check("host:5000/a", "host:5000/a:latest");
}

#[test]
fn a_digest_counts_and_a_tag_beside_it_is_kept() {
    check(&format!("a@sha256:{HEX}"), &format!("docker.io/library/a@sha256:{HEX}"));
    check(&format!("r.io/a:1@sha256:{HEX}"), &format!("r.io/a:1@sha256:{HEX}"));
    let both: Reference = format!("r.io/a:1@sha256:{HEX}").parse().expect("valid");
    assert_eq!(both.manifest_name(), format!("sha256:{HEX}"));
    let digest = both.digest().expect("given").clone();
    let tagged: Reference = "r.io/a:1".parse().expect("valid");
    assert_eq!(tagged.pinned_to(digest.clone()), both);
    let image_ref = both.image_ref(digest);
    assert_eq!((image_ref.registry.as_str(), image_ref.tag.as_str()), ("r.io", "1"));
}

#[test]
fn docker_hub_is_shown_by_the_host_that_serves_it() {
    let alpine: Reference = "alpine".parse().expect("valid");
    let digest: Digest = format!("sha256:{HEX}").parse().expect("valid");
    let image_ref = alpine.image_ref(digest);
    assert_eq!(image_ref.registry, "registry-1.docker.io");
    assert_eq!(image_ref.repository, "library/alpine");
    assert_eq!(image_ref.tag, "latest");
}

#[test]
fn separators_in_repositories_are_as_docker_has_them() {
    for good in ["a.b", "a_b", "a__b", "a-b", "a---b", "a/b.c/d_e", "0"] {
        check(&format!("r.io/{good}"), &format!("r.io/{good}:latest"));
    }
    for wrong in ["a..b", "a___b", "a._b", "-a", "a-", ".a", "a.", "_a", "a//b", "a/", "a b", "ä"]
    {
        refuse(&format!("r.io/{wrong}"), WhyInvalid::Repository);
    }
}

#[test]
fn wrong_references_say_what_is_wrong() {
    refuse("", WhyInvalid::Empty);
    refuse("r.io/", WhyInvalid::Empty);
    refuse("https://r.io/a", WhyInvalid::Url);
    refuse("Alpine", WhyInvalid::UpperCase);
    refuse("HOST/a", WhyInvalid::UpperCase);
    refuse("r.io/Alpine", WhyInvalid::UpperCase);
    refuse("a:", WhyInvalid::Tag);
    refuse("a:.b", WhyInvalid::Tag);
    refuse(&format!("a:{}", "t".repeat(129)), WhyInvalid::Tag);
    refuse("r.io:port/a", WhyInvalid::Registry);
    refuse("r.io:0/a", WhyInvalid::Registry);
    refuse("r.io:65536/a", WhyInvalid::Registry);
    refuse("r.io:+80/a", WhyInvalid::Registry);
    refuse("-r.io/a", WhyInvalid::Registry);
    refuse("r..io/a", WhyInvalid::Registry);
    refuse("user@r.io/a", WhyInvalid::DigestAlgorithm);
    refuse("[::1/a", WhyInvalid::Registry);
    refuse(HEX, WhyInvalid::ImageId);
    refuse("a@sha256:abc", WhyInvalid::Digest);
    refuse(&format!("a@sha256:{}", HEX.to_uppercase()), WhyInvalid::Digest);
    refuse(&format!("a@sha512:{HEX}{HEX}"), WhyInvalid::DigestAlgorithm);
    refuse(&"a".repeat(256), WhyInvalid::Repository);
    refuse(&"a".repeat(2_000), WhyInvalid::TooLong);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_what_parses_reads_back(text in "\\PC{0,80}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }

    #[test]
    fn whatever_follows_the_grammar_parses(
        host in "[a-z][a-z0-9]{0,8}\\.[a-z]{2,3}",
        port in proptest::option::of(1_u16..),
        repository in "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,5}){0,3}",
        tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
    ) {
        let registry = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let text = format!("{registry}/{repository}:{tag}");
        prop_assume!(registry != "docker.io");
        let reference: Reference = text.parse().expect("it follows the grammar");
        prop_assert_eq!(reference.to_string(), text);
        prop_assert_eq!(reference.registry().host(), host);
        prop_assert_eq!(reference.registry().port(), port);
        prop_assert_eq!(reference.repository(), repository);
        prop_assert_eq!(reference.tag(), Some(tag.as_str()));
    }
}
