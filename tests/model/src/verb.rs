//! Draws what operators do to objects.

use conclave_machine::{Command, Kind, SessionId};

use crate::generator::Generator;
use crate::profile::Action;
use crate::rng::Rng;
use crate::wish::{able, name};

impl Generator {
    pub(crate) fn force_release(&self, rng: &mut Rng) -> Command {
        let (mut of, token, _) = self.hold(rng, |_| true);
        if self.wrong(rng) {
            of = name(rng.index(self.profile.places.len() + 1));
        }
        Command::ForceRelease { name: of, token, now: rng.chance(30), by: "operator".into() }
    }

    pub(crate) fn resize(&self, rng: &mut Rng) -> Command {
        let name = name(self.place(rng, &[Kind::Semaphore]));
        let version = self.version(rng, &name);
        let limit = u32::try_from(rng.below(7)).expect("a few");
        Command::Resize { name, limit, version, by: "operator".into() }
    }

    /// Mostly to somebody who wants to lead.
    pub(crate) fn transfer(&self, rng: &mut Rng) -> Command {
        let (mut of, term, _) = self.hold(rng, |hold| able(hold, Action::Transfer));
        let waits = self.memory.waits.iter();
        let candidates = waits.filter(|wait| wait.items.iter().any(|item| item.name == of));
        let candidates: Vec<_> = candidates.map(|wait| wait.session).collect();
        let to = *rng.pick(&candidates).unwrap_or(&SessionId(1 + rng.below(9)));
        if self.wrong(rng) {
            of = name(self.place(rng, &[Kind::Election]));
        }
        Command::Transfer { name: of, term, to, by: "operator".into() }
    }

    /// Mostly of what stays by itself.
    pub(crate) fn delete(&self, rng: &mut Rng) -> Command {
        let staying =
            [Kind::Semaphore, Kind::Once, Kind::Latch, Kind::Gate, Kind::Register, Kind::Counter];
        let of = if rng.chance(20) {
            rng.index(self.profile.places.len())
        } else {
            self.place(rng, &staying)
        };
        Command::Delete { name: name(of), by: "operator".into() }
    }

    /// One that is mostly used as one of these kinds.
    fn place(&self, rng: &mut Rng, kinds: &[Kind]) -> usize {
        let places = self.profile.places.iter().enumerate();
        let fitting: Vec<_> = places.filter(|(_, place)| kinds.contains(&place.kind)).collect();
        match rng.pick(&fitting) {
            Some((at, _)) if !self.wrong(rng) => *at,
            Some(_) | None => rng.index(self.profile.places.len()),
        }
    }
}
