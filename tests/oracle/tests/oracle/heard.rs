//! What clients heard and saw: answers, reads, order, and that nothing acknowledged was lost.

use conclave_machine::{Change, Demand, Edit, Expect, Op, Revision, Seq, Token, Value};
use conclave_oracle::{Answer, Asked, Call, Found, Heard, Holding, Reading, judge, lines};

use crate::stage::{Stage, name};

/// Two clients, one mutex, a register: granted, queued, released, granted.
pub(crate) fn ordinary() -> Stage {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.open("ann", 5_000), stage.open("bob", 5_000));
    let token = stage.granted("ann", ann, 1, "lock", Demand::Mutex);
    stage.acquire("bob", bob, 1, "lock", Demand::Mutex);
    stage.call("ann", ann, 2, write("r", b"one"));
    stage.call("ann", ann, 3, Op::Release { token, permits: 0 });
    stage.call("bob", bob, 2, write("r", b"two"));
    stage.history.terms.all_calls_recorded = true;
    stage
}

fn write(of: &str, value: &[u8]) -> Op {
    Op::Edit(Edit {
        name: name(of),
        guard: None,
        change: Change::SetRegister {
            value: Value::new(value),
            expect: Expect::Anything,
            bound: false,
        },
    })
}

fn answer<'a>(stage: &'a mut Stage, client: &str, seq: u64) -> &'a mut Vec<Heard> {
    let calls = stage.history.calls.iter_mut();
    let mut calls = calls.filter(|call| call.client == client && call.seq == Seq(seq));
    &mut calls.next().expect("a call").answers
}

fn read(stage: &mut Stage, reading: Reading, answer: Answer) {
    let revision = stage.machine.revision();
    stage.history.calls.push(Call {
        client: "eve".into(),
        session: conclave_machine::SessionId(0),
        seq: Seq(0),
        asked: Asked::Read(reading),
        invoked_us: stage.now_us + 1,
        answers: vec![Heard { at_us: stage.now_us + 2, revision, answer }],
    });
    stage.now_us += 3;
}

#[test]
fn an_ordinary_run_is_good() {
    ordinary().good(&["answers", "durable", "order", "machine"]);
}

#[test]
fn another_token_than_the_log_says_is_caught() {
    let mut stage = ordinary();
    answer(&mut stage, "bob", 1)[1].answer = Answer::Granted { token: Token(77) };
    stage.caught("answers", &["client bob", "seq 1", "object lock", "Granted", "77", "revision 6"]);
}

#[test]
fn a_grant_where_the_log_has_something_else_is_caught() {
    let mut stage = ordinary();
    answer(&mut stage, "bob", 1)[1].revision = Revision(5);
    stage.caught("answers", &["client bob", "seq 1", "revision 5", "what was decided there is"]);
}

#[test]
fn an_answer_that_the_log_lost_is_caught() {
    let mut stage = ordinary();
    answer(&mut stage, "bob", 2)[0].revision = Revision(8);
    stage.caught("durable", &["client bob", "seq 2", "ends at revision 7", "lost"]);
}

#[test]
fn a_command_that_nobody_asked_for_is_caught() {
    let mut stage = ordinary();
    stage.history.calls.retain(|call| call.client != "ann" || call.seq != Seq(2));
    stage.caught("durable", &["nobody asked for", "revision 5", "seq 2"]);
}

#[test]
fn what_was_never_answered_is_unknown() {
    let mut stage = ordinary();
    answer(&mut stage, "bob", 2).clear();
    answer(&mut stage, "ann", 3).clear();
    stage.good(&["answers"]);
    // A call that never got into the log is unknown too.
    let lost = stage.history.calls.last().expect("a call").clone();
    stage.history.calls.push(Call { seq: Seq(3), answers: Vec::new(), ..lost });
    stage.good(&["answers"]);
}

#[test]
fn a_later_call_with_a_lower_revision_is_caught() {
    let mut stage = ordinary();
    let late = stage.now_us + 1_000;
    let write = stage.history.calls.iter_mut().find(|call| call.seq == Seq(2));
    let write = write.expect("ann's write");
    (write.invoked_us, write.answers[0].at_us) = (late, late + 1);
    stage.caught(
        "order",
        &["client ann", "seq 2", "revision 5", "of client bob was answered before"],
    );
}

#[test]
fn a_read_sees_what_was_answered_before_it() {
    let mut stage = ordinary();
    let (version, value) = {
        let found = stage.machine.register_value(&name("r")).expect("a register");
        (found.version, found.value.as_bytes().to_vec())
    };
    let register = || Reading::Register { name: "r".into() };
    read(&mut stage, register(), Answer::Register { found: Some(Found { version, value }) });
    let check = Reading::Check { name: "lock".into(), token: Token(1) };
    read(&mut stage, check, Answer::Checked { state: Holding::NotHeld });
    stage.good(&["reads"]);
    let mut stale = stage.clone();
    let last = stale.history.calls.iter_mut().find(|call| call.asked == Asked::Read(register()));
    last.expect("the read").answers[0].revision = Revision(6);
    stale.caught("order", &["client eve", "revision 6", "object r"]);
    stale.caught("reads", &["client eve", "object r", "but the state there is"]);
    read(&mut stage, register(), Answer::Register { found: None });
    stage.caught("reads", &["client eve", "object r", "saw Register { found: None }"]);
}

#[test]
fn the_report_tells_the_way_and_no_more() {
    let mut stage = ordinary();
    answer(&mut stage, "bob", 1)[1].answer = Answer::Granted { token: Token(77) };
    let report = stage.judged().to_string();
    assert!(report.contains("session 3 seq 1 Acquire"), "{report}");
    assert!(report.contains("revision 6 (entry 6, term 1)"), "{report}");
    assert!(!report.contains("  revision 7"), "nothing after it: {report}");
    assert!(!report.contains("  revision 5"), "nothing of others: {report}");
}

#[test]
fn a_history_is_the_same_after_it_was_a_file() {
    let stage = ordinary();
    let mut file = Vec::new();
    for call in &stage.history.calls {
        lines::write(&mut file, &lines::Line::Call(call.clone())).expect("memory");
    }
    for applied in &stage.history.applied {
        lines::write(&mut file, &lines::Line::Applied(applied.clone())).expect("memory");
    }
    lines::write(&mut file, &lines::Line::Terms(stage.history.terms.clone())).expect("memory");
    // A process was killed while it wrote.
    file.extend(br#"{"call":{"client":"bo"#);
    let mut history = conclave_oracle::History::default();
    lines::read(&*file, &mut history).expect("lines");
    assert_eq!(history.calls, stage.history.calls);
    assert_eq!(history.applied, stage.history.applied);
    assert_eq!(history.terms, stage.history.terms);
    judge(&history, &stage.log()).require(&["answers"]).expect("good");
    let broken = lines::read(&b"{\n"[..], &mut history).expect_err("no object");
    assert!(broken.to_string().contains("line 1"), "{broken}");
}
