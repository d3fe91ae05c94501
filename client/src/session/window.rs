//! Which calls the cluster must still remember: the client confirms cumulatively what it has seen, and never asks further
//! ahead than the cluster keeps.

use std::collections::VecDeque;

/// Calls ahead of the first unseen one. The cluster keeps 1,024 outcomes; a little less is asked for.
pub(crate) const WINDOW: u64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Drawn by a handle whose message has not arrived here.
    Drawn,
    Arrived,
    Seen,
}

#[derive(Debug)]
pub(crate) struct Window {
    /// Everything up to and with this one was seen.
    seen_through: u64,
    /// From `seen_through + 1` on.
    marks: VecDeque<Mark>,
}

impl Window {
    pub(crate) fn new(next_seq: u64) -> Self {
        Self { seen_through: next_seq.saturating_sub(1), marks: VecDeque::new() }
    }

    pub(crate) const fn seen_through(&self) -> u64 {
        self.seen_through
    }

    /// Whether `seq` may be sent now.
    pub(crate) const fn admits(&self, seq: u64) -> bool {
        seq <= self.seen_through + WINDOW
    }

    pub(crate) fn arrived(&mut self, seq: u64) {
        self.mark(seq, Mark::Arrived);
    }

    /// The outcome of `seq`, `Queued` included, was received, or `seq` will never be sent. True if the window moved.
    pub(crate) fn seen(&mut self, seq: u64) -> bool {
        self.mark(seq, Mark::Seen);
        let before = self.seen_through;
        while self.marks.front() == Some(&Mark::Seen) {
            self.marks.pop_front();
            self.seen_through += 1;
        }
        self.seen_through > before
    }

    fn mark(&mut self, seq: u64, mark: Mark) {
        let Some(ahead) = seq.checked_sub(self.seen_through + 1) else { return };
        let Ok(index) = usize::try_from(ahead) else { return };
        if index >= self.marks.len() {
            self.marks.resize(index + 1, Mark::Drawn);
        }
        self.marks[index] = mark;
    }

    /// The first seq that has not arrived here: whatever lies below is known to this task.
    pub(crate) fn next_seq(&self) -> u64 {
        let arrived = self.marks.iter().take_while(|mark| **mark != Mark::Drawn).count();
        self.seen_through + 1 + u64::try_from(arrived).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_only_what_was_seen_without_a_gap() {
        let mut window = Window::new(1);
        for seq in [1, 3, 2] {
            window.arrived(seq);
        }
        assert!(!window.seen(2));
        assert!(!window.seen(3));
        assert_eq!(window.seen_through(), 0);
        assert!(window.seen(1));
        assert_eq!(window.seen_through(), 3);
        assert!(!window.seen(2), "again changes nothing");
        assert_eq!(window.next_seq(), 4);
    }

    #[test]
    fn what_was_drawn_but_has_not_arrived_is_never_judged() {
        let mut window = Window::new(8);
        window.arrived(8);
        window.arrived(10);
        assert_eq!(window.next_seq(), 9);
        window.arrived(9);
        assert_eq!(window.next_seq(), 11);
    }

    #[test]
    fn asks_no_further_ahead_than_the_cluster_keeps() {
        let mut window = Window::new(1);
        window.arrived(1);
        assert!(window.admits(WINDOW));
        assert!(!window.admits(WINDOW + 1));
        window.seen(1);
        assert!(window.admits(WINDOW + 1));
    }
}
