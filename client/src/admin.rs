//! Looking at a cluster, and the operator's verbs. Each is a unary call to whichever node answers.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::admin_service_client::AdminServiceClient;
use conclave_proto::v1::lock_service_client::LockServiceClient;
use futures::future::join_all;
use tonic::Response;

use crate::election::ElectionView;
use crate::error::Error;
use crate::ids::{SessionId, Token, Version};
use crate::rpc::{Repeat, Rpc};
use crate::view::{
    Checked, ClusterStatus, EndpointStatus, Forced, LeaderView, ObjectList, ObjectView, Resized,
    SessionDetails, SessionList, Sort,
};

/// Looking, and the operator's verbs. From [`Client::admin`](crate::Client::admin).
///
/// Every call fails with [`Error::NotAnswered`] when no node answered within the client's request timeout, and with
/// [`Error::Refused`] when the cluster decided against it. Looking is cancel safe; a verb whose future is dropped may have
/// happened.
#[derive(Debug, Clone)]
pub struct Admin {
    rpc: Arc<Rpc>,
}

/// Whether a look needs a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Linearizable: confirmed by a quorum.
    #[default]
    Linearizable,
    /// What the answering node has, however old; works without a quorum.
    Stale,
}

impl Consistency {
    fn is_stale(self) -> bool {
        self == Self::Stale
    }
}

/// What [`Admin::list`] shows.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Only names that begin so; all when empty.
    pub prefix: String,
    /// In which order.
    pub sort: Sort,
    /// 1 to 10,000; zero: 1,000.
    pub limit: u32,
    /// Start behind this name (only when sorted by name); from the first when empty.
    pub after: String,
    /// Linearizable unless set.
    pub consistency: Consistency,
}

impl Admin {
    pub(crate) const fn new(rpc: Arc<Rpc>) -> Self {
        Self { rpc }
    }

