//! At every revision those who hold an object may hold it together: one holder of a mutex, an election or a once, a writer
//! alone, one upgradable, and no grant of permits beyond the limit that counts then.

use std::collections::BTreeMap;

use conclave_machine::{
    Command, Demand, Event, Item, Mode, Name, Note, Op, Outcome, Seq, SessionId, Token,
};

use crate::replay::{Step, grants};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "holders";

#[derive(Default)]
struct Held {
    /// Who wants what, as it was asked.
    wanted: BTreeMap<(SessionId, Seq), Vec<Item>>,
    holds: BTreeMap<Token, (SessionId, Vec<Item>)>,
    /// Of semaphores that were resized.
    limits: BTreeMap<Name, u32>,
}

pub(crate) fn of_steps(steps: &[Step], verdict: &mut Verdict) {
    let mut held = Held::default();
    for step in steps {
        held.asked(step);
        // What ends makes room for what begins in the same step.
        for event in &step.events {
            held.changed(event);
        }
        for (session, seq, token) in grants(step) {
            verdict.judged(CHECK);
            if held.holds.contains_key(&token) {
                continue;
            }
            let items = held.wanted.get(&(session, seq)).cloned().unwrap_or_default();
            for item in &items {
                if let Some(what) = held.excludes(item) {
                    let what =
                        format!("token {token} of {:?} was granted beside {what}", item.demand);
                    let finding = Finding::new(CHECK, what).at(step.revision).session(session);
                    verdict.found(finding.seq(seq).name(item.name.as_str()));
                }
            }
            held.holds.insert(token, (session, items));
        }
    }
}

impl Held {
    fn asked(&mut self, step: &Step) {
        let Command::Call(call) = &step.command else { return };
        let wanted = match &call.op {
            Op::Acquire(acquire) => acquire.items.iter().cloned().collect(),
            Op::Upgrade { token, .. } => self.upgraded(*token),
            // The same under another token, also where permits are more than the limit by now.
            Op::Adopt { .. } => Vec::new(),
            Op::Release { .. }
            | Op::Downgrade { .. }
            | Op::Proclaim { .. }
            | Op::SetEligible { .. }
            | Op::Complete { .. }
            | Op::Edit(_) => return,
        };
        // What was refused may leave its seq to another body; of a seq that stands, another body is refused.
        match &step.outcome {
            Outcome::Queued { .. } | Outcome::Granted { .. } => {
                self.wanted.insert((call.key.id, call.seq), wanted);
            }
            _ => {}
        }
        if let (Op::Adopt { token: old }, Outcome::Granted { token, .. }) =
            (&call.op, &step.outcome)
            && let Some(held) = self.holds.remove(old)
        {
            self.holds.insert(*token, held);
        }
    }

    fn upgraded(&self, token: Token) -> Vec<Item> {
        let items = self.holds.get(&token).map(|(_, items)| items.clone()).unwrap_or_default();
        let write = |item: Item| Item { demand: Demand::RwLock(Mode::Write), ..item };
        items.into_iter().map(write).collect()
    }

    fn changed(&mut self, event: &Event) {
        match event {
            Event::HoldEnded { token, .. } => {
                self.holds.remove(token);
            }
            Event::Noted { name, note: Note::Changed { token, demand } } => {
                let held = self.holds.get_mut(token);
                let items = held.into_iter().flat_map(|(_, items)| items);
                items.filter(|item| item.name == *name).for_each(|item| item.demand = *demand);
            }
            Event::Noted { name, note: Note::Resized { limit, .. } } => {
                self.limits.insert(name.clone(), *limit);
            }
            Event::Noted { name, note: Note::Gone { .. } } => {
                self.limits.remove(name);
            }
            Event::Noted { .. }
            | Event::Granted { .. }
            | Event::Passed { .. }
            | Event::WaitEnded { .. }
            | Event::Lost { .. }
            | Event::Contended { .. }
            | Event::SessionEnded { .. }
            | Event::TimerSet(_)
            | Event::TimerStopped { .. } => {}
        }
    }

    /// Why nobody may hold this as well.
    fn excludes(&self, item: &Item) -> Option<String> {
        let others = self.holds.iter().flat_map(|(token, (session, items))| {
            let same = items.iter().filter(|other| other.name == item.name);
            same.map(move |other| (*token, *session, other.demand))
        });
        if let Demand::Permits { weight, limit } = item.demand {
            let limit = self.limits.get(&item.name).copied().unwrap_or(limit);
            let used: u64 = others.map(|(_, _, demand)| weight_of(demand)).sum();
            let over = used + u64::from(weight) > u64::from(limit);
            return over.then(|| format!("{used} of {limit} permits"));
        }
        let mut others = others.filter(|(_, _, demand)| !beside(*demand, item.demand));
        let (token, session, demand) = others.next()?;
        Some(format!("token {token} of {demand:?}, which session {session} holds"))
    }
}

const fn weight_of(demand: Demand) -> u64 {
    match demand {
        Demand::Permits { weight, .. } => weight as u64,
        Demand::Mutex
        | Demand::RwLock(_)
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate
        | Demand::Arrive { .. } => 0,
    }
}

/// Whether one may hold this while another holds that.
const fn beside(one: Demand, other: Demand) -> bool {
    match (one, other) {
        (Demand::RwLock(Mode::Read), Demand::RwLock(Mode::Read | Mode::Upgradable))
        | (Demand::RwLock(Mode::Upgradable), Demand::RwLock(Mode::Read)) => true,
        (
            Demand::RwLock(_)
            | Demand::Mutex
            | Demand::Permits { .. }
            | Demand::Lead
            | Demand::Run { .. }
            | Demand::Latch
            | Demand::Gate
            | Demand::Arrive { .. },
            _,
        ) => false,
    }
}
