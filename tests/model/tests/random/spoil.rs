//! Records that were tampered with: either they make no machine, or one that its digest tells from the first.

use conclave_machine::{
    Acquire, Call, Command, Context, Demand, Epoch, Generation, HoldRecord, Labels, LossNumber,
    Machine, Name, Nonce, Op, Open, Outcome, Record, Resume, Secret, Seq, SessionId, SessionKey,
    SessionRecord, Term, Token, WaiterRecord,
};
use conclave_model::Rng;

/// One record missing, there twice, or exchanged with the next: no machine.
pub(crate) fn misplace(records: &[Record], rng: &mut Rng) -> Result<(), String> {
    let at = rng.index(records.len());
    let mut spoilt = records.to_vec();
    let how = match rng.below(3) {
        0 => {
            spoilt.remove(at);
            "is missing"
        }
        1 => {
            spoilt.insert(at, records[at].clone());
            "is there twice"
        }
        _ => {
            spoilt.swap(at, (at + 1) % records.len());
            "is exchanged with the next one"
        }
    };
    if spoilt != records && Machine::from_records(spoilt).is_ok() {
        return Err(format!("restored although record {at} {how}: {:?}", records[at]));
    }
    Ok(())
}

/// One field of one record changed: equal digests would hide that two nodes disagree.
pub(crate) fn alter(records: &[Record], digest: u64, rng: &mut Rng) -> Result<(), String> {
    let at = rng.index(records.len());
    let mut altered = records.to_vec();
    change(&mut altered[at], rng);
    assert!(altered != records, "record {at} was not altered: {:?}", records[at]);
    let what = format!("{:?}", altered[at]);
    match Machine::from_records(altered) {
        Ok(machine) if machine.digest() == digest => Err(format!("the digest overlooks {what}")),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn change(record: &mut Record, rng: &mut Rng) {
    match record {
        Record::Header(header) => match rng.below(3) {
            0 => header.revision += 1,
            1 => header.counter += 1,
            _ => header.last_stamp_ms += 1,
        },
        Record::Session(session) => change_session(session, rng),
        Record::Window(window) => match rng.below(2) {
            0 => window.seq = Seq(window.seq.get() + 1_000),
            _ => window.fingerprint = window.fingerprint.map_or(Some(1), |print| Some(print ^ 1)),
        },
        Record::WindowHolder(holder) => match rng.below(2) {
            0 => holder.token = Token(holder.token.get() + 1),
            _ => holder.since_stamp_ms += 1,
        },
        Record::Loss(loss) => match rng.below(2) {
            0 => loss.token = Token(loss.token.get() + 1),
            _ => loss.number = LossNumber(loss.number.get() + 1),
        },
        Record::Object(object) => match rng.below(4) {
            0 => object.statistics.created_stamp_ms += 1,
            1 => object.statistics.timeouts += 1,
            2 => object.statistics.cancels += 1,
            _ => object.statistics.queue_len_max += 1,
        },
        Record::Hold(hold) => change_hold(hold, rng),
        Record::Waiter(waiter) => change_waiter(waiter, rng),
    }
}

fn change_session(session: &mut SessionRecord, rng: &mut Rng) {
    match rng.below(10) {
        0 => session.secret = Secret(session.secret.0 ^ 1),
        1 => session.ttl_ms ^= 1,
        2 => session.lock_delay_ms ^= 1,
        3 => session.opened_stamp_ms += 1,
        4 => session.epoch = Epoch(session.epoch.get() + 1),
        5 => session.nonce = Some(Nonce(session.nonce.map_or(1, |nonce| nonce.0 ^ 1))),
        6 => session.generation = Generation(session.generation.get() + 1),
        7 => session.seq_max = Seq(session.seq_max.get() + 1),
        8 => session.losses_counted += 1,
        _ => session.adoption = Some(Generation(session.adoption.map_or(1, |of| of.get() ^ 1))),
    }
}

fn change_hold(hold: &mut HoldRecord, rng: &mut Rng) {
    match rng.below(8) {
        0 => hold.seq = Seq(hold.seq.get() + 1),
        1 => hold.fingerprint ^= 1,
        2 => hold.unadopted = !hold.unadopted,
        3 => hold.max_hold_ms ^= 1,
        4 => hold.timer = Some(Generation(hold.timer.map_or(1, |of| of.get() ^ 1))),
        5 => hold.owner = hold.owner.is_none().then(|| "other".into()),
        6 => hold.since_stamp_ms += 1,
        _ => hold.token = Token(hold.token.get() ^ 1),
    }
}

fn change_waiter(waiter: &mut WaiterRecord, rng: &mut Rng) {
    match rng.below(7) {
        0 => waiter.seq = Seq(waiter.seq.get() + 1),
        1 => waiter.fingerprint ^= 1,
        2 => waiter.priority ^= 1,
        3 => waiter.arrival ^= 1,
        4 => waiter.max_hold_ms ^= 1,
        5 => waiter.owner = waiter.owner.is_none().then(|| "other".into()),
        _ => waiter.since_stamp_ms += 1,
    }
}

/// Of two unadopted holds one may be unadopted and the other not: chance rarely changes just that.
#[test]
fn the_digest_sees_which_hold_is_unadopted() {
    let context = Context { term: Term(1), stamp_ms: 5 };
    let mut machine = Machine::new();
    let mut does = |command| machine.apply(&context, command, &mut Vec::new()).1;
    let name = |text| Name::new(text).expect("a valid name");
    let (secret, labels) = (Secret(7), Labels::default());
    let open = Open { secret, ttl_ms: 10_000, lock_delay_ms: 0, name: name("s"), labels };
    assert!(matches!(does(Command::Open(open)), Outcome::Opened { .. }));
    let key = SessionKey { id: SessionId(1), secret, epoch: Epoch(1) };
    for (seq, text) in [(1, "a"), (2, "b")] {
        let op = Op::Acquire(Acquire {
            name: name(text),
            demand: Demand::Mutex,
            wait: false,
            priority: 0,
            max_hold_ms: 0,
            owner: None,
            metadata: Labels::default(),
        });
        let call = Call { key, seq: Seq(seq), seen_through: Seq(0), op };
        assert!(matches!(does(Command::Call(call)), Outcome::Granted { .. }));
    }
    let resume = Resume { session: key.id, secret, expected: key.epoch, nonce: Nonce(1) };
    assert!(matches!(does(Command::Resume(resume)), Outcome::Resumed { .. }));
    let mut records: Vec<_> = machine.records().collect();
    let first = records.iter_mut().find_map(|record| match record {
        Record::Hold(hold) => Some(hold),
        _ => None,
    });
    first.expect("two holds").unadopted = false;
    let other = Machine::from_records(records).expect("as if the first had never been unadopted");
    assert_ne!(machine.digest(), other.digest());
}
