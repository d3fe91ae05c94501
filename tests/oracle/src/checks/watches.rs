//! A watcher hears everything that happens under its prefix, once and in order, or is told that it begins anew.

use conclave_machine::{Event, Revision};

use crate::history::{History, Told, Watch};
use crate::note::note_text;
use crate::replay::Replay;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "watches";

/// A place in the order of everything that is noted: revision, and n within it.
type Place = (u64, u32);

struct Noted<'a> {
    place: Place,
    name: &'a str,
    note: String,
}

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    if history.watches.is_empty() {
        return;
    }
    let mut noted = Vec::new();
    for step in &replay.steps {
        for (n, event) in (1..).zip(&step.events) {
            if let Event::Noted { name, note } = event {
                let place = (step.revision.get(), n);
                noted.push(Noted { place, name: name.as_str(), note: note_text(note) });
            }
        }
    }
    for watch in &history.watches {
        let wanted = noted.iter().filter(|one| one.name.starts_with(&watch.prefix));
        let wanted: Vec<_> = wanted.collect();
        if let Err(finding) = follow(watch, &wanted, verdict) {
            verdict.found(*finding);
        }
    }
}

fn follow(watch: &Watch, noted: &[&Noted<'_>], verdict: &mut Verdict) -> Result<(), Box<Finding>> {
    // Everything up to here was told. None: it has no place yet, the first that it hears gives it one.
    let mut at: Option<Place> = None;
    for told in &watch.told {
        verdict.judged(CHECK);
        match told {
            Told::Whole { revision } => {
                at = Some(after(*revision));
            }
            Told::Through { revision } => {
                if let Some(missed) = next(noted, at).filter(|one| one.place.0 <= revision.get()) {
                    return Err(gap(
                        watch,
                        missed,
                        &format!("was told that revision {revision} is all"),
                    ));
                }
                at = at.max(Some(after(*revision)));
            }
            Told::Note { revision, n, name, note } => {
                let place = (revision.get(), *n);
                if at.is_some_and(|at| place <= at) {
                    let what = format!("heard {note} at ({revision}, {n}) again, or out of order");
                    return Err(finding(watch, what, *revision, name));
                }
                let known = noted.iter().find(|one| one.place == place);
                if known.is_none_or(|known| (known.name, &*known.note) != (&**name, &**note)) {
                    let known = known.map(|known| (known.name, &known.note));
                    let what = format!("heard {note} at ({revision}, {n}), the log has {known:?}");
                    return Err(finding(watch, what, *revision, name));
                }
                if at.is_some()
                    && let Some(missed) = next(noted, at).filter(|one| one.place < place)
                {
                    return Err(gap(watch, missed, &format!("went on with ({revision}, {n})")));
                }
                at = Some(place);
            }
        }
    }
    Ok(())
}

const fn after(revision: Revision) -> Place {
    (revision.get(), u32::MAX)
}

/// The first that it has not heard.
fn next<'a>(noted: &[&'a Noted<'a>], at: Option<Place>) -> Option<&'a Noted<'a>> {
    let heard = noted.partition_point(|one| at.is_some_and(|at| one.place <= at));
    at.and(noted.get(heard)).copied()
}

fn gap(watch: &Watch, missed: &Noted<'_>, how: &str) -> Box<Finding> {
    let (revision, n) = missed.place;
    let what = format!("never heard {} at ({revision}, {n}) and {how}: a silent gap", missed.note);
    finding(watch, what, Revision(revision), missed.name)
}

fn finding(watch: &Watch, what: String, revision: Revision, name: &str) -> Box<Finding> {
    let what = format!("watching {:?}, {what}", watch.prefix);
    Box::new(Finding::new(CHECK, what).at(revision).client(&watch.client).name(name))
}
