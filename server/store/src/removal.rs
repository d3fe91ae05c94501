//! The mark in the data directory of a node that was taken out of its cluster: it must not come back with what is in there.
//!
//! A file of its own, since it counts by being there: whatever is in it, and whatever becomes of the identity, a directory with
//! the mark belongs to no member.

use std::io;
use std::path::Path;

use crate::directory::replace_file;

/// Marks the directory, durably. `why` is for people who look into it. Blocks.
pub fn mark_removed(path: &Path, why: &str) -> io::Result<()> {
    replace_file(path, format!("{why}\n").as_bytes())
}

/// The mark is there. When nobody can tell, that is an error.
pub fn is_marked_removed(path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_there_once_it_was_made() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("removed");
        assert!(!is_marked_removed(&path).expect("it can be told"));
        mark_removed(&path, "taken out").expect("written");
        assert!(is_marked_removed(&path).expect("it can be told"));
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "taken out\n");
    }
}
