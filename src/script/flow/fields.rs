//! Identity, direction, counters, peers: plugin contract 8.1, 8.3, the like of 8.5, and the short
//! names of 14.2.

use mlua::Table;

use super::Api;
use super::view::{Peer, View};
use crate::flow::flag;
use crate::flow::key::{Dir, FlowKey};
use crate::flow::tcp;
use crate::l7::{Category, Fact};
use crate::time::Micros;

/// Category number of malware, which blacklists a flow whatever its addresses.
const MALWARE: Category = Category(100);
/// TCP flag bits (RFC 9293, 3.1).
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

pub fn install(api: &Api) -> mlua::Result<()> {
    identity(api)?;
    counters(api)?;
    tcp_state(api)?;
    peers(api)?;
    geography(api)?;
    policy(api)
}

fn identity(api: &Api) -> mlua::Result<()> {
    api.get("getKey", |v| Ok(key_hash(&v.flow().key)))?;
    api.get("getHashEntryId", |v| Ok(v.flow().id))?;
    api.get("getFirstSeen", |v| Ok(epoch(v, v.flow().first_seen)))?;
    api.get("getLastSeen", |v| Ok(epoch(v, v.flow().last_seen)))?;
    api.get("getDuration", |v| Ok(v.duration_secs()))?;
    api.get("getProtocol", |v| Ok(v.flow().key.proto))?;
    api.alias("protocol", "getProtocol")?;
    api.get("vlan_id", |v| Ok(v.flow().key.vlan))
}

fn counters(api: &Api) -> mlua::Result<()> {
    api.get("getPackets", |v| Ok(v.flow().packets()))?;
    api.get("getPacketsSent", |v| Ok(v.sent(Peer::Client).packets))?;
    api.get("getPacketsRcvd", |v| Ok(v.sent(Peer::Server).packets))?;
    api.get("getBytes", |v| Ok(v.bytes()))?;
    api.get("getBytesSent", |v| Ok(v.sent(Peer::Client).bytes))?;
    api.get("getBytesRcvd", |v| Ok(v.sent(Peer::Server).bytes))?;
    api.alias("bytes", "getBytes")?;
    api.alias("cli2srv_bytes", "getBytesSent")?;
    api.alias("srv2cli_bytes", "getBytesRcvd")?;
    api.get("getGoodputBytes", |v| Ok(v.payload_bytes()))?;
    api.get("getGoodputRatio", |v| {
        Ok(v.payload_bytes() as f64 * 100.0 / v.bytes().max(1) as f64)
    })?;
    api.get("isBidirectional", |v| {
        Ok(Peer::BOTH.iter().all(|peer| v.sent(*peer).packets > 0))
    })?;
    api.get("is_oneway", |v| Ok(v.sent(Peer::Server).packets == 0))
}

fn tcp_state(api: &Api) -> mlua::Result<()> {
    api.get("isTwhOK", |v| Ok(v.flow().has(flag::HANDSHAKE)))?;
    api.get("isTCPConnecting", |v| {
        Ok(matches!(
            v.flow().tcp,
            tcp::State::SynSent | tcp::State::SynReceived
        ))
    })?;
    api.get("isTCPConnectionRefused", |v| {
        let [client, server] = v.flow().tcp_flags;
        Ok(v.is_tcp() && client & SYN != 0 && server & RST != 0 && server & SYN == 0)
    })?;
    api.get("getClientTCPIssues", |v| Ok(tcp_issues(v, Peer::Client)))?;
    api.get("getServerTCPIssues", |v| Ok(tcp_issues(v, Peer::Server)))?;
    api.get("getClientRetrPercentage", |v| {
        Ok(retransmitted_share(v, Peer::Client))
    })?;
    api.get("getServerRetrPercentage", |v| {
        Ok(retransmitted_share(v, Peer::Server))
    })?;
    api.get("getTCPStats", |v| {
        let stats = v.lua.create_table()?;
        if v.is_tcp() {
            for (prefix, dir) in [("cli2srv", Dir::ToServer), ("srv2cli", Dir::ToClient)] {
                let at = dir as usize;
                stats.raw_set(
                    format!("{prefix}.retransmissions"),
                    v.flow().retransmitted[at],
                )?;
                stats.raw_set(format!("{prefix}.out_of_order"), v.flow().out_of_order[at])?;
                stats.raw_set(format!("{prefix}.lost"), 0)?; // not told from out of order
            }
        }
        Ok(stats)
    })?;
    // What is not measured is an empty table, as for any metadata that is not there.
    for name in [
        "getClient2ServerIAT",
        "getServer2ClientIAT",
        "isTcpZeroWinAlert",
    ] {
        api.get(name, |v| v.lua.create_table())?;
    }
    Ok(())
}

