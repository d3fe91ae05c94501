//! Which versions of the peers' protocol a build speaks, and which one two of them have in common.
//!
//! Raised with each change of what peers say or write into the log that an older build could not take. A build speaks its own
//! version and the one before, so that a cluster can be upgraded one node at a time; what only the new one knows is not said
//! before everybody speaks it.

use std::fmt;

use tonic::metadata::{MetadataMap, MetadataValue};

const MIN: &str = "conclave-protocol-min";
const MAX: &str = "conclave-protocol-max";

/// The first version says nothing of itself: builds before there were versions.
const SILENT: Protocols = Protocols { min: 0, max: 0 };

/// A range of versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    min: u32,
    max: u32,
}

impl Default for Protocols {
    /// What this build speaks.
    fn default() -> Self {
        Self { min: 0, max: 1 }
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(f, "{}", self.max),
            false => write!(f, "{} to {}", self.min, self.max),
        }
    }
}

impl Protocols {
    /// As another build, for tests: `MIN-MAX`, or one number. None: it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let (min, max) = (min.parse().ok()?, max.parse().ok()?);
        (min <= max).then_some(Self { min, max })
    }

    /// The highest version that both speak. None: there is none.
    pub(crate) fn common(self, other: Self) -> Option<u32> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }

    /// Whoever has nothing in common with `other` is the older of the two.
    pub(crate) fn is_older_than(self, other: Self) -> bool {
        self.max < other.min
    }

    pub(super) fn write(self, metadata: &mut MetadataMap) {
        if self != SILENT {
            metadata.insert(MIN, MetadataValue::from(self.min));
            metadata.insert(MAX, MetadataValue::from(self.max));
        }
    }

    /// None: it says something that cannot be understood.
    pub(super) fn read(metadata: &MetadataMap) -> Option<Self> {
        let number = |key| metadata.get(key).map(|value| value.to_str().ok()?.parse().ok());
        match (number(MIN), number(MAX)) {
            (None, None) => Some(SILENT),
            (Some(min), Some(max)) => {
                let (min, max) = (min?, max?);
                (min <= max).then_some(Self { min, max })
            }
            (Some(_), None) | (None, Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols(text: &str) -> Protocols {
        Protocols::parse(text).expect("a range")
    }

    #[test]
    fn builds_of_adjacent_versions_have_the_lower_one_in_common() {
        assert_eq!(Protocols::default().common(Protocols::default()), Some(1));
        assert_eq!(protocols("0").common(protocols("0-1")), Some(0));
        assert_eq!(protocols("1-2").common(protocols("0-1")), Some(1));
        assert_eq!(protocols("2-3").common(protocols("0-1")), None);
        assert_eq!(protocols("0").common(protocols("1-2")), None);
        assert!(protocols("0-1").is_older_than(protocols("2")));
        assert!(!protocols("2").is_older_than(protocols("0-1")));
    }

    #[test]
    fn what_is_written_is_read_and_silence_is_the_first_version() {
        for range in ["0", "0-1", "1-2", "7"] {
            let mut metadata = MetadataMap::new();
            protocols(range).write(&mut metadata);
            assert_eq!(Protocols::read(&metadata), Some(protocols(range)), "{range}");
        }
        let mut half = MetadataMap::new();
        half.insert(MIN, MetadataValue::from(1));
        assert_eq!(Protocols::read(&half), None);
        half.insert(MAX, MetadataValue::from(0));
        assert_eq!(Protocols::read(&half), None);
        for text in ["", "x", "2-1", "1-", "-1"] {
            assert_eq!(Protocols::parse(text), None, "{text}");
        }
    }
}
