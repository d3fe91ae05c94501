//! What the histories of all clients must obey, whatever was done to the cluster. Each finding is a violation; none is excused.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::facts::{Fact, Line, Share};

/// One hold, as its client believed it.
#[derive(Debug, Clone)]
pub(crate) struct Belief {
    pub(crate) task: String,
    pub(crate) name: String,
    pub(crate) token: u64,
    pub(crate) share: Share,
    pub(crate) from: u64,
    /// The last moment at which it was surely believed.
    pub(crate) until: u64,
    /// Its client went away with it.
    pub(crate) open: bool,
}

/// A lock that is free is granted within this time, on a machine that has other things to do.
const SERVED_MAX_NS: u64 = 3_000_000_000;

/// One wait for a lock, from its asking to whatever ended it.
#[derive(Debug, Clone, Copy)]
struct Ask {
    at: u64,
    /// The largest number: nothing did.
    ended: u64,
}

/// One wait for a lock that was granted.
#[derive(Debug, Clone, Copy)]
struct Wait {
    asked: u64,
    queued: Option<u64>,
    granted: u64,
    token: u64,
}

/// All that was seen, put together.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) beliefs: Vec<Belief>,
    waits: BTreeMap<String, Vec<Wait>>,
    asks: BTreeMap<String, Vec<Ask>>,
    /// Set and element.
    added: Vec<(String, String)>,
    asked_adds: BTreeSet<String>,
    counted: Vec<i64>,
    counts_asked: u64,
    counts_refused: u64,
    /// (asked, answered, version, token).
    wrote: Vec<(u64, u64, u64, u64)>,
    read: Vec<(u64, u64, u64, u64)>,
    passed: BTreeMap<u64, Vec<(u32, u32)>>,
    /// Of each once: token and whether it was run by whom it was told.
    results: BTreeMap<String, Vec<(u64, bool)>>,
    latches: BTreeMap<String, LatchSeen>,
    pub(crate) stale_refused: u64,
    pub(crate) fenced: u64,
    pub(crate) unknown: u64,
    pub(crate) done: u64,
    wrong: Vec<String>,
}

/// What was seen of one latch.
#[derive(Debug, Default)]
struct LatchSeen {
    /// What each one who counted down was told to be left.
    remaining: Vec<u64>,
    /// When somebody passed, and the count that it was made with.
    passed: Vec<(u64, u64)>,
}

/// What is not finished yet of one task's operation.
#[derive(Debug, Default, Clone)]
struct Pending {
    name: String,
    asked: u64,
    queued: Option<u64>,
    /// One for each object that it is about.
    beliefs: Vec<usize>,
    /// Which of the asks for this name.
    ask: usize,
}

impl History {
    /// Takes the lines of one process, in their order.
    pub(crate) fn take(&mut self, lines: &[Line]) {
        let mut pending: HashMap<(String, u64), Pending> = HashMap::new();
        for line in lines {
            self.line(line, &mut pending);
        }
    }

