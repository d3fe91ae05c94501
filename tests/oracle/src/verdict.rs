//! What the oracle says: what was judged, and what is wrong, first things first.

use std::collections::BTreeMap;
use std::fmt;

use conclave_machine::{Revision, Seq, SessionId};

use crate::replay::Step;
use crate::story;

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// A sentence for a person.
    pub what: String,
    /// None: no place in the log.
    pub revision: Option<Revision>,
    pub client: Option<String>,
    pub session: Option<SessionId>,
    pub seq: Option<Seq>,
    /// The object concerned.
    pub name: Option<String>,
}

impl Finding {
    pub(crate) fn new(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            what: what.into(),
            revision: None,
            client: None,
            session: None,
            seq: None,
            name: None,
        }
    }

    pub(crate) fn at(self, revision: Revision) -> Self {
        Self { revision: Some(revision), ..self }
    }

    pub(crate) fn client(self, client: &str) -> Self {
        Self { client: Some(client.to_owned()), ..self }
    }

    pub(crate) fn session(self, session: SessionId) -> Self {
        Self { session: (session.get() > 0).then_some(session), ..self }
    }

    pub(crate) fn seq(self, seq: Seq) -> Self {
        Self { seq: (seq.get() > 0).then_some(seq), ..self }
    }

    pub(crate) fn name(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.check)?;
        if let Some(revision) = self.revision {
            write!(f, " revision {revision}")?;
        }
        if let Some(client) = &self.client {
            write!(f, " client {client}")?;
        }
        if let Some(session) = self.session {
            write!(f, " session {session}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, " seq {seq}")?;
        }
        if let Some(name) = &self.name {
            write!(f, " object {name}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The verdict on one run.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// In order of revision; what has no place in the log comes last.
    pub findings: Vec<Finding>,
    /// How many things each check looked at. A check that looked at nothing proves nothing.
    pub judged: BTreeMap<&'static str, u64>,
    /// The way to the first finding.
    pub(crate) story: Option<String>,
}

impl Verdict {
    pub(crate) fn judged(&mut self, check: &'static str) {
        *self.judged.entry(check).or_default() += 1;
    }

    pub(crate) fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Sorts, and tells the way to the first finding.
    pub(crate) fn conclude(mut self, steps: &[Step]) -> Self {
        self.findings.sort_by_key(|found| found.revision.unwrap_or(Revision(u64::MAX)));
        self.story = self.findings.first().map(|found| story::of(found, steps));
        self
    }

    /// How many things this check looked at.
    #[must_use]
    pub fn judged_by(&self, check: &str) -> u64 {
        self.judged.get(check).copied().unwrap_or_default()
    }

    /// Ok: nothing is wrong and each of `checks` looked at something. Err: a report for a person.
    pub fn require(&self, checks: &[&str]) -> Result<(), String> {
        if !self.findings.is_empty() {
            return Err(self.to_string());
        }
        let idle: Vec<_> = checks.iter().filter(|check| self.judged_by(check) == 0).collect();
        if !idle.is_empty() {
            return Err(format!("these checks had nothing to look at: {idle:?}\n{self}"));
        }
        Ok(())
    }
}

/// Findings that are told in full.
const TOLD_MAX: usize = 12;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judged: Vec<_> =
            self.judged.iter().map(|(check, count)| format!("{check} {count}")).collect();
        writeln!(f, "judged: {}", judged.join(", "))?;
        if self.findings.is_empty() {
            return write!(f, "nothing is wrong");
        }
        writeln!(f, "{} findings, the first ones:", self.findings.len())?;
        for finding in self.findings.iter().take(TOLD_MAX) {
            writeln!(f, "  {finding}")?;
        }
        match &self.story {
            Some(story) => write!(f, "{story}"),
            None => Ok(()),
        }
    }
}
