//! Who holds an object: what a failed try, a timed-out wait and `inspect` tell.

use std::collections::BTreeMap;
use std::fmt;

use conclave_proto::v1;
use serde::{Deserialize, Serialize};

use crate::demand::Demand;
use crate::ids::{SessionId, Token};
use crate::value::Value;

/// Who holds it, and how many wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBy {
    /// At most eight of them.
    pub holders: Vec<Holder>,
    /// How many there are.
    pub holders_total: u32,
    /// How many wait.
    pub queue_len: u32,
    /// The object that is in the way: the only one, or the first of several that could not be had. Empty when it was not told.
    #[serde(default)]
    pub name: String,
}

/// One holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Whose hold it is.
    pub session: SessionId,
    /// That session's name.
    pub session_name: String,
    /// That session's labels (host, pid, ...).
    pub labels: BTreeMap<String, String>,
    /// The token of the grant.
    pub token: Token,
    /// Whether it holds, or only still occupies.
    pub state: HoldState,
    /// What it holds of the object.
    pub demand: Demand,
    /// What a leader proclaims; `None`: no election.
    pub value: Option<Value>,
    /// Who within the session, if it said so.
    pub owner: Option<String>,
    /// What came with the acquire.
    pub metadata: BTreeMap<String, String>,
    /// For how long, in milliseconds, by the answering node's wall clock: for display only.
    pub held_ms: u64,
}

/// The state of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldState {
    /// Held by a live session.
    Held,
    /// The holder's session expired; still occupied for its lock-delay.
    Cooling,
    /// Taken away; occupied until the old holder says that it stopped, or surely did.
    Revoked,
    /// A state that this version does not know.
    Unknown,
}

impl HoldState {
    pub(crate) fn from_wire(state: i32) -> Option<Self> {
        match v1::HoldState::try_from(state) {
            Ok(v1::HoldState::Unspecified) => None,
            Ok(v1::HoldState::Held) => Some(Self::Held),
            Ok(v1::HoldState::Cooling) => Some(Self::Cooling),
            Ok(v1::HoldState::Revoked) => Some(Self::Revoked),
            Err(_) => Some(Self::Unknown),
        }
    }
}

impl fmt::Display for HoldState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "held",
            Self::Cooling => "cooling",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Holder {
    /// In the manner of `billing@host-7 pid 4711`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.session_name.is_empty() {
            write!(f, "session {}", self.session)?;
        } else {
            f.write_str(&self.session_name)?;
        }
        if let Some(host) = self.labels.get("host") {
            write!(f, "@{host}")?;
        }
        if let Some(pid) = self.labels.get("pid") {
            write!(f, " pid {pid}")?;
        }
        Ok(())
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holders.first() {
            None => f.write_str("nobody known")?,
            Some(first) => write!(f, "{first}")?,
        }
        if self.holders_total > 1 {
            write!(f, " and {} more", self.holders_total - 1)?;
        }
        if self.queue_len > 0 {
            write!(f, ", {} waiting", self.queue_len)?;
        }
        Ok(())
    }
}

impl From<v1::Holder> for Holder {
    fn from(holder: v1::Holder) -> Self {
        Self {
            session: SessionId::new(holder.session),
            session_name: holder.session_name,
            labels: holder.labels.into_iter().collect(),
            token: Token::new(holder.token),
            state: HoldState::from_wire(holder.state).unwrap_or(HoldState::Unknown),
            demand: Demand::from(holder.demand),
            value: holder.value.map(Value::from),
            owner: holder.owner,
            metadata: holder.metadata.into_iter().collect(),
            held_ms: holder.held_ms,
        }
    }
}

impl From<v1::HeldBy> for HeldBy {
    fn from(held: v1::HeldBy) -> Self {
        Self {
            holders: held.holders.into_iter().map(Holder::from).collect(),
            holders_total: held.holders_total,
            queue_len: held.queue_len,
            name: held.name,
        }
    }
}
