//! What is being done now, on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};

/// Replaces what was said before.
pub(crate) fn say(what: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
        let _gone = io::stderr().flush();
    }
}

/// Leaves the line as it was found.
pub(crate) fn over() {
    say("");
}
