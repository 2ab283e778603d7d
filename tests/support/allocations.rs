//! The system's allocator, counting. What is counted belongs to the thread it happens on, so tests that run
//! beside each other do not see one another. Lua's heap comes through here as well.
#![allow(
    unsafe_code,
    reason = "a global allocator is an unsafe trait; every call goes to the system's unchanged"
)]
#![allow(dead_code, reason = "each program uses a part of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread has allocated since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Times memory was asked for, growing included.
    pub calls: u64,
    /// Bytes asked for and not given back.
    pub live_bytes: i64,
    /// Most of them at any time.
    pub peak_bytes: i64,
}

thread_local! {
    static COUNTS: Cell<Counts> = const {
        Cell::new(Counts {
            calls: 0,
            live_bytes: 0,
            peak_bytes: 0,
        })
    };
}

/// What this thread has allocated so far.
pub fn now() -> Counts {
    COUNTS.get()
}

/// Times `work` asks for memory.
pub fn calls_in(work: impl FnOnce()) -> u64 {
    let before = now().calls;
    work();
    now().calls - before
}

fn note(calls: u64, bytes: i64) {
    // A thread on its way out has no counts any more.
    let _ = COUNTS.try_with(|counts| {
        let mut noted = counts.get();
        noted.calls += calls;
        noted.live_bytes += bytes;
        noted.peak_bytes = noted.peak_bytes.max(noted.live_bytes);
        counts.set(noted);
    });
}

/// The allocator; whoever includes this file has it installed.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: all is done by `System`; counting touches a constant-initialised thread local and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(block, layout) }
    }
}