fn peers(api: &Api) -> mlua::Result<()> {
    use Peer::{Client, Server};

    for (peer, names) in [
        (Client, ["getClientIp", "cli", "getFlowProtoClientIP"]),
        (Server, ["getServerIp", "srv", "getFlowProtoServerIP"]),
    ] {
        for name in names {
            api.get(name, move |v| v.text(v.address_text(peer)))?;
        }
    }
    for (peer, names) in [
        (Client, ["getClientPort", "cli_port"]),
        (Server, ["getServerPort", "srv_port"]),
    ] {
        for name in names {
            api.get(name, move |v| Ok(v.port(peer)))?;
        }
    }
    for (peer, key, unicast, no_ip) in [
        (Client, "getClientKey", "isClientUnicast", "isClientNoIP"),
        (Server, "getServerKey", "isServerUnicast", "isServerNoIP"),
    ] {
        api.get(key, move |v| v.text(v.key_text(peer)))?;
        api.get(unicast, move |v| Ok(!v.is_broadcast_or_multicast(peer)))?;
        api.get(no_ip, move |v| Ok(v.address(peer).is_unspecified()))?;
    }
    api.find("getClientMac", |v| {
        v.client_mac_text().map(|mac| v.text(mac)).transpose()
    })?;
    api.find("getServerMac", |_| Ok(None::<bool>))?; // the queue shows the sender's side only
    for name in ["isUnicast", "is_unicast"] {
        api.get(name, |v| {
            Ok(!Peer::BOTH
                .iter()
                .any(|peer| v.is_broadcast_or_multicast(*peer)))
        })?;
    }
    api.get("getUnicastInfo", |v| {
        let info = v.lua.create_table()?;
        info.raw_set("cli.broadmulticast", v.is_broadcast_or_multicast(Client))?;
        info.raw_set("srv.broadmulticast", v.is_broadcast_or_multicast(Server))?;
        Ok(info)
    })?;
    for (name, local) in [
        ("isLocal", [true, true]),
        ("isLocalToRemote", [true, false]),
        ("isRemoteToLocal", [false, true]),
        ("isRemoteToRemote", [false, false]),
    ] {
        api.get(name, move |v| {
            Ok(Peer::BOTH.map(|peer| v.is_local(peer)) == local)
        })?;
    }
    api.get("direction", |v| {
        let names = [
            "local@local",
            "local@remote",
            "remote@local",
            "remote2remote",
        ];
        v.text(match Peer::BOTH.map(|peer| v.is_local(peer)) {
            [true, true] => names[0],
            [true, false] => names[1],
            [false, true] => names[2],
            [false, false] => names[3],
        })
    })?;
    api.get("getMUDInfo", |v| {
        let info = v.lua.create_table()?;
        info.raw_set("host_server_name", v.facts().host())?;
        info.raw_set("protos.dns.last_query", v.facts().text(Fact::DnsQuery))?;
        info.raw_set("is_local", Peer::BOTH.iter().all(|peer| v.is_local(*peer)))?;
        info.raw_set("cli.mac", v.client_mac_text().as_deref())?;
        for key in ["cli.mud_recording", "srv.mud_recording"] {
            info.raw_set(key, "disabled")?;
        }
        for key in ["cli.devtype", "srv.devtype"] {
            info.raw_set(key, 0)?;
        }
        for key in ["cli.serialize_by_mac", "srv.serialize_by_mac"] {
            info.raw_set(key, false)?;
        }
        Ok(info)
    })
}

