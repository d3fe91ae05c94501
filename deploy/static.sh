#!/usr/bin/env bash
# Builds `conclave` as one static file: it needs nothing of the machine or image that it is put on, not even a C library.
# Prints where it is. Needs a Rust toolchain and the static glibc that comes with the C compiler's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

triple=x86_64-unknown-linux-gnu
# Named with the target, so that it does not reach build scripts and procedural macros, which cannot be static.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
cargo build --release --locked --package conclave --bin conclave --target "$triple" >&2
echo "${CARGO_TARGET_DIR:-target}/$triple/release/conclave"
