//! Messages of the kernel's queue.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = flowreeve::queue::parse(data);
});
