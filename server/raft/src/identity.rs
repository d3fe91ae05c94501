//! Who this node is while it runs: what its identity file says, and how it reaches those whom it was told of.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_store::{Identity, IdentityError};

use crate::config::Member;
use crate::types::MemberNode;

/// A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Myself {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: u64,
    name: String,
    file: PathBuf,
    /// None: unformed.
    cluster: Mutex<Option<u128>>,
    /// The list of nodes, sorted by name.
    members: Vec<Member>,
    join: Vec<String>,
    /// Where the other nodes are, by id, as the members say.
    addresses: Mutex<HashMap<u64, String>>,
    token: String,
    client_address: String,
    peer_address: String,
}

/// Why a cluster id was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("it belongs to cluster {own:032x} already")]
    Other { own: u128 },
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl Myself {
    pub(crate) fn new(
        identity: &Identity,
        file: PathBuf,
        config: &crate::config::NodeConfig,
    ) -> Self {
        let shared = Shared {
            id: identity.node_id,
            name: identity.name.clone(),
            file,
            cluster: Mutex::new(identity.cluster_id),
            members: config.members(),
            join: config.join.clone(),
            addresses: Mutex::default(),
            token: config.token.clone(),
            client_address: config.client_address.clone(),
            peer_address: config.peer_address.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn id(&self) -> u64 {
        self.shared.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(crate) fn token(&self) -> &str {
        &self.shared.token
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.shared.members
    }

    /// Whom it was told to ask for a place.
    pub(crate) fn join_addresses(&self) -> &[String] {
        &self.shared.join
    }

    /// None: unformed.
    pub(crate) fn cluster(&self) -> Option<u128> {
        *self.shared.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn node(&self) -> MemberNode {
        MemberNode {
            name: self.shared.name.clone(),
            peer_address: self.shared.peer_address.clone(),
            client_address: self.shared.client_address.clone(),
            ..MemberNode::default()
        }
    }

    /// Where to reach a node: where the operator says, and only then where it was when it joined.
    pub(crate) fn dial<'a>(&'a self, node: &'a MemberNode) -> &'a str {
        let listed = self.shared.members.iter().find(|member| member.name == node.name);
        listed.map_or(&node.peer_address, |member| &member.peer_address)
    }

    /// A member is reached there from now on.
    pub(crate) fn reached_at(&self, id: u64, node: &MemberNode) {
        let address = self.dial(node).to_owned();
        self.addresses().insert(id, address);
    }

    /// None: nobody said.
    pub(crate) fn address_of(&self, id: u64) -> Option<String> {
        self.addresses().get(&id).cloned()
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Belongs to this cluster from now on; durable when it returns. Blocks.
    pub(crate) fn join(&self, cluster: u128) -> Result<(), JoinError> {
        let mut present = self.shared.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        match *present {
            Some(own) if own == cluster => return Ok(()),
            Some(own) => return Err(JoinError::Other { own }),
            None => {}
        }
        let identity = Identity {
            name: self.shared.name.clone(),
            node_id: self.shared.id,
            cluster_id: Some(cluster),
        };
        identity.save(&self.shared.file)?;
        *present = Some(cluster);
        Ok(())
    }
}

/// Ids at formation: the place in the sorted list, from 1.
pub(crate) fn id_in(members: &[Member], name: &str) -> Option<u64> {
    let place = members.iter().position(|member| member.name == name)?;
    Some(place as u64 + 1)
}
