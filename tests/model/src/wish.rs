//! Draws what a client asks for: operations that mostly make sense for what it holds and for what a name stands for.

use conclave_machine::{
    Acquire, Campaign, Change, Demand, Edit, Expect, Guard, Item, Items, Kind, Labels, Mode, Name,
    Op, Seq, SessionId, Token, Value, Version,
    limits::{
        ITEMS_MAX, MAX_HOLD_MS_MAX, PREEMPT_MS_MAX, PROPOSAL_BYTES_MAX, RETENTION_MS_MAX,
        VALUE_BYTES_MAX, VALUE_PART_BYTES,
    },
};

use crate::generator::Generator;
use crate::memory::{Client, KnownHold};
use crate::profile::{Action, Place};
use crate::rng::Rng;

impl Generator {
    /// Mostly one that has something to do this with.
    pub(crate) fn caller(&self, rng: &mut Rng, action: Action) -> &Client {
        let memory = &self.memory;
        let holds = memory.holds.iter().filter(|hold| able(hold, action));
        let waits = memory.waits.iter();
        let waits = waits.filter(|wait| action == Action::SetEligible && wait.is_campaign());
        let sessions = holds.map(|hold| hold.session).chain(waits.map(|wait| wait.session));
        let able: Vec<_> = sessions
            .filter_map(|id| memory.clients.iter().find(|client| client.key.id == id))
            .collect();
        let any = matches!(action, Action::Acquire | Action::Edit);
        match rng.pick(&able) {
            Some(client) if !any && rng.chance(90) => client,
            Some(_) | None => self.client(rng),
        }
    }

    pub(crate) fn op(&self, rng: &mut Rng, action: Action, id: SessionId) -> Op {
        let pending = rng.chance(40);
        let fits = |hold: &KnownHold| {
            hold.session == id && able(hold, action) && (!pending || self.upgrading(hold.token))
        };
        let loses = matches!(action, Action::Release | Action::Downgrade);
        let token = match self.memory.holds.iter().find(|hold| loses && fits(hold)) {
            Some(hold) if pending => hold.token,
            Some(_) | None => self.hold(rng, |hold| hold.session == id && able(hold, action)).1,
        };
        match action {
            Action::Release => Op::Release { token, permits: self.permits(rng) },
            Action::Adopt => Op::Adopt { token },
            Action::Downgrade => {
                let to =
                    *rng.pick(&[Mode::Read, Mode::Upgradable, Mode::Upgradable]).expect("some");
                Op::Downgrade { token, to: if self.wrong(rng) { Mode::Write } else { to } }
            }
            Action::Upgrade => {
                let plain = self.known(token).and_then(KnownHold::alone)
                    == Some(Demand::RwLock(Mode::Read));
                Op::Upgrade { token, wait: rng.chance(if plain { 20 } else { 70 }) }
            }
            Action::Proclaim => {
                Op::Proclaim { term: token, value: self.value(rng, PROPOSAL_BYTES_MAX) }
            }
            Action::SetEligible => self.set_eligible(rng, id),
            Action::Complete => {
                let retention_ms = *rng.pick(&[0, 1, 60_000, RETENTION_MS_MAX]).expect("some");
                let beyond = u64::from(self.wrong(rng)) * RETENTION_MS_MAX;
                let value = self.value(rng, VALUE_BYTES_MAX);
                Op::Complete { token, value, retention_ms: retention_ms + beyond }
            }
            Action::Edit => self.edit(rng),
            Action::Acquire
            | Action::Open
            | Action::Retry
            | Action::Cancel
            | Action::TimeOut
            | Action::Attach
            | Action::Resume
            | Action::Close
            | Action::Kill
            | Action::ForceRelease
            | Action::Resize
            | Action::Transfer
            | Action::Delete
            | Action::AckStopped
            | Action::ConfirmLosses
            | Action::Due => Op::Acquire(self.acquire(rng)),
        }
    }

    fn permits(&self, rng: &mut Rng) -> u32 {
        if rng.chance(70) { 0 } else { u32::try_from(rng.below(4)).expect("a few") }
    }

    /// Does the hold wait for more?
    fn upgrading(&self, token: Token) -> bool {
        self.memory.waits.iter().any(|wait| wait.upgrades() == Some(token))
    }

