//! Histories in which something went wrong: a judge that lets one pass is no judge.

use std::collections::BTreeMap;

use crate::facts::{Fact, Line, Share};
use crate::judge::History;

/// What is planted, and a word of the finding.
type Case = (&'static str, &'static str, Vec<Line>);

fn line(at: u64, task: &str, fact: Fact) -> Line {
    Line { at, task: task.to_owned(), fact }
}

fn asked(at: u64, task: &str, op: u64, name: &str) -> Line {
    line(at, task, Fact::Asked { op, name: name.to_owned() })
}

fn granted(at: u64, task: &str, op: u64, name: &str, token: u64, share: Share) -> Line {
    line(at, task, Fact::Granted { op, name: name.to_owned(), token, share })
}

fn believed(at: u64, task: &str, op: u64) -> Line {
    line(at, task, Fact::Believed { op })
}

/// Asked, granted and believed until the end.
fn held(task: &str, name: &str, token: u64, share: Share, from: u64, until: u64) -> Vec<Line> {
    vec![
        asked(from - 1, task, 1, name),
        granted(from, task, 1, name, token, share),
        believed(until, task, 1),
        line(until + 1, task, Fact::Releasing { op: 1 }),
        line(until + 2, task, Fact::Released { op: 1 }),
    ]
}

fn both(one: Vec<Line>, other: Vec<Line>) -> Vec<Line> {
    one.into_iter().chain(other).collect()
}

fn holds() -> Vec<Case> {
    let two_of_three = Share::Permits(2, 3);
    let several = vec![("m".to_owned(), Share::Alone), ("n".to_owned(), Share::Alone)];
    vec![
        (
            "two holders of a mutex",
            "held at one time",
            both(
                held("a/1", "m", 1, Share::Alone, 10, 20),
                held("b/1", "m", 2, Share::Alone, 20, 30),
            ),
        ),
        (
            "a writer beside a reader",
            "held at one time",
            both(
                held("a/1", "m", 1, Share::Shared, 10, 20),
                held("b/1", "m", 2, Share::Alone, 15, 30),
            ),
        ),
        (
            "four permits of three",
            "held at one time",
            both(
                held("a/1", "m", 1, two_of_three, 10, 20),
                held("b/1", "m", 2, two_of_three, 15, 30),
            ),
        ),
        (
            "one of several at once beside its holder",
            "held at one time",
            both(
                vec![
                    asked(14, "b/1", 1, "several"),
                    line(15, "b/1", Fact::GrantedAll { op: 1, token: 2, shares: several }),
                    believed(30, "b/1", 1),
                ],
                held("a/1", "n", 1, Share::Alone, 10, 20),
            ),
        ),
        (
            "a token twice",
            "was given twice",
            both(
                held("a/1", "m", 7, Share::Alone, 10, 20),
                held("b/1", "n", 7, Share::Alone, 15, 30),
            ),
        ),
        (
            "a token that falls",
            "is smaller than one seen",
            both(
                held("a/1", "m", 8, Share::Alone, 10, 20),
                held("b/1", "m", 7, Share::Alone, 25, 30),
            ),
        ),
        (
            "a waiter overtaken",
            "was overtaken",
            vec![
                asked(1, "a/1", 1, "long"),
                line(2, "a/1", Fact::Queued { op: 1 }),
                asked(3, "b/1", 1, "long"),
                granted(4, "b/1", 1, "long", 5, Share::Alone),
                granted(9, "a/1", 1, "long", 6, Share::Alone),
            ],
        ),
    ]
}

