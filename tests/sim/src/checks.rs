//! What must hold at every moment in the time of the world, whatever the clocks of the hosts say.

use std::collections::BTreeMap;

use conclave_machine::SessionEnd;

use crate::diary::{Diary, Share};
use crate::host::Host;
use crate::truth::Ending;
use crate::world::World;

/// No two clients believe at the same time what only one of them may.
pub fn believers(world: &World) {
    let mut held: BTreeMap<String, Vec<(String, u64, Share)>> = BTreeMap::new();
    for claim in world.diary.claims() {
        // Who is stopped cannot act; when it goes on, its clock has moved before it looks.
        let Some(host) = world.clients.iter().find(|host| host.name == claim.host) else {
            continue;
        };
        if !host.is_awake() || host.inside(|| claim.watch.is_valid()) != Some(true) {
            continue;
        }
        for (name, share) in claim.held {
            let believer = (claim.host.clone(), claim.watch.token().get(), share);
            held.entry(name).or_default().push(believer);
        }
    }
    for (name, believers) in held {
        let alone = believers.iter().any(|(_, _, share)| *share == Share::Alone);
        let (mut permits, mut limit_max) = (0, u32::MAX);
        for (_, _, share) in &believers {
            if let Share::Permits { of, limit } = share {
                permits += of;
                limit_max = limit_max.min(*limit);
            }
        }
        if (alone && believers.len() > 1) || permits > limit_max {
            world.diary.fail(&format!("too many believe that they hold {name}: {believers:?}"));
        }
    }
}

/// A session must not expire while its client may believe in it.
pub fn ending(
    diary: &Diary,
    clients: &[Host],
    not_before: &BTreeMap<u64, u64>,
    now_ms: u64,
    ending: &Ending,
) {
    let Ending { session, end } = ending;
    diary.say("log", &format!("session {session} ends: {end:?}"));
    if *end != SessionEnd::Expired {
        return;
    }
    if let Some(earliest) = not_before.get(session)
        && now_ms < *earliest
    {
        diary.fail(&format!("session {session} of a crashed client expired before {earliest}"));
    }
    let living = diary.pages().sessions.get(session).cloned();
    let Some((name, handle)) = living else { return };
    let Some(host) = clients.iter().find(|host| host.name == name && host.is_awake()) else {
        return;
    };
    if host.inside(|| handle.is_valid()) == Some(true) {
        diary.fail(&format!("session {session} expired while {name} may still believe in it"));
    }
}