    pub(crate) fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The cluster as the first node that answers sees it. Needs no quorum.
    ///
    /// # Errors
    /// [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        let answer = self
            .rpc
            .call(Repeat::Freely, async |channel| {
                AdminServiceClient::new(channel).status(v1::StatusRequest {}).await
            })
            .await;
        answer.map(|answer| ClusterStatus::from(answer.into_inner()))
    }

    /// The cluster as each configured endpoint sees it, all asked at once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn status_of_each(&self) -> Vec<EndpointStatus> {
        let directory = &self.rpc.directory;
        let asked = directory.configured().into_iter().map(async |node| {
            let answer = self.rpc.call_node(node, async |channel| {
                AdminServiceClient::new(channel).status(v1::StatusRequest {}).await
            });
            let status = answer.await.map(|answer| ClusterStatus::from(answer.into_inner()));
            if let Ok(status) = &status {
                directory.set_name(node, &status.node);
            }
            EndpointStatus { endpoint: directory.address(node), status }
        });
        join_all(asked).await
    }

    /// One object: holders and queue. Lists `queue_max` waiters at most (zero: 1,000). `None`: nobody holds it or waits for it.
    ///
    /// # Errors
    /// As [`Admin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn inspect(
        &self,
        name: &str,
        queue_max: u32,
        consistency: Consistency,
    ) -> Result<Option<ObjectView>, Error> {
        let stale = consistency.is_stale();
        let answer = self
            .rpc
            .call(Repeat::Freely, |channel| {
                let request = v1::InspectRequest { name: name.to_owned(), stale, queue_max };
                async move { AdminServiceClient::new(channel).inspect(request).await }
            })
            .await?
            .into_inner();
        Ok(answer.exists.then(|| ObjectView::from(answer)))
    }

    /// The objects that exist.
    ///
    /// # Errors
    /// As [`Admin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self, options: &ListOptions) -> Result<ObjectList, Error> {
        let answer = self.rpc.call(Repeat::Freely, |channel| {
            let request = v1::ListRequest {
                prefix: options.prefix.clone(),
                sort: options.sort.to_wire().into(),
                limit: options.limit,
                stale: options.consistency.is_stale(),
                after: options.after.clone(),
            };
            async move { AdminServiceClient::new(channel).list(request).await }
        });
        answer.await.map(|answer| ObjectList::from(answer.into_inner()))
    }

    /// The sessions whose names begin with `prefix` (all, when empty), behind `after`, `limit` at most (1 to 10,000; zero: 1,000).
    ///
    /// # Errors
    /// As [`Admin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn sessions(
        &self,
        prefix: &str,
        after: Option<SessionId>,
        limit: u32,
        consistency: Consistency,
    ) -> Result<SessionList, Error> {
        let answer = self.rpc.call(Repeat::Freely, |channel| {
            let request = v1::ListSessionsRequest {
                prefix: prefix.to_owned(),
                limit,
                after: after.map_or(0, SessionId::get),
                stale: consistency.is_stale(),
            };
            async move { AdminServiceClient::new(channel).list_sessions(request).await }
        });
        answer.await.map(|answer| SessionList::from(answer.into_inner()))
    }

    /// One session, with what it holds and waits for, and who stands in its way.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound); else as [`Admin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn session(
        &self,
        session: SessionId,
        consistency: Consistency,
    ) -> Result<SessionDetails, Error> {
        let answer = self.rpc.call(Repeat::Freely, |channel| {
            let stale = consistency.is_stale();
            let request = v1::DescribeSessionRequest { session: session.get(), stale };
            async move { AdminServiceClient::new(channel).describe_session(request).await }
        });
        answer.await.map(|answer| SessionDetails::from(answer.into_inner()))
    }

    /// Ends a session. Its holds stay occupied until its client says that it stopped, or surely did. `by` and `reason` are
    /// shown to it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound), also when a first attempt went unanswered and did it; else as [`Admin`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn kill(&self, session: SessionId, by: &str, reason: &str) -> Result<u64, Error> {
        let answer = self.rpc.call(Repeat::Freely, |channel| {
            let (by, reason) = (by.to_owned(), reason.to_owned());
            let request = v1::KillSessionRequest { session: session.get(), by, reason };
            async move { AdminServiceClient::new(channel).kill_session(request).await }
        });
        answer.await.map(|answer| answer.into_inner().revision)
    }

    /// Takes the hold with that token away; a newer grant of the same name is never hit. It stays occupied until its client says
    /// that it stopped, or surely did; with `now` it is free at once, which is safe only for resources that check the token.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound), also when a first attempt went unanswered and did it; else as [`Admin`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn force_release(
        &self,
        name: &str,
        token: Token,
        now: bool,
        by: &str,
    ) -> Result<Forced, Error> {
        let answer = self.rpc.call(Repeat::Freely, |channel| {
            let (name, by) = (name.to_owned(), by.to_owned());
            let request = v1::ForceReleaseRequest { name, token: token.get(), now, by };
            async move { AdminServiceClient::new(channel).force_release(request).await }
        });
        answer.await.map(|answer| Forced::from(answer.into_inner()))
    }

    /// Gives a semaphore another limit, if its version is still the one seen by [`inspect`](Self::inspect): growing grants at once,
    /// shrinking takes nothing away but drains, zero pauses. Waiters that ask for more than the new limit fail.
    ///
    /// # Errors
    /// [`Refusal::Conflict`](crate::Refusal::Conflict): it was resized meanwhile, also when a first attempt went unanswered and did
    /// it. [`Refusal::NotFound`](crate::Refusal::NotFound). [`Refusal::WrongKind`](crate::Refusal::WrongKind). Else as [`Admin`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn resize(
        &self,
        name: &str,
        limit: u32,
        version: Version,
        by: &str,
    ) -> Result<Resized, Error> {
        let answer = self.rpc.call(Repeat::Freely, |channel| {
            let (name, by) = (name.to_owned(), by.to_owned());
            let request = v1::ResizeRequest { name, limit, version: version.get(), by };
            async move { AdminServiceClient::new(channel).resize(request).await }
        });
        let v1::ResizeResponse { version, revision } = answer.await?.into_inner();
        Ok(Resized { version: Version::new(version), revision })
    }

    /// Takes the leadership of that term away and makes the first eligible candidate of that session the next leader, whatever its
    /// priority: the revision.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound): that term is over, also when a first attempt went unanswered and did it, or
    /// the session has no such candidate. [`Refusal::WrongKind`](crate::Refusal::WrongKind). Else as [`Admin`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn transfer(
        &self,
        name: &str,
        term: Token,
        to: SessionId,
        by: &str,
    ) -> Result<u64, Error> {
        let answer = self.rpc.call(Repeat::Freely, |channel| {
            let (name, by) = (name.to_owned(), by.to_owned());
            let (term, to_session) = (term.get(), to.get());
            let request = v1::TransferRequest { name, term, to_session, by };
            async move { AdminServiceClient::new(channel).transfer(request).await }
        });
        answer.await.map(|answer| answer.into_inner().revision)
    }

    /// Removes what stays by itself: a resized semaphore, a gate, a latch, a register, a counter, the result of a once: the revision.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound), also when a first attempt went unanswered and did it.
    /// [`Refusal::Busy`](crate::Refusal::Busy): it is held or waited for, or of a kind that goes by itself. Else as [`Admin`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn delete(&self, name: &str, by: &str) -> Result<u64, Error> {
        let answer =
            self.rpc.call(Repeat::Freely, |channel| {
                let (name, by) = (name.to_owned(), by.to_owned());
                async move {
                    AdminServiceClient::new(channel).delete(v1::DeleteRequest { name, by }).await
                }
            });
        answer.await.map(|answer| answer.into_inner().revision)
    }

    /// Who leads an election and who stands in it (linearizable).
    ///
    /// # Errors
    /// [`Refusal::WrongKind`](crate::Refusal::WrongKind); else as [`Admin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn election(&self, name: &str) -> Result<ElectionView, Error> {
        crate::election::view(&self.rpc, name).await
    }

    /// Makes the leader hand over to the voter of that name (`None`: any). Says who leads then, if it is known.
    ///
    /// # Errors
    /// [`Error::NotAnswered`], also when it may have happened: it is never asked twice. Else as [`Admin`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn step_down(&self, to: Option<&str>) -> Result<Option<LeaderView>, Error> {
        let answer = self.rpc.call(Repeat::IfNotDone, |channel| {
            let request = v1::StepDownRequest { to: to.unwrap_or_default().to_owned() };
            async move { AdminServiceClient::new(channel).step_down(request).await }
        });
        answer.await.map(|answer| answer.into_inner().leader.map(LeaderView::from))
    }

    /// Whether that token holds that name at this moment (linearizable).
    ///
    /// # Errors
    /// As [`Admin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn check(&self, name: &str, token: Token) -> Result<Checked, Error> {
        check(&self.rpc, name, token).await
    }
}

pub(crate) async fn check(rpc: &Rpc, name: &str, token: Token) -> Result<Checked, Error> {
    let answer = rpc.call(Repeat::Freely, |channel| {
        let request = v1::CheckRequest { name: name.to_owned(), token: token.get() };
        async move { LockServiceClient::new(channel).check(request).await }
    });
    answer.await.map(|answer| Checked::from(Response::into_inner(answer)))
}
