//! What a stream asked and has no answer for yet: numbered in order, looked up by number, bounded by its owner.

use std::collections::VecDeque;

use conclave_machine::{Seq, Token};
use tokio::time::Instant;

/// Something that was asked of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Queued, the call's wait is over at that instant; none: never.
    Call {
        seq: Seq,
        over_at: Option<Instant>,
    },
    Cancel {
        seq: Seq,
    },
    /// The time of the wait of `seq` is over.
    TimeOut {
        seq: Seq,
    },
    AckStopped {
        token: Token,
    },
    Close,
    KeepAlive {
        number: u64,
    },
}

impl Asked {
    /// Of the client's, and answered by a commit. A keepalive needs a majority and no disk; a time-out is this node's own.
    fn takes_room(self) -> bool {
        match self {
            Self::Call { .. } | Self::Cancel { .. } | Self::AckStopped { .. } | Self::Close => true,
            Self::KeepAlive { .. } | Self::TimeOut { .. } => false,
        }
    }
}

/// Answers come roughly in the order of the questions, so a window that moves is enough.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// The tag of the first one in `open`.
    first: u64,
    /// None: answered, behind one that is not.
    open: VecDeque<Option<Asked>>,
    unanswered: usize,
    /// Of these, what the client waits for a commit of.
    proposals: usize,
}

impl Questions {
    /// The tag under which the answer will come.
    pub(super) fn ask(&mut self, asked: Asked) -> u64 {
        self.open.push_back(Some(asked));
        self.unanswered += 1;
        self.proposals += usize::from(asked.takes_room());
        self.first + self.open.len() as u64 - 1
    }

    /// What was asked under the tag; none: it was answered already.
    pub(super) fn answered(&mut self, tag: u64) -> Option<Asked> {
        let index = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        let asked = self.open.get_mut(index)?.take()?;
        self.unanswered -= 1;
        self.proposals -= usize::from(asked.takes_room());
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.first += 1;
        }
        Some(asked)
    }

    pub(super) fn len(&self) -> usize {
        self.unanswered
    }

    /// What the client asked and waits for a commit of.
    pub(super) fn proposals(&self) -> usize {
        self.proposals
    }

    /// Also counts what was answered out of turn, so that one lost answer cannot make the window grow for ever.
    pub(super) fn span(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_answered_once_in_any_order() {
        let mut questions = Questions::default();
        let tags: Vec<_> =
            (0..5).map(|number| questions.ask(Asked::KeepAlive { number })).collect();
        assert_eq!(tags, [0, 1, 2, 3, 4]);
        assert_eq!(questions.answered(2), Some(Asked::KeepAlive { number: 2 }));
        assert_eq!(questions.answered(2), None);
        assert_eq!((questions.len(), questions.span()), (4, 5));
        assert_eq!(questions.proposals(), 0, "keepalives need no commit");
        assert_eq!(questions.answered(0), Some(Asked::KeepAlive { number: 0 }));
        assert_eq!(questions.answered(1), Some(Asked::KeepAlive { number: 1 }));
        assert_eq!((questions.len(), questions.span()), (2, 2));
        assert_eq!(questions.answered(0), None);
        assert_eq!(questions.ask(Asked::Close), 5);
        assert_eq!((questions.len(), questions.proposals()), (3, 1));
        assert_eq!(questions.answered(77), None);
        assert_eq!(questions.answered(5), Some(Asked::Close));
    }
}
