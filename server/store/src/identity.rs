//! Who this node is: a small plain file, fsynced before the node answers any peer.
//!
//! Text, one `key=value` a line, with a checksum as the last line. Written to a temporary file, fsynced, renamed,
//! and the directory fsynced: a crash leaves the old identity or the new one, never half of one.

use std::io;
use std::path::Path;

use crate::checksum::Checksum;
use crate::directory::replace_file;

const FORMAT: u32 = 1;

/// The identity of a node. An id is never reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name by which the operator knows the node; has no line break.
    pub name: String,
    pub node_id: u64,
    /// `None`: the node is unformed, it belongs to no cluster yet.
    pub cluster_id: Option<u128>,
}

/// Why an identity cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "there is no identity file {path}, and there is data beside it; put the file back, or remove the directory and let the node \
         join again as a new one"
    )]
    Missing { path: String },
    #[error(
        "the identity file {path} is damaged: {reason}; put back what it was, or let the node join again as a new one"
    )]
    Corrupt { path: String, reason: String },
    #[error(
        "the identity file {path} has format {found}, this program reads {FORMAT}; it was written by a newer program: start that \
         one, nothing was changed"
    )]
    OtherVersion { path: String, found: u32 },
    #[error("a node name must not be empty or contain a control character: {name:?}")]
    BadName { name: String },
    #[error("cannot use the identity file {path}: {source}")]
    Io { path: String, source: io::Error },
}

impl Identity {
    /// Reads the file, and is sure of every byte.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let shown = path.display().to_string();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(IdentityError::Missing { path: shown });
            }
            Err(source) => return Err(IdentityError::Io { path: shown, source }),
        };
        let corrupt = |reason: &str| IdentityError::Corrupt {
            path: shown.clone(),
            reason: reason.to_owned(),
        };
        let text = String::from_utf8(bytes).map_err(|_| corrupt("it is not text"))?;
        let (body, sum) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once("checksum="))
            .ok_or_else(|| corrupt("it has no checksum"))?;
        if sum != checksum_text(body) {
            return Err(corrupt("it does not match its checksum"));
        }
        let mut lines = body.lines();
        let mut take = |key: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(str::to_owned).ok_or_else(|| corrupt(&format!("it has no {key}")))
        };
        let format = take("format")?.parse().map_err(|_| corrupt("the format is no number"))?;
        if format != FORMAT {
            return Err(IdentityError::OtherVersion { path: shown.clone(), found: format });
        }
        let name = take("name")?;
        let node_id = take("node")?.parse().map_err(|_| corrupt("the node id is no number"))?;
        let cluster_id = match take("cluster")?.as_str() {
            "unformed" => None,
            hex => Some(
                u128::from_str_radix(hex, 16)
                    .map_err(|_| corrupt("the cluster id is no hexadecimal number"))?,
            ),
        };
        Ok(Self { name, node_id, cluster_id })
    }

    /// Replaces the file, durably.
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return Err(IdentityError::BadName { name: self.name.clone() });
        }
        replace_file(path, self.text().as_bytes())
            .map_err(|source| IdentityError::Io { path: path.display().to_string(), source })
    }

    fn text(&self) -> String {
        let cluster = match self.cluster_id {
            Some(id) => format!("{id:032x}"),
            None => "unformed".to_owned(),
        };
        let body = format!(
            "format={FORMAT}\nname={}\nnode={}\ncluster={cluster}\n",
            self.name, self.node_id
        );
        let sum = checksum_text(&body);
        format!("{body}checksum={sum}\n")
    }
}

fn checksum_text(body: &str) -> String {
    format!("{:08x}", Checksum::of(body.as_bytes()))
}