    fn line(&mut self, line: &Line, pending: &mut HashMap<(String, u64), Pending>) {
        let Line { at, task, fact } = line;
        let at = *at;
        if let Fact::Granted { op, .. } | Fact::Refused { op, .. } | Fact::Unknown { op, .. } = fact
        {
            let Pending { name, ask, .. } = of(pending, task, *op);
            let ask = self.asks.get_mut(name).and_then(|asks| asks.get_mut(*ask));
            ask.into_iter().for_each(|ask| ask.ended = ask.ended.min(at));
        }
        match fact {
            Fact::Asked { op, name } => {
                let asks = self.asks.entry(name.clone()).or_default();
                let ask = asks.len();
                asks.push(Ask { at, ended: u64::MAX });
                *of(pending, task, *op) =
                    Pending { name: name.clone(), asked: at, ask, ..Pending::default() };
                self.counts_asked += u64::from(name == "counter");
                if name == "fenced" || name == "open" {
                    self.asked_adds.insert(format!("{task}/{op}"));
                }
            }
            Fact::Queued { op } => of(pending, task, *op).queued = Some(at),
            Fact::Granted { op, name, token, share } => {
                self.granted(line, of(pending, task, *op), *token, name, *share);
            }
            Fact::GrantedAll { op, token, shares } => {
                for (name, share) in shares {
                    self.granted(line, of(pending, task, *op), *token, name, *share);
                }
            }
            Fact::Believed { op } => {
                for belief in &of(pending, task, *op).beliefs {
                    self.beliefs[*belief].until = at;
                }
            }
            Fact::Releasing { op } => {
                for belief in &of(pending, task, *op).beliefs {
                    self.beliefs[*belief].open = false;
                }
            }
            Fact::Released { .. } => self.done += 1,
            Fact::Lost { .. } => {}
            Fact::Refused { op, .. } => {
                self.counts_refused += u64::from(of(pending, task, *op).name == "counter")
            }
            Fact::Unknown { .. } => self.unknown += 1,
            Fact::Added { set, element, .. } => self.added.push((set.clone(), element.clone())),
            Fact::Fenced { .. } => self.fenced += 1,
            Fact::Wrote { op, version, token } => {
                self.done += 1;
                self.wrote.push((of(pending, task, *op).asked, at, *version, *token));
            }
            Fact::Read { op, version, token } => {
                self.read.push((of(pending, task, *op).asked, at, *version, *token));
            }
            Fact::StaleRefused { .. } => self.stale_refused += 1,
            Fact::Counted { value, .. } => {
                self.done += 1;
                self.counted.push(*value);
            }
            Fact::Passed { generation, index, parties, .. } => {
                self.done += 1;
                self.passed.entry(*generation).or_default().push((*index, *parties));
            }
            Fact::Done { name, token, ran, .. } => {
                self.done += 1;
                self.results.entry(name.clone()).or_default().push((*token, *ran));
            }
            Fact::CountedDown { name, remaining, .. } => {
                self.done += 1;
                self.latches.entry(name.clone()).or_default().remaining.push(*remaining);
            }
            Fact::LetThrough { name, count, .. } => {
                self.latches.entry(name.clone()).or_default().passed.push((at, *count));
            }
            Fact::Wrong { what } => self.wrong.push(format!("{task}: {what}")),
            Fact::Over => {}
        }
    }

    fn granted(&mut self, line: &Line, to: &mut Pending, token: u64, name: &str, share: Share) {
        to.beliefs.push(self.beliefs.len());
        self.beliefs.push(Belief {
            task: line.task.clone(),
            name: name.to_owned(),
            token,
            share,
            from: line.at,
            until: line.at,
            open: true,
        });
        let wait = Wait { asked: to.asked, queued: to.queued, granted: line.at, token };
        self.waits.entry(name.to_owned()).or_default().push(wait);
    }

    /// All that is wrong; `sets` are the elements found outside, `counter` is what it stands at.
    pub(crate) fn judge(&self, sets: &BTreeMap<&str, Vec<String>>, counter: i64) -> Vec<String> {
        let mut found = self.wrong.clone();
        self.exclusion(&mut found);
        self.tokens(&mut found);
        self.order(&mut found);
        self.sets(sets, &mut found);
        self.counter(counter, &mut found);
        self.register(&mut found);
        self.barrier(&mut found);
        self.onces(&mut found);
        self.latches(&mut found);
        found
    }

    /// Those who believe at one moment may hold beside each other.
    fn exclusion(&self, found: &mut Vec<String>) {
        let mut by_name: BTreeMap<&str, Vec<&Belief>> = BTreeMap::new();
        for belief in &self.beliefs {
            by_name.entry(&belief.name).or_default().push(belief);
        }
        for beliefs in by_name.values_mut() {
            beliefs.sort_by_key(|belief| belief.from);
            let mut now: Vec<&Belief> = Vec::new();
            for belief in beliefs.iter() {
                now.retain(|other| other.until >= belief.from);
                now.push(belief);
                if !fits(&now) {
                    found.push(format!("held at one time: {now:?}"));
                }
            }
        }
    }

