//! Each fault that the sources can make is one that a test must notice, and the other way round.

use std::collections::BTreeSet;
use std::fs;

use crate::root;

#[path = "../mutants/faults.rs"]
mod faults;

#[test]
fn the_planted_faults_are_those_of_the_list() {
    let mut planted = BTreeSet::new();
    for place in
        ["server/machine/src", "server/store/src", "server/raft/src", "server/src", "client/src"]
    {
        collect(&root().join(place), &mut planted);
    }
    let listed: BTreeSet<_> = faults::FAULTS.iter().map(|fault| fault.name.to_owned()).collect();
    assert_eq!(listed.len(), faults::FAULTS.len(), "a fault is listed twice");
    assert!(listed.len() >= 15, "{} faults", listed.len());
    assert_eq!(planted, listed);
    for fault in faults::FAULTS {
        let faults::Witness { package, target, filter } = fault.witness;
        assert!(
            !package.is_empty() && !target.is_empty() && !filter.contains(' '),
            "{}",
            fault.name
        );
    }
}

fn collect(directory: &std::path::Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            for after in text.split("planted(\"").skip(1) {
                into.insert(after.split('"').next().unwrap_or_default().to_owned());
            }
        }
    }
}
