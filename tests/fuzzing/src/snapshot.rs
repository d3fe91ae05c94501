//! Records of a snapshot, from the disk or from a leader, that become a machine.

use bytes::Bytes;
use conclave_machine::{Machine, Record};
use conclave_raft::storage::{decode_record, encode_record};

use crate::Reached;
use crate::stage::Stage;

/// Bytes as records, each behind its length in two bytes (big-endian); what is left at the end is one more.
#[must_use]
pub fn snapshot_records(bytes: &[u8]) -> Reached {
    let Some(records) = split(bytes).map(|part| decode_record(&part).ok()).collect() else {
        return Reached::NoMessage;
    };
    let records: Vec<Record> = records;
    // A record says the same after it was written again.
    for record in &records {
        let again = decode_record(&encode_record(record)).expect("what was encoded");
        assert_eq!(again, *record);
    }
    let Ok(machine) = Machine::from_records(records.clone()) else { return Reached::Refused };
    machine.check_invariants().expect("a restored state is sound");
    assert!(machine.records().eq(records), "a machine was restored from other records than it has");
    Stage::used(machine)
}

/// The other way.
#[must_use]
pub fn join(parts: &[Bytes]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
        joined.extend(len.to_be_bytes());
        joined.extend(&part[..usize::from(len)]);
    }
    joined
}

fn split(bytes: &[u8]) -> impl Iterator<Item = Bytes> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (len, behind) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (part, others) = behind.split_at(len);
        rest = others;
        Some(Bytes::copy_from_slice(part))
    })
}