fn values() -> Vec<Case> {
    let wrote = |at, op, version, token| line(at, "a/1", Fact::Wrote { op, version, token });
    let read = |at, op, version, token| line(at, "b/1", Fact::Read { op, version, token });
    let counted = |op, value| line(5, "a/1", Fact::Counted { op, value });
    let pass =
        |task, index| line(5, task, Fact::Passed { op: 1, generation: 3, index, parties: 2 });
    let done =
        |task, token, ran| line(5, task, Fact::Done { op: 1, name: "once".to_owned(), token, ran });
    let counted_down =
        |task| line(5, task, Fact::CountedDown { op: 1, name: "latch".to_owned(), remaining: 1 });
    let added = Fact::Added { op: 1, set: "open".to_owned(), element: "a/1/1".to_owned() };
    vec![
        ("an element lost", "is lost", vec![asked(1, "a/1", 1, "open"), line(2, "a/1", added)]),
        ("a value of a counter twice", "one value to two", vec![counted(1, 1), counted(2, 1)]),
        (
            "an addition lost",
            "the counter stands at 0",
            vec![asked(1, "a/1", 1, "counter"), counted(1, 1)],
        ),
        (
            "a later version under an earlier token",
            "register: 5 under 9, then 6 under 8",
            vec![asked(1, "a/1", 1, "register/value"), wrote(2, 1, 5, 9), wrote(3, 2, 6, 8)],
        ),
        (
            "an old version read",
            "read 4 when 5 was known",
            vec![wrote(2, 1, 5, 9), asked(3, "b/1", 1, "register/value"), read(4, 1, 4, 8)],
        ),
        (
            "another value than was written",
            "another value",
            vec![wrote(2, 1, 5, 9), asked(3, "b/1", 1, "register/value"), read(4, 1, 5, 8)],
        ),
        (
            "a place in a barrier twice",
            "generation 3 let through",
            vec![pass("a/1", 0), pass("b/1", 0)],
        ),
        ("a once that ran twice", "2 ran it", vec![done("a/1", 7, true), done("b/1", 7, true)]),
        (
            "another result of a once",
            "with the results {7, 8}",
            vec![done("a/1", 7, true), done("b/1", 8, false)],
        ),
        (
            "a latch that opens too early",
            "passed after 1 counts of 2",
            vec![
                asked(1, "a/1", 1, "latch"),
                line(2, "a/1", Fact::LetThrough { op: 1, name: "latch".to_owned(), count: 2 }),
                asked(3, "b/1", 1, "latch"),
            ],
        ),
        (
            "a count that is taken twice",
            "what is left was told as [1, 1]",
            vec![counted_down("a/1"), counted_down("b/1")],
        ),
        (
            "what a client saw itself",
            "impossible",
            vec![line(1, "a/1", Fact::Wrong { what: "impossible".to_owned() })],
        ),
    ]
}

pub(crate) fn each_is_found() {
    for (what, word, lines) in holds().into_iter().chain(values()) {
        let mut history = History::default();
        history.take(&lines);
        let found = history.judge(&BTreeMap::from([("open", Vec::new())]), 0);
        assert!(found.iter().any(|found| found.contains(word)), "{what}: {found:?}");
    }
    let twice = BTreeMap::from([("open", vec!["a/1/1".to_owned(), "a/1/1".to_owned()])]);
    let found = History::default().judge(&twice, 0);
    for word in ["is there twice", "nobody asked for"] {
        assert!(found.iter().any(|found| found.contains(word)), "{word}: {found:?}");
    }
    a_lock_of_the_dead_that_nobody_gets_is_found();
    // And what is as it must be is not found.
    let good =
        both(held("a/1", "m", 1, Share::Alone, 10, 20), held("b/1", "m", 2, Share::Alone, 21, 30));
    let mut history = History::default();
    history.take(&good);
    assert_eq!(history.judge(&BTreeMap::new(), 0), Vec::<String>::new());
}

fn a_lock_of_the_dead_that_nobody_gets_is_found() {
    let dead = vec![asked(1, "a/1", 1, "long"), granted(2, "a/1", 1, "long", 1, Share::Alone)];
    let mut history = History::default();
    history.take(&dead);
    history.take(&[asked(1, "b/1", 1, "long")]);
    let (held, found) = history.late("a", 5, 100);
    assert_eq!((held, found.len()), (1, 1), "{found:?}");
    let late = 4_000_000_000;
    history.take(&[asked(6, "c/1", 1, "long"), granted(late, "c/1", 1, "long", 2, Share::Alone)]);
    let (_, found) = history.late("a", 5, 100);
    assert!(found[0].contains("served"), "{found:?}");
    history.take(&[asked(6, "d/1", 1, "long"), granted(90, "d/1", 1, "long", 3, Share::Alone)]);
    assert_eq!(history.late("a", 5, 100).1, Vec::<String>::new());
    // Who asks a moment before the time is over is served a moment behind it; and where nobody asked, nobody is late.
    let mut history = History::default();
    history.take(&dead);
    assert_eq!(history.late("a", 5, 100), (1, Vec::new()));
    history.take(&[asked(99, "e/1", 1, "long"), granted(101, "e/1", 1, "long", 2, Share::Alone)]);
    assert_eq!(history.late("a", 5, 100), (1, Vec::new()));
}
