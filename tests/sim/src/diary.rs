//! What clients saw and believe, with the time of the world: told by their tasks, read by the checks and judged by the oracle. Also the trace of the run, which
//! is the same whenever the seed is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_client::{HoldWatch, Session};
use conclave_machine::{Revision, Seq, SessionId, Token};
use conclave_oracle::{Answer, Asked, Belief, Call, Demand, Heard, History};

/// A cheap handle; all clones are the same diary.
#[derive(Clone, Default)]
pub struct Diary {
    shared: Arc<Mutex<Pages>>,
}

/// A client believes that it holds this as long as the watch is valid.
#[derive(Clone)]
pub struct Claim {
    pub host: String,
    pub held: Vec<(String, Demand)>,
    pub watch: HoldWatch,
}

/// A call that goes on, to be answered.
pub struct Asking {
    diary: Diary,
    place: usize,
}

impl Asking {
    pub fn answered(self, answer: Answer) {
        let mut pages = self.diary.pages();
        let at_us = pages.now_us();
        // Clients of such a high level are told no revision.
        pages.outside[self.place].answers.push(Heard { at_us, revision: Revision(0), answer });
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Done,
    /// The cluster decided against it, or the time was over.
    Denied,
    /// Perhaps, perhaps not.
    Unknown,
    /// The session was over.
    Ended,
}

#[derive(Default)]
pub struct Pages {
    pub now_ms: u64,
    pub lines: Vec<String>,
    /// With the places of their beliefs in the history.
    claims: BTreeMap<u64, (Claim, std::ops::Range<usize>)>,
    next_claim: u64,
    pub sessions: BTreeMap<u64, (String, Session)>,
    /// Beliefs, and what nodes applied.
    pub history: History,
    /// Calls as they look from outside, for the second opinion alone.
    pub outside: Vec<Call>,
    pub attempts: BTreeMap<(&'static str, Verdict), u64>,
    /// What must not be.
    pub failures: Vec<String>,
    pub draining: bool,
    /// Clients that said that they are done.
    pub finished: BTreeMap<String, bool>,
}

impl Pages {
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.now_ms * 1000
    }
}

/// Dropped, the claim is given up.
pub struct Claimed {
    diary: Diary,
    number: u64,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.diary.pages().claims.remove(&self.number);
    }
}

impl Diary {
    pub fn pages(&self) -> MutexGuard<'_, Pages> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn say(&self, who: &str, what: &str) {
        let mut pages = self.pages();
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = write!(line, "{:>7} {who}: {what}", pages.now_ms);
        pages.lines.push(line);
    }

    /// Something that must not be.
    pub fn fail(&self, what: &str) {
        self.say("FAILURE", what);
        self.pages().failures.push(what.to_owned());
    }

    /// On the host that believes it, where the watch knows the time.
    pub fn claim(&self, session: u64, claim: Claim) -> Claimed {
        let is_valid = claim.watch.is_valid();
        let mut pages = self.pages();
        pages.next_claim += 1;
        let (number, now_us) = (pages.next_claim, pages.now_us());
        let first = pages.history.beliefs.len();
        // What is over before it is heard of is believed by nobody.
        for (name, demand) in claim.held.iter().filter(|_| is_valid) {
            pages.history.beliefs.push(Belief {
                client: claim.host.clone(),
                session: SessionId(session),
                name: name.clone(),
                demand: *demand,
                token: Token(claim.watch.token().get()),
                from_us: now_us,
                to_us: now_us + 1,
            });
        }
        let beliefs = first..pages.history.beliefs.len();
        pages.claims.insert(number, (claim, beliefs));
        drop(pages);
        Claimed { diary: self.clone(), number }
    }

    pub fn claims(&self) -> Vec<(u64, Claim)> {
        let claims = &self.pages().claims;
        claims.iter().map(|(number, (claim, _))| (*number, claim.clone())).collect()
    }

    /// It is believed now.
    pub fn is_believed(&self, claim: u64) {
        let mut pages = self.pages();
        let now_us = pages.now_us();
        let beliefs = pages.claims.get(&claim).map(|(_, beliefs)| beliefs.clone());
        for place in beliefs.into_iter().flatten() {
            pages.history.beliefs[place].to_us = now_us + 1;
        }
    }

    /// A call begins; unless it is answered, nobody knows what became of it.
    pub fn ask(&self, client: &str, asked: Asked) -> Asking {
        let mut pages = self.pages();
        let (place, invoked_us) = (pages.outside.len(), pages.now_us());
        let (session, seq) = (SessionId(0), Seq(0));
        let client = client.to_owned();
        pages.outside.push(Call { client, session, seq, asked, invoked_us, answers: Vec::new() });
        drop(pages);
        Asking { diary: self.clone(), place }
    }

    pub fn attempt(&self, kind: &'static str, verdict: Verdict) {
        *self.pages().attempts.entry((kind, verdict)).or_default() += 1;
    }

    pub fn is_draining(&self) -> bool {
        self.pages().draining
    }
}
