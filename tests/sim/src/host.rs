//! One machine of the simulation: a runtime of its own whose time moves only when the world moves it, at a rate of its own. It may be
//! stopped (its time goes on, its tasks do not), and it may lose everything that is not on its disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// One turn of the world.
pub const TICK_MS: u64 = 2;
/// The rate of a clock that is right.
pub const RATE_TRUE_PPM: u64 = 1_000_000;
/// Where the wall clocks begin: 2026-01-01, in milliseconds.
const WALL_ZERO_MS: u64 = 1_767_225_600_000;

/// What the wall clock of the host that runs now shows, in milliseconds since 1970. For whoever answers `clock_gettime`.
pub static WALL_MS: AtomicU64 = AtomicU64::new(WALL_ZERO_MS);

pub struct Host {
    pub name: String,
    /// None: nothing runs.
    runtime: Option<Runtime>,
    pub rate_ppm: u64,
    /// How far its clock came, in microseconds, and how much of that its tasks saw, in milliseconds.
    clock_us: u64,
    seen_ms: u64,
    pub wall_offset_ms: i64,
    /// Its tasks stand still; when they go on, their clock has jumped.
    pub stopped: bool,
}

impl Host {
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            runtime: None,
            rate_ppm: RATE_TRUE_PPM,
            clock_us: 0,
            seen_ms: 0,
            wall_offset_ms: 0,
            stopped: false,
        }
    }

    #[must_use]
    pub fn is_up(&self) -> bool {
        self.runtime.is_some()
    }

    /// Runs, and nothing stops it.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.is_up() && !self.stopped
    }

    /// A fresh runtime; an earlier one is gone with all its tasks.
    pub fn boot(&mut self) -> &Runtime {
        self.halt();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        (self.clock_us, self.seen_ms, self.stopped) = (0, 0, false);
        self.runtime.insert(runtime)
    }

    /// All tasks are dropped, wherever they stand.
    pub fn halt(&mut self) {
        self.runtime = None;
    }

    /// Looks at what runs here, on its clock.
    pub fn inside<T>(&self, look: impl FnOnce() -> T) -> Option<T> {
        let _entered = self.runtime.as_ref()?.enter();
        Some(look())
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    /// One turn.
    pub fn step(&mut self, now_ms: u64) {
        self.clock_us += TICK_MS * self.rate_ppm / 1000;
        let Some(runtime) = &self.runtime else { return };
        if self.stopped {
            return;
        }
        let wall = (WALL_ZERO_MS + now_ms).saturating_add_signed(self.wall_offset_ms);
        WALL_MS.store(wall, Ordering::Relaxed);
        let ahead = self.clock_us / 1000 - self.seen_ms;
        self.seen_ms += ahead;
        runtime.block_on(async {
            if ahead > 4 * TICK_MS {
                tokio::time::advance(Duration::from_millis(ahead - TICK_MS)).await;
                tokio::time::sleep(Duration::from_millis(TICK_MS)).await;
            } else {
                tokio::time::sleep(Duration::from_millis(ahead)).await;
            }
        });
    }
}
