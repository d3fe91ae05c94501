//! How long the machine thinks about a cycle of acquire and release, alone on one thread: `cargo run --release
//! -p conclave-machine --example cycles`. No claim is made of it in a test; the log and the network cost far more.

use std::time::Instant;

use conclave_machine::{
    Acquire, Call, Command, Context, Demand, Labels, Machine, Name, Op, Open, Outcome, Secret, Seq,
    SessionKey, Term,
};

const CONTEXT: Context = Context { term: Term(1), stamp_ms: 1 };

fn open(machine: &mut Machine, secret: u128) -> SessionKey {
    let open = Open {
        secret: Secret(secret),
        ttl_ms: 10_000,
        lock_delay_ms: 0,
        name: Name::new("bench").expect("a name"),
        labels: Labels::default(),
    };
    let (_, outcome) = machine.apply(&CONTEXT, Command::Open(open), &mut Vec::new());
    let Outcome::Opened { session, epoch, .. } = outcome else { panic!("{outcome:?}") };
    SessionKey { id: session, secret: Secret(secret), epoch }
}

fn main() {
    for (sessions, names) in [(1, 1), (4, 256), (10_000, 100_000)] {
        let mut machine = Machine::new();
        let keys: Vec<_> = (0..sessions).map(|secret| open(&mut machine, secret)).collect();
        let names: Vec<_> =
            (0..names).map(|n| Name::new(&format!("lock/{n}")).expect("a name")).collect();
        let mut seqs = vec![0; keys.len()];
        let mut events = Vec::new();
        let cycles = 1_000_000;
        let started = Instant::now();
        for cycle in 0..cycles {
            let client = cycle % keys.len();
            let mut call = |op| {
                let seq = seqs[client] + 1;
                seqs[client] = seq;
                events.clear();
                let call =
                    Call { key: keys[client], seq: Seq(seq), seen_through: Seq(seq - 1), op };
                machine.apply(&CONTEXT, Command::Call(call), &mut events).1
            };
            let name = names[cycle % names.len()].clone();
            let acquire = Op::Acquire(Acquire::of(name, Demand::Mutex));
            let Outcome::Granted { token, .. } = call(acquire) else { panic!("its own lock") };
            assert_eq!(call(Op::Release { token, permits: 0 }), Outcome::Released);
        }
        let nanos = started.elapsed().as_nanos() / cycles as u128;
        println!("{sessions} sessions, {} names: {nanos} ns a cycle", names.len());
    }
}
