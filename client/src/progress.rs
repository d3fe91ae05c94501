//! How far an acquire has come.

/// How far an acquire has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Progress {
    /// On its way to the cluster.
    #[default]
    Asking,
    /// In the queue.
    Queued {
        /// Where it stood when it was queued, or asked again after a reconnect; counts from 1. Of several objects: in the queue
        /// where it is farthest behind. Zero: a candidate that stands aside.
        position: u32,
    },
}
