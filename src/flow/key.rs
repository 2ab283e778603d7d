//! Which flow a packet belongs to: one key for both directions and both IP versions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Way of a packet, seen from the flow's client (the side that spoke first, as far as we saw).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dir {
    /// Client to server.
    ToServer = 0,
    /// Server to client.
    ToClient = 1,
}

/// Addresses, ports, L4 protocol and VLAN, with the smaller endpoint first, so that both directions of
/// a flow have the same key. 40 bytes. An IPv4 address fills the first 4 bytes of its field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    low: [u8; 16],
    high: [u8; 16],
    low_port: u16,
    high_port: u16,
    /// 802.1Q id, 0 without.
    pub vlan: u16,
    /// IP protocol number (6 TCP, 17 UDP, ...); 0 marks an empty slot together with `version` 0.
    pub proto: u8,
    version: u8,
}

impl FlowKey {
    /// The key of a packet, and whether its sender is the key's lower endpoint. Ports are 0 for
    /// protocols without. `src` and `dst` are of the same IP version.
    pub fn new(src: (IpAddr, u16), dst: (IpAddr, u16), proto: u8, vlan: u16) -> (FlowKey, bool) {
        let (from, version) = octets(src.0);
        let (to, _) = octets(dst.0);
        let from_low = (from, src.1) <= (to, dst.1);
        let (low, low_port, high, high_port) = if from_low {
            (from, src.1, to, dst.1)
        } else {
            (to, dst.1, from, src.1)
        };
        (
            FlowKey {
                low,
                high,
                low_port,
                high_port,
                vlan,
                proto,
                version,
            },
            from_low,
        )
    }

    /// Lower endpoint.
    pub fn low(&self) -> (IpAddr, u16) {
        (address(&self.low, self.version), self.low_port)
    }

    /// Higher endpoint.
    pub fn high(&self) -> (IpAddr, u16) {
        (address(&self.high, self.version), self.high_port)
    }

    /// 4 or 6; 0 in an empty slot.
    pub fn version(&self) -> u8 {
        self.version
    }
}

fn octets(address: IpAddr) -> ([u8; 16], u8) {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (bytes, 4)
        }
        IpAddr::V6(v6) => (v6.octets(), 6),
    }
}

fn address(bytes: &[u8; 16], version: u8) -> IpAddr {
    if version == 6 {
        IpAddr::V6(Ipv6Addr::from(*bytes))
    } else {
        IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let a = (IpAddr::from([10, 0, 0, 2]), 40_000);
        let b = (IpAddr::from([10, 0, 0, 1]), 80);

        let (forth, forth_low) = FlowKey::new(a, b, 6, 0);
        let (back, back_low) = FlowKey::new(b, a, 6, 0);

        assert_eq!(forth, back);
        assert_ne!(forth_low, back_low);
        assert_eq!(forth.low(), b);
        assert_eq!(forth.high(), a);
    }

    #[test]
    fn a_v4_address_is_not_the_v6_address_of_the_same_bytes() {
        let v4 = (IpAddr::from([1, 2, 3, 4]), 1);
        let v6 = (
            IpAddr::from([1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0u8]),
            1,
        );

        assert_ne!(FlowKey::new(v4, v4, 6, 0).0, FlowKey::new(v6, v6, 6, 0).0);
    }

    #[test]
    fn a_key_is_40_bytes() {
        assert_eq!(size_of::<FlowKey>(), 40);
    }
}
