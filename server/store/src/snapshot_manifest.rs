//! Which snapshots must be there, in a plain fsynced file beside sled's.
//!
//! sled opens a damaged log by forgetting everything from the first bad byte on, without an error: a store that lost
//! its snapshots would look like a new one, and a node would start with no locks held. This file notices.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::checksum::Checksum;
use crate::directory::replace_file;
use crate::snapshot_info::SnapshotId;

const FILE_NAME: &str = "committed";
pub(crate) const HEADER: &str = "format=1";

pub(crate) struct Manifest {
    path: PathBuf,
}

impl Manifest {
    pub(crate) fn beside(dir: &Path) -> Self {
        Self { path: dir.join(FILE_NAME) }
    }

    /// What it says of its format, if that is another one than is read here. Whatever else is wrong with it, [`Self::load`] says.
    pub(crate) fn other_version(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let body = sealed(&text)?;
        body.lines().next().filter(|header| *header != HEADER).map(str::to_owned)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every committed snapshot and its reach. Empty when none was ever committed.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<SnapshotId, u64>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        parse(&text).map_err(|what| {
            let message = format!("{} {what}", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// Durable when it returns.
    pub(crate) fn save(
        &self,
        snapshots: impl Iterator<Item = (SnapshotId, u64)>,
    ) -> io::Result<()> {
        let mut body = format!("{HEADER}\n");
        for (id, reach) in snapshots {
            body.push_str(&format!("{id} {reach}\n"));
        }
        let sum = Checksum::of(body.as_bytes());
        replace_file(&self.path, format!("{body}checksum={sum:08x}\n").as_bytes())
    }
}

/// What its checksum is of. None: it does not match.
fn sealed(text: &str) -> Option<&str> {
    let (body, sum) = text.strip_suffix('\n')?.rsplit_once("checksum=")?;
    (sum == format!("{:08x}", Checksum::of(body.as_bytes()))).then_some(body)
}

/// What is wrong with it, else.
fn parse(text: &str) -> Result<BTreeMap<SnapshotId, u64>, String> {
    let damaged = || "is damaged".to_owned();
    let body = sealed(text).ok_or_else(damaged)?;
    let mut lines = body.lines();
    let header = lines.next().ok_or_else(damaged)?;
    if header != HEADER {
        return Err(format!(
            "says {header:?}, this program reads {HEADER:?}: it was written by a newer one"
        ));
    }
    let pair = |line: &str| {
        let (id, reach) = line.split_once(' ')?;
        Some((SnapshotId(id.parse().ok()?), reach.parse().ok()?))
    };
    lines.map(pair).collect::<Option<_>>().ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_a_newer_format_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::beside(dir.path());
        manifest.save([(SnapshotId(7), 9)].into_iter()).unwrap();
        assert_eq!(manifest.load().unwrap(), BTreeMap::from([(SnapshotId(7), 9)]));
        let body = "format=2\n7 9 more\n";
        let newer = format!("{body}checksum={:08x}\n", Checksum::of(body.as_bytes()));
        std::fs::write(dir.path().join(FILE_NAME), newer).unwrap();
        let said = manifest.load().unwrap_err().to_string();
        assert!(said.contains("\"format=2\", this program reads \"format=1\""), "{said}");
    }
}
