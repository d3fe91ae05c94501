//! Tokens are unique and rise: in the order of the log each new grant has a higher token than every one before it.

use std::collections::BTreeMap;

use conclave_machine::{Revision, Seq, SessionId, Token};

use crate::answer::Answer;
use crate::asked::Asked;
use crate::history::History;
use crate::replay::{Step, grants};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "tokens";

struct Grant<'a> {
    revision: Revision,
    session: SessionId,
    seq: Seq,
    token: Token,
    /// None: as a node did it.
    client: Option<&'a str>,
}

/// As clients heard of them, whatever the log says. An answer may be heard late, and again: what must rise is what was asked for
/// after another grant was heard of.
pub(crate) fn of_clients(history: &History, verdict: &mut Verdict) {
    let mut asked: BTreeMap<(SessionId, Seq), u64> = BTreeMap::new();
    let mut heard: Vec<(u64, Grant<'_>)> = Vec::new();
    for call in &history.calls {
        // A cancel that came too late is told the grant of the call that it was to cancel.
        let seq = if let Asked::Cancel { seq } = call.asked { seq } else { call.seq };
        let (session, client) = (call.session, Some(&*call.client));
        let first = asked.entry((session, seq)).or_insert(call.invoked_us);
        *first = (*first).min(call.invoked_us);
        for answer in &call.answers {
            if let Answer::Granted { token } = answer.answer {
                let revision = answer.revision;
                heard.push((answer.at_us, Grant { revision, session, seq, token, client }));
            }
        }
    }
    heard.sort_by_key(|(at_us, grant)| (*at_us, grant.token));
    // The highest token that had been heard of by then, and who has it.
    let mut highest: Vec<(u64, Token, (SessionId, Seq))> = Vec::new();
    let mut owners: BTreeMap<Token, (SessionId, Seq)> = BTreeMap::new();
    for (at_us, grant) in &heard {
        verdict.judged(CHECK);
        let owner = (grant.session, grant.seq);
        let before = highest.partition_point(|(at_us, ..)| *at_us < asked[&owner]);
        let before = before.checked_sub(1).map(|last| highest[last]);
        match (owners.insert(grant.token, owner), before) {
            (Some(other), _) if other != owner => found(verdict, grant, &given_before(other)),
            (_, Some((_, token, other))) if grant.token < token => {
                found(verdict, grant, &given_after(token, other));
            }
            _ => {}
        }
        if highest.last().is_none_or(|(_, token, _)| *token < grant.token) {
            highest.push((*at_us, grant.token, owner));
        }
    }
}

/// As a machine gave them.
pub(crate) fn of_steps(steps: &[Step], verdict: &mut Verdict) {
    let all = steps.iter().flat_map(|step| {
        let revision = step.revision;
        let grants = grants(step).into_iter();
        grants.map(move |(session, seq, token)| Grant {
            revision,
            session,
            seq,
            token,
            client: None,
        })
    });
    rise(&all.collect::<Vec<_>>(), verdict);
}

fn rise(grants: &[Grant<'_>], verdict: &mut Verdict) {
    let mut owners: BTreeMap<Token, (SessionId, Seq)> = BTreeMap::new();
    for grant in grants {
        verdict.judged(CHECK);
        let owner = (grant.session, grant.seq);
        let highest = owners.last_key_value().map(|(token, owner)| (*token, *owner));
        match (owners.get(&grant.token).copied(), highest) {
            (Some(other), _) if other == owner => {}
            (Some(other), _) => found(verdict, grant, &given_before(other)),
            (None, Some((token, other))) if grant.token < token => {
                found(verdict, grant, &given_after(token, other));
            }
            (None, _) => {
                owners.insert(grant.token, owner);
            }
        }
    }
}

fn given_before((session, seq): (SessionId, Seq)) -> String {
    format!("was granted to session {session} seq {seq} before")
}

fn given_after(token: Token, (session, seq): (SessionId, Seq)) -> String {
    format!("was granted after {token}, which went to session {session} seq {seq}")
}

fn found(verdict: &mut Verdict, grant: &Grant<'_>, what: &str) {
    let what = format!("token {} {what}", grant.token);
    let finding = Finding::new(CHECK, what).at(grant.revision).session(grant.session);
    let finding = finding.seq(grant.seq);
    verdict.found(match grant.client {
        Some(client) => finding.client(client),
        None => finding,
    });
}
