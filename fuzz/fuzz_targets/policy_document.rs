//! Any bytes as a policy document: linted, and what can be read has one canonical form and hash.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{Document, Policy, Severity, lint_text};

fuzz_target!(|bytes: &[u8]| {
    let findings = lint_text(bytes);
    let Ok(document) = Document::parse(bytes) else {
        assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
        return;
    };
    let canonical = document.canonical();
    let again = Document::parse(canonical.as_bytes());
    // The canonical form of a document at the limit of its length may be longer than the limit.
    if let Ok(again) = again {
        assert_eq!(again.canonical(), canonical);
        assert_eq!(again.hash(), document.hash());
    }
    let is_refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(Policy::compile(document).is_err(), is_refused);
});
