//! The nodes a client knows: those it was configured with and those that hints led it to; their names, who leads, and a
//! pooled channel to each for unary calls. Every session's stream has a connection of its own besides.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Error};

use crate::error::ConfigError;
use crate::reason::Hint;
use crate::simulation::Dial;

/// Nodes learned from hints are bounded, or a confused cluster could fill the memory.
const LEARNED_MAX: usize = 64;
/// A connection is up or not tried further: the next endpoint may answer at once.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A pooled connection that does not answer a ping for this long is given up.
const PING: Duration = Duration::from_secs(5);

/// The index of a node in the directory; nodes are never removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeIndex(usize);

#[derive(Debug)]
pub(crate) struct Directory {
    known: Mutex<Known>,
    dial: Dial,
    configured: usize,
}

#[derive(Debug, Default)]
struct Known {
    nodes: Vec<Node>,
    /// Who was last seen to lead.
    leader: Option<NodeIndex>,
}

#[derive(Debug)]
struct Node {
    /// `HOST:PORT`.
    address: String,
    endpoint: Endpoint,
    name: Option<String>,
    channel: Option<Channel>,
}

/// Where a hint leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A node of that name.
    Named(NodeIndex),
    /// Only the address is known; a configured node may have the name but did not say so yet.
    Addressed(NodeIndex),
    Nowhere,
}

impl Directory {
    pub(crate) fn new<S: AsRef<str>>(
        endpoints: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        let mut nodes: Vec<Node> = Vec::new();
        for text in endpoints {
            let node = Node::new(text.as_ref())?;
            if nodes.iter().all(|known| known.address != node.address) {
                nodes.push(node);
            }
        }
        if nodes.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        let configured = nodes.len();
        let known = Mutex::new(Known { nodes, leader: None });
        Ok(Self { known, dial: Dial::Real, configured })
    }

    pub(crate) fn dialled_by(self, dial: Dial) -> Self {
        Self { dial, ..self }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in here panics half-way through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configured nodes, in their order.
    pub(crate) fn configured(&self) -> Vec<NodeIndex> {
        (0..self.configured).map(NodeIndex).collect()
    }

    /// All nodes to try, the likeliest first: the leader, then the configured ones, then the learned ones.
    pub(crate) fn candidates(&self) -> Vec<NodeIndex> {
        let known = self.known();
        let leader = known.leader;
        let others = (0..known.nodes.len()).map(NodeIndex).filter(|node| Some(*node) != leader);
        leader.into_iter().chain(others).collect()
    }

    pub(crate) fn address(&self, node: NodeIndex) -> String {
        self.known().nodes[node.0].address.clone()
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self, node: NodeIndex) -> Result<Channel, Error> {
        let endpoint = self.known().nodes[node.0].endpoint.clone();
        self.dial.connect(endpoint).await
    }

    /// The pooled channel; connects when first used.
    pub(crate) fn channel(&self, node: NodeIndex) -> Channel {
        let mut known = self.known();
        let node = &mut known.nodes[node.0];
        let endpoint = &node.endpoint;
        node.channel.get_or_insert_with(|| self.dial.channel(endpoint)).clone()
    }

    /// The pooled channel did not answer: the next call makes a new connection.
    pub(crate) fn discard_channel(&self, node: NodeIndex) {
        self.known().nodes[node.0].channel = None;
    }

    pub(crate) fn set_name(&self, node: NodeIndex, name: &str) {
        if !name.is_empty() {
            self.known().nodes[node.0].name = Some(name.to_owned());
        }
    }

    pub(crate) fn set_leader(&self, leader: NodeIndex) {
        self.known().leader = Some(leader);
    }

    /// That node said that it does not lead. Silence alone is no reason: others may be served by it.
    pub(crate) fn does_not_lead(&self, node: NodeIndex) {
        let mut known = self.known();
        if known.leader == Some(node) {
            known.leader = None;
        }
    }

    /// Whether asking the configured nodes for their names could resolve a hint better.
    pub(crate) fn unnamed(&self) -> Vec<NodeIndex> {
        let known = self.known();
        let unnamed = known.nodes.iter().take(self.configured).map(|node| node.name.is_none());
        unnamed.enumerate().filter_map(|(index, no)| no.then_some(NodeIndex(index))).collect()
    }

    /// First a node of that name (a configured one before a learned one), then the address, known or new.
    pub(crate) fn resolve(&self, hint: &Hint) -> Resolved {
        let mut known = self.known();
        if !hint.name.is_empty()
            && let Some(named) =
                known.nodes.iter().position(|node| node.name.as_deref() == Some(&*hint.name))
        {
            return Resolved::Named(NodeIndex(named));
        }
        if hint.address.is_empty() {
            return Resolved::Nowhere;
        }
        let Ok(node) = Node::new(&hint.address) else { return Resolved::Nowhere };
        let found = known.nodes.iter().position(|other| other.address == node.address);
        let index = match found {
            Some(index) => index,
            None if known.nodes.len() - self.configured < LEARNED_MAX => {
                known.nodes.push(node);
                known.nodes.len() - 1
            }
            None => return Resolved::Nowhere,
        };
        Resolved::Addressed(NodeIndex(index))
    }
}

impl Node {
    fn new(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Endpoint { endpoint: text.to_owned() };
        let address = text.trim().strip_prefix("http://").unwrap_or(text.trim());
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty()
            || host.contains('/')
            || port.parse::<u16>().map_or(true, |port| port == 0)
        {
            return Err(wrong());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        Ok(Self { address: address.to_owned(), endpoint, name: None, channel: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_and_counted_once() {
        let directory = Directory::new(["127.0.0.1:7420", "http://127.0.0.1:7420/", "[::1]:9"]);
        assert_eq!(directory.expect("fine").configured().len(), 2);
        for wrong in ["", "host", "host:", ":7", "host:0", "host:99999", "https://h:1", "a b:1"] {
            assert!(Directory::new([wrong]).is_err(), "{wrong:?}");
        }
        assert_eq!(Directory::new([""; 0]).map(|_| ()), Err(ConfigError::NoEndpoint));
    }

    #[test]
    fn a_hint_is_a_name_first_then_an_address() {
        let directory = Directory::new(["10.0.0.1:1", "10.0.0.2:1"]).expect("fine");
        let nodes = directory.configured();
        let hint = Hint { name: "b".to_owned(), address: "172.17.0.2:1".to_owned() };
        let Resolved::Addressed(learned) = directory.resolve(&hint) else { panic!("an address") };
        assert_eq!(directory.address(learned), "172.17.0.2:1");
        assert_eq!(directory.unnamed(), nodes);
        directory.set_name(nodes[1], "b");
        assert_eq!(directory.resolve(&hint), Resolved::Named(nodes[1]));
        directory.set_leader(learned);
        assert_eq!(directory.candidates(), [learned, nodes[0], nodes[1]]);
        directory.does_not_lead(nodes[0]);
        assert_eq!(directory.candidates()[0], learned, "of another node");
        directory.does_not_lead(learned);
        assert_eq!(directory.candidates(), [nodes[0], nodes[1], learned]);
    }

    #[test]
    fn hints_are_remembered_only_up_to_a_limit() {
        let directory = Directory::new(["10.0.0.1:1"]).expect("fine");
        for port in 1..1000 {
            let hint = Hint { name: String::new(), address: format!("10.0.0.9:{port}") };
            directory.resolve(&hint);
        }
        assert_eq!(directory.candidates().len(), 1 + LEARNED_MAX);
    }
}
