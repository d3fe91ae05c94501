//! Counts what a thread asks of the allocator, so that a length which lies is seen before it costs anything.
#![expect(unsafe_code, reason = "an allocator cannot be written without; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// The largest piece that this thread asked for.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn asked(bytes: usize) {
    // While a thread ends, nobody counts any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// Safety: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        asked(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        asked(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        asked(bytes);
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The largest piece that `work` asked for, and what it returned.
pub(crate) fn largest<T>(work: impl FnOnce() -> T) -> (usize, T) {
    LARGEST.set(0);
    let done = work();
    (LARGEST.get(), done)
}

#[test]
fn a_large_piece_is_seen() {
    let (bytes, kept) = largest(|| vec![0_u8; 3 << 20]);
    assert!(bytes >= kept.len() && bytes < 4 << 20, "{bytes}");
    assert!(largest(|| 0).0 < 1 << 10);
}
