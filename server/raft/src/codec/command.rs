//! Commands, and the batches of them that an entry of the log carries.

use bytes::{BufMut as _, Bytes, BytesMut};
use conclave_machine::{
    Attach, Command, Due, Epoch, Generation, LossNumber, Open, Resume, Seq, SessionId, Term, Timer,
    Token, Version,
};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::command::Command as Wire;
use conclave_proto::internal::v1::due_command::Timer as WireTimer;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::call::{call, wire_call};
use super::parts::{
    EMPTY, bytes_of, key, labels, name, nonce, number_bytes, secret, text, wire_key, wire_labels,
};
use super::{DecodeError, Kind, open_as, prefix};

/// Number of the field `commands` in the message `Batch`.
const COMMANDS_FIELD: u32 = 2;
/// Number of the field `stamp_ms` in the message `Batch`.
const STAMP_FIELD: u32 = 1;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedBatch {
    pub stamp_ms: u64,
    pub commands: Vec<Command>,
}

/// Puts commands that are already encoded together into the payload of one entry.
#[derive(Debug)]
pub struct BatchBuilder {
    out: BytesMut,
    commands: usize,
}

impl BatchBuilder {
    #[must_use]
    pub fn new(stamp_ms: u64) -> Self {
        let mut out = BytesMut::with_capacity(256);
        out.put_slice(&prefix(Kind::Batch));
        prost::encoding::uint64::encode(STAMP_FIELD, &stamp_ms, &mut out);
        Self { out, commands: 0 }
    }

    /// Adds what [`encode_command`] made.
    pub fn push(&mut self, command: &Bytes) {
        encode_key(COMMANDS_FIELD, WireType::LengthDelimited, &mut self.out);
        encode_varint(command.len() as u64, &mut self.out);
        self.out.put_slice(command);
        self.commands += 1;
    }

    #[must_use]
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    #[must_use]
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    /// Bytes that a command of this length adds.
    #[must_use]
    pub fn cost(command_bytes: usize) -> usize {
        1 + encoded_len_varint(command_bytes as u64) + command_bytes
    }
}

/// Reads the payload of an entry.
pub fn decode_batch(payload: &Bytes) -> Result<DecodedBatch, DecodeError> {
    let batch: wire::Batch = open_as(Kind::Batch, payload)?;
    let commands = batch.commands.into_iter().map(command).collect::<Result<_, _>>()?;
    Ok(DecodedBatch { stamp_ms: batch.stamp_ms, commands })
}

/// One command, to be put into a batch.
#[must_use]
pub fn encode_command(command: &Command) -> Bytes {
    let message = wire::Command { command: Some(wire_command(command)) };
    Bytes::from(message.encode_to_vec())
}

fn wire_command(command: &Command) -> Wire {
    match command {
        Command::Open(open) => Wire::Open(wire_open(open)),
        Command::Attach(attach) => Wire::Attach(wire_attach(attach)),
        Command::Resume(resume) => Wire::Resume(wire_resume(resume)),
        Command::Close { key } => Wire::Close(wire::CloseCommand { key: wire_key(key) }),
        Command::Call(call) => Wire::Call(wire_call(call)),
        Command::Cancel { key, seq } => {
            Wire::Cancel(wire::CancelCommand { key: wire_key(key), seq: seq.get() })
        }
        Command::TimeOut { session, seq } => {
            Wire::TimeOut(wire::TimeOutCommand { session: session.get(), seq: seq.get() })
        }
        Command::AckStopped { session, secret, token } => {
            Wire::AckStopped(wire::AckStoppedCommand {
                session: session.get(),
                secret: number_bytes(secret.0),
                token: token.get(),
            })
        }
        Command::ConfirmLosses { session, through } => {
            Wire::ConfirmLosses(wire::ConfirmLossesCommand {
                session: session.get(),
                through: through.get(),
            })
        }
        Command::Due(due) => Wire::Due(wire::DueCommand {
            timer: Some(wire_timer(&due.timer)),
            generation: due.generation.get(),
            term: due.term.get(),
        }),
        Command::Kill { session, by, reason } => Wire::Kill(wire::KillCommand {
            session: session.get(),
            by: bytes_of(by),
            reason: bytes_of(reason),
        }),
        Command::ForceRelease { name, token, now, by } => {
            Wire::ForceRelease(wire::ForceReleaseCommand {
                name: bytes_of(name.as_str()),
                token: token.get(),
                now: *now,
                by: bytes_of(by),
            })
        }
        Command::Resize { name, limit, version, by } => Wire::Resize(wire::ResizeCommand {
            name: bytes_of(name.as_str()),
            limit: *limit,
            version: version.get(),
            by: bytes_of(by),
        }),
        Command::Transfer { name, term, to, by } => Wire::Transfer(wire::TransferCommand {
            name: bytes_of(name.as_str()),
            term: term.get(),
            to: to.get(),
            by: bytes_of(by),
        }),
        Command::Delete { name, by } => {
            Wire::Delete(wire::DeleteCommand { name: bytes_of(name.as_str()), by: bytes_of(by) })
        }
    }
}

fn wire_open(open: &Open) -> wire::OpenCommand {
    wire::OpenCommand {
        secret: number_bytes(open.secret.0),
        ttl_ms: open.ttl_ms,
        lock_delay_ms: open.lock_delay_ms,
        name: bytes_of(open.name.as_str()),
        labels: wire_labels(&open.labels),
    }
}

