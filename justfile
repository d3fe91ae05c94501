# `just verify` reads, `just fix` writes.

# Everything that CI checks.
verify:
    bash .ci/run

# What changes files: format, then let clippy mend what it can.
fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# One node on loopback.
dev:
    cargo run --release -- dev

# The tests of the README.
test:
    cargo test --workspace

# The machine against the reference model, longer than in the ordinary run.
model cases="1000":
    CONCLAVE_MODEL_CASES={{ cases }} cargo test -p conclave-model

# What a release build does on this machine beside etcd, ZooKeeper and Redis (docs/PERFORMANCE.md), e.g. `just bench own`.
bench *arguments="compare":
    cargo build --release -p conclave -p conclave-bench
    target/release/conclave-bench {{ arguments }}

# The tests, tested: each fault of tests/mutants/faults.rs is planted once and must be noticed.
mutants:
    cargo test -p conclave-tests --test mutants

# Real processes hurt in every way, for as long as it is told: `just soak 28800`. A seed of before makes its schedule again.
soak seconds="3600":
    CONCLAVE_CHAOS_SECONDS={{ seconds }} cargo test -p conclave-tests --test chaos -- --nocapture

# The whole cluster in one thread, that many seeds of faults.
sim seeds="300":
    CONCLAVE_SIM_SEEDS={{ seeds }} cargo test --workspace --test sim

# What deploy/ ships, for real: needs a container engine and builds the static release.
deployment:
    cargo test -p conclave-tests --test deploy

# The image conclave:latest, from a static binary built here.
image:
    bash deploy/image.sh
