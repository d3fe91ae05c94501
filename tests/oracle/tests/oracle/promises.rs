//! Each promise: a good run that shows it, and a spoiled one that breaks it and is caught.

use conclave_machine::{
    Command, Demand, Due, Event, Generation, Mode, Op, Outcome, Revision, Seq, SessionEnd,
    SessionId, SessionKey, Timer, Token,
};
use conclave_oracle::{Answer, Belief, Demand as Believed, LogbookError, Renewal, Told, Watch};
use conclave_store::LogPosition;

use crate::heard::ordinary;
use crate::stage::Stage;

/// Of one session.
fn expire(stage: &mut Stage, session: SessionId) -> Outcome {
    let timer = Timer::Session(session);
    let generation = stage.machine.timer_generation(&timer).unwrap_or(Generation(0));
    let term = stage.context().term;
    stage.happens(&Command::Due(Due { timer, generation, term }))
}

fn renewed(stage: &mut Stage, key: SessionKey) {
    stage.history.renewals.push(Renewal {
        client: "ann".into(),
        session: key.id,
        sent_us: stage.now_us,
        acknowledged_us: Some(stage.now_us + 1),
    });
}

fn believes(stage: &mut Stage, client: &str, key: SessionKey, token: Token, demand: Believed) {
    let (from_us, to_us) = (stage.now_us, stage.now_us + 500);
    stage.history.beliefs.push(Belief {
        client: client.into(),
        session: key.id,
        name: "lock".into(),
        demand,
        token,
        from_us,
        to_us,
    });
}

#[test]
fn two_grants_under_one_token_are_caught() {
    let mut stage = Stage::new();
    let ann = stage.open("ann", 5_000);
    let first = stage.granted("ann", ann, 1, "one", Demand::Mutex);
    stage.granted("ann", ann, 2, "two", Demand::Mutex);
    stage.good(&["tokens"]);
    stage.history.calls[2].answers[0].answer = Answer::Granted { token: first };
    stage
        .caught("tokens", &["client ann", "seq 2", "revision 3", "was granted to session 1 seq 1"]);
    stage.history.calls[2].answers[0].answer = Answer::Granted { token: Token(1) };
    stage.caught("tokens", &["token 1 was granted after"]);
}

#[test]
fn two_holders_of_a_mutex_are_caught() {
    let mut stage = ordinary();
    stage.good(&["holders", "fifo", "rules"]);
    // The node grants at once what it should have queued.
    stage.history.witnessed[3].outcome = Outcome::Granted { token: Token(9), waiting: 0 };
    stage
        .caught("holders", &["revision 4", "session 3", "object lock", "was granted beside token"]);
    stage.caught("witnesses", &["node a did Granted", "the log says Queued"]);
}

#[test]
fn permits_beyond_the_limit_are_caught() {
    let mut stage = Stage::new();
    let ann = stage.open("ann", 5_000);
    let permits = |weight| Demand::Permits { weight, limit: 3 };
    stage.granted("ann", ann, 1, "sem", permits(2));
    stage.acquire("ann", ann, 2, "sem", permits(2));
    stage.good(&["holders"]);
    stage.history.witnessed[2].outcome = Outcome::Granted { token: Token(9), waiting: 0 };
    stage.caught("holders", &["object sem", "beside 2 of 3 permits"]);
}

#[test]
fn a_waiter_that_is_overtaken_is_caught() {
    let mut stage = Stage::new();
    let ann = stage.open("ann", 5_000);
    let token = stage.granted("ann", ann, 1, "lock", Demand::Mutex);
    stage.acquire("ann", ann, 2, "lock", Demand::Mutex);
    stage.acquire("ann", ann, 3, "lock", Demand::Mutex);
    stage.call("ann", ann, 4, Op::Release { token, permits: 0 });
    stage.good(&["fifo"]);
    let released = stage.history.witnessed.last_mut().expect("the release");
    for event in &mut released.events {
        if let Event::Granted { seq, .. } = event {
            *seq = Seq(3);
        }
    }
    stage.caught("fifo", &["revision 5", "seq 3", "object lock", "before session 1 seq 2"]);
}

#[test]
fn a_grant_to_a_dead_session_is_caught() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.open("ann", 5_000), stage.open("bob", 5_000));
    let token = stage.granted("ann", ann, 1, "lock", Demand::Mutex);
    stage.acquire("bob", bob, 1, "lock", Demand::Mutex);
    assert_eq!(expire(&mut stage, bob.id), Outcome::Done);
    stage.call("ann", ann, 2, Op::Release { token, permits: 0 });
    stage.good(&["dead sessions"]);
    let late = Event::Granted {
        session: bob.id,
        seq: Seq(1),
        name: crate::stage::name("lock"),
        token: Token(99),
        waiting: 0,
    };
    let mut spoiled = stage.clone();
    spoiled.history.witnessed.last_mut().expect("the release").events.push(late);
    spoiled.caught("dead sessions", &["revision 6", "token 99", "session that had ended"]);
    let wait =
        stage.history.calls.iter_mut().find(|call| call.client == "bob" && call.seq == Seq(1));
    let last = wait.expect("the wait").answers.last_mut().expect("its end");
    (last.revision, last.answer) = (Revision(6), Answer::Granted { token: Token(99) });
    stage.caught("dead sessions", &["client bob", "seq 1", "the session ended at revision 5"]);
}

