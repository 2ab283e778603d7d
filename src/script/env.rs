//! What scripts may know besides the flow in hand: the local networks, where addresses are, the program's
//! own names, and the key-value store. One a packet thread; it outlives the Lua states it serves.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use mlua::Lua;

use crate::config::Cidr;
use crate::geo::{Geo, Place};
use crate::script::store::Store;
use crate::time::Micros;

/// How long calls into Rust are paid for. Whoever limits scripts puts it into the state with
/// `Lua::set_app_data`; it takes units of about one instruction and raises an error when they are spent.
pub struct Charge(pub Box<dyn Fn(u64) -> mlua::Result<()>>);

/// Bytes read or written for one unit.
pub(crate) const BYTES_PER_UNIT: usize = 4;
/// Units for an element put into a table.
pub(crate) const ELEMENT_UNITS: usize = 8;

/// Charges the running script; free where nobody limits scripts.
pub(crate) fn charge(lua: &Lua, units: usize) -> mlua::Result<()> {
    match lua.app_data_ref::<Charge>() {
        Some(charge) => (charge.0)(units as u64),
        None => Ok(()),
    }
}

/// What scripts may know besides the flow.
#[derive(Default)]
pub struct Env {
    /// Networks whose addresses are local.
    pub local_networks: Vec<Cidr>,
    /// Networks the owner blacklists.
    pub blacklisted_networks: Vec<Cidr>,
    /// Address databases, if the user has any.
    pub geo: Option<Geo>,
    /// Name of the interface as scripts see it.
    pub interface_name: String,
    /// Folder `ntop.getDirs()` calls `installdir`, without trailing slash.
    pub install_dir: String,
    /// Folder for what changes, without trailing slash.
    pub working_dir: String,
    /// The key-value store of `ntop.getCache` and its kin.
    pub store: RefCell<Store>,
    /// How much scripts have logged lately.
    pub log_lines: Cell<LogLines>,
}

/// How much scripts have logged lately.
#[derive(Clone, Copy, Default)]
pub struct LogLines {
    second: u64,
    written: u32,
    /// Lines beyond the allowance.
    pub left_out: u64,
}

/// Log lines all scripts together may write in a second of engine time.
const LOG_LINES_PER_SECOND: u32 = 20;

impl Env {
    /// Whether `address` is in one of the local networks.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.local_networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// Whether `address` is in one of the blacklisted networks.
    pub fn is_blacklisted(&self, address: IpAddr) -> bool {
        self.blacklisted_networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// Whether `address` is multicast or a broadcast address.
    pub fn is_broadcast_or_multicast(&self, address: IpAddr) -> bool {
        let broadcast = match address {
            IpAddr::V4(v4) => v4.is_broadcast() || v4.is_multicast(),
            IpAddr::V6(v6) => v6.is_multicast(),
        };
        broadcast
            || self
                .local_networks
                .iter()
                .any(|network| network.broadcasts_to(address))
    }

    /// Where `address` is; nothing known without databases.
    pub fn place(&self, address: IpAddr) -> Place<'_> {
        self.geo
            .as_ref()
            .map(|geo| geo.place(address))
            .unwrap_or_default()
    }

    /// Lines scripts wanted logged and that were too many.
    pub fn log_lines_left_out(&self) -> u64 {
        self.log_lines.get().left_out
    }

    /// Whether a script may log one more line at `now`.
    pub(crate) fn may_log(&self, now: Micros) -> bool {
        let mut lines = self.log_lines.get();
        if lines.second != now.as_secs() {
            lines.second = now.as_secs();
            lines.written = 0;
        }
        let allowed = lines.written < LOG_LINES_PER_SECOND;
        lines.written += u32::from(allowed);
        lines.left_out += u64::from(!allowed);
        self.log_lines.set(lines);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(networks: &[&str]) -> Env {
        Env {
            local_networks: networks
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
            ..Env::default()
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("a test's address")
    }

    #[test]
    fn an_address_is_local_in_its_network_and_in_no_other() {
        let env = env(&["192.168.1.0/24", "2001:db8::/32", "203.0.113.9"]);

        for local in ["192.168.1.0", "192.168.1.255", "2001:db8::1", "203.0.113.9"] {
            assert!(env.is_local(address(local)), "{local}");
        }
        for remote in ["192.168.2.0", "2001:db9::1", "203.0.113.8", "::192.168.1.1"] {
            assert!(!env.is_local(address(remote)), "{remote}");
        }
    }

    #[test]
    fn the_whole_world_is_a_network_too() {
        assert!(env(&["0.0.0.0/0"]).is_local(address("8.8.8.8")));
        assert!(env(&["::/0"]).is_local(address("2001:db8::1")));
    }

    #[test]
    fn the_last_address_of_a_local_network_is_a_broadcast() {
        let env = env(&["192.168.1.0/24", "10.0.0.0/31"]);

        assert!(env.is_broadcast_or_multicast(address("192.168.1.255")));
        assert!(env.is_broadcast_or_multicast(address("255.255.255.255")));
        assert!(env.is_broadcast_or_multicast(address("224.0.0.251")));
        assert!(env.is_broadcast_or_multicast(address("ff02::fb")));
        assert!(!env.is_broadcast_or_multicast(address("192.168.1.254")));
        assert!(!env.is_broadcast_or_multicast(address("192.168.2.255")));
        assert!(!env.is_broadcast_or_multicast(address("10.0.0.1")));
    }

    #[test]
    fn logging_starts_over_every_second() {
        let env = env(&[]);

        let first = (0..25)
            .filter(|_| env.may_log(Micros::from_secs(1)))
            .count();
        let second = env.may_log(Micros::from_secs(2));

        assert_eq!(first, 20);
        assert!(second);
        assert_eq!(env.log_lines_left_out(), 5);
    }
}
