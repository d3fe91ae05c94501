//! What a retried seq is compared by: everything of the operation but whether it waits.

use crate::command::Op;
use crate::digest::Fnv;
use crate::edit::{Change, Edit, Expect};

pub(crate) fn fingerprint(op: &Op) -> u64 {
    let mut hash = Fnv::new();
    match op {
        Op::Acquire(acquire) => {
            hash.tag(1);
            hash.items(&acquire.items);
            hash.number(acquire.priority as u64);
            hash.number(acquire.max_hold_ms);
            hash.optional_text(acquire.owner.as_deref());
            hash.labels(&acquire.metadata);
            hash.flag(acquire.fail_on_deadlock);
            hash.campaign(acquire.campaign.as_ref());
        }
        Op::Release { token, permits } => {
            hash.tag(2);
            hash.numbers(&[token.0, u64::from(*permits)]);
        }
        Op::Adopt { token } => {
            hash.tag(3);
            hash.number(token.0);
        }
        Op::Downgrade { token, to } => {
            hash.tag(4);
            hash.number(token.0);
            hash.mode(*to);
        }
        Op::Upgrade { token, wait: _ } => {
            hash.tag(5);
            hash.number(token.0);
        }
        Op::Proclaim { term, value } => {
            hash.tag(6);
            hash.number(term.0);
            hash.blob(value.as_bytes());
        }
        Op::SetEligible { campaign, eligible } => {
            hash.tag(7);
            hash.number(campaign.0);
            hash.flag(*eligible);
        }
        Op::Complete { token, value, retention_ms } => {
            hash.tag(8);
            hash.numbers(&[token.0, *retention_ms]);
            hash.blob(value.as_bytes());
        }
        Op::Edit(edit) => {
            hash.tag(9);
            hash.edit(edit);
        }
    }
    hash.finish()
}

impl Fnv {
    fn edit(&mut self, edit: &Edit) {
        self.text(edit.name.as_str());
        self.optional_text(edit.guard.as_ref().map(|guard| guard.name.as_str()));
        self.optional_number(edit.guard.as_ref().map(|guard| guard.token.0));
        match &edit.change {
            Change::CreateLatch { count } => {
                self.tag(1);
                self.number(*count);
            }
            Change::CountDown { by, key } => {
                self.tag(2);
                self.number(*by);
                self.optional_text(key.as_deref());
            }
            Change::ResetLatch => self.tag(3),
            Change::SetGate { open } => {
                self.tag(4);
                self.flag(*open);
            }
            Change::SetRegister { value, expect, bound } => {
                self.tag(5);
                self.blob(value.as_bytes());
                self.expect(*expect);
                self.flag(*bound);
            }
            Change::DeleteRegister { expect } => {
                self.tag(6);
                self.expect(*expect);
            }
            Change::AddCounter { delta } => {
                self.tag(7);
                self.number(*delta as u64);
            }
        }
    }

    fn expect(&mut self, expect: Expect) {
        match expect {
            Expect::Anything => self.tag(1),
            Expect::Absent => self.tag(2),
            Expect::Version(version) => {
                self.tag(3);
                self.number(version.0);
            }
        }
    }
}
