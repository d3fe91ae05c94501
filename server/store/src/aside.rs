//! Puts the contents of a data directory aside and others in their place, by renaming alone: nothing is ever destroyed. It works
//! where the directory is a mount point and cannot be renamed itself.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::{DataDir, create_durably};

/// What is never moved: the lock that this process holds.
const LOCK: &str = "LOCK";
/// Folders with what was put aside are called so.
const ASIDE: &str = "before-recovery-";
/// The folder in which a new content is made ready.
const MADE_READY: &str = "recovering";

/// Whether there is anything in the directory (none: it need not exist), the lock not counted.
///
/// # Errors
/// It cannot be read.
pub fn is_unused(dir: &Path) -> io::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => {
            Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

impl DataDir {
    /// Where a new content is made ready before [`replace_content`](Self::replace_content). What an earlier attempt left there
    /// is removed.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn make_room(&self) -> io::Result<PathBuf> {
        let ready = self.path().join(MADE_READY);
        match std::fs::remove_dir_all(&ready) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(ready),
        }
    }

    /// Puts everything aside, the identity first, and what was made ready in its place, the identity last: a crash in between
    /// leaves a directory without an identity, in which no node starts. Says where the old content is.
    ///
    /// # Errors
    /// A file cannot be renamed. Everything is still there, in one of the two places.
    pub fn replace_content(&self, number: u64) -> io::Result<PathBuf> {
        let aside = self.path().join(format!("{ASIDE}{number}"));
        create_durably(&aside)?;
        let is_content =
            |name: &str| name != LOCK && name != MADE_READY && !name.starts_with(ASIDE);
        let identity = self.identity();
        if identity.exists() {
            rename(&identity, &aside)?;
        }
        sync(self.path())?;
        for path in entries(self.path(), is_content)? {
            rename(&path, &aside)?;
        }
        sync(&aside)?;
        let ready = self.path().join(MADE_READY);
        let ready_identity = ready.join("identity");
        for path in entries(&ready, is_content)?.into_iter().filter(|path| *path != ready_identity)
        {
            rename(&path, self.path())?;
        }
        sync(self.path())?;
        rename(&ready_identity, self.path())?;
        sync(self.path())?;
        std::fs::remove_dir_all(&ready)?;
        Ok(aside)
    }
}

fn entries(dir: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if wanted(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn rename(path: &Path, into: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("a path without a name"))?;
    std::fs::rename(path, into.join(name))
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
