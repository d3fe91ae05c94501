//! Names and labels: text from outside, checked once, then trusted.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::{LABELS_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX};

/// The name of an object: 1 to 512 bytes of UTF-8 without control characters. `a` and `a/b` have nothing to do with each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    Empty,
    TooLong { bytes: usize },
    ControlCharacter { at: usize },
}

impl Name {
    /// Checks `text` and takes it as a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_text(text, NAME_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Orders as its text does, so that a map of names can be asked for a prefix.
impl core::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// 1 to `bytes_max` bytes, no control characters.
pub fn check_text(text: &str, bytes_max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > bytes_max {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(NameError::ControlCharacter { at }),
        None => Ok(()),
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { bytes } => write!(f, "has {bytes} bytes, too many"),
            Self::ControlCharacter { at } => write!(f, "has a control character at byte {at}"),
        }
    }
}

impl core::error::Error for NameError {}

/// Sorted key-value pairs for display only: host, pid, version, zone. At most 64 pairs
/// and 4 KiB together. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

/// Labels are over `LABELS_MAX` pairs or `LABELS_BYTES_MAX` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelsTooLarge {
    pub pairs: usize,
    pub bytes: usize,
}

impl Labels {
    /// Sorts the pairs; of equal keys the last one stays.
    pub fn new(
        pairs: impl IntoIterator<Item = (Box<str>, Box<str>)>,
    ) -> Result<Self, LabelsTooLarge> {
        let sorted: alloc::collections::BTreeMap<_, _> = pairs.into_iter().collect();
        let bytes = sorted.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > LABELS_BYTES_MAX || sorted.len() > LABELS_MAX {
            return Err(LabelsTooLarge { pairs: sorted.len(), bytes });
        }
        Ok(Self(sorted.into_iter().collect::<Vec<_>>().into()))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}
