//! No record of a snapshot is large, whatever clients put into it.

use crate::bench::{Bench, campaign, demand, name, token};
use conclave_machine::{
    Acquire, Call, Campaign, Change, Command, Demand, Edit, Expect, Item, Items, Labels, Op, Open,
    Outcome, Record, Recorded, Refusal, Secret, Seq, SessionKey, Value, limits,
};

/// An upper bound of the encoded size: all text and bytes, four for each length, eight for each of at most thirty numbers.
fn size(record: &Record) -> usize {
    let labels = |labels: &Labels| labels.iter().map(|(k, v)| k.len() + v.len() + 8).sum::<usize>();
    let items =
        |items: &Items| items.iter().map(|it| it.name.as_str().len() + 4 + 16).sum::<usize>();
    let owner = |owner: &Option<Box<str>>| owner.as_ref().map_or(0, |owner| owner.len());
    let value = |campaign: &Option<Campaign>| campaign.as_ref().map_or(0, |it| it.value.len());
    let text = match record {
        Record::Header(_) => 0,
        Record::Session(it) => it.name.as_str().len() + labels(&it.labels),
        Record::Window(it) | Record::End(it) => answer(&it.answer),
        Record::Loss(it) => it.name.as_str().len() + limits::TEXT_BYTES_MAX,
        Record::Object(it) => it.name.as_str().len(),
        Record::ValuePart(it) => it.len(),
        Record::CountKey(it) => it.len(),
        Record::Hold(it) => {
            items(&it.items) + labels(&it.metadata) + owner(&it.owner) + value(&it.campaign)
        }
        Record::Waiter(it) => {
            items(&it.items) + labels(&it.metadata) + owner(&it.owner) + value(&it.campaign)
        }
    };
    text + 30 * 8
}

fn answer(answer: &Recorded) -> usize {
    match answer {
        Recorded::Held { name } | Recorded::TimedOut { name } => name.as_str().len(),
        Recorded::Refused(refusal) => match &**refusal {
            Refusal::Deadlock { cycle } => cycle
                .iter()
                .map(|it| {
                    it.session_name.as_str().len() + it.owner.len() + it.name.as_str().len() + 20
                })
                .sum(),
            _ => 0,
        },
        Recorded::Queued
        | Recorded::Granted { .. }
        | Recorded::Passed(_)
        | Recorded::Cancelled
        | Recorded::Released
        | Recorded::Downgraded
        | Recorded::Proclaimed
        | Recorded::EligibleSet
        | Recorded::Completed { .. }
        | Recorded::Edited(_) => 0,
    }
}

fn long(letter: char, tag: usize, bytes: usize) -> String {
    let tag = tag.to_string();
    letter.to_string().repeat(bytes - tag.len()) + &tag
}

/// A session with the longest name and the most labels there may be.
fn open(bench: &mut Bench, secret: u128, labels: &Labels) -> SessionKey {
    let outcome = bench.apply(Command::Open(Open {
        secret: Secret(secret),
        ttl_ms: limits::TTL_MS_MAX,
        lock_delay_ms: 0,
        name: name(&"n".repeat(limits::NAME_BYTES_MAX)),
        labels: labels.clone(),
    }));
    let Outcome::Opened { session, epoch, .. } = outcome else { panic!("{outcome:?}") };
    SessionKey { id: session, secret: Secret(secret), epoch }
}

fn largest(bench: &Bench) -> usize {
    bench.machine.check_invariants().unwrap();
    let largest = bench.machine.records().map(|record| size(&record)).max().unwrap();
    assert!(largest <= 64 * 1024, "{largest} bytes");
    largest
}

/// All keys of one and two bytes: the most pairs, so the most overhead.
fn labels() -> Labels {
    let keys = (1..0x800).filter_map(char::from_u32).take(limits::LABELS_MAX - 1);
    let small = keys.map(|key| (Box::from(key.to_string()), Box::from("")));
    let large = ("large".into(), "x".repeat(limits::LABELS_BYTES_MAX - 256).into());
    Labels::new(small.chain([large])).unwrap()
}

