//! One of each operation of a call.

use conclave_machine::{
    Acquire, Campaign, Change, Demand, Edit, Expect, Guard, Mode, Op, Seq, Token, Value, Version,
};

use super::{campaign, labels, name, several};

/// The plainest acquire of one object.
fn acquire(demand: Demand) -> Acquire {
    Acquire::of(name("jobs/nightly"), demand)
}

pub(super) fn ops() -> Vec<(&'static str, Op)> {
    let full = Acquire {
        priority: -3,
        max_hold_ms: 60_000,
        owner: Some("worker 1".into()),
        metadata: labels(&[("why", "test")]),
        ..acquire(Demand::Mutex)
    };
    let lead =
        |campaign| Op::Acquire(Acquire { campaign: Some(campaign), ..acquire(Demand::Lead) });
    let aside = Campaign { value: Value::new(b""), eligible: false, preempt_after_ms: None };
    let arrive = |break_on_loss| Demand::Arrive { parties: 3, break_on_loss };
    let rwlock = |mode| Op::Acquire(acquire(Demand::RwLock(mode)));
    let several = Acquire { items: several(), fail_on_deadlock: true, ..full.clone() };
    vec![
        ("acquire", Op::Acquire(full)),
        ("acquire-bare", Op::Acquire(Acquire { wait: false, ..acquire(Demand::Mutex) })),
        ("acquire-several", Op::Acquire(several)),
        ("acquire-read", rwlock(Mode::Read)),
        ("acquire-upgradable", rwlock(Mode::Upgradable)),
        ("acquire-write", rwlock(Mode::Write)),
        ("acquire-permits", Op::Acquire(acquire(Demand::Permits { weight: 2, limit: 300 }))),
        ("acquire-lead", lead(campaign())),
        ("acquire-lead-aside", lead(aside)),
        ("acquire-run", Op::Acquire(acquire(Demand::Run { attempts_max: 3 }))),
        ("acquire-run-always", Op::Acquire(acquire(Demand::Run { attempts_max: 0 }))),
        ("acquire-latch", Op::Acquire(acquire(Demand::Latch))),
        ("acquire-gate", Op::Acquire(acquire(Demand::Gate))),
        ("acquire-arrive", Op::Acquire(acquire(arrive(false)))),
        ("acquire-arrive-breaking", Op::Acquire(acquire(arrive(true)))),
        ("release", Op::Release { token: Token(7), permits: 0 }),
        ("release-permits", Op::Release { token: Token(7), permits: 2 }),
        ("adopt", Op::Adopt { token: Token(7) }),
        ("downgrade", Op::Downgrade { token: Token(7), to: Mode::Read }),
        ("upgrade", Op::Upgrade { token: Token(7), wait: true }),
        ("upgrade-try", Op::Upgrade { token: Token(7), wait: false }),
        ("proclaim", Op::Proclaim { term: Token(7), value: Value::new(b"10.0.0.1:81") }),
        ("set-eligible", Op::SetEligible { campaign: Seq(4), eligible: true }),
        (
            "complete",
            Op::Complete { token: Token(7), value: Value::new(&[0, 255]), retention_ms: 60_000 },
        ),
    ]
    .into_iter()
    .chain(edits())
    .collect()
}

fn edits() -> Vec<(&'static str, Op)> {
    let edit = |change| Op::Edit(Edit { name: name("config"), guard: None, change });
    let write = |expect, bound| Change::SetRegister { value: Value::new(b"v"), expect, bound };
    let guarded = Op::Edit(Edit {
        name: name("config"),
        guard: Some(Guard { name: name("jobs/nightly"), token: Token(7) }),
        change: write(Expect::Version(Version(300)), false),
    });
    vec![
        ("edit-create-latch", edit(Change::CreateLatch { count: 3 })),
        ("edit-count-down", edit(Change::CountDown { by: 1, key: None })),
        ("edit-count-down-key", edit(Change::CountDown { by: 2, key: Some("part 1".into()) })),
        ("edit-reset-latch", edit(Change::ResetLatch)),
        ("edit-open-gate", edit(Change::SetGate { open: true })),
        ("edit-close-gate", edit(Change::SetGate { open: false })),
        ("edit-set-register", edit(write(Expect::Anything, true))),
        ("edit-set-register-absent", edit(write(Expect::Absent, false))),
        ("edit-set-register-guarded", guarded),
        ("edit-delete-register", edit(Change::DeleteRegister { expect: Expect::Anything })),
        ("edit-add-counter", edit(Change::AddCounter { delta: -3 })),
    ]
}
