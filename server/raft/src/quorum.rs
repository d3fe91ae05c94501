//! What the clock asks of Raft, and nothing more. Two implementations: the node, and a scripted one in tests.

use conclave_machine::{Command, Machine, Revision, Term};

use crate::answer::{Decided, NotLeader, ProposeError};

/// A majority confirmed, at some instant after the question was put, that this node leads in `term`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    pub(crate) term: Term,
    /// At least what the majority had committed then: the local machine has applied it, and the hub delivered what was
    /// committed then.
    pub(crate) revision: Revision,
}

pub(crate) trait Quorum: Send + Sync + 'static {
    /// A short look at the local machine. Apply publishes a state before it delivers what led there.
    fn look<T>(&self, query: impl FnOnce(&Machine) -> T) -> T;

    /// A ReadIndex that starts at the first poll and joins none that is already under way. Resolves once the local machine
    /// has applied up to it; while no majority answers, it goes on asking. Safe to drop at any await.
    fn confirm(&self) -> impl Future<Output = Result<Confirmed, NotLeader>> + Send;

    /// Proposes with `with_leader(this node)`, in the order of the calls' first polls; never forwarded.
    fn propose(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Decided, ProposeError>> + Send;
}
