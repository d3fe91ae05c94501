//! What a figure was taken on: no figure without it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::statfs;
use serde::Serialize;

use crate::failure::Failure;

/// File systems in memory, where an fsync measures nothing (`statfs(2)`): tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
/// Writes of the probe, and the bytes of each: about what one command makes.
const PROBES: usize = 300;
const PROBE_BYTES: usize = 200;

/// Where and of what a figure is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Circumstances {
    /// The commit of the source tree that this was started in, or as `--commit` says.
    commit: String,
    cores: usize,
    cpu: String,
    kernel: String,
    memory_mib: u64,
    /// Runnable tasks over the last minute, before anything was started.
    load_average: f64,
    /// Write of 200 bytes and fdatasync, one after the other, in the folder of the data; microseconds. None: no server of ours.
    fsync_us: Option<Probe>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Probe {
    median: u64,
    p99: u64,
}

impl Circumstances {
    /// Takes about a tenth of a second, for the probe in `folder`.
    pub(crate) fn look(commit: Option<&str>, folder: Option<&Path>) -> Result<Self, Failure> {
        let fsync_us = folder.map(probe).transpose();
        Ok(Self {
            commit: commit.map_or_else(commit_here, str::to_owned),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: field("/proc/cpuinfo", "model name"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: number(&field("/proc/meminfo", "MemTotal")) / 1024,
            load_average: load_average(),
            fsync_us: fsync_us.map_err(|error| Failure::of("the probe of fsync", error))?,
        })
    }

    /// Before anything was started.
    pub(crate) const fn load_average(&self) -> f64 {
        self.load_average
    }

    pub(crate) fn line(&self) -> String {
        let fsync = self.fsync_us.map_or_else(
            || "fsync not probed".to_owned(),
            |probe| format!("fsync {} us (p99 {})", probe.median, probe.p99),
        );
        format!(
            "{} cores, {}, Linux {}, {} MiB, {fsync}, load {:.1} before; commit {}",
            self.cores, self.cpu, self.kernel, self.memory_mib, self.load_average, self.commit
        )
    }
}

/// A temporary folder for the data of servers, in `parent`, which must be on a disk.
pub(crate) fn data_folder(parent: Option<&Path>) -> Result<tempfile::TempDir, Failure> {
    let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
    let shown = parent.display();
    let kind = statfs(&parent).map_err(|error| Failure::of(&shown.to_string(), error))?.f_type;
    if IN_MEMORY.contains(&kind) {
        return Err(Failure::new(
            format!("{shown} is in memory, where an fsync costs nothing"),
            "name a folder on a disk with --data-dir",
        ));
    }
    let made = tempfile::Builder::new().prefix("conclave-bench").tempdir_in(&parent);
    made.map_err(|error| Failure::of(&shown.to_string(), error))
}

fn load_average() -> f64 {
    let text = read("/proc/loadavg");
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

fn probe(folder: &Path) -> io::Result<Probe> {
    let path = folder.join("fsync-probe");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; PROBES * PROBE_BYTES], 0)?;
    file.sync_all()?;
    let mut took = Vec::with_capacity(PROBES);
    for number in 0..PROBES {
        let started = Instant::now();
        file.write_all_at(&[1; PROBE_BYTES], (number * PROBE_BYTES) as u64)?;
        file.sync_data()?;
        took.push(started.elapsed());
    }
    fs::remove_file(&path)?;
    took.sort_unstable();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Ok(Probe { median: micros(took[PROBES / 2]), p99: micros(took[PROBES * 99 / 100]) })
}

fn commit_here() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) if git(&["status", "--porcelain"]).is_some_and(|list| list.is_empty()) => {
            commit
        }
        Some(commit) => format!("{commit} with changes"),
        None => "unknown".to_owned(),
    }
}

/// The first field of that name in a file of `name : value` lines.
fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.trim() == name);
    found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_never_measured_in_memory() {
        if statfs("/dev/shm").is_ok_and(|found| IN_MEMORY.contains(&found.f_type)) {
            let failure = data_folder(Some(Path::new("/dev/shm"))).expect_err("no disk");
            assert!(failure.to_string().contains("--data-dir"), "{failure}");
        }
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = Circumstances::look(Some("abc"), Some(folder.path())).expect("a look");
        assert!(found.cores > 0 && found.memory_mib > 0, "{found:?}");
        assert!(found.fsync_us.is_some_and(|probe| probe.median <= probe.p99), "{found:?}");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }
}
