//! What was asked for: a request that waits, and one that was granted. The same facts in both.

use std::ops::{Deref, DerefMut};

use conclave_machine::{
    Campaign, Demand, HoldState, Item, Labels, Mode, Name, Op, Seq, SessionId, TimerSet, Token,
};

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
    /// What this seq asked for.
    pub(crate) body: Op,
    /// All of them or none.
    pub(crate) items: Vec<Item>,
    pub(crate) priority: i32,
    pub(crate) max_hold_ms: u64,
    pub(crate) owner: Option<Box<str>>,
    pub(crate) metadata: Labels,
    pub(crate) campaign: Option<Campaign>,
    pub(crate) since_stamp_ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Wait {
    pub(crate) request: Request,
    /// The hold that it would replace; none: it is no upgrade.
    pub(crate) upgrades: Option<Token>,
}

#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) request: Request,
    pub(crate) token: Token,
    pub(crate) state: HoldState,
    pub(crate) unadopted: bool,
    /// `MaxHold` while held (unless it has no end), `HoldEnd` afterwards.
    pub(crate) timer: Option<TimerSet>,
    /// Runs while a leader would give way to the one that waits.
    pub(crate) preempt: Option<TimerSet>,
}

impl Request {
    /// What is wanted of this object.
    pub(crate) fn demand(&self, name: &Name) -> Option<Demand> {
        self.items.iter().find(|item| item.name == *name).map(|item| item.demand)
    }

    pub(crate) fn wants(&self, name: &Name) -> bool {
        self.demand(name).is_some()
    }

    /// The object that names the whole.
    pub(crate) fn name(&self) -> &Name {
        &self.items.first().expect("at least one item").name
    }

    /// A seq of a session is asked for once.
    pub(crate) fn is(&self, session: SessionId, seq: Seq) -> bool {
        self.session == session && self.seq == seq
    }

    /// The mode, if this is one read-write lock and nothing else.
    pub(crate) fn mode_alone(&self) -> Option<Mode> {
        match self.items.as_slice() {
            [Item { demand: Demand::RwLock(mode), .. }] => Some(*mode),
            _ => None,
        }
    }

    /// An explicit owner within its session; none: a stranger to everyone.
    pub(crate) fn owner_key(&self) -> Option<(SessionId, &str)> {
        self.owner.as_deref().map(|owner| (self.session, owner))
    }
}

impl Wait {
    /// A candidate that does not want to win yet.
    pub(crate) fn stands_aside(&self) -> bool {
        self.campaign.as_ref().is_some_and(|campaign| !campaign.eligible)
    }
}

impl Hold {
    /// Held by the process that the session belongs to now.
    pub(crate) fn is_own(&self) -> bool {
        self.state == HoldState::Held && !self.unadopted
    }
}

impl Deref for Wait {
    type Target = Request;
    fn deref(&self) -> &Request {
        &self.request
    }
}

impl DerefMut for Wait {
    fn deref_mut(&mut self) -> &mut Request {
        &mut self.request
    }
}

impl Deref for Hold {
    type Target = Request;
    fn deref(&self) -> &Request {
        &self.request
    }
}

impl DerefMut for Hold {
    fn deref_mut(&mut self) -> &mut Request {
        &mut self.request
    }
}
