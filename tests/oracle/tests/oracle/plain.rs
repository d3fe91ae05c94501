//! Clients with a purpose: each holds a mutex now and then, adds to a counter, writes a register, and looks.

use conclave_machine::{
    Acquire, Call as MachineCall, Change, Command, Demand, Edit, Event, Expect, Op, Outcome, Seq,
    SessionId, SessionKey, Token, Value,
};
use conclave_model::Rng;
use conclave_oracle::{Answer, Asked, Call, Found, Heard, History, Reading};

use crate::stage::{STEP_US, Stage, name};

const CLIENTS: usize = 4;
const STEPS: usize = 60;

struct Client {
    key: SessionKey,
    seq: u64,
    /// None: it does not hold the mutex.
    held: Option<Token>,
    waits: bool,
}

/// What they saw, with calls that overlap. Everything was answered.
pub(crate) fn run(seed: u64) -> History {
    let mut rng = Rng::new(seed);
    let mut stage = Stage::new();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| Client { key: stage.open("client", 60_000), seq: 0, held: None, waits: false })
        .collect();
    stage.now_us += 100 * STEP_US;
    for _ in 0..STEPS {
        let at = rng.index(CLIENTS);
        if clients[at].waits {
            continue;
        }
        match rng.below(4) {
            0 => read(&mut stage, &mut rng),
            1 => edit(&mut stage, &mut rng, &mut clients[at]),
            _ => lock(&mut stage, &mut rng, &mut clients, at),
        }
    }
    stage.history
}

fn read(stage: &mut Stage, rng: &mut Rng) {
    let (reading, answer) = match rng.chance(50) {
        true => (
            Reading::Counter { name: "counter".into() },
            Answer::Counter { value: stage.machine.counter_value(&name("counter")) },
        ),
        false => {
            let found = stage.machine.register_value(&name("register"));
            let found = found.map(|found| Found {
                version: found.version,
                value: found.value.as_bytes().into(),
            });
            (Reading::Register { name: "register".into() }, Answer::Register { found })
        }
    };
    let (before, after) = (rng.below(STEP_US / 2), rng.below(STEP_US / 2));
    stage.history.calls.push(Call {
        client: "reader".into(),
        session: SessionId(0),
        seq: Seq(0),
        asked: Asked::Read(reading),
        invoked_us: stage.now_us - before,
        answers: vec![Heard {
            at_us: stage.now_us + after,
            revision: stage.machine.revision(),
            answer,
        }],
    });
}

fn edit(stage: &mut Stage, rng: &mut Rng, client: &mut Client) {
    let (of, change) = match rng.chance(50) {
        true => ("counter", Change::AddCounter { delta: 1 }),
        false => {
            let value = Value::new(&rng.draw().to_be_bytes());
            let expect = match stage.machine.register_value(&name("register")) {
                Some(found) if rng.chance(50) => Expect::Version(found.version),
                Some(_) | None if rng.chance(20) => Expect::Absent,
                Some(_) | None => Expect::Anything,
            };
            ("register", Change::SetRegister { value, expect, bound: false })
        }
    };
    call(stage, rng, client, Op::Edit(Edit { name: name(of), guard: None, change }));
}

fn lock(stage: &mut Stage, rng: &mut Rng, clients: &mut [Client], at: usize) {
    let client = &mut clients[at];
    let (outcome, events) = match client.held.take() {
        Some(token) => call(stage, rng, client, Op::Release { token, permits: 0 }),
        None => {
            let wait = rng.chance(60);
            let acquire = Acquire { wait, ..Acquire::of(name("mutex"), Demand::Mutex) };
            call(stage, rng, client, Op::Acquire(acquire))
        }
    };
    if let Outcome::Granted { token, .. } = outcome {
        client.held = Some(token);
    }
    client.waits = matches!(outcome, Outcome::Queued { .. });
    for event in events {
        let Event::Granted { session, seq, token, .. } = event else { continue };
        let granted = clients.iter_mut().find(|client| client.key.id == session);
        let granted = granted.expect("a client");
        (granted.held, granted.waits) = (Some(token), false);
        let mut calls = stage.history.calls.iter_mut();
        let call = calls.find(|call| (call.session, call.seq) == (session, seq)).expect("it waits");
        let revision = stage.machine.revision();
        let at_us = stage.now_us + rng.below(5 * STEP_US);
        call.answers.push(Heard { at_us, revision, answer: Answer::Granted { token } });
    }
}

/// Asked up to five steps before it is applied, heard up to five steps after.
fn call(stage: &mut Stage, rng: &mut Rng, client: &mut Client, op: Op) -> (Outcome, Vec<Event>) {
    client.seq += 1;
    let (key, seq) = (client.key, Seq(client.seq));
    let command = Command::Call(MachineCall { key, seq, seen_through: Seq(0), op });
    let (revision, outcome, events) = stage.apply(&stage.context(), &command);
    let (before, after) = (rng.below(5 * STEP_US), rng.below(5 * STEP_US));
    stage.history.calls.push(Call {
        client: format!("client-{}", key.id),
        session: key.id,
        seq,
        asked: Asked::of(&command),
        invoked_us: stage.now_us - before,
        answers: vec![Heard {
            at_us: stage.now_us + after,
            revision,
            answer: Answer::of(&outcome),
        }],
    });
    (outcome, events)
}
