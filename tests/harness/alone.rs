//! Tests that assert time run alone: they take one lock for themselves, all others share it. The lock is a file, so
//! that it also holds between test binaries that some runner starts side by side.

use std::env;
use std::fs::File;

/// Held for as long as the test runs.
#[must_use]
pub struct Turn {
    _file: File,
}

fn open() -> File {
    let binary = env::current_exe().expect("the path of the test binary");
    let path = binary.with_file_name("conclave-turn.lock");
    File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Nothing else runs meanwhile.
pub fn alone() -> Turn {
    let file = open();
    file.lock().expect("the lock of the test run");
    Turn { _file: file }
}

/// Beside others that assert no time.
pub fn together() -> Turn {
    let file = open();
    file.lock_shared().expect("the lock of the test run");
    Turn { _file: file }
}
