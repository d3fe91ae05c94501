//! The second opinion by itself: what has an order is found to have one, what has none is not, and unknowns stay unknown.

use conclave_machine::{Revision, Seq, SessionId, Token, Version};
use conclave_oracle::{
    Answer, Asked, Call, Change, Demand, Expect, Found, Heard, History, Reading, Wanted,
    second_opinion,
};

/// Client, asked when, asked what, answered when and what.
type Row<'a> = (&'a str, u64, Asked, Option<(u64, Answer)>);

/// A history of one name.
fn history(calls: &[Row<'_>]) -> History {
    let mut history = History::default();
    for (seq, (client, invoked_us, asked, answer)) in (1..).zip(calls) {
        let heard = |(at_us, answer): &(u64, Answer)| Heard {
            at_us: *at_us,
            revision: Revision(1),
            answer: answer.clone(),
        };
        let is_read = matches!(asked, Asked::Read(_));
        history.calls.push(Call {
            client: (*client).into(),
            session: SessionId(1),
            seq: Seq(if is_read { 0 } else { seq }),
            asked: asked.clone(),
            invoked_us: *invoked_us,
            answers: answer.iter().map(heard).collect(),
        });
    }
    history
}

fn edit(change: Change) -> Asked {
    Asked::Edit { name: "x".into(), guard: None, change }
}

fn add(delta: i64) -> Asked {
    edit(Change::AddCounter { delta })
}

fn counted(value: i64) -> Answer {
    Answer::Counted { value }
}

fn read() -> Asked {
    Asked::Read(Reading::Counter { name: "x".into() })
}

fn write(value: &[u8], expect: Expect) -> Asked {
    edit(Change::SetRegister { value: value.into(), expect, bound: false })
}

fn written(version: u64) -> Answer {
    Answer::Written { version: Version(version) }
}

fn look() -> Asked {
    Asked::Read(Reading::Register { name: "x".into() })
}

fn saw(version: u64, value: &[u8]) -> Answer {
    Answer::Register { found: Some(Found { version: Version(version), value: value.into() }) }
}

fn acquire() -> Asked {
    let items = vec![Wanted { name: "x".into(), demand: Demand::Mutex }];
    Asked::Acquire { items, wait: true, priority: 0 }
}

fn granted(token: u64) -> Answer {
    Answer::Granted { token: Token(token) }
}

fn release(token: u64) -> Asked {
    Asked::Release { token: Token(token), permits: 0 }
}

fn good(calls: &[Row<'_>]) {
    second_opinion(&history(calls)).require(&["second opinion"]).expect("an order");
}

fn bad(calls: &[Row<'_>], words: &[&str]) {
    let text = second_opinion(&history(calls)).require(&[]).expect_err("no order");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn additions_at_once_have_an_order_and_a_lost_one_has_none() {
    let one = ("ann", 0, add(1), Some((10, counted(2))));
    let two = ("bob", 5, add(1), Some((9, counted(1))));
    good(&[
        one.clone(),
        two.clone(),
        ("eve", 11, read(), Some((12, Answer::Counter { value: Some(2) }))),
    ]);
    let stale = ("eve", 11, read(), Some((12, Answer::Counter { value: Some(1) })));
    bad(&[one, two, stale], &["client eve", "object x", "Read"]);
    let lost = ("bob", 11, add(1), Some((12, counted(1))));
    bad(&[("ann", 0, add(1), Some((10, counted(1)))), lost], &["client bob"]);
}

#[test]
fn what_was_never_answered_may_have_happened_or_not_and_at_any_time_later() {
    let unknown = ("ann", 0, add(10), None);
    let look = |at, value| ("eve", at, read(), Some((at + 1, Answer::Counter { value })));
    good(&[unknown.clone(), look(1, None), look(5, None)]);
    good(&[unknown.clone(), look(1, None), look(5, Some(10))]);
    // But it happens once, and does not go away again.
    bad(&[unknown.clone(), look(1, Some(10)), look(5, None)], &["client eve"]);
    bad(&[unknown, look(1, Some(20))], &["client eve"]);
    // Not before it was asked.
    let late = ("ann", 9, add(10), None);
    bad(&[late, look(1, Some(10))], &["client eve"]);
}

#[test]
fn a_register_is_what_was_written_last() {
    let one = ("ann", 0, write(b"a", Expect::Anything), Some((2, written(5))));
    let two = ("bob", 3, write(b"b", Expect::Version(Version(5))), Some((6, written(7))));
    let look = |at, answer| ("eve", at, look(), Some((at + 1, answer)));
    good(&[one.clone(), two.clone(), look(4, saw(5, b"a")), look(7, saw(7, b"b"))]);
    bad(&[one.clone(), two.clone(), look(7, saw(5, b"a"))], &["client eve"]);
    // Versions rise.
    let old = ("bob", 3, write(b"b", Expect::Anything), Some((6, written(4))));
    bad(&[one.clone(), old], &["client bob"]);
    // Two that both replaced the same version.
    let both = ("ann", 7, write(b"c", Expect::Version(Version(5))), Some((8, written(9))));
    bad(&[one.clone(), two.clone(), both], &["client ann"]);
    let told = Answer::Conflict { version: Some(Version(7)) };
    let conflict = ("ann", 7, write(b"c", Expect::Version(Version(5))), Some((8, told)));
    good(&[one.clone(), two, conflict.clone()]);
    bad(&[one, conflict], &["client ann"]);
    // Whoever never heard its version may be read under any new one.
    good(&[
        ("ann", 0, write(b"a", Expect::Absent), None),
        look(4, saw(3, b"a")),
        look(7, saw(3, b"a")),
    ]);
}

#[test]
fn a_mutex_has_one_holder_and_rising_tokens() {
    let first = ("ann", 0, acquire(), Some((2, granted(3))));
    let freed = ("ann", 5, release(3), Some((9, Answer::Released)));
    let second = ("bob", 1, acquire(), Some((8, granted(4))));
    good(&[first.clone(), freed.clone(), second.clone()]);
    let early = ("bob", 1, acquire(), Some((4, granted(4))));
    bad(&[first.clone(), freed.clone(), early.clone()], &["object x", "Granted"]);
    // Unless the first one may have lost it: its release was never answered.
    good(&[first.clone(), ("ann", 5, release(3), None), early]);
    let lower = ("bob", 10, acquire(), Some((12, granted(2))));
    bad(&[first.clone(), freed.clone(), lower], &["client bob"]);
    let held = ("eve", 10, acquire(), Some((11, Answer::Held)));
    bad(&[first.clone(), freed.clone(), held.clone()], &["client eve", "Held"]);
    good(&[first, freed, held, ("bob", 3, acquire(), None)]);
}

#[test]
fn names_of_several_kinds_are_left_to_the_log() {
    let verdict = second_opinion(&history(&[
        ("ann", 0, add(1), Some((1, counted(77)))),
        ("bob", 2, acquire(), Some((3, granted(1)))),
    ]));
    assert_eq!((verdict.findings.len(), verdict.judged_by("second opinion")), (0, 0));
}
