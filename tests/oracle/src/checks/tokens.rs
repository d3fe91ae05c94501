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

/// As clients heard of them, whatever the log says.
pub(crate) fn of_clients(history: &History, verdict: &mut Verdict) {
    let mut heard: Vec<Grant<'_>> = Vec::new();
    for call in &history.calls {
        for answer in &call.answers {
            if let Answer::Granted { token } = answer.answer {
                let (session, client) = (call.session, Some(&*call.client));
                // A cancel that came too late is told the grant of the call that it was to cancel.
                let seq = if let Asked::Cancel { seq } = call.asked { seq } else { call.seq };
                heard.push(Grant { revision: answer.revision, session, seq, token, client });
            }
        }
    }
    // Of several at one revision clients do not know the order.
    heard.sort_by_key(|grant| (grant.revision, grant.token));
    rise(&heard, verdict);
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
        let known = owners.get(&grant.token).copied();
        // Heard again: the same grant, by a retry.
        if known == Some(owner) {
            continue;
        }
        let highest = owners.last_key_value().map(|(token, owner)| (*token, *owner));
        let what = match (known, highest) {
            (Some((session, seq)), _) => {
                format!("token {} was granted to session {session} seq {seq} before", grant.token)
            }
            (None, Some((highest, (session, seq)))) if grant.token < highest => {
                format!(
                    "token {} was granted after {highest}, which went to session {session} seq {seq}",
                    grant.token
                )
            }
            (None, _) => {
                owners.insert(grant.token, owner);
                continue;
            }
        };
        let finding = Finding::new(CHECK, what).at(grant.revision).session(grant.session);
        let finding = finding.seq(grant.seq);
        verdict.found(match grant.client {
            Some(client) => finding.client(client),
            None => finding,
        });
    }
}
