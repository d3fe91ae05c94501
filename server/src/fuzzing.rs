//! What fuzzers feed: bytes as any request of the wire, turned into what would be proposed for it, by the functions that the
//! services use. Tests of the edge need to see it; nobody else may use it.

use std::time::Duration;

use conclave_machine::{
    Command, Epoch, LossNumber, Outcome, Resume, Secret, SessionId, SessionKey, Token,
};
use conclave_proto::v1;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::stream_request::Message as Said;
use prost::Message;
use tonic::Status;

use crate::convert::answer::CallResult;
use crate::convert::request::{self, unary_call};
use crate::status::{Failure, Malformed};

/// Each unary call has its operation under another name.
macro_rules! call {
    ($bytes:expr, $message:ident, $field:ident, $op:ident) => {
        read($bytes, |message: v1::$message| {
            let v1::$message { key, seq, seen_through, $field } = message;
            let op = $field.map(Op::$op);
            let call = unary_call(key, seq, seen_through, op, stringify!($field))?;
            Ok(Some(Command::Call(call.0)))
        })
    };
}

/// A request that names an object and has nothing else that could be wrong.
macro_rules! named {
    ($bytes:expr, $message:ident) => {
        read($bytes, |message: v1::$message| request::name(&message.name, "name").map(|_| None))
    };
}

/// One message that a client sends.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub name: &'static str,
    check: fn(&[u8]) -> Checked,
}

/// All of them.
pub const REQUESTS: &[Request] = &[
    Request { name: "stream", check: |bytes| read(bytes, said) },
    Request { name: "open", check: |bytes| read(bytes, open) },
    Request { name: "attach", check: |bytes| read(bytes, attach) },
    Request { name: "resume", check: |bytes| read(bytes, resume) },
    Request { name: "keep_alive", check: |bytes| read(bytes, keep_alive) },
    Request { name: "close", check: |bytes| read(bytes, close) },
    Request { name: "ack_stopped", check: |bytes| propose(bytes, request::ack_stopped) },
    Request { name: "acquire", check: |bytes| call!(bytes, AcquireRequest, acquire, Acquire) },
    Request { name: "release", check: |bytes| read(bytes, release) },
    Request { name: "adopt", check: |bytes| read(bytes, adopt) },
    Request {
        name: "downgrade",
        check: |bytes| call!(bytes, DowngradeRequest, downgrade, Downgrade),
    },
    Request { name: "upgrade", check: |bytes| call!(bytes, UpgradeRequest, upgrade, Upgrade) },
    Request { name: "cancel", check: |bytes| read(bytes, cancel) },
    Request { name: "edit", check: |bytes| call!(bytes, EditRequest, edit, Edit) },
    Request { name: "complete", check: |bytes| call!(bytes, CompleteRequest, complete, Complete) },
    Request { name: "proclaim", check: |bytes| call!(bytes, ProclaimRequest, proclaim, Proclaim) },
    Request {
        name: "set_eligible",
        check: |bytes| call!(bytes, SetEligibleRequest, set_eligible, SetEligible),
    },
    Request { name: "kill", check: |bytes| propose(bytes, request::kill) },
    Request { name: "force_release", check: |bytes| propose(bytes, request::force_release) },
    Request { name: "resize", check: |bytes| propose(bytes, request::resize) },
    Request { name: "transfer", check: |bytes| propose(bytes, request::transfer) },
    Request { name: "delete", check: |bytes| propose(bytes, request::delete) },
    Request { name: "check", check: |bytes| named!(bytes, CheckRequest) },
    Request { name: "get_register", check: |bytes| named!(bytes, GetRegisterRequest) },
    Request { name: "get_counter", check: |bytes| named!(bytes, GetCounterRequest) },
    Request { name: "get_once_result", check: |bytes| named!(bytes, GetOnceResultRequest) },
    Request { name: "get_election", check: |bytes| read(bytes, get_election) },
    Request { name: "inspect", check: |bytes| read(bytes, inspect) },
    Request { name: "list", check: |bytes| look(bytes, request::list) },
    Request { name: "list_sessions", check: |bytes| read(bytes, list_sessions) },
    Request { name: "watch", check: |bytes| look(bytes, request::watch) },
    Request { name: "observe", check: |bytes| read(bytes, observe) },
];

