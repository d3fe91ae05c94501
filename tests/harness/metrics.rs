//! What `/metrics` of a node says: how tests see what a node did, not only what came of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::Cluster;

/// Longer than any node that runs takes.
const LIMIT: Duration = Duration::from_secs(5);

impl Cluster {
    /// One figure without labels, by its whole name. None: the node does not answer, or knows no such figure.
    pub fn metric(&self, node: usize, name: &str) -> Option<f64> {
        let text = get(&self.endpoint(node), "/metrics").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }
}

fn get(endpoint: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(endpoint)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
