//! The backup file: what was written is read, and whatever happened to a byte of it is noticed.

use std::path::Path;

use bytes::Bytes;
use conclave_store::{BackupEncoder, BackupFileError, BackupReader};

fn encode(header: &[u8], records: &[Vec<u8>]) -> Vec<u8> {
    let (mut encoder, first) = BackupEncoder::begin(header);
    let mut out = first.to_vec();
    for record in records {
        out.extend(encoder.push(record).unwrap_or_default());
    }
    out.extend(encoder.finish());
    out
}

fn read(path: &Path) -> Result<(Bytes, Vec<Bytes>), BackupFileError> {
    let reader = BackupReader::open(path)?;
    let header = reader.header().clone();
    let records = reader.collect::<Result<Vec<_>, _>>()?;
    Ok((header, records))
}

fn records(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![number as u8; bytes + number % 3]).collect()
}

#[test]
fn a_backup_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup");
    let largest = conclave_store::SNAPSHOT_RECORD_BYTES_MAX;
    for sample in [records(0, 0), records(1, 0), records(500, 700), records(3, largest - 2)] {
        std::fs::write(&path, encode(b"header", &sample)).unwrap();
        let (header, found) = read(&path).unwrap();
        assert_eq!(&header[..], b"header");
        assert!(found == sample, "{} records of {}", found.len(), sample.len());
    }
}

#[test]
fn a_backup_with_any_bit_flipped_or_cut_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup");
    // Several blocks, so that every part of the layout is there: header, lengths, records, checksums, end.
    let good = encode(b"some header", &records(200, 400));
    assert!(good.len() > 80_000, "{} bytes", good.len());
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        assert!(read(&path).is_err(), "{what}");
    };
    // All of what surrounds the records, and a sample of the records themselves.
    let places =
        (0..64).chain((64..good.len() - 64).step_by(97)).chain(good.len() - 64..good.len());
    for at in places {
        for flip in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            refused(&bad, &format!("byte {at} with {flip:#x}"));
        }
        refused(&good[..at], &format!("cut at {at}"));
    }
    let mut longer = good.clone();
    longer.push(0);
    refused(&longer, "a byte more");
    longer.extend(&good);
    refused(&longer, "two in one");
    std::fs::write(&path, &good).unwrap();
    assert!(read(&path).is_ok());
}

#[test]
fn a_backup_of_a_newer_format_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup");
    let mut newer = encode(b"header", &records(3, 10));
    newer[8..12].copy_from_slice(&2_u32.to_be_bytes());
    std::fs::write(&path, newer).unwrap();
    let error = read(&path).unwrap_err();
    assert!(matches!(error, BackupFileError::OtherVersion { found: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("has format 2, this program reads format 1"), "{error}");
}

#[test]
fn what_is_no_backup_is_told_apart_from_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup");
    for other in [&b""[..], b"CONCLAV", b"hello, this is a text"] {
        std::fs::write(&path, other).unwrap();
        assert!(matches!(read(&path), Err(BackupFileError::NoBackup { .. })), "{other:?}");
    }
    std::fs::write(&path, &encode(b"header", &records(3, 10))[..40]).unwrap();
    assert!(matches!(read(&path), Err(BackupFileError::Damaged { .. })));
    assert!(matches!(read(&dir.path().join("none")), Err(BackupFileError::Io { .. })));
}
