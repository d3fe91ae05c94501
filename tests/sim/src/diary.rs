//! What clients saw and believe, with the time of the world: told by their tasks, read by the checks. Also the trace of the run, which
//! is the same whenever the seed is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_client::{HoldWatch, Session};

/// A cheap handle; all clones are the same diary.
#[derive(Clone, Default)]
pub struct Diary {
    shared: Arc<Mutex<Pages>>,
}

/// How something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Alone,
    WithReaders,
    Permits { of: u32, limit: u32 },
}

/// A client believes that it holds this as long as the watch is valid.
#[derive(Clone)]
pub struct Claim {
    pub host: String,
    pub held: Vec<(String, Share)>,
    pub watch: HoldWatch,
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

/// A grant that a client was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub session: u64,
    pub token: u64,
    pub name: String,
}

/// What is known of one counter from outside, where all adds are by one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub begun: i64,
    pub acknowledged: i64,
    pub denied: i64,
}

#[derive(Default)]
pub struct Pages {
    pub now_ms: u64,
    pub lines: Vec<String>,
    claims: BTreeMap<u64, Claim>,
    next_claim: u64,
    pub sessions: BTreeMap<u64, (String, Session)>,
    pub told: Vec<Told>,
    pub counters: BTreeMap<String, Count>,
    pub attempts: BTreeMap<(&'static str, Verdict), u64>,
    /// What must not be.
    pub failures: Vec<String>,
    pub draining: bool,
    /// Clients that said that they are done.
    pub finished: BTreeMap<String, bool>,
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

    pub fn claim(&self, claim: Claim) -> Claimed {
        let mut pages = self.pages();
        pages.next_claim += 1;
        let number = pages.next_claim;
        pages.claims.insert(number, claim);
        drop(pages);
        Claimed { diary: self.clone(), number }
    }

    pub fn claims(&self) -> Vec<Claim> {
        self.pages().claims.values().cloned().collect()
    }

    pub fn attempt(&self, kind: &'static str, verdict: Verdict) {
        *self.pages().attempts.entry((kind, verdict)).or_default() += 1;
    }

    pub fn is_draining(&self) -> bool {
        self.pages().draining
    }
}
