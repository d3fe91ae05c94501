//! How long the machine thinks about a cycle of getting something and letting it go, alone on one thread: `cargo run --release
//! -p conclave-machine --example cycles [CYCLES]`. No claim is made of it in a test; the log and the network cost far more.

use std::time::Instant;

use conclave_machine::{
    Acquire, Call, Campaign, Command, Context, Demand, Item, Items, Labels, Machine, Mode, Name,
    Op, Open, Outcome, Secret, Seq, SessionKey, Term, Value,
};

const CONTEXT: Context = Context { term: Term(1), stamp_ms: 1 };

fn open(machine: &mut Machine, secret: u128) -> SessionKey {
    let open = Open {
        secret: Secret(secret),
        ttl_ms: 10_000,
        lock_delay_ms: 0,
        name: name("bench"),
        labels: Labels::default(),
    };
    let (_, outcome) = machine.apply(&CONTEXT, Command::Open(open), &mut Vec::new());
    let Outcome::Opened { session, epoch, .. } = outcome else { panic!("{outcome:?}") };
    SessionKey { id: session, secret: Secret(secret), epoch }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// What is asked for, of a name.
type Asks = fn(Name) -> Acquire;

/// The first is what the machine could do from the beginning; the others by what they add.
const KINDS: &[(&str, Asks)] = &[
    ("mutex", |name| Acquire::of(name, Demand::Mutex)),
    ("read lock", |name| Acquire::of(name, Demand::RwLock(Mode::Read))),
    ("permit", |name| Acquire::of(name, Demand::Permits { weight: 1, limit: 9 })),
    ("election", |name| {
        let value = Value::new(b"here");
        let campaign = Campaign { value, eligible: true, preempt_after_ms: None };
        Acquire { campaign: Some(campaign), ..Acquire::of(name, Demand::Lead) }
    }),
    ("three mutexes", |first| {
        let other = |end| Name::new(&format!("{first}/{end}")).expect("a name");
        let names = [first.clone(), other("a"), other("b")];
        let items = names.map(|name| Item { name, demand: Demand::Mutex });
        let items = Items::new(items.into()).expect("three");
        Acquire { items, ..Acquire::of(first, Demand::Mutex) }
    }),
];

fn measure(asks: Asks, sessions: u128, names: usize, cycles: usize) -> u128 {
    let mut machine = Machine::new();
    let keys: Vec<_> = (0..sessions).map(|secret| open(&mut machine, secret)).collect();
    let requests: Vec<_> = (0..names).map(|n| asks(name(&format!("lock/{n}")))).collect();
    let mut seqs = vec![0; keys.len()];
    let mut events = Vec::new();
    let started = Instant::now();
    for cycle in 0..cycles {
        let client = cycle % keys.len();
        let mut call = |op| {
            let seq = seqs[client] + 1;
            seqs[client] = seq;
            events.clear();
            let (seq, seen_through) = (Seq(seq), Seq(seq - 1));
            let call = Call { key: keys[client], seq, seen_through, op };
            machine.apply(&CONTEXT, Command::Call(call), &mut events).1
        };
        let request = requests[cycle % requests.len()].clone();
        let Outcome::Granted { token, .. } = call(Op::Acquire(request)) else {
            panic!("its own lock")
        };
        assert_eq!(call(Op::Release { token, permits: 0 }), Outcome::Released);
    }
    started.elapsed().as_nanos() / cycles as u128
}

fn main() {
    let cycles = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a count"));
    for (sessions, names) in [(1, 1), (4, 256), (10_000, 100_000)] {
        for (kind, asks) in KINDS {
            let nanos = measure(*asks, sessions, names, cycles);
            println!("{sessions} sessions, {names} names: {kind}: {nanos} ns a cycle");
        }
    }
}
