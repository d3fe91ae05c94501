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
const HEADER: &str = "format=1";

pub(crate) struct Manifest {
    path: PathBuf,
}

impl Manifest {
    pub(crate) fn beside(dir: &Path) -> Self {
        Self { path: dir.join(FILE_NAME) }
    }

    /// Every committed snapshot and its reach. Empty when none was ever committed.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<SnapshotId, u64>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        parse(&text).ok_or_else(|| {
            let message = format!("{} is damaged", self.path.display());
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

fn parse(text: &str) -> Option<BTreeMap<SnapshotId, u64>> {
    let (body, sum) = text.strip_suffix('\n')?.rsplit_once("checksum=")?;
    if sum != format!("{:08x}", Checksum::of(body.as_bytes())) {
        return None;
    }
    let mut lines = body.lines();
    if lines.next()? != HEADER {
        return None;
    }
    let pair = |line: &str| {
        let (id, reach) = line.split_once(' ')?;
        Some((SnapshotId(id.parse().ok()?), reach.parse().ok()?))
    };
    lines.map(pair).collect()
}
