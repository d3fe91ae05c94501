//! Every promise in `docs/GUARANTEES.md` is held by a test that exists.

use std::collections::BTreeSet;
use std::fs;

use crate::files::rust_files;
use crate::{report, root};

/// What stands between backticks and looks like the name of a test.
fn named_tests(text: &str) -> BTreeSet<&str> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 2
            && !word.starts_with("conformance_")
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.split('`').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn each_promise_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/GUARANTEES.md")).expect("the guarantees");
    let named = named_tests(&text);
    assert!(named.len() > 40, "only {} tests are named: the page was not understood", named.len());
    let sources: Vec<_> = rust_files().into_iter().map(|(_, text)| text).collect();
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !sources.iter().any(|text| text.contains(&format!("fn {name}("))))
        .map(|name| format!("there is no test {name}"))
        .collect();
    report("promises without their tests", &missing);
}
