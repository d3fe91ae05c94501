//! Two sets kept outside of the cluster, in files. One checks the fencing token, as a resource should; of the other nothing but the lock
//! keeps anybody away, so that two holders at a time lose elements.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A set grows no further than this in one file; a full one is put away under its number, so that a long run does not write an
/// ever longer file.
const ELEMENTS_MAX: usize = 500;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The largest token that was ever brought.
    token: u64,
    /// So many full ones were put away.
    full: u64,
    elements: Vec<String>,
}

/// The token is smaller than one that was brought before.
#[derive(Debug)]
pub(crate) struct Stale;

/// A set that checks tokens.
pub(crate) struct FencedSet {
    file: PathBuf,
    door: PathBuf,
}

impl FencedSet {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self {
            file: folder.join(format!("{name}.json")),
            door: folder.join(format!("{name}.door")),
        }
    }

    /// What is there; no smaller token is served afterwards.
    pub(crate) fn read(&self, token: u64) -> Result<Vec<String>, Stale> {
        self.transact(token, |_| {})
    }

    /// Writes all of it.
    pub(crate) fn write(&self, token: u64, elements: Vec<String>) -> Result<(), Stale> {
        self.transact(token, |content| content.elements = elements).map(drop)
    }

    fn transact(
        &self,
        token: u64,
        change: impl FnOnce(&mut Content),
    ) -> Result<Vec<String>, Stale> {
        let door = File::create(&self.door).expect("a file");
        door.lock().expect("the storage's own lock");
        let mut content = content(&self.file);
        if token < content.token {
            return Err(Stale);
        }
        content.token = token;
        change(&mut content);
        replace(&self.file, &mut content);
        Ok(content.elements)
    }
}

/// A set that checks nothing.
pub(crate) struct OpenSet {
    file: PathBuf,
}

impl OpenSet {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { file: folder.join(format!("{name}.json")) }
    }

    pub(crate) fn read(&self) -> Vec<String> {
        content(&self.file).elements
    }

    /// Only the elements are new: the rest of the file belongs to who holds the lock as well.
    pub(crate) fn write(&self, elements: Vec<String>) {
        let mut content = Content { elements, ..content(&self.file) };
        replace(&self.file, &mut content);
    }
}

/// All elements of a set of this name, put away or not.
pub(crate) fn all_elements(folder: &Path, name: &str) -> Vec<String> {
    let file = folder.join(format!("{name}.json"));
    let last = content(&file);
    let full = (0..last.full).flat_map(|number| content(&full_file(&file, number)).elements);
    full.chain(last.elements).collect()
}

fn full_file(file: &Path, number: u64) -> PathBuf {
    file.with_extension(format!("full-{number}"))
}

fn content(file: &Path) -> Content {
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).expect("it is replaced whole"),
        Err(_) => Content::default(),
    }
}

/// Whole or not at all, also if the process is killed meanwhile: what was put away counts once the file says so.
fn replace(file: &Path, content: &mut Content) {
    if content.elements.len() >= ELEMENTS_MAX {
        write_whole(&full_file(file, content.full), content);
        content.full += 1;
        content.elements.clear();
    }
    write_whole(file, content);
}

fn write_whole(file: &Path, content: &Content) {
    let fresh = file.with_extension(format!("{}.new", std::process::id()));
    let bytes = serde_json::to_vec(content).expect("a set has a text");
    File::create(&fresh).and_then(|mut file| file.write_all(&bytes)).expect("room for the set");
    fs::rename(&fresh, file).expect("the set is replaced");
}
