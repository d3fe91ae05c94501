//! Licences and duplicate versions of everything that is linked, read from `cargo metadata` by the lists of `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;
use toml::Table;

use crate::{report, root};

fn deny() -> Table {
    fs::read_to_string(root().join("deny.toml")).expect("deny.toml").parse().expect("valid TOML")
}

/// Every package of the resolved graph for this platform.
fn packages() -> Vec<Value> {
    let output = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let used: BTreeSet<_> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| node["id"].as_str().expect("an id").to_owned())
        .collect();
    let packages: Vec<_> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter(|package| used.contains(package["id"].as_str().expect("an id")))
        .cloned()
        .collect();
    assert!(packages.len() > 100, "only {} packages: the graph was not read", packages.len());
    packages
}

/// Does this SPDX expression allow one of `allowed`? `OR` (and the old `/`) needs one side, `AND` both; parentheses nest.
fn allows(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut at = 0;
    let result = any_of(&words, &mut at, allowed);
    result && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut result = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= all_of(words, at, allowed);
    }
    result
}

fn all_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut result = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= one(words, at, allowed);
    }
    result
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let result = any_of(words, at, allowed);
        *at += 1;
        return result;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allowed.contains(&format!("{word} WITH {exception}"));
    }
    allowed.contains(*word)
}

#[test]
fn spdx_expressions_are_understood() {
    let allowed = ["MIT", "Apache-2.0"].map(String::from).into();
    assert!(allows("MIT", &allowed));
    assert!(allows("MIT/GPL-3.0", &allowed));
    assert!(allows("GPL-3.0 OR (MIT AND Apache-2.0)", &allowed));
    assert!(!allows("MIT AND GPL-3.0", &allowed));
    assert!(!allows("Apache-2.0 WITH LLVM-exception", &allowed));
    assert!(!allows("GPL-3.0", &allowed));
}

#[test]
fn every_licence_is_allowed() {
    let deny = deny();
    let allowed = deny["licenses"]["allow"].as_array().expect("a list");
    let allowed = allowed.iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    let findings: Vec<_> = packages()
        .iter()
        .filter(|package| !allows(package["license"].as_str().unwrap_or("none"), &allowed))
        .map(|package| {
            format!("{} {}: {}", package["name"], package["version"], package["license"])
        })
        .collect();
    report("licences that deny.toml does not allow", &findings);
}

#[test]
fn no_crate_is_linked_twice_without_a_reason() {
    let deny = deny();
    let excused: BTreeSet<_> = deny["bans"]
        .get("skip")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .map(|entry| {
            assert!(entry.get("reason").is_some(), "{entry} gives no reason");
            entry["crate"].as_str().expect("a crate").to_owned()
        })
        .collect();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let name = package["name"].as_str().expect("a name").to_owned();
        let version = package["version"].as_str().expect("a version").to_owned();
        versions.entry(name).or_default().insert(version);
    }
    let twice = |name: &String| versions.get(name).is_some_and(|versions| versions.len() > 1);
    let mut findings: Vec<_> = versions
        .iter()
        .filter(|(name, versions)| versions.len() > 1 && !excused.contains(*name))
        .map(|(name, versions)| format!("{name}: {versions:?}"))
        .collect();
    findings.extend(
        excused.iter().filter(|name| !twice(name)).map(|name| format!("{name} is excused in vain")),
    );
    report("duplicate versions", &findings);
}