#[test]
fn a_session_that_expires_before_its_ttl_is_caught() {
    let mut stage = Stage::new();
    let ann = stage.open("ann", 5_000);
    renewed(&mut stage, ann);
    stage.now_us += 5_000_000;
    expire(&mut stage, ann.id);
    stage.good(&["early expiry"]);
    let mut early = Stage::new();
    let ann = early.open("ann", 5_000);
    renewed(&mut early, ann);
    early.now_us += 4_900_000;
    expire(&mut early, ann.id);
    early.caught("early expiry", &["client ann", "session 1", "TTL of 5000 ms", "revision 2"]);
    // What was never acknowledged binds nobody.
    early.history.renewals[0].acknowledged_us = None;
    early.good(&[]);
}

#[test]
fn a_dead_session_that_never_expires_is_caught() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.open("ann", 5_000), stage.open("bob", 5_000));
    stage.now_us += 6_000_000;
    expire(&mut stage, ann.id);
    renewed(&mut stage, bob);
    let terms = &mut stage.history.terms;
    (terms.healed_us, terms.fail_over_us) = (Some(1_000), 1_000_000);
    terms.ended_us = stage.now_us + 6_000_000;
    stage.good(&["bounded expiry"]);
    stage.history.terms.ended_us += 2_000_000;
    stage.caught("bounded expiry", &["session 3", "TTL of 5000 ms", "should have expired by"]);
    // A new leader begins anew.
    stage.now_us += 1_000_000;
    stage.new_leader();
    stage.good(&["bounded expiry"]);
}

#[test]
fn what_is_left_at_the_end_is_caught() {
    let mut stage = Stage::new();
    let ann = stage.open("ann", 5_000);
    let token = stage.granted("ann", ann, 1, "lock", Demand::Mutex);
    stage.acquire("ann", ann, 2, "lock", Demand::Mutex);
    stage.history.terms.drained = true;
    stage.caught("drained", &["session 1", "seq 2", "still waits"]);
    stage.caught("drained", &["session 1", "object lock", "is still held"]);
    stage.call("ann", ann, 3, Op::Release { token, permits: 0 });
    stage.ask("ann", &Command::Close { key: ann });
    stage.good(&["drained"]);
}

/// Two clients that hold the lock at one time, as their demands let them.
fn both(demands: [(Demand, Believed); 2]) -> Stage {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.open("ann", 5_000), stage.open("bob", 5_000));
    let [(one, one_believed), (two, two_believed)] = demands;
    let token = stage.granted("ann", ann, 1, "lock", one);
    let other = stage.granted("bob", bob, 1, "lock", two);
    believes(&mut stage, "ann", ann, token, one_believed);
    stage.now_us += 499;
    believes(&mut stage, "bob", bob, other, two_believed);
    stage
}

#[test]
fn beliefs_that_overlap_are_caught() {
    let read = (Demand::RwLock(Mode::Read), Believed::Read);
    let mut stage = both([read, read]);
    stage.good(&["beliefs"]);
    stage.history.beliefs[1].demand = Believed::Write;
    let words =
        ["client bob", "session 3", "object lock", "while client ann session 1 believed so"];
    stage.caught("beliefs", &words);
    // The end is exclusive.
    stage.history.beliefs[1].from_us += 1;
    stage.good(&["beliefs"]);
    let permits =
        |weight, limit| (Demand::Permits { weight, limit }, Believed::Permits { weight, limit });
    let mut stage = both([permits(2, 3), permits(1, 3)]);
    stage.good(&["beliefs"]);
    stage.history.beliefs[1].demand = permits(2, 3).1;
    stage.caught("beliefs", &["client bob", "2 permits", "2 of 3"]);
}

#[test]
fn a_belief_that_the_log_does_not_bear_out_is_caught() {
    let read = (Demand::RwLock(Mode::Read), Believed::Read);
    let mut stage = both([read, read]);
    let token = stage.history.beliefs[0].token;
    stage.history.beliefs[0].token = Token(99);
    stage.caught("beliefs", &["client ann", "token 99", "granted to nobody"]);
    stage.history.beliefs[0].token = token;
    stage.history.beliefs[1].token = token;
    stage.caught("beliefs", &["client bob", "granted to session 1"]);
}

