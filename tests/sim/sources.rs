//! The two things that the operating system gives and no seed decides, chance and the wall clock, replaced in a process that runs a
//! seed. Whoever asks libc for them gets what follows from the seed: hash orders, tokio's choices, election timeouts, secrets.
#![expect(unsafe_code, reason = "these are the symbols that libc would provide")]
#![expect(unreachable_pub, reason = "they are reached by name, by whoever calls libc")]

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use conclave_sim::chance::Chance;
use conclave_sim::host::WALL_MS;

static SIMULATED: AtomicBool = AtomicBool::new(false);
static CHANCE: Mutex<Option<Chance>> = Mutex::new(None);

/// From now on this process knows no other chance.
pub(crate) fn replace(seed: u64) {
    *CHANCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Chance::new(!seed));
    SIMULATED.store(true, Ordering::SeqCst);
}

/// # Safety
/// As of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    if !SIMULATED.load(Ordering::SeqCst) {
        // SAFETY: the caller's arguments, to the same call of the kernel.
        let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(got).unwrap_or(-1);
    }
    let mut chance = CHANCE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(chance) = chance.as_mut() else { return -1 };
    for at in 0..length {
        // SAFETY: the caller owns `length` bytes from `buffer` on.
        unsafe { buffer.cast::<u8>().add(at).write(chance.draw() as u8) };
    }
    isize::try_from(length).unwrap_or(-1)
}

/// # Safety
/// As of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    if SIMULATED.load(Ordering::SeqCst) && clock == libc::CLOCK_REALTIME {
        let ms = WALL_MS.load(Ordering::Relaxed);
        let shown = libc::timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(0),
            tv_nsec: i64::try_from(ms % 1000 * 1_000_000).unwrap_or(0),
        };
        // SAFETY: the caller owns the place.
        unsafe { time.write(shown) };
        return 0;
    }
    // SAFETY: the caller's arguments, to the same call of the kernel.
    let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    c_int::try_from(done).unwrap_or(-1)
}
