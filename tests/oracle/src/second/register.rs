//! A register, as one client alone would know it. Versions rise with every write, across deletions too.

use conclave_machine::Version;

use super::checker::Spec;
use crate::answer::Found;
use crate::asked::Expect;

pub(crate) struct RegisterSpec;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct RegisterState {
    present: Option<Present>,
    /// The highest version that anybody heard of.
    highest: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Present {
    /// None: its writer never heard it.
    version: Option<Version>,
    value: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) enum RegisterOp {
    /// None: never answered.
    Write {
        value: Vec<u8>,
        expect: Expect,
        version: Option<Version>,
    },
    Delete {
        expect: Expect,
    },
    Conflict {
        expect: Expect,
        version: Option<Version>,
    },
    Read {
        found: Option<Found>,
    },
    /// By an operator.
    Deleted,
}

impl RegisterState {
    fn meets(&self, expect: Expect) -> bool {
        match (expect, &self.present) {
            (Expect::Anything, _) | (Expect::Absent, None) => true,
            (Expect::Absent, Some(_)) | (Expect::Version(_), None) => false,
            (Expect::Version(expected), Some(present)) => self.may_be(present, expected),
        }
    }

    /// A version that nobody heard is above all that were heard.
    fn may_be(&self, present: &Present, version: Version) -> bool {
        match present.version {
            Some(known) => known == version,
            None => version.get() > self.highest,
        }
    }

    fn known(&self, version: Version, value: Vec<u8>) -> Self {
        let present = Some(Present { version: Some(version), value });
        Self { present, highest: self.highest.max(version.get()) }
    }

    fn gone(&self) -> Self {
        Self { present: None, highest: self.highest }
    }
}

impl Spec for RegisterSpec {
    type State = RegisterState;
    type Operation = RegisterOp;

    fn step(state: &RegisterState, operation: &RegisterOp) -> Option<RegisterState> {
        match operation {
            RegisterOp::Write { value, expect, version } if state.meets(*expect) => match version {
                Some(version) if version.get() <= state.highest => None,
                Some(version) => Some(state.known(*version, value.clone())),
                None => {
                    let present = Some(Present { version: None, value: value.clone() });
                    Some(RegisterState { present, highest: state.highest })
                }
            },
            RegisterOp::Delete { expect } => {
                (state.present.is_some() && state.meets(*expect)).then(|| state.gone())
            }
            RegisterOp::Conflict { expect, version } => {
                let as_told = match (&state.present, version) {
                    (None, None) => true,
                    (Some(present), Some(version)) => state.may_be(present, *version),
                    (None, Some(_)) | (Some(_), None) => false,
                };
                let met = match (expect, version) {
                    (Expect::Version(expected), Some(version)) => expected == version,
                    (Expect::Anything, Some(_)) | (Expect::Absent, None) => true,
                    (Expect::Absent | Expect::Anything | Expect::Version(_), _) => false,
                };
                (as_told && !met).then(|| state.clone())
            }
            RegisterOp::Read { found } => match (&state.present, found) {
                (None, None) => Some(state.clone()),
                (Some(present), Some(found)) if present.value == found.value => state
                    .may_be(present, found.version)
                    .then(|| state.known(found.version, found.value.clone())),
                (None, Some(_)) | (Some(_), Some(_) | None) => None,
            },
            RegisterOp::Deleted => state.present.is_some().then(|| state.gone()),
            RegisterOp::Write { .. } => None,
        }
    }
}
