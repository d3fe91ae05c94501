//! The first message of a stream: open, attach or resume. The feed is there before attach and resume are proposed, so that nothing
//! that happens to the session after that decision is missed; but the stream that the session has goes on until the decision is
//! made, so that a refused or late opening disturbs nobody.

use conclave_machine::{Command, Epoch, Outcome, Refusal, Revision, Seq, SessionId, SessionKey};
use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Asked;
use conclave_proto::v1::stream_response::Message;
use conclave_raft::{Decided, Feed};
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::convert::answer::{self, unexpected};
use crate::convert::request;
use crate::edge::Edge;
use crate::limits::STREAM_OPENING_MAX;
use crate::services::{compare_and_raise, is_known, ttl_ms};
use crate::status::{Failure, Malformed};
use crate::stream::serving::Serving;
use crate::stream::{Farewell, Inbound, moved, refused};

/// Whose stream it is, from which revision on its feed counts, and what is said first.
struct Opened {
    key: SessionKey,
    feed: Feed,
    revision: Revision,
    /// Waits that stand already.
    waits: Vec<Seq>,
    message: Message,
}

pub(super) async fn open(
    edge: Edge,
    mut inbound: Inbound,
) -> Result<(Serving, v1::StreamResponse), Farewell> {
    if edge.is_stopping() {
        return Err(moved(edge.leadership().leader.as_ref()));
    }
    let leadership = edge.leadership();
    if !leadership.leading {
        return Err(moved(leadership.leader.as_ref()));
    }
    let first = first_message(&mut inbound).await?;
    let opened = match first {
        Asked::Open(message) => opened(&edge, message).await,
        Asked::Attach(message) => attached(&edge, message).await,
        Asked::Resume(message) => resumed(&edge, message).await,
        Asked::Call(_)
        | Asked::CancelSeq(_)
        | Asked::KeepAlive(_)
        | Asked::AckStoppedToken(_)
        | Asked::Close(_) => Err(no_opening().into()),
    };
    match opened {
        Ok(Opened { key, feed, revision, waits, message }) => {
            let first =
                v1::StreamResponse { revision: revision.get(), n: 0, message: Some(message) };
            Ok((Serving::new(edge, inbound, key, feed, revision, waits), first))
        }
        Err(Failure::NotLeader { leader } | Failure::Moved { leader }) => {
            Err(moved(leader.as_ref()))
        }
        Err(Failure::Unknown | Failure::ShuttingDown | Failure::NoQuorum) => {
            Err(moved(edge.leadership().leader.as_ref()))
        }
        Err(failure) => Err(refused(&failure)),
    }
}

async fn first_message(inbound: &mut Inbound) -> Result<Asked, Farewell> {
    match timeout(STREAM_OPENING_MAX, inbound.next()).await {
        Ok(Some(Ok(v1::StreamRequest { message: Some(message) }))) => Ok(message),
        Ok(Some(Ok(v1::StreamRequest { message: None }))) => Err(refused(&no_opening().into())),
        Ok(Some(Err(status))) => Err(Farewell::Status(status)),
        Ok(None) => Err(Farewell::Silence),
        Err(_) => Err(refused(&no_opening().into())),
    }
}

fn no_opening() -> Malformed {
    Malformed {
        reason: "INVALID_REQUEST",
        field: "message".into(),
        message: "must first be open, attach or resume".to_owned(),
    }
}

async fn opened(edge: &Edge, message: v1::OpenRequest) -> Result<Opened, Failure> {
    let open = request::open(message, edge.ttl_floor())?;
    let secret = open.secret;
    let Decided { revision, outcome } = edge.propose(Command::Open(open)).await?;
    let answer = answer::opened(outcome, revision)?;
    let key = SessionKey { id: SessionId(answer.session), secret, epoch: Epoch(answer.epoch) };
    let feed = edge.hub().subscribe_unless_used(key.id).ok_or(Refusal::Stale)?;
    // It may have ended between the decision and the subscription; nobody would tell.
    if !is_known(edge, key).await? {
        return Err(Refusal::SessionExpired.into());
    }
    Ok(Opened { key, feed, revision, waits: Vec::new(), message: Message::Opened(answer) })
}

async fn attached(edge: &Edge, message: v1::AttachRequest) -> Result<Opened, Failure> {
    let attach = request::attach(message)?;
    let key = attach.key;
    let feed = subscribe(edge, key).await?;
    let (feed, Decided { revision, outcome }) = decide(edge, Command::Attach(attach), feed).await?;
    let standing = match outcome {
        Outcome::Attached(standing) => standing,
        other => return Err(unexpected(&other)),
    };
    let message = Message::Attached(v1::AttachResponse {
        standing: Some(answer::standing(&standing)),
        ttl_ms: ttl_ms(edge, key.id).await?,
        revision: revision.get(),
    });
    let waits = standing.waits.iter().map(|wait| wait.seq).collect();
    Ok(Opened { key, feed, revision, waits, message })
}

async fn resumed(edge: &Edge, message: v1::ResumeRequest) -> Result<Opened, Failure> {
    let resume = compare_and_raise(edge, request::resume(&message)?).await?;
    let (id, secret) = (resume.session, resume.secret);
    // Whatever its epoch is: the secret proves the owner, the machine judges the epoch.
    let feed = subscribe(edge, SessionKey { id, secret, epoch: Epoch(0) }).await?;
    let (feed, Decided { revision, outcome }) = decide(edge, Command::Resume(resume), feed).await?;
    let answer = answer::resumed(outcome, revision)?;
    let key = SessionKey { id, secret, epoch: Epoch(answer.epoch) };
    Ok(Opened { key, feed, revision, waits: Vec::new(), message: Message::Resumed(answer) })
}

/// The feed of a session whose owner asks. None: this node's state does not know the session under this key; the machine, which
/// alone knows, is asked all the same.
async fn subscribe(edge: &Edge, key: SessionKey) -> Result<Option<Feed>, Failure> {
    Ok(is_known(edge, key).await?.then(|| edge.hub().offer(key.id)))
}

/// Proposes and waits for the decision. What the feed told before belongs to an older state, which the answer supersedes.
async fn decide(
    edge: &Edge,
    command: Command,
    feed: Option<Feed>,
) -> Result<(Feed, Decided), Failure> {
    let decided = edge.propose(command).await?;
    match (feed, &decided.outcome) {
        (_, Outcome::Refused(refusal)) => Err(refusal.clone().into()),
        (Some(mut feed), _) => {
            feed.takes_over();
            Ok((feed, decided))
        }
        // Decided by a state that this node did not have yet when it looked: the next attempt finds it.
        (None, _) => Err(Failure::Moved { leader: edge.leadership().leader }),
    }
}