    /// No token is given twice, and a grant that was asked for after another one was seen has a larger one.
    fn tokens(&self, found: &mut Vec<String>) {
        let mut waits: Vec<_> = self.waits.values().flatten().collect();
        waits.sort_by_key(|wait| (wait.token, wait.granted));
        // Of several objects under one token each one's queue knows it.
        waits.dedup_by_key(|wait| (wait.token, wait.granted));
        for pair in waits.windows(2) {
            if pair[0].token == pair[1].token {
                found.push(format!("token {} was given twice", pair[0].token));
            }
        }
        // From the largest token down: nobody below was asked for after somebody above was seen.
        let mut seen_first = u64::MAX;
        for wait in waits.iter().rev() {
            if wait.asked > seen_first {
                found.push(format!(
                    "token {} is smaller than one seen before it was asked for",
                    wait.token
                ));
            }
            seen_first = seen_first.min(wait.granted);
        }
    }

    /// Who surely stood in the queue before somebody else even asked is served first.
    fn order(&self, found: &mut Vec<String>) {
        for name in ["fenced", "open", "register", "long"] {
            let mut waits = self.waits.get(name).cloned().unwrap_or_default();
            waits.sort_by_key(|wait| wait.token);
            let mut latest_asked = 0;
            for wait in waits {
                if wait.queued.is_some_and(|queued| latest_asked > queued) {
                    found.push(format!("{name}: token {} was overtaken in the queue", wait.token));
                }
                latest_asked = latest_asked.max(wait.asked);
            }
        }
    }

    /// What was added is there, once; what is there was asked for.
    fn sets(&self, sets: &BTreeMap<&str, Vec<String>>, found: &mut Vec<String>) {
        for (name, elements) in sets {
            let mut once = BTreeSet::new();
            for element in elements {
                if !once.insert(element.as_str()) {
                    found.push(format!("{name}: {element} is there twice"));
                }
                if !self.asked_adds.contains(element) {
                    found.push(format!("{name}: nobody asked for {element}"));
                }
            }
            for (_, element) in self.added.iter().filter(|(set, _)| set == name) {
                if !once.contains(element.as_str()) {
                    found.push(format!("{name}: {element} is lost"));
                }
            }
        }
    }

    /// Each addition happened once, or, where its answer was not heard, at most once.
    fn counter(&self, stands_at: i64, found: &mut Vec<String>) {
        let once: BTreeSet<_> = self.counted.iter().collect();
        if once.len() != self.counted.len() {
            found.push("the counter gave one value to two".to_owned());
        }
        let low = self.counted.len() as i64;
        let high = (self.counts_asked - self.counts_refused) as i64;
        if !(low..=high).contains(&stands_at) {
            found.push(format!("the counter stands at {stands_at}, not from {low} to {high}"));
        }
    }

    /// Later versions were written under later tokens, and nobody reads an older version than one written before.
    fn register(&self, found: &mut Vec<String>) {
        let mut wrote = self.wrote.clone();
        wrote.sort_by_key(|(.., version, _)| *version);
        for pair in wrote.windows(2) {
            let ((.., before, earlier), (.., after, later)) = (pair[0], pair[1]);
            if before == after || earlier > later {
                found.push(format!(
                    "register: {before} under {earlier}, then {after} under {later}"
                ));
            }
        }
        let mut answered: Vec<_> =
            wrote.iter().map(|(_, at, version, _)| (*at, *version)).collect();
        answered.extend(self.read.iter().map(|(_, at, version, _)| (*at, *version)));
        answered.sort_unstable();
        let mut newest = 0;
        let newest_at: Vec<_> = answered
            .iter()
            .map(|(at, version)| {
                newest = newest.max(*version);
                (*at, newest)
            })
            .collect();
        for (asked, _, version, _) in &self.read {
            let before = newest_at.partition_point(|(at, _)| at < asked);
            let known = before.checked_sub(1).map_or(0, |last| newest_at[last].1);
            if *version < known {
                found.push(format!("register: read {version} when {known} was known"));
            }
        }
        let by_version: HashMap<_, _> =
            wrote.iter().map(|&(.., version, token)| (version, token)).collect();
        for (.., version, token) in &self.read {
            if by_version.get(version).is_some_and(|wrote| wrote != token) {
                found.push(format!(
                    "register: version {version} has another value than was written"
                ));
            }
        }
    }