#[test]
fn a_request_for_64_objects_with_everything_at_its_largest() {
    let (mut bench, labels) = (Bench::new(), labels());
    let (one, two) = (open(&mut bench, 1, &labels), open(&mut bench, 2, &labels));
    let items = (0..limits::ITEMS_MAX).map(|tag| Item {
        name: name(&long('i', tag, limits::NAME_BYTES_MAX)),
        demand: Demand::Permits { weight: 1, limit: 1 },
    });
    let items = Items::new(items.collect()).unwrap();
    let acquire = |wait| {
        let first = items.first().clone();
        Op::Acquire(Acquire {
            items: items.clone(),
            wait,
            owner: Some("o".repeat(limits::TEXT_BYTES_MAX).into()),
            metadata: labels.clone(),
            ..Acquire::of(first.name, first.demand)
        })
    };
    token(bench.call(one, 1, acquire(true)));
    for (seq, wait) in [(1, true), (2, false), (3, true)] {
        let (seq, seen_through) = (Seq(seq), Seq(0));
        bench.apply(Command::Call(Call { key: two, seq, seen_through, op: acquire(wait) }));
    }
    bench.apply(Command::TimeOut { session: two.id, seq: Seq(1) });
    let largest = largest(&bench);
    assert!(largest > limits::ITEMS_MAX * limits::NAME_BYTES_MAX, "it should be large: {largest}");
}

#[test]
fn values_and_proposals_at_their_largest() {
    let (mut bench, labels) = (Bench::new(), labels());
    let key = open(&mut bench, 1, &labels);
    let value = Value::new(&[7; limits::VALUE_BYTES_MAX]);
    let change = Change::SetRegister { value: value.clone(), expect: Expect::Absent, bound: true };
    let edit = Edit { name: name("register"), guard: None, change };
    assert!(matches!(bench.call(key, 1, Op::Edit(edit)), Outcome::Edited(_)));
    let run = token(bench.call(key, 2, demand("once", Demand::Run { attempts_max: 0 })));
    let complete = Op::Complete { token: run, value, retention_ms: limits::RETENTION_MS_MAX };
    assert!(matches!(bench.call(key, 3, complete), Outcome::Completed { .. }));
    let Op::Acquire(mut request) = campaign("boss", 0, true) else { panic!("an acquire") };
    request.campaign.as_mut().unwrap().value = Value::new(&[7; limits::PROPOSAL_BYTES_MAX]);
    request.metadata = labels;
    token(bench.call(key, 4, Op::Acquire(request)));
    let largest = largest(&bench);
    assert!(largest > limits::VALUE_PART_BYTES, "it should be large: {largest}");
}

/// As many steps as are shown, with the longest names: a chain of sessions, each with one lock and waiting for the next.
#[test]
fn a_cycle_that_was_refused_at_its_largest() {
    let (mut bench, labels) = (Bench::new(), labels());
    let key = open(&mut bench, 1, &labels);
    let steps = limits::DEADLOCK_SHOWN_MAX + 4;
    let ask = |step: usize, lock: usize| {
        let name = name(&long('l', lock % steps, limits::NAME_BYTES_MAX));
        Op::Acquire(Acquire {
            owner: Some(long('o', step, limits::TEXT_BYTES_MAX).into()),
            fail_on_deadlock: true,
            ..Acquire::of(name, Demand::Mutex)
        })
    };
    for (seq, step) in (1..).zip(0..steps) {
        token(bench.call(key, seq, ask(step, step)));
    }
    for step in 0..steps {
        let seq = Seq((steps + step + 1) as u64);
        let op = ask(step, step + 1);
        let said = bench.apply(Command::Call(Call { key, seq, seen_through: Seq(0), op }));
        let refused = matches!(&said, Outcome::Refused(Refusal::Deadlock { cycle })
            if cycle.len() == limits::DEADLOCK_SHOWN_MAX);
        assert_eq!(refused, step + 1 == steps, "{said:?}");
    }
    let largest = largest(&bench);
    let shown = limits::DEADLOCK_SHOWN_MAX * 3 * limits::NAME_BYTES_MAX;
    assert!(largest > shown, "it should be large: {largest}");
}
