//! From messages of the wire to the words of the oracle: written anew here, so that a server that reads a message wrongly is found.

use conclave_machine::{Seq, Token, Version};
use conclave_oracle::{Answer, Asked, Change, Demand, Expect, Guard, Wanted};
use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::edit_op::Change as Edit;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::item::Demand as Wants;

/// What the client crate sends is whole, so whatever is missing has the meaning that the protocol gives it.
pub(crate) fn asked(op: &Op) -> Asked {
    match op {
        Op::Acquire(acquire) => Asked::Acquire {
            items: acquire.items.iter().map(wanted).collect(),
            wait: waits(acquire.wait.as_ref()),
            priority: acquire.priority,
        },
        Op::Release(op) => Asked::Release { token: Token(op.token), permits: op.permits },
        Op::Adopt(op) => Asked::Adopt { token: Token(op.token) },
        Op::Downgrade(op) => Asked::Downgrade { token: Token(op.token), to: mode(op.to()) },
        Op::Upgrade(op) => Asked::Upgrade { token: Token(op.token), wait: waits(op.wait.as_ref()) },
        Op::Proclaim(op) => Asked::Proclaim { term: Token(op.term), value: op.value.clone() },
        Op::SetEligible(op) => {
            Asked::SetEligible { campaign: Seq(op.campaign_seq), eligible: op.eligible }
        }
        Op::Complete(op) => Asked::Complete { token: Token(op.token), value: op.value.clone() },
        Op::Edit(edit) => Asked::Edit {
            name: edit.name.clone(),
            guard: edit.guard.as_ref().map(|guard| {
                let v1::Guard { name, token } = guard.clone();
                Guard { name, token: Token(token) }
            }),
            change: change(edit.change.as_ref().expect("the client says what it changes")),
        },
    }
}

fn waits(wait: Option<&v1::Wait>) -> bool {
    match wait.and_then(|wait| wait.kind) {
        Some(v1::wait::Kind::Forever(_)) => true,
        Some(v1::wait::Kind::Ms(time)) => time > 0,
        Some(v1::wait::Kind::None(_)) | None => false,
    }
}

fn wanted(item: &v1::Item) -> Wanted {
    let demand = match item.demand.expect("the client says what it wants") {
        Wants::Mutex(_) => Demand::Mutex,
        Wants::Rwlock(demand) => mode(demand.mode()),
        Wants::Permits(v1::PermitsDemand { weight, limit }) => Demand::Permits { weight, limit },
        Wants::Lead(_) => Demand::Lead,
        Wants::Run(v1::RunDemand { attempts_max }) => Demand::Run { attempts_max },
        Wants::Latch(_) => Demand::Latch,
        Wants::Gate(_) => Demand::Gate,
        Wants::Arrive(v1::ArriveDemand { parties, break_on_loss }) => {
            Demand::Arrive { parties, break_on_loss }
        }
    };
    Wanted { name: item.name.clone(), demand }
}

fn mode(mode: v1::Mode) -> Demand {
    match mode {
        v1::Mode::Write => Demand::Write,
        v1::Mode::Upgradable => Demand::Upgradable,
        v1::Mode::Read | v1::Mode::Unspecified => Demand::Read,
    }
}

fn change(change: &Edit) -> Change {
    match change {
        Edit::CreateLatch(op) => Change::CreateLatch { count: op.count },
        Edit::CountDown(op) => Change::CountDown { by: op.by, key: op.key.clone() },
        Edit::ResetLatch(_) => Change::ResetLatch,
        Edit::SetGate(op) => Change::SetGate { open: op.open },
        Edit::SetRegister(op) => Change::SetRegister {
            value: op.value.clone(),
            expect: expect(op.expect.as_ref()),
            bound: op.bound,
        },
        Edit::DeleteRegister(op) => Change::DeleteRegister { expect: expect(op.expect.as_ref()) },
        Edit::AddCounter(op) => Change::AddCounter { delta: op.delta },
    }
}

fn expect(expect: Option<&v1::Expect>) -> Expect {
    match expect.and_then(|expect| expect.expect) {
        Some(v1::expect::Expect::Absent(_)) => Expect::Absent,
        Some(v1::expect::Expect::Version(version)) => Expect::Version(Version(version)),
        None => Expect::Anything,
    }
}

pub(crate) fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Granted(granted) => Answer::Granted { token: Token(granted.token) },
        Outcome::Queued(_) => Answer::Queued,
        Outcome::Held(_) => Answer::Held,
        Outcome::TimedOut(_) => Answer::TimedOut,
        Outcome::Cancelled(_) => Answer::Cancelled,
        Outcome::Released(_) => Answer::Released,
        Outcome::Problem(problem) => Answer::Refused { reason: problem.reason.clone() },
        Outcome::Passed(v1::Passed { version, index }) => {
            Answer::Passed { version: Version(*version), index: *index }
        }
        Outcome::Deadlock(_) => Answer::Refused { reason: "DEADLOCK".to_owned() },
        Outcome::Downgraded(_) => Answer::Downgraded,
        Outcome::Proclaimed(_) => Answer::Proclaimed,
        Outcome::EligibleSet(_) => Answer::EligibleSet,
        Outcome::Completed(completed) => Answer::Completed { version: Version(completed.version) },
        Outcome::Edited(edited) => edit(edited.edited.as_ref().expect("something was edited")),
    }
}

fn edit(edited: &Edited) -> Answer {
    match edited {
        Edited::Latch(v1::LatchState { round, remaining }) => {
            Answer::Latch { round: Version(*round), remaining: *remaining }
        }
        Edited::Gate(v1::GateState { open }) => Answer::Gate { open: *open },
        Edited::Register(v1::RegisterState { version }) => {
            Answer::Written { version: Version(*version) }
        }
        Edited::RegisterDeleted(_) => Answer::RegisterDeleted,
        Edited::Conflict(conflict) => Answer::Conflict { version: conflict.version.map(Version) },
        Edited::Counter(v1::CounterState { value }) => Answer::Counted { value: *value },
    }
}
