//! The import law: who may depend on whom, and that versions live in the root manifest only.

use std::fs;

use toml::{Table, Value};

use crate::{report, root};

/// Each crate, and the crates of ours it may import. Imports point down only (docs/ARCHITECTURE.md).
const LAW: &[(&str, &[&str])] = &[
    ("cli", &["conclave-server", "conclave-client"]),
    ("server", &["conclave-raft", "conclave-machine", "conclave-proto"]),
    ("server/raft", &["conclave-machine", "conclave-store", "conclave-proto"]),
    ("server/machine", &[]),
    ("server/store", &[]),
    ("proto", &[]),
    ("client", &["conclave-proto", "conclave-local"]),
    ("client/local", &[]),
    ("bench", &["conclave-client"]),
];

/// Libraries that only these crates may name.
const KEPT_BY: &[(&str, &[&str])] = &[
    ("openraft", &["server/raft"]),
    ("sled", &["server/store"]),
    ("raft-log", &["server/store"]),
    ("chunked-wal", &["server/store"]),
    ("codeq", &["server/store"]),
    ("tonic", &["proto", "client", "server", "server/raft", "bench", "tests", "tests/sim"]),
];

fn parse(path: &str) -> Table {
    let path = root().join(path);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn members() -> Vec<String> {
    let workspace = parse("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("a list of members");
    members.iter().map(|member| member.as_str().expect("a path").to_owned()).collect()
}

/// `(section, name, value)` of each dependency; with `dev` also those of tests.
fn dependencies(manifest: &Table, dev: bool) -> Vec<(String, String, Value)> {
    let mut sections = vec!["dependencies", "build-dependencies"];
    if dev {
        sections.push("dev-dependencies");
    }
    let mut found = Vec::new();
    let mut collect = |table: &Table, place: &str| {
        for section in &sections {
            for (name, value) in table.get(*section).and_then(Value::as_table).into_iter().flatten()
            {
                found.push((format!("{place}{section}"), name.clone(), value.clone()));
            }
        }
    };
    collect(manifest, "");
    for (target, table) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
        collect(table.as_table().expect("a table"), &format!("target.{target}."));
    }
    found
}

#[test]
fn imports_point_down_only() {
    let mut findings = Vec::new();
    for member in members() {
        if member == "tests" || member.starts_with("tests/") {
            continue;
        }
        let Some((_, allowed)) = LAW.iter().find(|(path, _)| *path == member) else {
            findings.push(format!(
                "{member} has no place in the picture: decide in docs/decisions first"
            ));
            continue;
        };
        for (_, name, _) in dependencies(&parse(&format!("{member}/Cargo.toml")), false) {
            if name.starts_with("conclave") && !allowed.contains(&name.as_str()) {
                findings.push(format!("{member} imports {name}"));
            }
        }
    }
    report("the import law", &findings);
}

#[test]
fn each_library_is_named_where_it_belongs() {
    let mut findings = Vec::new();
    for member in members() {
        for (section, name, _) in dependencies(&parse(&format!("{member}/Cargo.toml")), true) {
            for (library, keepers) in KEPT_BY {
                if name == *library && !keepers.contains(&member.as_str()) {
                    findings.push(format!("{member} names {name} in {section}"));
                }
            }
        }
    }
    report("one crate names a library that may be exchanged", &findings);
}

#[test]
fn the_machine_has_no_dependencies() {
    let found = dependencies(&parse("server/machine/Cargo.toml"), false);
    assert!(found.is_empty(), "server/machine depends on {found:?}");
}

#[test]
fn versions_live_in_the_root_manifest() {
    let mut findings = Vec::new();
    for member in members() {
        let manifest = parse(&format!("{member}/Cargo.toml"));
        for (section, name, value) in dependencies(&manifest, true) {
            let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
            if !inherited {
                findings.push(format!("{member}: {name} in {section} is not `workspace = true`"));
            }
        }
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            findings.push(format!("{member}: lints are not inherited"));
        }
    }
    report("versions and lints live in the root manifest", &findings);
}

#[test]
fn a_plain_cargo_run_is_the_binary() {
    let workspace = parse("Cargo.toml");
    assert_eq!(workspace["workspace"]["default-members"].as_array().map(Vec::len), Some(1));
    assert_eq!(workspace["workspace"]["default-members"][0].as_str(), Some("cli"));
}
