//! Copies what a command writes to where it would have written, and keeps the beginning of it. On threads of their own: a
//! terminal that stands still (Ctrl-S, a full pipe) must not hold up a KILL.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::job::Pipes;

/// What is kept of the output and of the errors, in bytes: together with a heading they fit into the 64 KiB of a value.
const OUT_MAX: usize = 48 * 1024;
const ERR_MAX: usize = 15 * 1024;

/// Between two looks at the end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A pipe from which nothing comes for so long after the whole group is gone is held open by something that left the group.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// What a command wrote, or the beginning of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    /// There was more.
    pub(crate) cut: bool,
}

#[derive(Debug)]
pub(crate) struct Tee {
    out: Arc<Copying>,
    err: Arc<Copying>,
}

/// One stream on its way.
#[derive(Debug, Default)]
struct Copying {
    kept: Mutex<Vec<u8>>,
    /// Bytes that came so far.
    came: AtomicU64,
    /// They are just being written; whoever reads them takes the time that it takes.
    is_writing: AtomicBool,
    is_done: AtomicBool,
}

impl Tee {
    pub(crate) fn start(pipes: Pipes) -> Self {
        let tee = Self { out: Arc::default(), err: Arc::default() };
        let (out, err) = (Arc::clone(&tee.out), Arc::clone(&tee.err));
        thread::spawn(move || out.copy(pipes.out, io::stdout(), OUT_MAX));
        thread::spawn(move || err.copy(pipes.err, io::stderr(), ERR_MAX));
        tee
    }

    /// Once the command and its group are gone: waits until what they wrote has been passed on. Cancel safe.
    pub(crate) async fn passed_on(&self) {
        let mut silent = Duration::ZERO;
        let mut before = None;
        while !(self.out.is_done() && self.err.is_done()) && silent < SILENCE_MAX {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Some((self.out.came(), self.err.came()));
            let is_silent = now == before && !self.out.is_writing() && !self.err.is_writing();
            silent = if is_silent { silent + LOOK_EVERY } else { Duration::ZERO };
            before = now;
        }
    }

    pub(crate) fn kept(&self) -> Kept {
        let (out, err) = (self.out.kept(), self.err.kept());
        let cut = self.out.came() > out.len() as u64 || self.err.came() > err.len() as u64;
        Kept { out, err, cut }
    }
}

impl Copying {
    fn copy(&self, mut from: impl Read, mut to: impl Write, max: usize) {
        crate::job::never_stopped_by_writing();
        let mut buffer = [0; 8 * 1024];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let bytes = &buffer[..count];
            self.is_writing.store(true, Ordering::Release);
            {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = max - kept.len();
                kept.extend_from_slice(&bytes[..count.min(room)]);
            }
            self.came.fetch_add(count as u64, Ordering::AcqRel);
            // Others want the result also when nobody reads ours any more.
            let _nobody_reads = to.write_all(bytes).and_then(|()| to.flush());
            self.is_writing.store(false, Ordering::Release);
        }
        self.is_done.store(true, Ordering::Release);
    }

    fn kept(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn came(&self) -> u64 {
        self.came.load(Ordering::Acquire)
    }

    fn is_writing(&self) -> bool {
        self.is_writing.load(Ordering::Acquire)
    }

    fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_passed_on_and_the_beginning_is_kept() {
        let copying = Copying::default();
        let mut passed = Vec::new();
        let written: Vec<u8> = (0..30_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        copying.copy(&written[..], &mut passed, 20_000);
        assert_eq!(passed, written);
        assert_eq!(copying.kept(), written[..20_000]);
        assert_eq!(copying.came(), 30_000);
        assert!(copying.is_done() && !copying.is_writing());
    }
}
