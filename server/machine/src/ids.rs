//! The numbers of the machine, a type each, so that a token is never taken for an index or a count.

/// Declares an ordered newtype over `u64` with `get`.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The plain number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// A session, drawn from the one counter, so never reused.
    SessionId
);
number!(
    /// The client's number of a mutation within its session; chosen once, reused on every retry. Starts at 1.
    Seq
);
number!(
    /// The fencing token of a grant: a global counter raised by one for every grant of anything, never reused.
    Token
);
number!(
    /// The number of applied commands; every answer carries the revision it was decided at.
    Revision
);
number!(
    /// Raised by each resume of a session; calls of an older epoch are fenced out. Starts at 1.
    Epoch
);
number!(
    /// Drawn from the one counter whenever a timer's subject changes; a leader's `Due` of an older generation does nothing.
    Generation
);
number!(
    /// A state of an object that came about by an edit (a resize, a write, a round), drawn from the one counter, so that an
    /// object which vanished and came back never repeats one.
    Version
);
number!(
    /// The Raft term an entry was proposed in.
    Term
);
number!(
    /// A loss of one session, counted from 1, told with every keepalive acknowledgement until confirmed.
    LossNumber
);

/// A 128-bit number the client draws at random: proof that a caller owns its session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(pub u128);

impl core::fmt::Debug for Secret {
    /// A secret never reaches a log line.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A 128-bit number that names one attempt to resume; the same nonce gets the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u128);
