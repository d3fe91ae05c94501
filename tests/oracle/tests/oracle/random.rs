//! Random clients drive the real machine at once with overlapping calls: what they saw is a good history. The same with one
//! thing of it altered is not.

use conclave_machine::{Command, Event, Note, Outcome, Revision, Seq, SessionId, Token};
use conclave_model::{Generator, Profile, Rng};
use conclave_oracle::{
    Answer, Asked, Call, Found, Heard, History, Log, Reading, Told, Watch, judge, note_text,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::plain;
use crate::stage::{STEP_US, Stage, who};

/// How far the asking and the hearing of a call may lie from its place in the log.
const SPREAD_US: u64 = 20 * STEP_US;
const STEPS: usize = 150;

/// What clients saw of a random run, and its log.
fn run(seed: u64, steps: usize) -> (History, Log) {
    let mut rng = Rng::new(seed);
    let mut generator = Generator::new(Profile::draw(&mut Rng::new(!seed)));
    let mut stage = Stage::new();
    stage.now_us = SPREAD_US;
    let mut watch = vec![Told::Whole { revision: Revision(0) }];
    for _ in 0..steps {
        let (context, command) = generator.command(rng.draw());
        let (revision, outcome, events) = stage.apply(&context, &command);
        generator.learn(&command, &outcome, &events);
        asked(&mut stage, &mut rng, &command, revision, &outcome);
        told(&mut stage, &mut rng, revision, &events);
        watched(&mut watch, revision, &events);
        read(&mut stage, &mut rng, &generator);
    }
    let revision = stage.machine.revision();
    watch.push(Told::Through { revision });
    stage.history.watches.push(Watch { client: "eve".into(), prefix: String::new(), told: watch });
    stage.history.terms.all_calls_recorded = true;
    let log = stage.log();
    (stage.history, log)
}

/// Two in a hundred answers are lost on the way.
fn asked(
    stage: &mut Stage,
    rng: &mut Rng,
    command: &Command,
    revision: Revision,
    outcome: &Outcome,
) {
    // Nobody asked for these: a leader's clock, or who serves the wait.
    if matches!(command, Command::Due(_) | Command::TimeOut { .. }) {
        return;
    }
    let (session, seq) = who(command);
    let heard =
        Heard { at_us: stage.now_us + rng.below(SPREAD_US), revision, answer: Answer::of(outcome) };
    stage.history.calls.push(Call {
        client: format!("client-{session}"),
        session,
        seq,
        asked: Asked::of(command),
        invoked_us: stage.now_us - rng.below(SPREAD_US),
        answers: if rng.chance(98) { vec![heard] } else { Vec::new() },
    });
}

fn told(stage: &mut Stage, rng: &mut Rng, revision: Revision, events: &[Event]) {
    for event in events {
        let (Event::Granted { session, seq, .. }
        | Event::Passed { session, seq, .. }
        | Event::WaitEnded { session, seq, .. }) = event
        else {
            continue;
        };
        let answer = Answer::of_event(event).expect("the end of a wait");
        let at_us = stage.now_us + rng.below(SPREAD_US);
        let waits = |call: &&mut Call| {
            (call.session, call.seq) == (*session, *seq)
                && call.answers.last().is_some_and(|heard| heard.answer == Answer::Queued)
        };
        if let Some(call) = stage.history.calls.iter_mut().find(waits) {
            call.answers.push(Heard { at_us, revision, answer });
        }
    }
}

fn watched(watch: &mut Vec<Told>, revision: Revision, events: &[Event]) {
    for (n, event) in (1..).zip(events) {
        if let Event::Noted { name, note } = event {
            let note = note_text(note);
            watch.push(Told::Note { revision, n, name: name.as_str().into(), note });
        }
    }
}

/// Every third step somebody looks.
fn read(stage: &mut Stage, rng: &mut Rng, generator: &Generator) {
    if rng.below(3) > 0 {
        return;
    }
    let names = generator.names();
    let name = rng.pick(&names).expect("a name").clone();
    let of = || name.as_str().to_owned();
    let machine = &stage.machine;
    let (reading, answer) = match rng.below(4) {
        0 => {
            let token = *rng.pick(&generator.tokens()).unwrap_or(&Token(1));
            let state = machine.check(&name, token).into();
            (Reading::Check { name: of(), token }, Answer::Checked { state })
        }
        1 => {
            let found = machine.register_value(&name);
            let found = found.map(|found| Found {
                version: found.version,
                value: found.value.as_bytes().into(),
            });
            (Reading::Register { name: of() }, Answer::Register { found })
        }
        2 => {
            let value = machine.counter_value(&name);
            (Reading::Counter { name: of() }, Answer::Counter { value })
        }
        _ => {
            let view = machine.inspect(&name, 0);
            let holders = view.as_ref().map(|view| &*view.holders).unwrap_or_default();
            let mut tokens: Vec<_> = holders.iter().map(|holder| holder.token.get()).collect();
            tokens.sort_unstable();
            let queue_len = view.as_ref().map_or(0, |view| view.queue_len);
            (Reading::Holders { name: of() }, Answer::Holders { tokens, queue_len })
        }
    };
    stage.history.calls.push(Call {
        client: "reader".into(),
        session: SessionId(0),
        seq: Seq(0),
        asked: Asked::Read(reading),
        invoked_us: stage.now_us - rng.below(STEP_US / 2),
        answers: vec![Heard {
            at_us: stage.now_us + rng.below(STEP_US / 2),
            revision: machine.revision(),
            answer,
        }],
    });
}

/// The same cases each time; with `CONCLAVE_ORACLE_CASES` so many others.
fn cases() -> ProptestConfig {
    let more = std::env::var("CONCLAVE_ORACLE_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng_seed = if more.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    // Failures are told by their seed; no files beside the sources.
    let failure_persistence = None;
    let cases = more.unwrap_or(24);
    ProptestConfig { cases, rng_seed, failure_persistence, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_clients_saw_of_the_real_machine_is_good(seed: u64) {
        let (history, log) = run(seed, STEPS);
        let checks = ["answers", "durable", "order", "machine", "rules", "watches", "replicas", "witnesses"];
        if let Err(report) = judge(&history, &log).require(&checks) {
            panic!("seed {seed}: {report}");
        }
    }

    #[test]
    fn one_altered_answer_is_never_overlooked(seed: u64, which: prop::sample::Index) {
        let (mut history, log) = run(seed, STEPS);
        let mut heard: Vec<_> =
            history.calls.iter_mut().flat_map(|call| &mut call.answers).collect();
        let at = which.index(heard.len());
        let (revision, answer) = (heard[at].revision, heard[at].answer.clone());
        heard[at].answer = altered(&answer);
        let verdict = judge(&history, &log);
        prop_assert!(
            verdict.findings.iter().any(|finding| finding.revision == Some(revision)),
            "seed {seed}: {answer:?} at revision {revision} was altered: {verdict}"
        );
    }

    #[test]
    fn one_altered_digest_is_never_overlooked(seed: u64, which: prop::sample::Index) {
        let (mut history, log) = run(seed, STEPS);
        let at = which.index(history.applied.len());
        let digest = history.applied[at].digest.as_mut().expect("a digest");
        *digest ^= 1 << (seed % 64);
        let verdict = judge(&history, &log);
        prop_assert!(verdict.findings.iter().any(|finding| finding.check == "replicas"));
    }

    #[test]
    fn one_note_that_a_watcher_missed_is_never_overlooked(seed: u64, which: prop::sample::Index) {
        let (mut history, log) = run(seed, STEPS);
        let told = &mut history.watches[0].told;
        // Neither the first, which says where it begins, nor the last, which says that this is all.
        if told.len() > 2 {
            told.remove(1 + which.index(told.len() - 2));
            let verdict = judge(&history, &log);
            prop_assert!(verdict.findings.iter().any(|finding| finding.check == "watches"));
        }
    }

    #[test]
    fn one_event_that_a_node_left_out_is_never_overlooked(seed: u64, which: prop::sample::Index) {
        let (mut history, log) = run(seed, STEPS);
        let mut telling: Vec<_> = history.witnessed.iter_mut().collect();
        telling.retain(|seen| !seen.events.is_empty());
        if !telling.is_empty() {
            let at = which.index(telling.len());
            telling[at].events.pop();
            let verdict = judge(&history, &log);
            prop_assert!(verdict.findings.iter().any(|finding| finding.check == "witnesses"));
        }
    }
}

/// Something else that the same question might have been answered with.
fn altered(answer: &Answer) -> Answer {
    match answer {
        Answer::Granted { token } => Answer::Granted { token: Token(token.get() + 1) },
        Answer::Counter { value } => Answer::Counter { value: Some(value.unwrap_or(0) + 1) },
        Answer::Counted { value } => Answer::Counted { value: value + 1 },
        Answer::Refused { .. } => Answer::Released,
        _ => Answer::refused("NOT_HOLDER_"),
    }
}

/// Uses the note in full, so that a kind of note that is added later is told here too.
#[test]
fn notes_of_different_things_differ() {
    let (one, two) = (SessionId(1), Token(2));
    let ended = note_text(&Note::Ended { session: one, token: two, lost: false });
    let lost = note_text(&Note::Ended { session: one, token: two, lost: true });
    assert_ne!(ended, lost);
    assert_ne!(lost, note_text(&Note::Revoked { session: one, token: two }));
}

/// The second opinion agrees on what the real machine told, and sees by itself what does not fit.
#[test]
fn the_second_opinion_agrees_and_sees_what_was_altered() {
    let (mut judged, mut altered) = (0, 0);
    for seed in 0..60 {
        let mut history = plain::run(seed);
        let verdict = conclave_oracle::second_opinion(&history);
        if let Err(report) = verdict.require(&["second opinion"]) {
            panic!("seed {seed}: {report}");
        }
        assert_eq!(verdict.judged_by("undecided"), 0, "seed {seed}");
        judged += verdict.judged_by("second opinion");
        let additions = history.calls.iter_mut().flat_map(|call| &mut call.answers);
        let mut values = additions.filter_map(|heard| {
            let Answer::Counted { value } = &mut heard.answer else { return None };
            Some(value)
        });
        if let Some(value) = values.next() {
            *value += 1;
            altered += 1;
            let verdict = conclave_oracle::second_opinion(&history);
            assert!(verdict.require(&[]).is_err(), "seed {seed}: two additions of one value");
        }
    }
    assert!(judged > 150 && altered > 50, "{judged} judged, {altered} altered");
}

/// What random clients without a purpose do is no reason for the second opinion to disagree.
#[test]
fn the_second_opinion_is_not_fooled_by_nonsense() {
    for seed in 0..20 {
        let (history, _) = run(seed, STEPS);
        if let Err(report) = conclave_oracle::second_opinion(&history).require(&[]) {
            panic!("seed {seed}: {report}");
        }
    }
}