impl Request {
    /// Parses and checks bytes as this request.
    #[must_use]
    pub fn parse(&self, bytes: &[u8]) -> Parsed {
        match (self.check)(bytes) {
            None => Parsed::NoMessage,
            Some(Err(malformed)) => Parsed::Refused(Told::of(&Failure::from(malformed).status())),
            Some(Ok(None)) => Parsed::Answered,
            Some(Ok(Some(command))) => Parsed::Proposed(Box::new(command)),
        }
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Parsed {
    /// The bytes are no message of this sort: tonic answers that.
    NoMessage,
    Refused(Told),
    /// Answered without a command: a read, a keepalive.
    Answered,
    Proposed(Box<Command>),
}

/// The key under which a stream speaks that began before.
const STREAM_KEY: SessionKey = SessionKey { id: SessionId(1), secret: Secret(1), epoch: Epoch(1) };
/// As the server's default.
const TTL_FLOOR: Duration = Duration::from_millis(4_800);

/// A status as it goes over the wire.
#[derive(Debug)]
pub struct Told {
    pub message: String,
    /// What it takes in the headers of the answer, at the most.
    pub header_bytes: usize,
}

impl Told {
    fn of(status: &Status) -> Self {
        let message = status.message().to_owned();
        // A byte of the message may become three (%0A), three bytes of the details are four characters.
        let header_bytes = message.len() * 3 + status.details().len() * 4 / 3;
        Self { message, header_bytes }
    }
}

/// What the answer to a call says on the wire. None: no failure.
#[must_use]
pub fn answer(outcome: Outcome) -> Option<Told> {
    let result = CallResult::of_outcome(outcome);
    if let CallResult::Failed(failure) = result { Some(Told::of(&failure.status())) } else { None }
}

/// None: no message. Of a message: nothing to propose, or a command.
type Checked = Option<Result<Option<Command>, Malformed>>;

fn read<M: Message + Default>(
    bytes: &[u8],
    check: impl FnOnce(M) -> Result<Option<Command>, Malformed>,
) -> Checked {
    M::decode(bytes).ok().map(check)
}

/// Proposed as it stands.
fn propose<M: Message + Default>(
    bytes: &[u8],
    check: impl FnOnce(&M) -> Result<Command, Malformed>,
) -> Checked {
    read(bytes, |message| check(&message).map(Some))
}

/// Proposes nothing.
fn look<M: Message + Default, T>(
    bytes: &[u8],
    check: impl FnOnce(M) -> Result<T, Malformed>,
) -> Checked {
    read(bytes, |message| check(message).map(|_| None))
}

fn open(message: v1::OpenRequest) -> Result<Option<Command>, Malformed> {
    Ok(Some(Command::Open(request::open(message, TTL_FLOOR)?)))
}

fn attach(message: v1::AttachRequest) -> Result<Option<Command>, Malformed> {
    Ok(Some(Command::Attach(request::attach(message)?)))
}

fn resume(message: v1::ResumeRequest) -> Result<Option<Command>, Malformed> {
    let request::ResumeRequest { session, secret, expected, nonce } = request::resume(&message)?;
    // The service reads it from the state.
    let expected = expected.unwrap_or(Epoch(1));
    Ok(Some(Command::Resume(Resume { session, secret, expected, nonce })))
}

fn said(message: v1::StreamRequest) -> Result<Option<Command>, Malformed> {
    let key = STREAM_KEY;
    let Some(message) = message.message else { return Ok(None) };
    Ok(Some(match message {
        Said::Open(message) => return open(message),
        Said::Attach(message) => return attach(message),
        Said::Resume(message) => return resume(message),
        Said::Call(call) => Command::Call(request::call(key, call)?.0),
        Said::CancelSeq(seq) => Command::Cancel { key, seq: request::seq(seq, "cancel_seq")? },
        Said::KeepAlive(alive) => return Ok(Some(heard(key.id, alive.losses_seen_through))),
        Said::AckStoppedToken(token) => {
            Command::AckStopped { session: key.id, secret: key.secret, token: Token(token) }
        }
        Said::Close(v1::StreamClose {}) => Command::Close { key },
    }))
}

/// What a keepalive proposes when it confirms losses.
fn heard(session: SessionId, losses_seen_through: u64) -> Command {
    Command::ConfirmLosses { session, through: LossNumber(losses_seen_through) }
}

fn keep_alive(message: v1::KeepAliveRequest) -> Result<Option<Command>, Malformed> {
    let key = request::key(message.key)?;
    Ok(Some(heard(key.id, message.losses_seen_through)))
}

fn close(message: v1::CloseRequest) -> Result<Option<Command>, Malformed> {
    Ok(Some(Command::Close { key: request::key(message.key)? }))
}

fn release(message: v1::ReleaseRequest) -> Result<Option<Command>, Malformed> {
    let v1::ReleaseRequest { key, seq, seen_through, token, permits } = message;
    let op = Some(Op::Release(v1::ReleaseOp { token, permits }));
    Ok(Some(Command::Call(unary_call(key, seq, seen_through, op, "token")?.0)))
}

fn adopt(message: v1::AdoptRequest) -> Result<Option<Command>, Malformed> {
    let v1::AdoptRequest { key, seq, seen_through, token } = message;
    let op = Some(Op::Adopt(v1::AdoptOp { token }));
    Ok(Some(Command::Call(unary_call(key, seq, seen_through, op, "token")?.0)))
}

fn cancel(message: v1::CancelRequest) -> Result<Option<Command>, Malformed> {
    let (key, seq) = (request::key(message.key)?, request::seq(message.seq, "seq")?);
    Ok(Some(Command::Cancel { key, seq }))
}

fn get_election(message: v1::GetElectionRequest) -> Result<Option<Command>, Malformed> {
    request::name(&message.name, "name")?;
    request::candidates_max(message.candidates_max).map(|_| None)
}

fn inspect(message: v1::InspectRequest) -> Result<Option<Command>, Malformed> {
    request::name(&message.name, "name")?;
    request::page(message.queue_max, "queue_max").map(|_| None)
}

fn list_sessions(message: v1::ListSessionsRequest) -> Result<Option<Command>, Malformed> {
    request::page(message.limit, "limit").map(|_| None)
}

fn observe(message: v1::ObserveRequest) -> Result<Option<Command>, Malformed> {
    request::observe(&message)?;
    request::candidates_max(message.candidates_max).map(|_| None)
}
