//! Addresses as an owner writes them: networks and MAC addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network, or one address as a network of its own. Invariant: bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The network of `address` with `bits` of prefix; none if there are not so many.
    pub fn new(address: IpAddr, bits: u8) -> Option<Cidr> {
        let address = match address {
            IpAddr::V4(v4) => {
                let kept = 32u32.checked_sub(u32::from(bits))?;
                let mask = u32::MAX.checked_shl(kept).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let kept = 128u32.checked_sub(u32::from(bits))?;
                let mask = u128::MAX.checked_shl(kept).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(Cidr { address, bits })
    }

    /// First address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Length of the prefix.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether `address` is one of its addresses; never across IP versions.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Cidr::new(address, self.bits).is_some_and(|net| net.address == self.address)
    }

    /// Whether `address` is its directed broadcast address (IPv4, prefixes up to 30; RFC 3021).
    pub fn broadcasts_to(&self, address: IpAddr) -> bool {
        let IpAddr::V4(v4) = address else {
            return false;
        };
        let host_bits = u32::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
        self.bits <= 30 && self.contains(address) && v4.to_bits() & host_bits == host_bits
    }
}

impl FromStr for Cidr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Cidr, Self::Err> {
        let wrong = "not an address or network such as 192.168.1.0/24";
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong)?;
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| wrong)?,
            None if address.is_ipv4() => 32,
            None => 128,
        };
        Cidr::new(address, bits).ok_or(wrong)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Mac, Self::Err> {
        let wrong = "not a MAC address such as 02:00:00:00:00:01";
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let hex = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            let part = parts.next().filter(hex).ok_or(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong)?;
        }
        if parts.next().is_none() {
            Ok(Mac(bytes))
        } else {
            Err(wrong)
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
as_text!(Cidr);
as_text!(Mac);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (net, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.1.77/24", "192.168.1.1", "192.168.2.1"),
            ("1.2.3.4", "1.2.3.4", "1.2.3.5"),
            ("fc00::/7", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
        ] {
            let net: Cidr = net.parse().unwrap();
            assert!(net.contains(inside.parse().unwrap()), "{net} {inside}");
            assert!(!net.contains(outside.parse().unwrap()), "{net} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_or_mac_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "fe80::/129",
            "10.0.0.0/",
            "lan",
            "1.2.3.4/-1",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        for text in [
            "",
            "02:00",
            "02:00:00:00:00:01:02",
            "02:00:00:00:00:zz",
            "+2:00:00:00:00:01",
            "2:0:0:0:0:1",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn both_are_written_as_they_are_read() {
        assert_eq!(
            "192.168.1.77/24".parse::<Cidr>().unwrap().to_string(),
            "192.168.1.0/24"
        );
        assert_eq!(
            "02-AB-00-00-00-01".parse::<Mac>().unwrap().to_string(),
            "02:ab:00:00:00:01"
        );
    }

    proptest! {
        #[test]
        fn a_network_read_back_is_the_same(bits in 0u8..=128, raw in any::<u128>()) {
            let net = Cidr::new(IpAddr::from(raw.to_be_bytes()), bits).unwrap();
            prop_assert_eq!(net.to_string().parse::<Cidr>(), Ok(net));
        }

        #[test]
        fn no_text_makes_them_panic(text in any::<String>()) {
            let _ = (text.parse::<Cidr>(), text.parse::<Mac>());
        }
    }
}
