//! What a backup says of itself.

use bytes::Bytes;
use conclave_proto::internal::v1 as wire;
use conclave_store::LogPosition;

use super::membership::{position, wire_position};
use super::{DecodeError, Kind, open_as, seal};
use crate::backup::BackupInfo;

pub(crate) fn encode_backup_header(info: &BackupInfo) -> Bytes {
    let message = wire::BackupHeader {
        cluster_id: info.cluster_id.to_be_bytes().to_vec().into(),
        last: Some(wire_position(LogPosition { term: info.term, index: info.index })),
        revision: info.revision,
        taken_unix_ms: info.taken_unix_ms,
        program: info.program.clone(),
        sessions: info.sessions,
        objects: info.objects,
        holds: info.holds,
        waiters: info.waiters,
    };
    seal(Kind::Backup, &message)
}

pub(crate) fn decode_backup_header(bytes: &Bytes) -> Result<BackupInfo, DecodeError> {
    let message: wire::BackupHeader = open_as(Kind::Backup, bytes)?;
    let cluster = <[u8; 16]>::try_from(&message.cluster_id[..]);
    let last = message.last.map(position).ok_or(DecodeError::Missing { what: "a position" })?;
    Ok(BackupInfo {
        cluster_id: u128::from_be_bytes(
            cluster.map_err(|_| DecodeError::Invalid { what: "a cluster id" })?,
        ),
        term: last.term,
        index: last.index,
        revision: message.revision,
        taken_unix_ms: message.taken_unix_ms,
        program: message.program,
        sessions: message.sessions,
        objects: message.objects,
        holds: message.holds,
        waiters: message.waiters,
    })
}
