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
/// What that folder is called from the moment at which all of the old content is aside.
const MOVING_IN: &str = "recovering-moves-in";
/// What a file system of its own has in it, which cannot be moved and is nobody's.
const FOUND: &str = "lost+found";
const IDENTITY: &str = "identity";

/// Renames one file or folder. Tests have another one, which breaks off.
type Rename<'a> = &'a mut dyn FnMut(&Path, &Path) -> io::Result<()>;

/// Whether there is anything in the directory (none: it need not exist), the lock not counted.
///
/// # Errors
/// It cannot be read.
pub fn is_unused(dir: &Path) -> io::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            let counts = |name: &str| name != LOCK && name != FOUND;
            let mut names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            Ok(names.all(|name| name.is_ok_and(|name| !counts(&name.to_string_lossy()))))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Of a node, and so to be put aside or brought in.
fn is_content(name: &str) -> bool {
    ![LOCK, FOUND, MADE_READY, MOVING_IN].contains(&name) && !name.starts_with(ASIDE)
}

impl DataDir {
    /// Where a new content is made ready before [`replace_content`](Self::replace_content). What an earlier attempt left there
    /// is removed.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn make_room(&self) -> io::Result<PathBuf> {
        let ready = self.path().join(MADE_READY);
        for left in [&ready, &self.path().join(MOVING_IN)] {
            match std::fs::remove_dir_all(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(ready)
    }

    /// Puts everything aside, the identity first, and what was made ready in its place, the identity last: a crash in between
    /// leaves a directory without an identity and with traces of this ([`is_half_replaced`](Self::is_half_replaced)), and
    /// [`finish_replacement`](Self::finish_replacement) goes on from there. Says where the old content is.
    ///
    /// # Errors
    /// A file cannot be renamed. Everything is still there, in one of the two places.
    pub fn replace_content(&self, number: u64) -> io::Result<PathBuf> {
        // What was put aside last is known by its number, whatever the clock said meanwhile.
        let number = self.last_aside()?.map_or(number, |(last, _)| number.max(last + 1));
        let aside = self.path().join(format!("{ASIDE}{number}"));
        create_durably(&aside)?;
        self.replace_by(&aside, &mut |from, to| std::fs::rename(from, to))?;
        Ok(aside)
    }

    /// There is no identity, since a replacement of the content broke off: whoever took the directory for a new one would begin
    /// without anything of the old.
    ///
    /// # Errors
    /// Nobody can tell.
    pub fn is_half_replaced(&self) -> io::Result<bool> {
        Ok(!self.identity().try_exists()?
            && (self.path().join(MOVING_IN).try_exists()?
                || self.path().join(MADE_READY).try_exists()?
                || self.last_aside()?.is_some()))
    }

    /// Finishes a replacement that broke off when the old content was no longer all in its place. Says where that is. None: there
    /// was none.
    ///
    /// # Errors
    /// As with [`replace_content`](Self::replace_content); it may be tried again.
    pub fn finish_replacement(&self) -> io::Result<Option<PathBuf>> {
        let ready = self.path().join(MADE_READY).join(IDENTITY).try_exists()?;
        let moving = self.path().join(MOVING_IN).try_exists()?;
        match self.last_aside()? {
            Some((_, aside)) if !self.identity().try_exists()? && (ready || moving) => {
                self.replace_by(&aside, &mut |from, to| std::fs::rename(from, to))?;
                Ok(Some(aside))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Wherever an earlier attempt broke off, it goes on there.
    fn replace_by(&self, aside: &Path, rename: Rename<'_>) -> io::Result<()> {
        let (ready, moving) = (self.path().join(MADE_READY), self.path().join(MOVING_IN));
        if !moving.try_exists()? {
            self.put_aside(aside, rename)?;
            rename(&ready, &moving)?;
            sync(self.path())?;
        }
        let identity = moving.join(IDENTITY);
        for path in entries(&moving)?.into_iter().filter(|path| *path != identity) {
            rename(&path, &within(self.path(), &path)?)?;
        }
        sync(self.path())?;
        rename(&identity, &self.identity())?;
        sync(self.path())?;
        std::fs::remove_dir_all(&moving)
    }

    fn put_aside(&self, aside: &Path, rename: Rename<'_>) -> io::Result<()> {
        let identity = self.identity();
        if identity.try_exists()? {
            rename(&identity, &aside.join(IDENTITY))?;
        }
        sync(self.path())?;
        for path in entries(self.path())? {
            rename(&path, &within(aside, &path)?)?;
        }
        sync(aside)?;
        sync(self.path())
    }

    /// Where the content was put that was put aside last, and its number.
    fn last_aside(&self) -> io::Result<Option<(u64, PathBuf)>> {
        let mut last = None;
        for entry in std::fs::read_dir(self.path())? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(ASIDE)?.parse().ok());
            last = last.max(number.map(|number: u64| (number, entry.path())));
        }
        Ok(last)
    }
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if is_content(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn within(dir: &Path, path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("a path without a name"))?;
    Ok(dir.join(name))
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files and folders with what is in them.
    fn content(dir: &Path) -> Vec<String> {
        let shown = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let file = if path.is_dir() { path.join("file") } else { path.clone() };
            format!("{name}={}", fs::read_to_string(file).unwrap())
        };
        let mut content: Vec<_> = entries(dir).unwrap().iter().map(shown).collect();
        content.sort();
        content
    }

    fn fill(dir: &Path, word: &str) {
        for folder in ["snapshots", "wal"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
            fs::write(dir.join(folder).join("file"), word).unwrap();
        }
        fs::write(dir.join(IDENTITY), word).unwrap();
    }

    fn whole(word: &str) -> Vec<String> {
        ["identity", "snapshots", "wal"].map(|name| format!("{name}={word}")).to_vec()
    }

    #[test]
    fn a_replacement_that_breaks_off_anywhere_is_seen_and_finished() {
        let mut broke_off = 0;
        for renames in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let place = DataDir::open(folder.path()).unwrap();
            fill(place.path(), "old");
            fs::create_dir(place.path().join(FOUND)).unwrap();
            fill(&place.make_room().unwrap(), "new");
            let aside = place.path().join(format!("{ASIDE}7"));
            create_durably(&aside).unwrap();
            let mut left = renames;
            let done = place.replace_by(&aside, &mut |from, to| {
                left = usize::checked_sub(left, 1).ok_or_else(|| io::Error::other("a crash"))?;
                fs::rename(from, to)
            });
            let old_is_whole = content(place.path()) == whole("old");
            let new_is_whole = content(place.path()) == whole("new");
            assert_eq!(done.is_ok(), new_is_whole, "after {renames}");
            let is_half = place.is_half_replaced().unwrap();
            assert_eq!(is_half, !old_is_whole && !new_is_whole, "after {renames}");
            let finished = place.finish_replacement().unwrap();
            assert_eq!(finished, is_half.then(|| aside.clone()), "after {renames}");
            if is_half {
                broke_off += 1;
                assert_eq!(content(place.path()), whole("new"), "after {renames}");
                assert_eq!(content(&aside), whole("old"), "after {renames}");
                assert!(!place.is_half_replaced().unwrap(), "after {renames}");
            }
            if done.is_ok() {
                break;
            }
        }
        assert_eq!(broke_off, 6, "three files out, the folder, and two of three in");
    }

    #[test]
    fn what_is_put_aside_goes_nowhere_where_something_is_already() {
        let folder = tempfile::tempdir().unwrap();
        let place = DataDir::open(folder.path()).unwrap();
        fill(place.path(), "first");
        fill(&place.make_room().unwrap(), "second");
        let first = place.replace_content(7).unwrap();
        fill(&place.make_room().unwrap(), "third");
        // The clock went back.
        let second = place.replace_content(3).unwrap();
        assert_eq!(content(&first), whole("first"));
        assert_eq!(content(&second), whole("second"));
        assert_eq!(content(place.path()), whole("third"));
        assert_eq!(place.last_aside().unwrap().map(|(_, path)| path), Some(second));
    }

    #[test]
    fn a_new_file_system_is_unused() {
        let folder = tempfile::tempdir().unwrap();
        let _place = DataDir::open(folder.path()).unwrap();
        fs::create_dir(folder.path().join(FOUND)).unwrap();
        assert!(is_unused(folder.path()).unwrap());
        fs::write(folder.path().join(IDENTITY), "").unwrap();
        assert!(!is_unused(folder.path()).unwrap());
    }
}
