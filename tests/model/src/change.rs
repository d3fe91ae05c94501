//! What a session does with what it holds: release, adopt, downgrade, upgrade, proclaim, complete.

use conclave_machine::{
    Demand, Event, HoldState, Item, Mode, Note, Op, Outcome, Refusal, Seq, SessionId, Timer, Token,
    Value, Version, limits::RETENTION_MS_MIN,
};

use crate::model::Model;
use crate::object::{Done, State};
use crate::request::{Request, Wait};

impl Model {
    pub(crate) fn release_call(
        &mut self,
        id: SessionId,
        token: Token,
        permits: u32,
    ) -> Result<Outcome, Refusal> {
        let hold = self.own_hold(id, token)?;
        let (has, limit) = match hold.items.as_slice() {
            [Item { demand: Demand::Permits { weight, limit }, .. }] => (*weight, *limit),
            _ => (0, 0),
        };
        if permits > has {
            return Err(Refusal::Weight { weight: permits, max: has });
        }
        if permits == 0 || permits == has {
            self.release(token);
            return Ok(Outcome::Released);
        }
        let demand = Demand::Permits { weight: has - permits, limit };
        self.change_hold(token, demand);
        Ok(Outcome::Released)
    }

    /// A hold of one object goes on under another demand.
    fn change_hold(&mut self, token: Token, demand: Demand) {
        let hold = self.hold_mut(token);
        hold.items[0].demand = demand;
        let items = hold.items.clone();
        self.touch(&items);
        self.note(&items[0].name, Note::Changed { token, demand });
    }

    pub(crate) fn adopt(
        &mut self,
        id: SessionId,
        seq: Seq,
        token: Token,
    ) -> Result<Outcome, Refusal> {
        let hold = self.hold(token).filter(|hold| hold.session == id).ok_or(Refusal::NotHolder)?;
        if hold.state != HoldState::Held || !hold.unadopted {
            return Err(Refusal::NotHolder);
        }
        let outcome = self.go_on(token, seq, Op::Adopt { token }, None);
        self.settle_adoption(id);
        let Outcome::Granted { token: new, .. } = outcome else { unreachable!("it goes on") };
        let items = self.hold(new).expect("a known hold").items.clone();
        self.touch(&items);
        Ok(outcome)
    }

    pub(crate) fn downgrade(
        &mut self,
        id: SessionId,
        token: Token,
        to: Mode,
    ) -> Result<Outcome, Refusal> {
        let invalid = Refusal::Invalid { what: conclave_machine::Invalid::Mode };
        let mode = self.own_hold(id, token)?.mode_alone();
        if mode.is_none_or(|mode| to >= mode) {
            return Err(invalid);
        }
        self.drop_upgrade(token);
        self.change_hold(token, Demand::RwLock(to));
        Ok(Outcome::Downgraded)
    }

    pub(crate) fn upgrade(
        &mut self,
        id: SessionId,
        seq: Seq,
        token: Token,
        wait: bool,
    ) -> Result<Outcome, Refusal> {
        let hold = self.own_hold(id, token)?;
        let mode = hold.mode_alone().ok_or(Refusal::NotUpgradable)?;
        let pending = self.waits.iter().any(|wait| wait.upgrades == Some(token));
        if mode == Mode::Write || pending || (mode == Mode::Read && wait) {
            return Err(Refusal::NotUpgradable);
        }
        let (name, demand) = (hold.name().clone(), Demand::RwLock(Mode::Write));
        let body = Op::Upgrade { token, wait };
        if self.holds_of(&name).all(|other| other.token == token) {
            return Ok(self.go_on(token, seq, body, Some(demand)));
        }
        if mode == Mode::Read {
            return Err(Refusal::WouldDeadlock);
        }
        if !wait {
            return Ok(Outcome::Held(self.held_by(&name)));
        }
        let request = Request {
            seq,
            body,
            items: vec![Item { name, demand }],
            since_stamp_ms: self.stamp_ms,
            ..hold.request.clone()
        };
        Ok(self.enqueue(Wait { request, upgrades: Some(token) }))
    }

    pub(crate) fn proclaim(
        &mut self,
        id: SessionId,
        term: Token,
        value: &Value,
    ) -> Result<Outcome, Refusal> {
        self.own_hold(id, term)?;
        let hold = self.hold_mut(term);
        hold.campaign.as_mut().ok_or(Refusal::NotHolder)?.value = value.clone();
        let name = hold.name().clone();
        self.note(&name, Note::Proclaimed { term, value: value.clone() });
        Ok(Outcome::Proclaimed)
    }

    pub(crate) fn set_eligible(
        &mut self,
        id: SessionId,
        seq: Seq,
        eligible: bool,
    ) -> Result<Outcome, Refusal> {
        let wait = self.waits.iter_mut().find(|wait| wait.is(id, seq));
        let wait = wait.ok_or(Refusal::NotFound)?;
        let items = wait.items.clone();
        wait.campaign.as_mut().ok_or(Refusal::NotFound)?.eligible = eligible;
        if !eligible {
            self.forget_successor(id, seq);
        }
        self.count_queue(&items);
        self.touch(&items);
        Ok(Outcome::EligibleSet)
    }

    pub(crate) fn complete(
        &mut self,
        id: SessionId,
        token: Token,
        value: &Value,
        retention_ms: u64,
    ) -> Result<Outcome, Refusal> {
        let hold = self.own_hold(id, token)?;
        let Item { name, demand: Demand::Run { .. } } = hold.items[0].clone() else {
            return Err(Refusal::NotHolder);
        };
        self.release(token);
        let version = Version(self.draw());
        let after_ms = retention_ms.max(RETENTION_MS_MIN);
        let timer = self.set_timer(Timer::Retention(name.clone()), after_ms);
        let done = Some(Done { version, value: value.clone(), timer });
        self.object_mut(&name).state = State::Once { attempts: 0, done };
        Ok(Outcome::Completed { version })
    }

    /// Nobody holds the result of a once or waits for it.
    pub(crate) fn forget_result(&mut self, name: &conclave_machine::Name) {
        self.vanish(name);
        let note = Note::Gone { kind: conclave_machine::Kind::Once };
        self.events.push(Event::Noted { name: name.clone(), note });
    }
}