    pub(crate) fn known(&self, token: Token) -> Option<&KnownHold> {
        self.memory.holds.iter().find(|hold| hold.token == token)
    }

    fn set_eligible(&self, rng: &mut Rng, id: SessionId) -> Op {
        let waits = self.memory.waits.iter().filter(|wait| wait.session == id);
        let waits: Vec<_> = waits.collect();
        let campaigns: Vec<_> = waits.iter().filter(|wait| wait.is_campaign()).copied().collect();
        let among = if self.wrong(rng) { &waits } else { &campaigns };
        let picked = rng.pick(among);
        let campaign = picked.map_or(Seq(1 + rng.below(9)), |wait| wait.seq);
        Op::SetEligible { campaign, eligible: rng.chance(60) }
    }

    pub(crate) fn acquire(&self, rng: &mut Rng) -> Acquire {
        let max_hold_ms = match rng.below(8) {
            0 if self.wrong(rng) => MAX_HOLD_MS_MAX + 1,
            0 => MAX_HOLD_MS_MAX,
            1 | 2 => 1 + rng.below(100),
            _ => 0,
        };
        let try_percent = match (self.profile.stubborn, self.profile.crowd) {
            (true, _) => 90,
            (_, true) => 3,
            (false, false) => 25,
        };
        let several = rng.chance(self.profile.several_percent);
        let items = if several { self.several(rng) } else { vec![self.item(rng)] };
        let mistaken = self.wrong(rng) && rng.chance(30);
        let campaigns = items.iter().any(|item| leads(item.demand)) != mistaken;
        let owner = rng
            .chance(self.profile.owner_percent)
            .then(|| format!("owner-{}", rng.below(self.profile.owners)).into());
        Acquire {
            items: Items::new(items).expect("at least one"),
            wait: !rng.chance(try_percent),
            priority: i32::try_from(rng.below(self.profile.priorities)).expect("a few") - 1,
            max_hold_ms,
            owner,
            metadata: labels(rng),
            fail_on_deadlock: rng.chance(50),
            campaign: campaigns.then(|| self.campaign(rng)),
        }
    }

    /// One object, mostly one that can be held or waited for.
    fn item(&self, rng: &mut Rng) -> Item {
        let places = self.profile.places.iter().enumerate();
        let able: Vec<_> = places
            .filter(|(_, place)| !matches!(place.kind, Kind::Register | Kind::Counter))
            .collect();
        let at = match rng.pick(&able) {
            Some((at, _)) if !self.wrong(rng) => *at,
            Some(_) | None => rng.index(self.profile.places.len()),
        };
        Item { name: name(at), demand: self.demand(rng, &self.profile.places[at]) }
    }

    /// Objects that go together, mostly.
    fn several(&self, rng: &mut Rng) -> Vec<Item> {
        if self.wrong(rng) && rng.chance(20) {
            let many = (0..=ITEMS_MAX).map(|at| format!("{at}"));
            let many = many.map(|text| Name::new(&text).expect("a valid name"));
            return many.map(|name| Item { name, demand: Demand::Mutex }).collect();
        }
        let any = self.wrong(rng);
        let places = self.profile.places.iter().enumerate();
        let mut able: Vec<_> = places
            .filter(|(_, place)| {
                any || matches!(place.kind, Kind::Mutex | Kind::RwLock | Kind::Semaphore)
            })
            .collect();
        let mut items = Vec::new();
        while !able.is_empty() && (items.len() < 2 || rng.chance(50)) {
            let (at, place) = if any {
                able[rng.index(able.len())]
            } else {
                able.swap_remove(rng.index(able.len()))
            };
            let demand = match self.demand(rng, place) {
                Demand::RwLock(Mode::Upgradable) if !any => Demand::RwLock(Mode::Write),
                other => other,
            };
            items.push(Item { name: name(at), demand });
        }
        if items.is_empty() { vec![self.item(rng)] } else { items }
    }

