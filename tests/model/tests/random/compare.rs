//! Asks the machine and the model everything that one may ask.

use std::fmt::Debug;

use conclave_machine::{Machine, Name, Seq, SessionId, SessionKey, Sort, Token};
use conclave_model::{Generator, Model, Rng};

/// Fails with the first question that the two answer differently.
pub(crate) fn everything(
    machine: &Machine,
    model: &Model,
    generator: &Generator,
    rng: &mut Rng,
) -> Result<(), String> {
    same("revision", machine.revision(), model.revision())?;
    same("counts", machine.counts(), model.counts())?;
    let sorted = |mut timers: Vec<conclave_machine::TimerSet>| {
        timers.sort_by_key(|set| set.timer.clone());
        timers
    };
    same("timers", sorted(machine.timers().collect()), sorted(model.timers()))?;
    for timer in generator.timers() {
        let what = format!("generation of {timer:?}");
        same(&what, machine.timer_generation(&timer), model.timer_generation(&timer))?;
    }
    let sorted = |mut waits: Vec<(SessionId, Seq)>| {
        waits.sort();
        waits
    };
    same("waits", sorted(machine.waits().collect()), sorted(model.waits().collect()))?;
    objects(machine, model, generator, rng)?;
    sessions(machine, model, generator, rng)
}

fn objects(
    machine: &Machine,
    model: &Model,
    generator: &Generator,
    rng: &mut Rng,
) -> Result<(), String> {
    let names = generator.names();
    for name in &names {
        let queue_max = *rng.pick(&[0, 1, 3, 1_000]).expect("some");
        let what = format!("inspect {name} {queue_max}");
        same(&what, machine.inspect(name, queue_max), model.inspect(name, queue_max))?;
        same(&format!("kind {name}"), machine.kind(name), model.kind(name))?;
        values(machine, model, name)?;
        let what = format!("election {name} {queue_max}");
        same(&what, machine.election(name, queue_max), model.election(name, queue_max))?;
        for token in generator.tokens() {
            let what = format!("check {name} {token}");
            same(&what, machine.check(name, token), model.check(name, token))?;
        }
        let unknown = Token(u64::MAX);
        same("check of no token", machine.check(name, unknown), model.check(name, unknown))?;
    }
    let after = rng.pick(&names).map(Name::as_str).filter(|_| rng.chance(50));
    for prefix in ["", "a", "a/", "ü", "none"] {
        let limit = *rng.pick(&[0, 1, 2, 1_000]).expect("some");
        for sort in [Sort::Name, Sort::LongestWait, Sort::MostWaiters] {
            let what = format!("list {prefix:?} {sort:?} {after:?} {limit}");
            let listed = model.list(prefix, sort, after, limit);
            same(&what, machine.list(prefix, sort, after, limit), listed)?;
        }
    }
    Ok(())
}

fn values(machine: &Machine, model: &Model, name: &Name) -> Result<(), String> {
    let what = |of: &str| format!("{of} {name}");
    same(&what("register"), machine.register_value(name), model.register_value(name))?;
    same(&what("once"), machine.once_value(name), model.once_value(name))?;
    same(&what("counter"), machine.counter_value(name), model.counter_value(name))?;
    same(&what("semaphore"), machine.semaphore_version(name), model.semaphore_version(name))
}

fn sessions(
    machine: &Machine,
    model: &Model,
    generator: &Generator,
    rng: &mut Rng,
) -> Result<(), String> {
    let keys = generator.keys();
    for key in &keys {
        let id = key.id;
        same("session", machine.session(id), model.session(id))?;
        same("epoch", machine.epoch(id), model.epoch(id))?;
        same("losses", machine.losses(id), model.losses(id))?;
        same("key", machine.authenticate(key), model.authenticate(key))?;
        let wrong = SessionKey { secret: conclave_machine::Secret(key.secret.0 ^ 1), ..*key };
        same("wrong key", machine.authenticate(&wrong), model.authenticate(&wrong))?;
        let newest = generator.seq_next(id);
        for seq in (newest.saturating_sub(30)..newest + 3).map(Seq) {
            let what = format!("answer of seq {seq} of session {id}");
            same(&what, machine.answer(id, seq), model.answer(id, seq))?;
        }
    }
    let after = rng.pick(&keys).map(|key| key.id).filter(|_| rng.chance(50));
    for prefix in ["", "a", "none"] {
        let limit = *rng.pick(&[0, 1, 2, 1_000]).expect("some");
        let what = format!("sessions {prefix:?} {after:?} {limit}");
        let listed = model.sessions(prefix, after, limit);
        same(&what, machine.sessions(prefix, after, limit), listed)?;
    }
    Ok(())
}

fn same<T: Debug + PartialEq>(what: &str, machine: T, model: T) -> Result<(), String> {
    if machine == model {
        return Ok(());
    }
    Err(format!("{what}\nthe machine: {machine:?}\nthe model:   {model:?}"))
}
