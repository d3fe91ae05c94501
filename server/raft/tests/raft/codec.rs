//! What is written once must be readable for ever: golden files of every command and record, round trips of arbitrary ones,
//! and bytes that nobody wrote.

use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use conclave_machine::{Command, Record};
use conclave_raft::storage::{
    BatchBuilder, DecodedBatch, decode_batch, decode_membership, decode_record, encode_command,
    encode_membership, encode_record,
};
use proptest::prelude::*;

use crate::samples;

fn batch(stamp_ms: u64, commands: &[Command]) -> Bytes {
    let mut builder = BatchBuilder::new(stamp_ms);
    for command in commands {
        let encoded = encode_command(command);
        let before = builder.bytes();
        builder.push(&encoded);
        assert_eq!(builder.bytes(), before + BatchBuilder::cost(encoded.len()));
    }
    assert_eq!(builder.commands(), commands.len());
    builder.finish()
}

fn golden_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("into a string");
        out
    })
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<_> = text.chars().collect();
    let byte = |pair: &[char]| {
        u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// A line for each sample, `name bytes`. Written anew only when the file is missing; then the test fails all the same.
fn golden(file: &str, samples: &[(&str, Bytes)]) -> Vec<Bytes> {
    let path = golden_file(file);
    let now: String =
        samples.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
    let Ok(kept) = std::fs::read_to_string(&path) else {
        std::fs::write(&path, now).expect("written");
        panic!("{} was missing; look at what was written and commit it", path.display());
    };
    assert_eq!(now, kept, "the bytes of this format changed: {}", path.display());
    kept.lines().map(|line| unhex(line.split_once(' ').expect("two words").1)).collect()
}

#[test]
fn commands_of_the_first_format_are_written_and_read_as_ever() {
    let samples = samples::commands();
    let encoded: Vec<_> = samples
        .iter()
        .map(|(name, command)| (*name, batch(7, std::slice::from_ref(command))))
        .collect();
    for (bytes, (name, command)) in golden("commands-v1.txt", &encoded).iter().zip(samples) {
        let expected = DecodedBatch { stamp_ms: 7, commands: vec![command] };
        assert_eq!(decode_batch(bytes).expect(name), expected);
    }
}

#[test]
fn records_of_the_first_format_are_written_and_read_as_ever() {
    let samples = samples::records();
    let encoded: Vec<_> =
        samples.iter().map(|(name, record)| (*name, encode_record(record))).collect();
    for (bytes, (name, record)) in golden("records-v1.txt", &encoded).iter().zip(samples) {
        assert_eq!(decode_record(bytes).expect(name), record);
    }
}

#[test]
fn records_of_the_second_format_are_written_and_read_as_ever() {
    let samples = samples::records_since_2();
    let encoded: Vec<_> =
        samples.iter().map(|(name, record)| (*name, encode_record(record))).collect();
    for (bytes, (name, record)) in golden("records-v2.txt", &encoded).iter().zip(samples) {
        assert_eq!(decode_record(bytes).expect(name), record);
    }
}

#[test]
fn memberships_of_the_first_format_are_written_and_read_as_ever() {
    let samples = samples::memberships();
    let encoded: Vec<_> =
        samples.iter().map(|(name, membership)| (*name, encode_membership(membership))).collect();
    for (bytes, (name, membership)) in golden("memberships-v1.txt", &encoded).iter().zip(samples) {
        assert_eq!(decode_membership(bytes).expect(name), membership);
    }
}

#[test]
fn a_batch_keeps_the_order_of_its_commands() {
    let commands: Vec<_> = samples::commands().into_iter().map(|(_, command)| command).collect();
    let decoded = decode_batch(&batch(u64::MAX, &commands)).expect("readable");
    assert_eq!(decoded, DecodedBatch { stamp_ms: u64::MAX, commands });
}

#[test]
fn another_version_or_kind_is_refused() {
    let whole = batch(7, &[samples::commands().remove(0).1]);
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        decode_batch(&Bytes::from(bytes)).map(drop).expect_err("refused").to_string()
    };
    assert_eq!(with(0, 2), "format version 2, this program reads 1");
    assert_eq!(with(1, 0), "kind 0 has no place here");
    assert_eq!(with(1, 200), "kind 200 has no place here");
    let empty = decode_batch(&Bytes::new()).expect_err("refused");
    assert_eq!(empty.to_string(), "no format bytes");
}

#[test]
fn no_record_of_a_full_session_is_larger_than_the_snapshot_store_takes() {
    for (name, record) in samples::largest_records() {
        let bytes = encode_record(&record).len();
        let limit = conclave_store::SNAPSHOT_RECORD_BYTES_MAX;
        assert!(bytes <= limit, "{name} has {bytes} bytes, over {limit}");
    }
}

fn command() -> impl Strategy<Value = Command> {
    samples::any_command()
}

fn record() -> impl Strategy<Value = Record> {
    samples::any_record()
}

proptest! {
    #[test]
    fn any_commands_come_back(stamp in any::<u64>(), commands in prop::collection::vec(command(), 0..8)) {
        let decoded = decode_batch(&batch(stamp, &commands)).expect("readable");
        prop_assert_eq!(decoded, DecodedBatch { stamp_ms: stamp, commands });
    }

    #[test]
    fn any_record_comes_back(record in record()) {
        prop_assert_eq!(decode_record(&encode_record(&record)).expect("readable"), record);
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode_record(&Bytes::from(bytes.clone()));
        let _ = decode_batch(&Bytes::from(bytes.clone()));
        let prefixed = |kind: u8| Bytes::from([&[1, kind], &bytes[..]].concat());
        let _ = decode_batch(&prefixed(1));
        let _ = decode_membership(&prefixed(2));
        let _ = decode_record(&prefixed(4));
    }

    #[test]
    fn a_damaged_command_never_panics(command in command(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = batch(7, &[command]).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = decode_batch(&Bytes::from(bytes.clone()));
        bytes.truncate(at);
        let _ = decode_batch(&Bytes::from(bytes));
    }

    #[test]
    fn a_damaged_record_never_panics(record in record(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = encode_record(&record).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = decode_record(&Bytes::from(bytes.clone()));
        bytes.truncate(at);
        let _ = decode_record(&Bytes::from(bytes));
    }
}
