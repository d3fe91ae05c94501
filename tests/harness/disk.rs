//! A file system of the test's own, in memory and as small as it says: to be full, or read-only, for one node alone. It exists
//! only in a mount namespace and goes with its handle.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Seat;

/// Mounts, says so, and keeps the namespace until its standard input ends.
const KEEP: &str = r#"mount -t tmpfs -o "size=$1,mode=755" none "$2" && echo mounted && exec cat"#;

pub struct SmallDisk {
    keeper: Child,
    /// Where it is mounted, as seen from inside.
    point: TempDir,
    /// Whether the namespace has users of its own.
    own_users: bool,
}

impl SmallDisk {
    /// None, said loudly, where this machine does not let a test mount anything.
    pub fn new(bytes: u64) -> Option<Self> {
        let own_users = !rustix::process::geteuid().is_root();
        let point = TempDir::new().expect("a folder");
        let mut unshare = Command::new("unshare");
        if own_users {
            unshare.arg("--map-root-user");
        }
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", KEEP, "sh"]);
        unshare.arg(bytes.to_string()).arg(point.path());
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut keeper) = unshare.spawn() else { return skipped() };
        let mut said = String::new();
        let output = keeper.stdout.take().expect("its output");
        let read = BufReader::new(output).read_line(&mut said);
        if read.is_err() || said != "mounted\n" {
            let _reaped = keeper.wait();
            return skipped();
        }
        Some(Self { keeper, point, own_users })
    }

    /// Runs a node with its data on this disk.
    pub fn seat(&self) -> Seat {
        Seat {
            wrapper: self.enter(),
            data_dir: Some(self.point.path().join("data")),
            ..Seat::default()
        }
    }

    fn enter(&self) -> Vec<String> {
        let mut words = vec!["nsenter".to_owned(), format!("--target={}", self.keeper.id())];
        if self.own_users {
            words.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        words.extend(["--mount".to_owned(), "--".to_owned()]);
        words
    }

    /// The disk as seen from outside of the namespace.
    pub fn path(&self) -> PathBuf {
        let inside = self.point.path().strip_prefix("/").expect("a path from the root");
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(inside)
    }

    /// Takes all that is free; again: what became free meanwhile as well.
    pub fn fill(&self) {
        let filler = File::options().create(true).append(true).open(self.filler());
        let mut filler = filler.expect("a file");
        let mut piece = vec![0; 1024 * 1024];
        while !piece.is_empty() {
            match filler.write(&piece) {
                Ok(_) => {}
                // Then the smaller ones, down to the last byte.
                Err(error) if error.kind() == ErrorKind::StorageFull => {
                    piece.truncate(piece.len() / 2);
                }
                Err(error) => panic!("cannot fill the disk: {error}"),
            }
        }
    }

    /// Of what [`fill`](Self::fill) took, gives back so much.
    pub fn leave(&self, bytes: u64) {
        let filler = File::options().write(true).open(self.filler()).expect("it was filled");
        let taken = filler.metadata().expect("its length").len();
        filler.set_len(taken - bytes).expect("shorter");
    }

    /// Gives back what [`fill`](Self::fill) took.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Nothing can be written from now on. Nobody may have a file of it open.
    pub fn make_read_only(&self) {
        let words = self.enter();
        let mounted = Command::new(&words[0])
            .args(&words[1..])
            .args(["mount", "-o", "remount,ro"])
            .arg(self.point.path())
            .status()
            .expect("nsenter runs");
        assert!(mounted.success(), "the disk does not become read-only");
    }
}

fn skipped<T>() -> Option<T> {
    eprintln!("SKIPPED: this machine lets a test mount nothing, so no disk was full or read-only");
    None
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone_already = self.keeper.kill();
        let _reaped = self.keeper.wait();
    }
}