#[test]
fn a_belief_beyond_the_end_of_the_hold_is_caught() {
    let mut stage = Stage::new();
    let ann = stage.open("ann", 5_000);
    let token = stage.granted("ann", ann, 1, "lock", Demand::Mutex);
    believes(&mut stage, "ann", ann, token, Believed::Mutex);
    stage.call("ann", ann, 2, Op::Release { token, permits: 0 });
    stage.good(&["beliefs"]);
    stage.history.beliefs[0].to_us += 1_000;
    stage.caught("beliefs", &["client ann", "revision 3", "object lock", "which had ended at"]);
}

#[test]
fn a_silent_gap_in_a_watch_is_caught() {
    let mut stage = ordinary();
    let mut told = vec![Told::Whole { revision: Revision(2) }];
    for seen in &stage.history.witnessed {
        for (n, event) in (1..).zip(&seen.events) {
            if let Event::Noted { name, note } = event {
                let (revision, name) = (seen.revision, name.as_str().to_owned());
                told.push(Told::Note { revision, n, name, note: conclave_oracle::note_text(note) });
            }
        }
    }
    told.push(Told::Through { revision: stage.machine.revision() });
    let watch = Watch { client: "eve".into(), prefix: "lo".into(), told };
    let lock = |told: &Told| !matches!(told, Told::Note { name, .. } if name != "lock");
    let told: Vec<_> = watch.told.iter().filter(|told| lock(told)).cloned().collect();
    stage.history.watches = vec![Watch { told: told.clone(), ..watch.clone() }];
    stage.good(&["watches"]);
    let spoil = |change: &dyn Fn(&mut Vec<Told>)| {
        let mut stage = stage.clone();
        change(&mut stage.history.watches[0].told);
        stage
    };
    let gap = spoil(&|told| drop(told.remove(2)));
    gap.caught("watches", &["client eve", "object lock", "never heard", "a silent gap"]);
    let end = spoil(&|told| drop(told.remove(told.len() - 2)));
    end.caught("watches", &["never heard", "was told that revision 7 is all"]);
    let twice = spoil(&|told| told.insert(2, told[1].clone()));
    twice.caught("watches", &["again, or out of order"]);
    // A resync says that something was missed: that is no silent gap.
    let resync = spoil(&|told| told[2] = Told::Whole { revision: Revision(7) });
    assert!(resync.judged().findings.iter().all(|finding| !finding.what.contains("silent gap")));
}

#[test]
fn a_replica_with_another_state_is_caught() {
    let mut stage = ordinary();
    stage.good(&["replicas"]);
    let applied = &mut stage.history.applied[9];
    assert_eq!(applied.node, "b");
    *applied.digest.as_mut().expect("a digest") ^= 1;
    stage.caught("replicas", &["node b", "after entry 5", "revision 5"]);
    let mut stage = ordinary();
    stage.history.applied[9].revision = Some(Revision(4));
    stage.caught("replicas", &["node b is at revision 4", "the log is at 5"]);
}

#[test]
fn two_logs_that_differ_are_no_log() {
    let mut stage = ordinary();
    let position = LogPosition { term: 1, index: 3 };
    let error =
        stage.book.add("c", position, bytes::Bytes::from_static(&[1, 0])).expect_err("a fork");
    assert!(matches!(error, LogbookError::Forked { index: 3, .. }), "{error}");
    assert!(error.to_string().contains("node a"), "{error}");
    let mut holed = conclave_oracle::Logbook::new();
    holed.add("a", position, bytes::Bytes::from_static(&[1, 0])).expect("the first");
    assert!(matches!(holed.log(), Err(LogbookError::Hole { index: 1 })));
}

#[test]
fn a_node_that_does_something_else_the_second_time_is_caught() {
    let mut stage = ordinary();
    let mut again = stage.history.witnessed[3].clone();
    stage.history.witnessed.push(again.clone());
    stage.good(&["witnesses"]);
    again.events.clear();
    again.outcome = Outcome::Ended;
    stage.history.witnessed.push(again);
    stage.caught("witnesses", &["revision 4", "node a", "when it applied this again"]);
}

/// A session that an operator or its client ended is no early expiry.
#[test]
fn an_end_in_good_order_is_no_expiry() {
    let mut stage = Stage::new();
    let ann = stage.open("ann", 5_000);
    renewed(&mut stage, ann);
    stage.ask("ann", &Command::Close { key: ann });
    stage.good(&[]);
    assert_eq!(stage.judged().judged_by("early expiry"), 0);
    let ended = Event::SessionEnded { session: ann.id, end: SessionEnd::Closed };
    assert!(stage.history.witnessed[1].events.contains(&ended));
}