    fn demand(&self, rng: &mut Rng, place: &Place) -> Demand {
        let kinds = [
            Kind::Mutex,
            Kind::RwLock,
            Kind::Semaphore,
            Kind::Election,
            Kind::Once,
            Kind::Latch,
            Kind::Gate,
            Kind::Barrier,
        ];
        let other_kind = self.wrong(rng) && rng.chance(30);
        let kind = if other_kind { *rng.pick(&kinds).expect("some") } else { place.kind };
        let more = u32::from(self.wrong(rng));
        match kind {
            Kind::Mutex | Kind::Register | Kind::Counter => Demand::Mutex,
            Kind::RwLock => {
                let modes = [
                    Mode::Read,
                    Mode::Read,
                    Mode::Read,
                    Mode::Upgradable,
                    Mode::Upgradable,
                    Mode::Write,
                ];
                Demand::RwLock(*rng.pick(&modes).expect("some"))
            }
            Kind::Semaphore => {
                let weight = 1 + u32::try_from(rng.below(place.size.into())).expect("a few");
                let weight = if self.wrong(rng) { weight + place.size } else { weight };
                Demand::Permits {
                    weight: if self.wrong(rng) { 0 } else { weight },
                    limit: place.size + more,
                }
            }
            Kind::Election => Demand::Lead,
            Kind::Once => Demand::Run { attempts_max: u32::try_from(rng.below(4)).expect("a few") },
            Kind::Latch => Demand::Latch,
            Kind::Gate => Demand::Gate,
            Kind::Barrier => Demand::Arrive {
                parties: if self.wrong(rng) { 0 } else { place.size + more },
                break_on_loss: place.break_on_loss != self.wrong(rng),
            },
        }
    }

    fn campaign(&self, rng: &mut Rng) -> Campaign {
        let beyond = u64::from(self.wrong(rng)) * PREEMPT_MS_MAX;
        Campaign {
            value: self.value(rng, PROPOSAL_BYTES_MAX),
            eligible: rng.chance(80),
            preempt_after_ms: rng.chance(50).then(|| rng.below(3) + beyond),
        }
    }

    /// Small, or as large as may be, or a little larger by mistake.
    fn value(&self, rng: &mut Rng, bytes_max: usize) -> Value {
        let bytes = match rng.below(60) {
            0 => bytes_max,
            1 => bytes_max.min(VALUE_PART_BYTES),
            2 => bytes_max.min(VALUE_PART_BYTES + 1),
            _ => rng.index(5),
        };
        let bytes = if self.wrong(rng) && rng.chance(30) { bytes_max + 1 } else { bytes };
        Value::new(&vec![u8::try_from(rng.below(256)).expect("a byte"); bytes])
    }

    fn edit(&self, rng: &mut Rng) -> Op {
        let places = self.profile.places.iter().enumerate();
        let able: Vec<_> = places
            .filter(|(_, place)| {
                let kinds = [Kind::Latch, Kind::Gate, Kind::Register, Kind::Counter];
                kinds.contains(&place.kind)
            })
            .collect();
        let at = match rng.pick(&able) {
            Some((at, _)) if !self.wrong(rng) => *at,
            Some(_) | None => rng.index(self.profile.places.len()),
        };
        let guard = rng.chance(25).then(|| {
            let (name, token, _) = self.hold(rng, KnownHold::is_own);
            Guard { name, token }
        });
        let name = name(at);
        let change = self.change(rng, &name, &self.profile.places[at]);
        Op::Edit(Edit { name, guard, change })
    }

    fn change(&self, rng: &mut Rng, name: &Name, place: &Place) -> Change {
        let kinds = [Kind::Latch, Kind::Gate, Kind::Register, Kind::Counter];
        let by_kind = kinds.contains(&place.kind) && !self.wrong(rng);
        let kind = if by_kind { place.kind } else { *rng.pick(&kinds).expect("some") };
        match kind {
            Kind::Latch => match rng.below(6) {
                0 | 1 => {
                    let count = u64::from(place.size) + u64::from(self.wrong(rng));
                    Change::CreateLatch { count: if self.wrong(rng) { 0 } else { count } }
                }
                2 => Change::ResetLatch,
                _ => Change::CountDown {
                    by: if self.wrong(rng) { 0 } else { 1 + rng.below(2) },
                    key: rng.chance(50).then(|| format!("key-{}", rng.below(4)).into()),
                },
            },
            Kind::Gate => Change::SetGate { open: rng.chance(50) },
            Kind::Register if rng.chance(25) => {
                Change::DeleteRegister { expect: self.expect(rng, name) }
            }
            Kind::Register => Change::SetRegister {
                value: self.value(rng, VALUE_BYTES_MAX),
                expect: self.expect(rng, name),
                bound: rng.chance(40),
            },
            Kind::Counter
            | Kind::Mutex
            | Kind::RwLock
            | Kind::Semaphore
            | Kind::Election
            | Kind::Once
            | Kind::Barrier => {
                let deltas = [-1, 0, 1, 5, 7, i64::MAX, i64::MIN];
                Change::AddCounter { delta: *rng.pick(&deltas).expect("some") }
            }
        }
    }

