//! What is refused before it is sent: a value that the cluster never takes would otherwise be sent again after every reconnect.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Refusal;
use crate::value::Value;

/// Longest name, owner or session name, in bytes: the cluster's own limit.
const TEXT_BYTES_MAX: usize = 512;
/// Labels or metadata, keys and values together, in bytes: the cluster's own limit.
const LABELS_BYTES_MAX: usize = 4 * 1024;
/// The value of a register or a once, in bytes: the cluster's own limit.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// What a candidate or leader proclaims, in bytes: the cluster's own limit.
const PROPOSAL_BYTES_MAX: usize = 4 * 1024;

/// 1 to 512 bytes without control characters.
pub(crate) fn text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::invalid(field, "must not be empty"));
    }
    if text.len() > TEXT_BYTES_MAX {
        let words = format!("has {} bytes, {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(Refusal::invalid(field, words));
    }
    match text.char_indices().find(|(_, char)| char.is_control()) {
        Some((at, _)) => {
            Err(Refusal::invalid(field, format!("has a control character at byte {at}")))
        }
        None => Ok(()),
    }
}

/// 4 KiB together.
pub(crate) fn labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let bytes: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > LABELS_BYTES_MAX {
        let words = format!("have {bytes} bytes, {LABELS_BYTES_MAX} are allowed");
        return Err(Refusal::invalid(field, words));
    }
    Ok(())
}

/// Of a register or a once: 64 KiB.
pub(crate) fn value(field: &str, value: &Value) -> Result<(), Refusal> {
    bytes(field, value, VALUE_BYTES_MAX)
}

/// What a candidate or leader proclaims: 4 KiB.
pub(crate) fn proposal(field: &str, value: &Value) -> Result<(), Refusal> {
    bytes(field, value, PROPOSAL_BYTES_MAX)
}

fn bytes(field: &str, value: &Value, max: usize) -> Result<(), Refusal> {
    let bytes = value.as_bytes().len();
    if bytes > max {
        return Err(Refusal::invalid(field, format!("has {bytes} bytes, {max} are allowed")));
    }
    Ok(())
}

/// Whole milliseconds, rounded up, so that a short time never becomes the zero that means something else.
pub(crate) fn millis(field: &str, time: Duration) -> Result<u64, Refusal> {
    u64::try_from(time.as_nanos().div_ceil(1_000_000))
        .map_err(|_| Refusal::invalid(field, "is longer than time itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_a_length_and_no_control_characters() {
        assert!(text("name", "a/b \u{e4}").is_ok());
        assert!(text("name", &"x".repeat(512)).is_ok());
        for wrong in [String::new(), "x".repeat(513), "a\0b".to_owned(), "a\nb".to_owned()] {
            assert!(text("name", &wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_short_time_is_not_none() {
        assert_eq!(millis("t", Duration::from_nanos(1)), Ok(1));
        assert_eq!(millis("t", Duration::ZERO), Ok(0));
        assert!(millis("t", Duration::MAX).is_err());
    }
}
