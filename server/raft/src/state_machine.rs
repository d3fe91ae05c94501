//! openraft's state machine: decodes committed entries, applies them to the machine, and hands what came out to the hub, in
//! the order of the log. It answers nobody by itself and decides nothing.

use std::io;
use std::time::Instant;

use conclave_machine::{Context, Machine, Term};
use futures::{Stream, StreamExt as _};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::codec;
use crate::hub::Hub;
use crate::planted::planted;
use crate::snapshots::{Snapshots, StoredSnapshot};
use crate::types::{
    Applied, AppliedCommand, Batch, Entry, LogId, Snapshot, SnapshotMeta, StoredMembership,
    TypeConfig,
};
use crate::view::View;

pub struct StateMachine {
    view: View,
    snapshots: Snapshots,
    hub: Hub,
    applied: Option<LogId>,
    membership: StoredMembership,
    /// Lets the node wait until the core has let go of the snapshots. None: nobody waits.
    open: Option<TaskTrackerToken>,
}

impl StateMachine {
    /// As [`Self::restore`], with nobody to tell what happens.
    pub fn open(snapshots: Snapshots) -> io::Result<Self> {
        Ok(Self::restore(snapshots, Hub::new())?)
    }

    /// The state of the newest snapshot that can be read; of none, the empty one. Blocks.
    pub(crate) fn restore(
        snapshots: Snapshots,
        hub: Hub,
    ) -> Result<Self, crate::snapshots::LoadError> {
        let (machine, meta) = snapshots.restore()?.unwrap_or_default();
        let view = View::new(machine);
        hub.restored(view.look(Machine::revision));
        if let Some(last) = &meta.last_log_id {
            view.applied_term(last.committed_leader_id().term);
        }
        Ok(Self {
            view,
            snapshots,
            hub,
            applied: meta.last_log_id,
            membership: meta.last_membership,
            open: None,
        })
    }

    pub(crate) fn tracked(self, open: TaskTrackerToken) -> Self {
        Self { open: Some(open), ..self }
    }

    pub(crate) fn view(&self) -> View {
        self.view.clone()
    }

    /// The last entry that is part of the state; none: of an empty log.
    pub(crate) fn applied(&self) -> Option<LogId> {
        self.applied
    }

    fn apply_entry(
        &mut self,
        entry: Entry,
        responder: Option<ApplyResponder<TypeConfig>>,
    ) -> io::Result<()> {
        let log_id = entry.log_id;
        let term = log_id.committed_leader_id().term;
        let applied = match entry.payload {
            EntryPayload::Blank => Applied::default(),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership);
                Applied::default()
            }
            EntryPayload::Normal(batch) => {
                self.apply_batch(Term(term), &batch).map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("entry {log_id}: {error}"))
                })?
            }
        };
        self.applied = Some(log_id);
        match responder {
            // It delivers, with the replies that it knows.
            Some(responder) => responder.send(applied),
            None => deliver(&self.hub, applied),
        }
        self.view.applied_term(term);
        Ok(())
    }

    fn apply_batch(&self, term: Term, batch: &Batch) -> Result<Applied, codec::DecodeError> {
        let decoded = codec::decode_batch(&batch.payload)?;
        let context = Context { term, stamp_ms: decoded.stamp_ms };
        let started = Instant::now();
        let mut machine = self.view.write();
        let apply = |command| {
            let mut events = Vec::new();
            let (revision, outcome) = machine.apply(&context, command, &mut events);
            AppliedCommand { revision, outcome, events }
        };
        let applied = Applied { commands: decoded.commands.into_iter().map(apply).collect() };
        drop(machine);
        self.view.apply_times().record(started.elapsed());
        Ok(applied)
    }
}

/// To the hub, with nobody waiting for an outcome.
pub(crate) fn deliver(hub: &Hub, applied: Applied) {
    for AppliedCommand { revision, outcome, events } in applied.commands {
        hub.deliver(revision, None, outcome, &events);
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = StoredSnapshot;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            self.apply_entry(entry, responder)?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        let started = Instant::now();
        let machine = self.view.look(Machine::clone);
        self.view.apply_times().record(started.elapsed());
        SnapshotBuilder {
            machine,
            later: planted("snapshot is not one cut").then(|| self.view.clone()),
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            snapshots: self.snapshots.clone(),
            _open: self.open.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: StoredSnapshot,
    ) -> io::Result<()> {
        let (own, of) = (self.snapshots.clone(), meta.clone());
        let install = move || {
            let machine = snapshot.machine()?;
            let stored = match snapshot.snapshots.is(&own) {
                true => snapshot,
                false => snapshot.copy_to(&own, &of)?,
            };
            own.adopt(&of, stored.id);
            Ok::<_, io::Error>(machine)
        };
        let machine = tokio::task::spawn_blocking(install).await.map_err(io::Error::other)??;
        let revision = machine.revision();
        *self.view.write() = machine;
        self.hub.restored(revision);
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        if let Some(last) = &meta.last_log_id {
            self.view.applied_term(last.committed_leader_id().term);
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<StoredSnapshot>>> {
        let current = self.snapshots.current();
        Ok(current.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// A consistent cut, to be written while apply goes on.
pub struct SnapshotBuilder {
    machine: Machine,
    /// Only for a planted fault: the state of whenever it is written.
    later: Option<View>,
    meta: SnapshotMeta,
    snapshots: Snapshots,
    _open: Option<TaskTrackerToken>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = StoredSnapshot;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<StoredSnapshot>> {
        let (machine, meta, snapshots) =
            (self.machine.clone(), self.meta.clone(), self.snapshots.clone());
        let machine = self.later.as_ref().map_or(machine, |view| view.look(Machine::clone));
        let write = move || {
            let (meta, snapshot) = match snapshots.write(&machine, &meta)? {
                Some(id) => (meta, StoredSnapshot { snapshots, id }),
                None => snapshots.current().ok_or_else(|| io::Error::other("no snapshot"))?,
            };
            Ok(Snapshot { meta, snapshot })
        };
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests;
