//! The works that are counted, each so many rounds of the same.

use std::hint::black_box;

use bytes::Bytes;
use conclave_machine::{
    Acquire, Call, Command, Context, Demand, Event, Labels, Machine, Name, Op, Open, Outcome,
    Secret, Seq, SessionKey, Term, Token,
};
use conclave_raft::storage::{BatchBuilder, decode_batch, encode_command};

const CONTEXT: Context = Context { term: Term(1), stamp_ms: 1 };

pub(crate) const NAMES: [&str; 4] =
    ["machine_cycle", "machine_hand_over", "codec_encode", "codec_decode"];

pub(crate) fn run(name: &str, rounds: u64) {
    match name {
        "machine_cycle" => machine_cycle(rounds),
        "machine_hand_over" => machine_hand_over(rounds),
        "codec_encode" => codec_encode(rounds),
        "codec_decode" => codec_decode(rounds),
        other => panic!("no work is called {other:?}"),
    }
}

/// A session of a machine, as its client sees it.
struct Client {
    key: SessionKey,
    seq: u64,
}

impl Client {
    fn open(machine: &mut Machine, secret: u128) -> Self {
        let open = Open {
            secret: Secret(secret),
            ttl_ms: 10_000,
            lock_delay_ms: 0,
            name: name("counted"),
            labels: Labels::default(),
        };
        let (_, outcome) = machine.apply(&CONTEXT, Command::Open(open), &mut Vec::new());
        let Outcome::Opened { session, epoch, .. } = outcome else { panic!("{outcome:?}") };
        Self { key: SessionKey { id: session, secret: Secret(secret), epoch }, seq: 0 }
    }

    /// The next call of this client.
    fn command(&mut self, op: Op) -> Command {
        self.seq += 1;
        let (seq, seen_through) = (Seq(self.seq), Seq(self.seq - 1));
        Command::Call(Call { key: self.key, seq, seen_through, op })
    }

    fn call(&mut self, machine: &mut Machine, op: Op, events: &mut Vec<Event>) -> Outcome {
        events.clear();
        machine.apply(&CONTEXT, self.command(op), events).1
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn acquire(name: &Name) -> Op {
    Op::Acquire(Acquire::of(name.clone(), Demand::Mutex))
}

const fn release(token: Token) -> Op {
    Op::Release { token, permits: 0 }
}

/// A lock of one's own, taken and given back: 256 names over 4 sessions.
fn machine_cycle(rounds: u64) {
    let mut machine = Machine::new();
    let mut clients: Vec<_> = (0..4).map(|n| Client::open(&mut machine, n)).collect();
    let names: Vec<_> = (0..256).map(|n| name(&format!("lock/{n}"))).collect();
    let mut events = Vec::new();
    for (round, name) in (0..rounds).zip(names.iter().cycle()) {
        let client = &mut clients[round as usize % 4];
        let outcome = client.call(&mut machine, acquire(name), &mut events);
        let Outcome::Granted { token, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(client.call(&mut machine, release(token), &mut events), Outcome::Released);
    }
}

/// One lock and 16 clients: a release that grants it to the next, and the one who had it queues again.
fn machine_hand_over(rounds: u64) {
    let mut machine = Machine::new();
    let mut clients: Vec<_> = (0..16).map(|n| Client::open(&mut machine, n)).collect();
    let name = name("lock");
    let mut events = Vec::new();
    let outcome = clients[0].call(&mut machine, acquire(&name), &mut events);
    let Outcome::Granted { mut token, .. } = outcome else { panic!("{outcome:?}") };
    for client in &mut clients[1..] {
        client.call(&mut machine, acquire(&name), &mut events);
    }
    for round in 0..rounds {
        let client = &mut clients[round as usize % 16];
        assert_eq!(client.call(&mut machine, release(token), &mut events), Outcome::Released);
        let granted = events.iter().find_map(|event| {
            let Event::Granted { token, .. } = event else { return None };
            Some(*token)
        });
        token = granted.expect("the next one in the queue is granted it");
        let outcome = client.call(&mut machine, acquire(&name), &mut events);
        assert!(matches!(outcome, Outcome::Queued { .. }), "{outcome:?}");
    }
}

/// The two commands of a cycle, as its entries carry them.
fn commands() -> [Command; 2] {
    let mut machine = Machine::new();
    let mut client = Client::open(&mut machine, 7);
    [client.command(acquire(&name("lock/7"))), client.command(release(Token(7)))]
}

fn batch(commands: &[Command]) -> Bytes {
    let mut batch = BatchBuilder::new(1);
    for command in commands {
        batch.push(&encode_command(command));
    }
    batch.finish()
}

fn codec_encode(rounds: u64) {
    let commands = commands();
    for _ in 0..rounds {
        black_box(batch(black_box(&commands)));
    }
}

fn codec_decode(rounds: u64) {
    let payload = batch(&commands());
    for _ in 0..rounds {
        let decoded = decode_batch(black_box(&payload)).expect("our own bytes");
        assert_eq!(black_box(decoded).commands.len(), 2);
    }
}
