//! What must hold at every moment in the time of the world, whatever the clocks of the hosts say.

use std::collections::BTreeMap;

use conclave_machine::SessionEnd;

use crate::diary::Diary;
use crate::host::Host;
use crate::truth::Ending;
use crate::world::World;

/// Who believes what: the oracle says whether they may.
pub fn believers(world: &World) {
    for (number, claim) in world.diary.claims() {
        // Who is stopped cannot act; when it goes on, its clock has moved before it looks.
        let host = world.clients.iter().find(|host| host.name == claim.host && host.is_awake());
        if host.and_then(|host| host.inside(|| claim.watch.is_valid())) == Some(true) {
            world.diary.is_believed(number);
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
