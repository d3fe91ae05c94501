//! The faults that can be planted, and the tests that must notice each. `crate::planted` in the crates says where they are made.

/// A test binary and which of its tests.
pub(crate) struct Witness {
    pub(crate) package: &'static str,
    /// Of the test target; of the unit tests the name of the library.
    pub(crate) target: &'static str,
    /// Tests whose name contains it; empty: all.
    pub(crate) filter: &'static str,
}

/// One fault and the tests that must fail when it is there.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) witness: Witness,
}

const fn fault(
    name: &'static str,
    package: &'static str,
    target: &'static str,
    filter: &'static str,
) -> Fault {
    Fault { name, witness: Witness { package, target, filter } }
}

pub(crate) const FAULTS: &[Fault] = &[
    fault("grant to an expired waiter", "conclave-machine", "scripts", ""),
    fault("cancel loses the waiter behind", "conclave-machine", "scripts", ""),
    fault("release by name", "conclave-machine", "scripts", ""),
    fault("reader overtakes a waiting writer", "conclave-machine", "scripts", ""),
    fault("permits leak on resize", "conclave-machine", "scripts", ""),
    fault("session expires early", "conclave-machine", "scripts", ""),
    fault("token reused after a snapshot", "conclave-machine", "large", "snapshots"),
    fault("replay window dropped in the snapshot", "conclave-machine", "large", "snapshots"),
    fault("flush skipped", "conclave-store", "store", "fsyncs"),
    fault("vote not synced", "conclave-store", "store", "fsyncs"),
    fault("acknowledged before it is durable", "conclave-raft", "raft", "storage"),
    fault("reply before the commit", "conclave-raft", "raft", "alone::a_node_alone_forms"),
    fault(
        "keepalive acknowledged by a deposed leader",
        "conclave-raft",
        "raft",
        "three::a_leader_alone",
    ),
    fault("snapshot is not one cut", "conclave-raft", "conclave_raft", "state_machine"),
    fault("expiry without a quorum", "conclave-raft", "conclave_raft", "schedule"),
    fault("observe skips a change", "conclave-raft", "conclave_raft", "watcher"),
    fault("early client deadline missing", "conclave-client", "conclave_client", "lease"),
    fault("lease counts from the answer", "conclave-client", "conclave_client", "lease"),
];
