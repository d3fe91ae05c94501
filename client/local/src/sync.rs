//! The one lock of this crate, behind a name of its own: the model checker compiles the same sources with another.
//! Nobody may hold it across an `.await`, and no code of a caller (wakes, closures, drops) may run under it.

pub(crate) use std::sync::Mutex;
use std::sync::{MutexGuard, PoisonError};

/// A panic under the lock would be a bug of this crate; it must not become a second panic in somebody's `drop`.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
