//! Records that were tampered with: either they make no machine, or one that its digest tells from the first.

use conclave_machine::{
    Acquire, Call, Campaign, Command, Context, Demand, Edited, Epoch, Generation, HoldRecord,
    Items, Labels, LossNumber, Machine, Mode, Name, Nonce, Op, Open, Outcome, Passed, Quiet,
    Record, Recorded, Refusal, Resume, Secret, Seq, SessionId, SessionKey, SessionRecord,
    StateRecord, Term, Token, Value, Version, WaiterRecord,
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
            let next = (at + 1) % records.len();
            let pair = (&records[at], &records[next]);
            if let (Record::ValuePart(_), Record::ValuePart(_)) | (Record::End(_), Record::End(_)) =
                pair
            {
                // Another value, or waits that ended the other way round: no record speaks against it.
                return Ok(());
            }
            spoilt.swap(at, next);
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

fn another_quiet(quiet: Option<Quiet>) -> Option<Quiet> {
    match quiet {
        None => Some(Quiet { generation: Generation(1), after_ms: 1 }),
        Some(quiet) => Some(Quiet { after_ms: quiet.after_ms + 1, ..quiet }),
    }
}

fn change(record: &mut Record, rng: &mut Rng) {
    match record {
        Record::Header(header) => match rng.below(4) {
            0 => header.revision += 1,
            1 => header.counter += 1,
            2 => header.quiet = another_quiet(header.quiet),
            _ => header.last_stamp_ms += 1,
        },
        Record::Session(session) => change_session(session, rng),
        Record::Window(window) | Record::End(window) => match rng.below(3) {
            0 => window.seq = Seq(window.seq.get() + 1_000),
            1 => window.answer = another_answer(&window.answer),
            _ => window.fingerprint = window.fingerprint.map_or(Some(1), |print| Some(print ^ 1)),
        },
        Record::Loss(loss) => match rng.below(2) {
            0 => loss.token = Token(loss.token.get() + 1),
            _ => loss.number = LossNumber(loss.number.get() + 1),
        },
        Record::Object(object) => match rng.below(8) {
            0 => object.statistics.created_stamp_ms += 1,
            1 => object.statistics.timeouts += 1,
            2 => object.statistics.cancels += 1,
            3 => object.statistics.queue_len_max += 1,
            4 => object.statistics.passes += 1,
            _ => change_state(&mut object.state, rng),
        },
        Record::ValuePart(part) => {
            let mut bytes = part.as_bytes().to_vec();
            match bytes.first_mut() {
                Some(byte) => *byte ^= 1,
                None => bytes.push(1),
            }
            *part = Value::new(&bytes);
        }
        Record::CountKey(key) => *key = format!("{key}-altered").into(),
        Record::Hold(hold) => change_hold(hold, rng),
        Record::Waiter(waiter) => change_waiter(waiter, rng),
    }
}

/// Another one, as like it as can be.
fn another_answer(answer: &Recorded) -> Recorded {
    match answer {
        Recorded::Granted { token } => Recorded::Granted { token: Token(token.get() ^ 1) },
        Recorded::Held { name } => Recorded::TimedOut { name: name.clone() },
        Recorded::TimedOut { name } => Recorded::Held { name: name.clone() },
        Recorded::Passed(passed) => Recorded::Passed(Passed { index: passed.index ^ 1, ..*passed }),
        Recorded::Completed { version } => {
            Recorded::Completed { version: Version(version.get() ^ 1) }
        }
        Recorded::Edited(edited) => Recorded::Edited(another_edit(edited)),
        Recorded::Refused(refusal) if **refusal == Refusal::NotHolder => {
            Recorded::Refused(Box::new(Refusal::NotFound))
        }
        Recorded::Refused(_) => Recorded::Refused(Box::new(Refusal::NotHolder)),
        Recorded::Queued => Recorded::Cancelled,
        Recorded::Cancelled => Recorded::Released,
        Recorded::Released => Recorded::Downgraded,
        Recorded::Downgraded => Recorded::Proclaimed,
        Recorded::Proclaimed => Recorded::EligibleSet,
        Recorded::EligibleSet => Recorded::Released,
    }
}

fn another_edit(edited: &Edited) -> Edited {
    match edited {
        Edited::Latch { round, remaining } => {
            Edited::Latch { round: *round, remaining: remaining ^ 1 }
        }
        Edited::Gate { open } => Edited::Gate { open: !open },
        Edited::Register { version } => Edited::Conflict { version: Some(*version) },
        Edited::RegisterDeleted => Edited::Conflict { version: None },
        Edited::Conflict { version } => {
            Edited::Conflict { version: if version.is_some() { None } else { Some(Version(1)) } }
        }
        Edited::Counter { value } => Edited::Counter { value: value ^ 1 },
    }
}

fn change_state(state: &mut StateRecord, rng: &mut Rng) {
    let once_more = |version: &mut Version| *version = Version(version.get() ^ 1);
    match state {
        StateRecord::Mutex => *state = StateRecord::RwLock,
        StateRecord::RwLock => *state = StateRecord::Mutex,
        StateRecord::Semaphore { declared, limit, version, resized } => match rng.below(4) {
            0 => *declared += 1,
            1 => *limit += 1,
            2 => once_more(version),
            _ => *resized = !*resized,
        },
        StateRecord::Election { successor } => {
            *successor = match successor {
                Some(_) => None,
                None => Some((SessionId(1), Seq(1))),
            };
        }
        StateRecord::Once { attempts, done: None } => *attempts += 1,
        StateRecord::Once { attempts, done: Some(done) } => match rng.below(4) {
            0 => *attempts += 1,
            1 => once_more(&mut done.version),
            2 => done.timer = Generation(done.timer.get() ^ 1),
            _ => done.retention_ms ^= 1,
        },
        StateRecord::Latch { count, remaining, round, .. } => match rng.below(3) {
            0 => *count += 1,
            1 => *remaining ^= 1,
            _ => once_more(round),
        },
        StateRecord::Gate { open, version } => match rng.below(2) {
            0 => *open = !*open,
            _ => once_more(version),
        },
        StateRecord::Barrier { parties, break_on_loss } => match rng.below(2) {
            0 => *parties += 1,
            _ => *break_on_loss = !*break_on_loss,
        },
        StateRecord::Register { version, bound_to, .. } => match rng.below(2) {
            0 => once_more(version),
            _ => *bound_to = bound_to.is_none().then_some(SessionId(1)),
        },
        StateRecord::Counter { value } => *value ^= 1,
    }
}

fn change_session(session: &mut SessionRecord, rng: &mut Rng) {
    match rng.below(11) {
        0 => session.secret = Secret(session.secret.0 ^ 1),
        1 => session.ttl_ms ^= 1,
        2 => session.lock_delay_ms ^= 1,
        3 => session.opened_stamp_ms += 1,
        4 => session.epoch = Epoch(session.epoch.get() + 1),
        5 => session.nonce = Some(Nonce(session.nonce.map_or(1, |nonce| nonce.0 ^ 1))),
        6 => session.generation = Generation(session.generation.get() + 1),
        7 => session.seq_max = Seq(session.seq_max.get() + 1),
        8 => session.losses_counted += 1,
        9 => session.attach_number += 1,
        _ => session.adoption = Some(Generation(session.adoption.map_or(1, |of| of.get() ^ 1))),
    }
}

fn change_hold(hold: &mut HoldRecord, rng: &mut Rng) {
    match rng.below(12) {
        0 => hold.seq = Seq(hold.seq.get() + 1),
        1 => hold.fingerprint ^= 1,
        2 => hold.unadopted = !hold.unadopted,
        3 => hold.max_hold_ms ^= 1,
        4 => hold.timer = Some(Generation(hold.timer.map_or(1, |of| of.get() ^ 1))),
        5 => hold.owner = hold.owner.is_none().then(|| "other".into()),
        6 => hold.since_stamp_ms += 1,
        7 => hold.priority ^= 1,
        8 => hold.preempt = Some(Generation(hold.preempt.map_or(1, |of| of.get() ^ 1))),
        9 => hold.campaign = changed_campaign(hold.campaign.as_ref(), rng),
        10 => hold.items = changed_items(&hold.items, rng),
        _ => hold.token = Token(hold.token.get() ^ 1),
    }
}

fn change_waiter(waiter: &mut WaiterRecord, rng: &mut Rng) {
    match rng.below(10) {
        0 => waiter.seq = Seq(waiter.seq.get() + 1),
        1 => waiter.fingerprint ^= 1,
        2 => waiter.priority ^= 1,
        3 => waiter.arrival ^= 1,
        4 => waiter.max_hold_ms ^= 1,
        5 => waiter.owner = waiter.owner.is_none().then(|| "other".into()),
        6 => waiter.upgrades = Some(Token(waiter.upgrades.map_or(1, |of| of.get() ^ 1))),
        7 => waiter.campaign = changed_campaign(waiter.campaign.as_ref(), rng),
        8 => waiter.items = changed_items(&waiter.items, rng),
        _ => waiter.since_stamp_ms += 1,
    }
}

fn changed_campaign(campaign: Option<&Campaign>, rng: &mut Rng) -> Option<Campaign> {
    let Some(campaign) = campaign else {
        let value = Value::new(b"spoilt");
        return Some(Campaign { value, eligible: true, preempt_after_ms: None });
    };
    let mut campaign = campaign.clone();
    match rng.below(3) {
        0 => campaign.eligible = !campaign.eligible,
        1 => campaign.preempt_after_ms = campaign.preempt_after_ms.is_none().then_some(7),
        _ => campaign.value = Value::new(&[campaign.value.as_bytes(), b"spoilt"].concat()),
    }
    Some(campaign)
}

/// One demand changed; of several items perhaps their order.
fn changed_items(items: &Items, rng: &mut Rng) -> Items {
    let mut items: Vec<_> = items.iter().cloned().collect();
    let at = rng.index(items.len());
    if items.len() > 1 && rng.chance(50) {
        items.rotate_left(1);
        return Items::new(items).expect("as many as before");
    }
    let demand = &mut items[at].demand;
    *demand = match *demand {
        Demand::Mutex => Demand::Lead,
        Demand::RwLock(Mode::Read) => Demand::RwLock(Mode::Write),
        Demand::RwLock(Mode::Upgradable | Mode::Write) => Demand::RwLock(Mode::Read),
        Demand::Permits { weight, limit } => Demand::Permits { weight: weight ^ 1, limit },
        Demand::Lead => Demand::Mutex,
        Demand::Run { attempts_max } => Demand::Run { attempts_max: attempts_max ^ 1 },
        Demand::Latch => Demand::Gate,
        Demand::Gate => Demand::Latch,
        Demand::Arrive { parties, break_on_loss } => {
            Demand::Arrive { parties, break_on_loss: !break_on_loss }
        }
    };
    Items::new(items).expect("as many as before")
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
        let op = Op::Acquire(Acquire::of(name(text), Demand::Mutex));
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
