//! Nobody starves within a priority: under a flood of requests that would fit, whoever waits is served before all of those that
//! came after it and stand in its way. Across priorities a low one may starve, and does.

use std::collections::VecDeque;

use crate::bench::{Bench, all, demand, name};
use conclave_machine::{
    Acquire, Command, Demand, Mode, Op, Outcome, Seq, SessionId, SessionKey, Token,
};

/// A client with as many requests at a time as it likes, and what it was granted, oldest first.
struct Crowd {
    key: SessionKey,
    next_seq: u64,
    held: VecDeque<Token>,
}

impl Crowd {
    fn new(bench: &mut Bench, secret: u128) -> Self {
        Self { key: bench.open(secret, 0), next_seq: 1, held: VecDeque::new() }
    }

    fn call(&mut self, bench: &mut Bench, op: Op) -> Outcome {
        let outcome = bench.call(self.key, self.next_seq, op);
        self.next_seq += 1;
        if let Outcome::Granted { token, .. } = outcome {
            self.held.push_back(token);
        }
        outcome
    }

    /// Lets the oldest of its holds go, and keeps those that this brought; what it brought to others.
    fn release_oldest(&mut self, bench: &mut Bench) -> Vec<(SessionId, Token)> {
        let token = self.held.pop_front().expect("somebody holds");
        assert_eq!(self.call(bench, Op::Release { token, permits: 0 }), Outcome::Released);
        let (own, others): (Vec<_>, _) =
            bench.granted().into_iter().partition(|(session, _)| *session == self.key.id);
        self.held.extend(own.into_iter().map(|(_, token)| token));
        others
    }
}

/// A flood of `singles` holds everything all the time, and for each that goes two come. The favourite comes again and again, and is served
/// as soon as everybody who was there before it is gone; nobody who came later goes first.
fn is_served_in_its_turn(singles: &[Op], favourite: &Op) {
    let mut bench = Bench::new();
    let mut flood = Crowd::new(&mut bench, 1);
    let mut favoured = Crowd::new(&mut bench, 2);
    for round in 0..20_usize {
        for single in singles.iter().cycle().take(20 * singles.len()) {
            flood.call(&mut bench, single.clone());
        }
        let queued = favoured.call(&mut bench, favourite.clone());
        assert!(matches!(queued, Outcome::Queued { .. }), "{queued:?}");
        let came = flood.next_seq;
        let mut releases = 0;
        let before = flood.held.len() as u64 + bench.machine.counts().waiters - 1;
        loop {
            for single in singles.iter().cycle().skip(releases).take(2) {
                flood.call(&mut bench, single.clone());
            }
            let served = flood.release_oldest(&mut bench);
            releases += 1;
            for later in came..flood.next_seq {
                let answer = bench.machine.answer(flood.key.id, Seq(later));
                let granted = matches!(answer, Some(Outcome::Granted { .. }));
                assert!(!granted || !served.is_empty(), "seq {later} went first in round {round}");
            }
            if let Some((session, token)) = served.first() {
                assert_eq!(*session, favoured.key.id);
                favoured.held.push_back(*token);
                break;
            }
            assert!(releases as u64 <= before, "it waits for more than were there before it");
        }
        let others = favoured.release_oldest(&mut bench);
        flood.held.extend(others.into_iter().map(|(_, token)| token));
        while bench.machine.counts().holds > 0 {
            flood.release_oldest(&mut bench);
        }
        bench.machine.check_invariants().unwrap();
    }
}

/// Conformance 11.
#[test]
fn a_writer_under_a_flood_of_readers() {
    let lock = |mode| demand("map", Demand::RwLock(mode));
    is_served_in_its_turn(&[lock(Mode::Read)], &lock(Mode::Write));
}

/// Conformance 13.
#[test]
fn a_weight_of_nine_of_ten_under_a_flood_of_ones() {
    let permits = |weight| demand("pool", Demand::Permits { weight, limit: 10 });
    is_served_in_its_turn(&[permits(1)], &permits(9));
}

#[test]
fn sixteen_at_once_under_singles_of_each() {
    let names: Vec<String> = (0..16).map(|n| format!("lock/{n}")).collect();
    let kinds = [
        Demand::Mutex,
        Demand::RwLock(Mode::Write),
        Demand::Permits { weight: 1, limit: 1 },
        Demand::RwLock(Mode::Read),
    ];
    let item = |(text, kind): (&String, &Demand)| demand(text, *kind);
    let singles: Vec<Op> = names.iter().zip(kinds.iter().cycle()).map(item).collect();
    // Of a lock that the singles read, a writer.
    let wanted = [kinds[0], kinds[1], kinds[2], Demand::RwLock(Mode::Write)];
    let items: Vec<_> =
        names.iter().map(String::as_str).zip(wanted.iter().copied().cycle()).collect();
    is_served_in_its_turn(&singles, &all(&items));
}

