//! `flow.getFullInfo()`: all that is known of the flow in one table (plugin contract 8.8). Dear; the other
//! functions give each part of it for less.

use mlua::Table;

use super::fields::{epoch, key_hash};
use super::view::{Peer, View};
use super::{Api, protocol, status};
use crate::flow::tcp;
use crate::script::env::charge;

/// What one call costs: it takes about as long as this many instructions.
const FULL_INFO_UNITS: usize = 1_000;

pub fn install(api: &Api) -> mlua::Result<()> {
    let get_info: mlua::Function = api.table.raw_get("getInfo")?;
    api.get("getFullInfo", move |v| {
        charge(v.lua, FULL_INFO_UNITS)?;
        let table: Table = get_info.call(())?;
        flow(v, &table)?;
        for peer in Peer::BOTH {
            side(v, &table, peer)?;
        }
        protocol::add_http(v, &table)?;
        protocol::add_dns(v, &table)?;
        protocol::add_tls(v, &table)?;
        statuses(v, &table)?;
        Ok(table)
    })
}

fn flow(v: &View, table: &Table) -> mlua::Result<()> {
    let flow = v.flow();
    table.raw_set("bytes", v.bytes())?;
    table.raw_set("goodput_bytes", v.payload_bytes())?;
    table.raw_set("packets", flow.packets())?;
    table.raw_set("packets.sent", v.sent(Peer::Client).packets)?;
    table.raw_set("packets.rcvd", v.sent(Peer::Server).packets)?;
    table.raw_set("vlan", flow.key.vlan)?;
    table.raw_set("proto.l4_id", flow.key.proto)?;
    table.raw_set("proto.ndpi_id", flow.l7.most_specific().0)?;
    table.raw_set("proto.master_ndpi_id", flow.l7.master.0)?;
    table.raw_set("seen.first", epoch(v, flow.first_seen))?;
    table.raw_set("seen.last", epoch(v, flow.last_seen))?;
    table.raw_set("host_server_name", v.facts().host())?;
    table.raw_set("ntopng.key", key_hash(&flow.key))?;
    table.raw_set("hash_entry_id", flow.id)?;
    table.raw_set("moreinfo.json", "{}")?;
    if v.is_tcp() {
        let connecting = matches!(flow.tcp, tcp::State::SynSent | tcp::State::SynReceived);
        let open = matches!(flow.tcp, tcp::State::Open | tcp::State::Closing);
        let reset = flow.tcp_flags.iter().any(|flags| flags & 0x04 != 0);
        let problems = flow
            .retransmitted
            .iter()
            .chain(&flow.out_of_order)
            .any(|count| *count > 0);
        table.raw_set("tcp_established", open)?;
        table.raw_set("tcp_connecting", connecting)?;
        table.raw_set("tcp_closed", flow.tcp == tcp::State::Closed)?;
        table.raw_set("tcp_reset", reset)?;
        table.raw_set("tcp.seq_problems", problems)?;
    }
    if v.is_icmp() {
        table.raw_set("icmp", protocol::icmp(v)?)?;
    }
    Ok(())
}

fn side(v: &View, table: &Table, peer: Peer) -> mlua::Result<()> {
    let (short, way) = match peer {
        Peer::Client => ("cli", "cli2srv"),
        Peer::Server => ("srv", "srv2cli"),
    };
    let at = peer.sends() as usize;
    let place = v.env.place(v.address(peer));
    let mac = v.client_mac_text().filter(|_| peer == Peer::Client);
    let own = |name: &str| format!("{short}.{name}");
    table.raw_set(own("key"), v.text(v.key_text(peer))?)?;
    table.raw_set(own("vlan"), v.flow().key.vlan)?;
    table.raw_set(own("host"), v.text(v.address_text(peer))?)?;
    table.raw_set(own("mac"), mac.as_deref())?;
    table.raw_set(own("broadmulticast"), v.is_broadcast_or_multicast(peer))?;
    table.raw_set(own("blacklisted"), v.is_blacklisted(peer))?;
    table.raw_set(own("country"), place.country)?;
    table.raw_set(own("asn"), place.asn.unwrap_or(0))?;
    table.raw_set(own("private"), is_private(v.address(peer)))?;
    table.raw_set(own("devtype"), 0)?;
    table.raw_set(format!("{way}.goodput_bytes"), v.sent(peer).payload)?;
    if v.is_tcp() {
        table.raw_set(format!("{way}.retransmissions"), v.flow().retransmitted[at])?;
        table.raw_set(format!("{way}.out_of_order"), v.flow().out_of_order[at])?;
        table.raw_set(format!("{way}.tcp_flags"), v.flow().tcp_flags[at])?;
    }
    Ok(())
}

/// RFC 1918 and RFC 4193 addresses, and link-local ones.
fn is_private(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        std::net::IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn statuses(v: &View, table: &Table) -> mlua::Result<()> {
    let statuses = &v.slot.detail.statuses;
    let [client, server] = statuses.host_scores;
    let hosts = v.lua.create_table()?;
    hosts.raw_set("client_score", client)?;
    hosts.raw_set("server_score", server)?;
    let score = v.lua.create_table()?;
    score.raw_set("flow_score", status::total(v.slot))?;
    score.raw_set("host_score_total", hosts)?;
    table.raw_set("score", score)?;
    table.raw_set("flow_risk", protocol::risk_table(v)?)?;
    table.raw_set("status_map", statuses.map() as i64)?;
    table.raw_set(
        "flow.status",
        statuses.predominant().map_or(0, |status| status.key),
    )?;
    table.raw_set("flow.alerted", statuses.alerted != 0)?;
    table.raw_set("alerted_status", statuses.alerted)?;
    table.raw_set("alerted_status_score", statuses.alerted_score)?;
    table.raw_set("verdict.pass", !v.flow().verdict.drops())
}