    fn expect(&self, rng: &mut Rng, name: &Name) -> Expect {
        match rng.below(4) {
            0 => Expect::Anything,
            1 => Expect::Absent,
            _ => Expect::Version(self.version(rng, name)),
        }
    }

    /// The last one heard of.
    pub(crate) fn version(&self, rng: &mut Rng, name: &Name) -> Version {
        let known = self.memory.versions.iter().find(|(known, _)| known == name);
        match known {
            Some((_, version)) if !self.wrong(rng) => *version,
            Some(_) | None => Version(rng.below(20)),
        }
    }

    /// A hold that fits, or any, or one that is gone, or none at all; by one of its names.
    pub(crate) fn hold(
        &self,
        rng: &mut Rng,
        fits: impl Fn(&KnownHold) -> bool,
    ) -> (Name, Token, SessionId) {
        let memory = &self.memory;
        let fitting: Vec<_> = memory.holds.iter().filter(|hold| fits(hold)).collect();
        let all: Vec<_> = memory.holds.iter().chain(&memory.holds_gone).collect();
        let hold = if self.wrong(rng) { None } else { rng.pick(&fitting) };
        match hold.or_else(|| rng.pick(&all)) {
            Some(hold) => {
                let item = rng.pick(&hold.items).expect("at least one");
                (item.name.clone(), hold.token, hold.session)
            }
            None => (name(0), Token(rng.below(20)), SessionId(rng.below(20))),
        }
    }
}

/// Does the hold go with the action?
pub(crate) fn able(hold: &KnownHold, action: Action) -> bool {
    let is = |modes: &[Mode]| {
        let alone = hold.alone();
        hold.is_own() && modes.iter().any(|mode| alone == Some(Demand::RwLock(*mode)))
    };
    match action {
        Action::Adopt => !hold.lost && hold.unadopted,
        Action::Downgrade => is(&[Mode::Write, Mode::Upgradable]),
        Action::Upgrade => is(&[Mode::Read, Mode::Upgradable]),
        Action::Proclaim => hold.is_own() && hold.alone().is_some_and(leads),
        Action::Transfer => !hold.lost && hold.alone().is_some_and(leads),
        Action::Complete => hold.is_own() && matches!(hold.alone(), Some(Demand::Run { .. })),
        Action::SetEligible => false,
        Action::Open
        | Action::Acquire
        | Action::Release
        | Action::Edit
        | Action::Retry
        | Action::Cancel
        | Action::TimeOut
        | Action::Attach
        | Action::Resume
        | Action::Close
        | Action::Kill
        | Action::ForceRelease
        | Action::Resize
        | Action::Delete
        | Action::AckStopped
        | Action::ConfirmLosses
        | Action::Due => hold.is_own(),
    }
}

fn leads(demand: Demand) -> bool {
    demand == Demand::Lead
}

pub(crate) fn name(number: usize) -> Name {
    // One is a prefix of another, which must mean nothing.
    let text = ["a", "a/b", "a/b/c", "b", "ü/1", "other", "a/c", "c"];
    Name::new(text[number % text.len()]).expect("a valid name")
}

pub(crate) fn labels(rng: &mut Rng) -> Labels {
    let count = rng.below(8) / 6;
    let pairs = (0..count).map(|at| (format!("key-{at}").into(), rng.below(10).to_string().into()));
    Labels::new(pairs).expect("small labels")
}