    /// Of one generation each index passes once.
    fn barrier(&self, found: &mut Vec<String>) {
        for (generation, passes) in &self.passed {
            let once: BTreeSet<_> = passes.iter().map(|(index, _)| index).collect();
            if once.len() != passes.len() || passes.iter().any(|(index, parties)| index >= parties)
            {
                found.push(format!("barrier: generation {generation} let through {passes:?}"));
            }
        }
    }

    /// One result for all, of one run.
    fn onces(&self, found: &mut Vec<String>) {
        for (name, results) in &self.results {
            let once: BTreeSet<_> = results.iter().map(|(token, _)| token).collect();
            let ran = results.iter().filter(|(_, ran)| *ran).count();
            if once.len() > 1 || ran > 1 {
                found.push(format!("{name}: {ran} ran it, with the results {once:?}"));
            }
        }
    }

    /// Nobody passes before enough have begun to count down, and each count is taken once.
    fn latches(&self, found: &mut Vec<String>) {
        for (name, LatchSeen { remaining, passed }) in &self.latches {
            let once: BTreeSet<_> = remaining.iter().collect();
            if once.len() != remaining.len() {
                found.push(format!("{name}: what is left was told as {remaining:?}"));
            }
            for (at, count) in passed {
                let asks = self.asks.get(name).into_iter().flatten();
                let begun = asks.filter(|ask| ask.at < *at).count();
                if (begun as u64) < *count {
                    found.push(format!("{name}: passed after {begun} counts of {count}"));
                }
            }
        }
    }

    /// The holds that went away with a process at `killed`, and were given to nobody by `by`, though somebody asked. Whoever asked
    /// for the first time shortly before `by`, or behind it, is served at once.
    pub(crate) fn late(&self, client: &str, killed: u64, by: u64) -> (usize, Vec<String>) {
        let prefix = format!("{client}/");
        let mut found = Vec::new();
        let mut held = 0;
        for belief in &self.beliefs {
            if !belief.open || belief.share != Share::Alone || !belief.task.starts_with(&prefix) {
                continue;
            }
            held += 1;
            let waits = self.waits.get(&belief.name).map(Vec::as_slice).unwrap_or_default();
            let after = |wait: &&Wait| wait.token > belief.token;
            let next = waits.iter().filter(after).min_by_key(|wait| wait.granted);
            let name = &belief.name;
            let waited = |ask: &Ask| ask.at < by && ask.ended > by;
            match next {
                Some(next) if next.granted <= by.max(next.asked + SERVED_MAX_NS) => {}
                Some(next) => {
                    let late = (next.granted - killed) / 1_000_000;
                    found.push(format!("{name}: served {late} ms after its holder was killed"));
                }
                None if self.asks.get(name).into_iter().flatten().any(waited) => {
                    found.push(format!("{name}: never served after its holder was killed"));
                }
                None => {}
            }
        }
        (held, found)
    }
}

/// The operation of that number.
fn of<'a>(
    pending: &'a mut HashMap<(String, u64), Pending>,
    task: &str,
    op: u64,
) -> &'a mut Pending {
    pending.entry((task.to_owned(), op)).or_default()
}

/// Whether these may be held at one time.
fn fits(holds: &[&Belief]) -> bool {
    let mut weight = 0;
    let mut limit = u64::MAX;
    let mut shared = 0;
    let mut alone = 0;
    for hold in holds {
        match hold.share {
            Share::Alone => alone += 1,
            Share::Shared => shared += 1,
            Share::Permits(permits, of) => {
                weight += permits;
                limit = of;
            }
        }
    }
    (alone == 0 || holds.len() == 1) && weight <= limit && (alone == 0 || shared == 0)
}
