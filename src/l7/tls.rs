//! TLS.

use crate::l7::{Dissector, Facts, Input, Probe, Proto, Transport};

/// The dissector.
pub const TLS: Dissector = Dissector {
    proto: Proto::TLS,
    transport: Transport::Tcp,
    limit_bytes: 4096,
    probe,
};

fn probe(_input: &Input, _facts: &mut Facts) -> Probe {
    Probe::No
}