/// What the documentation says of priorities: as long as higher ones come, a low one waits.
#[test]
fn a_low_priority_starves_under_a_high_one() {
    let mut bench = Bench::new();
    let mut low = Crowd::new(&mut bench, 1);
    let mut high = Crowd::new(&mut bench, 2);
    let ask = |priority| {
        let request = Acquire::of(name("job"), Demand::Mutex);
        Op::Acquire(Acquire { priority, ..request })
    };
    high.call(&mut bench, ask(1));
    low.call(&mut bench, ask(0));
    for _ in 0..1_000 {
        high.call(&mut bench, ask(1));
        assert_eq!(high.release_oldest(&mut bench), [], "the low one waits on");
    }
    let served = high.release_oldest(&mut bench);
    assert_eq!(served.first().map(|(session, _)| *session), Some(low.key.id));
}

/// Conformance 9: a thousand tasks of one session, each of which adds one with the token that the mutex gave it.
#[test]
fn a_thousand_tasks_count_under_one_mutex() {
    use conclave_machine::{Change, Edit, Edited, Guard};
    let mut bench = Bench::new();
    let mut tasks = Crowd::new(&mut bench, 1);
    let job = name("job");
    for _ in 0..1_000 {
        tasks.call(&mut bench, demand("job", Demand::Mutex));
    }
    for expected in 1..=1_000 {
        let token = *tasks.held.front().expect("one of them holds");
        let guard = Some(Guard { name: job.clone(), token });
        let change = Change::AddCounter { delta: 1 };
        let edit = Edit { name: name("sum"), guard, change };
        let added = tasks.call(&mut bench, Op::Edit(edit));
        assert_eq!(added, Outcome::Edited(Edited::Counter { value: expected }));
        tasks.release_oldest(&mut bench);
    }
    assert_eq!(bench.machine.counter_value(&name("sum")), Some(1_000));
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

/// Conformance 16: clients that want some of a few objects of all kinds, each in an order of its own. All of them finish, whoever
/// holds lets go in whatever order, and no object is held by more than it allows.
#[test]
fn requests_for_several_in_random_orders_always_finish() {
    for seed in 1..=10 {
        let mut random = Random(seed);
        let mut bench = Bench::new();
        let names: Vec<String> = (0..9).map(|n| format!("object/{n}")).collect();
        let clients: Vec<_> = (1..=40).map(|secret| bench.open(secret, 0)).collect();
        let mut seqs = vec![0; clients.len()];
        let mut held: Vec<(usize, Token)> = Vec::new();
        let mut left = clients.len() * 25;
        let mut idle: Vec<usize> = (0..clients.len()).collect();
        while left > 0 {
            if !idle.is_empty() && (held.is_empty() || random.below(2) == 0) {
                let client = idle.swap_remove(random.below(idle.len()));
                seqs[client] += 1;
                let op = some_of(&mut random, &names);
                match bench.call(clients[client], seqs[client], op) {
                    Outcome::Granted { token, .. } => held.push((client, token)),
                    Outcome::Queued { .. } => {}
                    other => panic!("{other:?}"),
                }
                continue;
            }
            assert!(!held.is_empty(), "everybody waits and nobody holds");
            let (client, token) = held.swap_remove(random.below(held.len()));
            seqs[client] += 1;
            bench.release(clients[client], seqs[client], token);
            left -= 1;
            idle.push(client);
            for (session, token) in bench.granted() {
                let client = clients.iter().position(|key| key.id == session).expect("a client");
                held.push((client, token));
            }
            if left.is_multiple_of(50) {
                bench.machine.check_invariants().unwrap();
            }
        }
        for (client, key) in clients.iter().enumerate().filter(|(client, _)| !idle.contains(client))
        {
            let close = Command::Close { key: *key };
            assert_eq!(bench.apply(close), Outcome::Ended, "client {client}");
        }
        let counts = bench.machine.counts();
        assert_eq!((counts.objects, counts.holds, counts.waiters), (0, 0, 0), "seed {seed}");
    }
}

/// Two to four of the names, each of one kind: three mutexes, three read-write locks, three semaphores.
fn some_of(random: &mut Random, names: &[String]) -> Op {
    let mut items: Vec<(&str, Demand)> = Vec::new();
    for _ in 0..2 + random.below(3) {
        let index = random.below(names.len());
        let text = names[index].as_str();
        if items.iter().any(|(other, _)| *other == text) {
            continue;
        }
        let demand = match (index % 3, random.below(3)) {
            (0, _) => Demand::Mutex,
            (1, 0) => Demand::RwLock(Mode::Write),
            (1, _) => Demand::RwLock(Mode::Read),
            (_, more) => Demand::Permits { weight: 1 + more as u32, limit: 4 },
        };
        items.push((text, demand));
    }
    all(&items)
}