fn wire_attach(attach: &Attach) -> wire::AttachCommand {
    wire::AttachCommand {
        key: wire_key(&attach.key),
        held: attach.held.iter().map(|token| token.get()).collect(),
        waiting: attach.waiting.iter().map(|seq| seq.get()).collect(),
        next_seq: attach.next_seq.get(),
        number: attach.number,
    }
}

fn wire_resume(resume: &Resume) -> wire::ResumeCommand {
    wire::ResumeCommand {
        session: resume.session.get(),
        secret: number_bytes(resume.secret.0),
        expected_epoch: resume.expected.get(),
        nonce: number_bytes(resume.nonce.0),
    }
}

fn wire_timer(timer: &Timer) -> WireTimer {
    let hold = |session: &SessionId, token: &Token| wire::HoldTimer {
        session: session.get(),
        token: token.get(),
    };
    match timer {
        Timer::Session(session) => WireTimer::Session(session.get()),
        Timer::Adoption(session) => WireTimer::Adoption(session.get()),
        Timer::HoldEnd(session, token) => WireTimer::HoldEnd(hold(session, token)),
        Timer::MaxHold(session, token) => WireTimer::MaxHold(hold(session, token)),
        Timer::Preempt(session, token) => WireTimer::Preempt(hold(session, token)),
        Timer::Retention(name) => WireTimer::Retention(bytes_of(name.as_str())),
        Timer::Quiet => WireTimer::Quiet(EMPTY),
    }
}

fn command(message: wire::Command) -> Result<Command, DecodeError> {
    let wire = message.command.ok_or(DecodeError::Missing { what: "a command" })?;
    Ok(match wire {
        Wire::Open(open) => Command::Open(decode_open(&open)?),
        Wire::Attach(attach) => Command::Attach(decode_attach(attach)?),
        Wire::Resume(resume) => Command::Resume(decode_resume(&resume)?),
        Wire::Close(close) => Command::Close { key: key(close.key)? },
        Wire::Call(wire) => Command::Call(call(wire)?),
        Wire::Cancel(cancel) => Command::Cancel { key: key(cancel.key)?, seq: Seq(cancel.seq) },
        Wire::TimeOut(time_out) => {
            Command::TimeOut { session: SessionId(time_out.session), seq: Seq(time_out.seq) }
        }
        Wire::AckStopped(ack) => Command::AckStopped {
            session: SessionId(ack.session),
            secret: secret(&ack.secret)?,
            token: Token(ack.token),
        },
        Wire::ConfirmLosses(confirm) => Command::ConfirmLosses {
            session: SessionId(confirm.session),
            through: LossNumber(confirm.through),
        },
        Wire::Due(due) => Command::Due(Due {
            timer: timer(due.timer)?,
            generation: Generation(due.generation),
            term: Term(due.term),
        }),
        Wire::Kill(kill) => Command::Kill {
            session: SessionId(kill.session),
            by: text(&kill.by, "an operator")?,
            reason: text(&kill.reason, "a reason")?,
        },
        Wire::ForceRelease(force) => Command::ForceRelease {
            name: name(&force.name)?,
            token: Token(force.token),
            now: force.now,
            by: text(&force.by, "an operator")?,
        },
        Wire::Resize(resize) => Command::Resize {
            name: name(&resize.name)?,
            limit: resize.limit,
            version: Version(resize.version),
            by: text(&resize.by, "an operator")?,
        },
        Wire::Transfer(transfer) => Command::Transfer {
            name: name(&transfer.name)?,
            term: Token(transfer.term),
            to: SessionId(transfer.to),
            by: text(&transfer.by, "an operator")?,
        },
        Wire::Delete(delete) => {
            Command::Delete { name: name(&delete.name)?, by: text(&delete.by, "an operator")? }
        }
    })
}

fn decode_open(open: &wire::OpenCommand) -> Result<Open, DecodeError> {
    Ok(Open {
        secret: secret(&open.secret)?,
        ttl_ms: open.ttl_ms,
        lock_delay_ms: open.lock_delay_ms,
        name: name(&open.name)?,
        labels: labels(&open.labels)?,
    })
}

fn decode_attach(attach: wire::AttachCommand) -> Result<Attach, DecodeError> {
    Ok(Attach {
        key: key(attach.key)?,
        held: attach.held.into_iter().map(Token).collect(),
        waiting: attach.waiting.into_iter().map(Seq).collect(),
        next_seq: Seq(attach.next_seq),
        number: attach.number,
    })
}

fn decode_resume(resume: &wire::ResumeCommand) -> Result<Resume, DecodeError> {
    Ok(Resume {
        session: SessionId(resume.session),
        secret: secret(&resume.secret)?,
        expected: Epoch(resume.expected_epoch),
        nonce: nonce(&resume.nonce)?,
    })
}

fn timer(wire: Option<WireTimer>) -> Result<Timer, DecodeError> {
    Ok(match wire.ok_or(DecodeError::Missing { what: "a timer" })? {
        WireTimer::Session(session) => Timer::Session(SessionId(session)),
        WireTimer::Adoption(session) => Timer::Adoption(SessionId(session)),
        WireTimer::HoldEnd(hold) => Timer::HoldEnd(SessionId(hold.session), Token(hold.token)),
        WireTimer::MaxHold(hold) => Timer::MaxHold(SessionId(hold.session), Token(hold.token)),
        WireTimer::Preempt(hold) => Timer::Preempt(SessionId(hold.session), Token(hold.token)),
        WireTimer::Retention(of) => Timer::Retention(name(&of)?),
        WireTimer::Quiet(wire::Empty {}) => Timer::Quiet,
    })
}
