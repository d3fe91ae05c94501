//! The ready file: where the server listens, for scripts and tests. There is never half a one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ready {
    pub client: SocketAddr,
    pub peer: SocketAddr,
    pub pid: u32,
}

impl Ready {
    /// Writes it beside its place and moves it there.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), self.pid));
        let mut file = File::create(&beside)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }
}
