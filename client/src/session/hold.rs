//! One grant: what its guard and the session's task know of it in common.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::sync::{Notify, oneshot};

use crate::ids::Token;
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::handle::Handle;
use crate::session::shared::Shared;
use crate::state::{Lost, LostReason};

/// Who waits behind a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Contention {
    /// How many wait.
    pub waiting: u32,
    /// The highest priority among them; zero when nobody waits, or when it was not told yet.
    pub highest_priority: i32,
}

#[derive(Debug)]
pub(crate) struct HoldCore {
    /// An upgrade gives it another one, in the session's task; everywhere else it may be the one before.
    token: AtomicU64,
    lost: OnceLock<Lost>,
    /// Packed [`Contention`].
    contention: AtomicU64,
    /// Lost, or contended differently.
    changed: Notify,
}

impl HoldCore {
    pub(crate) fn new(token: u64, waiting: u32) -> Arc<Self> {
        let contention = Contention { waiting, highest_priority: 0 };
        Arc::new(Self {
            token: AtomicU64::new(token),
            lost: OnceLock::new(),
            contention: AtomicU64::new(pack(contention)),
            changed: Notify::new(),
        })
    }

    pub(crate) fn token(&self) -> u64 {
        self.token.load(Ordering::Acquire)
    }

    /// It was upgraded: the old token is dead.
    pub(crate) fn set_token(&self, token: u64) {
        self.token.store(token, Ordering::Release);
    }

    pub(crate) fn lose(&self, lost: Lost) {
        if self.lost.set(lost).is_ok() {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn lost(&self) -> Option<&Lost> {
        self.lost.get()
    }

    pub(crate) fn contention(&self) -> Contention {
        unpack(self.contention.load(Ordering::Acquire))
    }

    pub(crate) fn set_contention(&self, contention: Contention) {
        self.contention.store(pack(contention), Ordering::Release);
        self.changed.notify_waiters();
    }
}

fn pack(contention: Contention) -> u64 {
    (u64::from(contention.waiting) << 32) | u64::from(contention.highest_priority.cast_unsigned())
}

fn unpack(packed: u64) -> Contention {
    let low = u32::try_from(packed & u64::from(u32::MAX)).unwrap_or(0);
    let waiting = u32::try_from(packed >> 32).unwrap_or(0);
    Contention { waiting, highest_priority: low.cast_signed() }
}

/// An eye on a hold, for a supervisor that does not own the guard. Keeps neither the hold nor the session.
#[derive(Debug, Clone)]
pub struct HoldWatch {
    core: Arc<HoldCore>,
    shared: Arc<Shared>,
}

impl HoldWatch {
    /// The fencing token. An upgrade of a read-write lock changes it.
    #[must_use]
    pub fn token(&self) -> Token {
        Token::new(self.core.token())
    }

    /// Whether the hold may be relied upon now. Reads the clock; once false, false for good.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.core.lost().is_none() && self.shared.is_alive()
    }

    /// Why it was lost; `None` while it is valid. Reads the clock. A released hold is not lost.
    #[must_use]
    pub fn lost_now(&self) -> Option<Lost> {
        if self.core.lost().is_none()
            && let Some(end) = self.shared.ended()
        {
            let reason = LostReason::SessionEnded(end.clone());
            let clock = self.shared.clock.clone();
            self.core.lose(Lost::new(reason, clock.now(), self.shared.lease.renewed_at(), clock));
        }
        self.core.lost().cloned()
    }

    /// Resolves once the hold is lost; never if it is released before. Reads the clock whenever it is polled, so that a
    /// process that was suspended hears of it before it acts.
    ///
    /// # Cancel safety
    /// Cancel safe: call it again and it resolves at once if it was lost meanwhile.
    pub async fn lost(&self) -> Lost {
        self.until(Self::lost_now).await
    }

    /// Who waits behind this holder, as far as it was told.
    #[must_use]
    pub fn contention(&self) -> Contention {
        self.core.contention()
    }

    /// Resolves as soon as somebody waits behind this holder: a hint to finish early. Never resolves for a hold that is lost
    /// or released uncontended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn contended(&self) -> Contention {
        self.until(|this| Some(this.contention()).filter(|who| who.waiting > 0)).await
    }

    /// Waits until `look` sees something; looks at every poll.
    async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = pin!(self.core.changed.notified());
        poll_fn(|cx| {
            loop {
                if let Some(seen) = look(self) {
                    return Poll::Ready(seen);
                }
                if changed.as_mut().poll(cx).is_pending() {
                    // What changed between looking and registering would be missed otherwise.
                    return look(self).map_or(Poll::Pending, Poll::Ready);
                }
                changed.set(self.core.changed.notified());
            }
        })
        .await
    }
}

/// A grant on its way to its owner or in its guard: dropped anywhere, it is given back.
#[derive(Debug)]
pub(crate) struct Hold {
    core: Arc<HoldCore>,
    handle: Arc<Handle>,
    armed: bool,
}

impl Hold {
    pub(crate) fn new(core: Arc<HoldCore>, handle: Arc<Handle>) -> Self {
        Self { core, handle, armed: true }
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(crate) fn core(&self) -> &Arc<HoldCore> {
        &self.core
    }

    pub(crate) fn token(&self) -> Token {
        Token::new(self.core.token())
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.core.lost().is_none() && self.handle.shared.is_alive()
    }

    pub(crate) fn watch(&self) -> HoldWatch {
        HoldWatch { core: Arc::clone(&self.core), shared: Arc::clone(&self.handle.shared) }
    }

    /// The cluster ended it as it was asked to: nothing is left to give back.
    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }

    /// Asks for a change of it and waits for the answer; dropping the future withdraws it.
    pub(crate) async fn change(&self, op: Op, wait: WaitPlan) -> Answer {
        if let Some(lost) = self.watch().lost_now() {
            return Answer::Lost(lost);
        }
        self.handle.call(op, wait, None).await
    }

    /// Gives it back and waits for the word of the cluster.
    pub(crate) async fn release(mut self) -> Answer {
        let lost = self.watch().lost_now();
        let (reply, answer) = oneshot::channel();
        self.armed = false;
        self.handle.release(Arc::clone(&self.core), Some(reply));
        match (lost, answer.await) {
            (Some(lost), _) => Answer::Lost(lost),
            (None, Ok(answer)) => answer,
            (None, Err(_)) => match self.watch().lost_now() {
                Some(lost) => Answer::Lost(lost),
                None => Answer::Done,
            },
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.armed {
            self.handle.release(Arc::clone(&self.core), None);
        }
    }
}
