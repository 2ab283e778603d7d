//! Any bytes as a packet from its IP header on: read or refused, and what is read stays inside.
#![no_main]

use flowreeve::packet::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = Packet::parse(bytes, 0) {
        assert!(packet.payload.len() <= packet.payload_len as usize);
        assert!(packet.payload_len <= packet.ip_len);
        assert_eq!(
            (packet.src(), packet.dst()),
            if packet.from_low {
                (packet.key.low(), packet.key.high())
            } else {
                (packet.key.high(), packet.key.low())
            }
        );
    }
});
