//! A mutex, as one client alone would know it: tokens rise, and nobody is granted what another holds.

use conclave_machine::Token;

use super::checker::Spec;

pub(crate) struct MutexSpec;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct MutexState {
    held: Option<Token>,
    /// The last token that anybody heard of.
    last: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum MutexOp {
    Granted {
        token: Token,
    },
    /// The same hold under another token.
    Adopted {
        old: Token,
        token: Token,
    },
    Released {
        token: Token,
    },
    /// Somebody held it.
    Held,
    Checked {
        token: Token,
        holds: bool,
    },
    /// The hold may have ended otherwise: by a release that was never answered, an expiry, an operator. Never answered itself.
    Ended {
        token: Token,
    },
}

impl MutexState {
    fn granted(&self, token: Token) -> Option<Self> {
        (token.get() > self.last).then_some(Self { held: Some(token), last: token.get() })
    }

    fn free(&self) -> Self {
        Self { held: None, last: self.last }
    }
}

impl Spec for MutexSpec {
    type State = MutexState;
    type Operation = MutexOp;

    fn step(state: &MutexState, operation: &MutexOp) -> Option<MutexState> {
        match operation {
            MutexOp::Granted { token } if state.held.is_none() => state.granted(*token),
            MutexOp::Adopted { old, token } if state.held == Some(*old) => state.granted(*token),
            MutexOp::Released { token } | MutexOp::Ended { token } => {
                (state.held == Some(*token)).then(|| state.free())
            }
            MutexOp::Held => state.held.is_some().then(|| state.clone()),
            MutexOp::Checked { token, holds } => {
                ((state.held == Some(*token)) == *holds).then(|| state.clone())
            }
            MutexOp::Granted { .. } | MutexOp::Adopted { .. } => None,
        }
    }
}
