//! DNS (RFC 1035).

use crate::l7::{Dissector, Facts, Input, Probe, Proto, Transport};

/// DNS over UDP.
pub const DNS_UDP: Dissector = Dissector {
    proto: Proto::DNS,
    transport: Transport::Udp,
    limit_bytes: 4096,
    probe,
};

/// DNS over TCP (RFC 7766).
pub const DNS_TCP: Dissector = Dissector {
    proto: Proto::DNS,
    transport: Transport::Tcp,
    limit_bytes: 4096,
    probe,
};

fn probe(_input: &Input, _facts: &mut Facts) -> Probe {
    Probe::No
}
