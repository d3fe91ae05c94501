//! The numbers a user meets, a type each, so that a token is never taken for a session.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Declares an ordered newtype over `u64` that prints and parses as the plain number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Takes a plain number, as read from a command line or another program.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }
    };
}

number!(
    /// The fencing token of a grant: larger than that of every earlier grant of the cluster, never reused.
    /// Hand it to the resource, and let the resource refuse smaller ones.
    Token
);
number!(
    /// A session of the cluster, never reused.
    SessionId
);
number!(
    /// A state of an object: each change gives it a larger one than anything had before. Never reused, also if the object
    /// vanished and came back.
    Version
);

/// The 128 random bits that prove that a caller owns its session. Whoever has them may take the session over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionSecret([u8; 16]);

impl SessionSecret {
    /// Takes the bytes that [`SessionSecret::to_bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept where only the successor of this process can read them.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Draws a new one.
    pub(crate) fn draw() -> Self {
        Self(rand::random())
    }
}

impl fmt::Debug for SessionSecret {
    /// A secret never reaches a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}
