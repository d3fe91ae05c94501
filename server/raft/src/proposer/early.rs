//! A planted fault: everybody is answered from the state as it is, as if the entry were committed already.

use bytes::Bytes;
use conclave_machine::{Context, Machine, Term};
use openraft::Raft;

use crate::answer::Decided;
use crate::codec::decode_batch;
use crate::hub::Reply;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

pub(super) async fn answer(
    raft: &Raft<TypeConfig, StateMachine>,
    term: u64,
    payload: &Bytes,
    replies: Vec<Reply>,
) {
    let machine = raft.with_state_machine(|machine| {
        let machine = machine.view().look(Machine::clone);
        Box::pin(std::future::ready(machine))
    });
    let Ok(mut machine) = machine.await else { return };
    let decoded = decode_batch(payload).expect("this node encoded it");
    let context = Context { term: Term(term), stamp_ms: decoded.stamp_ms };
    for (command, reply) in decoded.commands.into_iter().zip(replies) {
        let (revision, outcome) = machine.apply(&context, command, &mut Vec::new());
        reply.decide(Decided { revision, outcome });
    }
}
