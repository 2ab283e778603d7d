//! Any bytes as a capture file: it ends, keeps its bounds, and each of its frames is read or refused.
#![no_main]

use flowreeve::packet::Packet;
use flowreeve::replay::capture::{Capture, MAX_FRAME_BYTES};
use flowreeve::replay::link;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut capture) = Capture::new(bytes, "fuzz") else {
        return;
    };
    let mut frames = 0;
    while let Ok(Some(frame)) = capture.next_frame() {
        frames += 1;
        assert!(frame.bytes.len() <= MAX_FRAME_BYTES as usize);
        if let Ok(net) = link::net(frame.link, frame.bytes) {
            let _ = Packet::parse(net.ip, net.vlan);
        }
    }
    assert!(frames <= bytes.len() / 12); // no record is shorter than a block's frame
    assert!(matches!(capture.next_frame(), Ok(None))); // the end stays the end
});