fn geography(api: &Api) -> mlua::Result<()> {
    use Peer::{Client, Server};

    for (peer, name) in [(Client, "getClientCountry"), (Server, "getServerCountry")] {
        api.find(name, move |v| {
            let country = v.env.place(v.address(peer)).country;
            country.map(|code| v.text(code)).transpose()
        })?;
    }
    for (peer, name, [country, city, latitude, longitude]) in [
        (
            Client,
            "getClientGeolocation",
            ["cli.country", "cli.city", "cli.latitude", "cli.longitude"],
        ),
        (
            Server,
            "getServerGeolocation",
            ["srv.country", "srv.city", "srv.latitude", "srv.longitude"],
        ),
    ] {
        api.get(name, move |v| {
            let place = v.env.place(v.address(peer));
            let table = v.lua.create_table()?;
            table.raw_set(country, place.country)?;
            table.raw_set(city, place.city)?;
            table.raw_set(latitude, place.latitude)?;
            table.raw_set(longitude, place.longitude)?;
            Ok(table)
        })?;
    }
    Ok(())
}

fn policy(api: &Api) -> mlua::Result<()> {
    api.get("isBlacklisted", |v| {
        let malware = v.flow().l7.category() == MALWARE;
        Ok(malware || Peer::BOTH.iter().any(|peer| v.is_blacklisted(*peer)))
    })?;
    api.get("getBlacklistedInfo", |v| {
        let info = v.lua.create_table()?;
        for (key, listed) in [
            ("blacklisted.cli", v.is_blacklisted(Peer::Client)),
            ("blacklisted.srv", v.is_blacklisted(Peer::Server)),
            ("blacklisted.cat", v.flow().l7.category() == MALWARE),
        ] {
            if listed {
                info.raw_set(key, true)?;
            }
        }
        Ok(info)
    })?;
    api.get("isPassVerdict", |v| Ok(!v.flow().verdict.drops()))?;
    // Devices have no type here, so none of them is forbidden a protocol; there is no debugging of flows
    // that stay too long, and no intrusion detection beside this one.
    api.get("isDeviceProtocolNotAllowed", |_| Ok(false))?;
    api.get("getDeviceProtoAllowedInfo", |v| {
        let info: Table = v.lua.create_table()?;
        for peer in Peer::BOTH.map(Peer::short) {
            info.raw_set(format!("{peer}.devtype"), 0)?;
            info.raw_set(format!("{peer}.allowed"), true)?;
        }
        Ok(info)
    })?;
    api.get("isNotPurged", |_| Ok(false))?;
    api.find("retrieveExternalAlertInfo", |_| Ok(None::<bool>))
}

/// Seconds since 1970 of a point in engine time.
pub fn epoch(view: &View, at: Micros) -> u64 {
    view.slot.now.wall_of(at).as_secs()
}

/// Segments of `peer` that came again or out of order.
fn tcp_issues(view: &View, peer: Peer) -> u32 {
    let at = peer.sends() as usize;
    u32::from(view.flow().retransmitted[at]) + u32::from(view.flow().out_of_order[at])
}

/// Retransmitted segments of all `peer` sent, 0 to 1; 0 while there are too few packets to tell.
fn retransmitted_share(view: &View, peer: Peer) -> f64 {
    let packets = view.sent(peer).packets;
    if packets <= 10 {
        return 0.0;
    }
    f64::from(view.flow().retransmitted[peer.sends() as usize]) / f64::from(packets)
}

/// 32-bit FNV-1a over addresses, ports, protocol and VLAN; the same for both directions.
pub fn key_hash(key: &FlowKey) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    for (address, port) in [key.low(), key.high()] {
        match address {
            std::net::IpAddr::V4(v4) => mix(&v4.octets()),
            std::net::IpAddr::V6(v6) => mix(&v6.octets()),
        }
        mix(&port.to_be_bytes());
    }
    mix(&key.vlan.to_be_bytes());
    mix(&[key.proto]);
    hash
}
