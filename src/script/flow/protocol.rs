//! What the flow speaks and what was read of it: plugin contract 8.2, 8.7, and the tables of 14.2.

use mlua::{IntoLua, MultiValue, Table, Value};

use super::Api;
use super::info;
use super::risk;
use super::view::View;
use crate::l7::{Fact, Proto};

pub fn install(api: &Api) -> mlua::Result<()> {
    names(api)?;
    tables(api)?;
    risks(api)
}

fn names(api: &Api) -> mlua::Result<()> {
    for name in ["getnDPIProtocolName", "l7_proto_name"] {
        api.get(name, |v| v.text(v.flow().l7.name()))?;
    }
    for name in ["getnDPIMasterProtoId", "l7_master_proto"] {
        api.get(name, |v| Ok(v.flow().l7.master.0))?;
    }
    for name in ["getnDPIAppProtoId", "l7_proto"] {
        api.get(name, |v| Ok(v.flow().l7.most_specific().0))?;
    }
    api.get("getnDPICategoryName", |v| {
        v.text(v.flow().l7.category().name())
    })?;
    api.get("getnDPICategoryId", |v| Ok(v.flow().l7.category().0))?;
    api.get("getProtoBreed", |v| {
        v.text(v.flow().l7.most_specific().breed().name())
    })?;
    api.get("getnDPIMatchPacket", |v| v.lua.create_table())?; // packets are not kept
    api.find("getICMPType", |v| {
        Ok(v.is_icmp().then_some(v.flow().icmp[0]))
    })?;
    api.find("getICMPStatusInfo", |v| {
        v.is_icmp().then(|| icmp(v)).transpose()
    })?;
    api.find("getMaxSeenIcmpPayloadSize", |_| Ok(None::<u32>)) // not measured
}

fn tables(api: &Api) -> mlua::Result<()> {
    info::keep(
        api,
        "getHTTPInfo",
        include_str!("../lua/flow_http.lua"),
        http_values,
    )?;
    api.get("http", |v| {
        let table = v.lua.create_table()?;
        if add_http(v, &table)? {
            put_text(
                v,
                &table,
                "protos.http.last_user_agent",
                Fact::HttpUserAgent,
            )?;
            put_text(v, &table, "protos.http.last_server", Fact::HttpServer)?;
        }
        Ok(table)
    })?;
    for name in ["getDNSInfo", "dns"] {
        api.get(name, |v| {
            let table = v.lua.create_table()?;
            add_dns(v, &table)?;
            Ok(table)
        })?;
    }
    api.get("getTLSInfo", |v| {
        let table = v.lua.create_table()?;
        add_tls(v, &table)?;
        Ok(table)
    })?;
    api.get("tls_quic", |v| {
        let table = v.lua.create_table()?;
        if add_tls(v, &table)? {
            put_text(v, &table, "protos.tls.ja4.client_hash", Fact::Ja4)?;
        }
        Ok(table)
    })?;
    for name in ["getSSHInfo", "ssh"] {
        api.get(name, |v| v.lua.create_table())?; // no fingerprints of SSH are taken
    }
    api.get("getDnsQuery", |v| v.text(dns_query(v)))?;
    api.get("dnsQueryHasInvalidChars", |v| Ok(dns_has_invalid_chars(v)))?;
    api.get("getTLSVersion", |v| {
        Ok(v.number(Fact::TlsVersion)
            .filter(|_| v.speaks_tls())
            .unwrap_or(0))
    })?;
    api.find("getServerCipherClass", |v| {
        let cipher = v.facts().number(Fact::TlsCipher).filter(|_| v.speaks_tls());
        cipher
            .map(|cipher| v.text(risk::cipher_class(cipher as u16)))
            .transpose()
    })?;
    api.get("hasMaliciousTlsSignature", |_| Ok(false)) // there is no list of them
}

fn risks(api: &Api) -> mlua::Result<()> {
    api.get("getRiskInfo", risk_table)?;
    api.get("getRiskBitmap", |v| Ok(risk::found(v.slot) as i64))?;
    api.act(
        "hasRisk",
        |lua, arguments| match arguments.front() {
            None | Some(Value::Nil) => Ok(None),
            Some(id) => Ok(Some(lua.coerce_integer(id.clone())?.unwrap_or(0))),
        },
        |slot, id| {
            let found = risk::found(slot);
            Some(match id {
                None => found != 0,
                Some(id) => (1..64).contains(&id) && found >> id & 1 == 1,
            })
        },
    )
}

/// `{type=, code=}`.
pub fn icmp(view: &View) -> mlua::Result<Table> {
    let [kind, code] = view.flow().icmp;
    let table = view.lua.create_table()?;
    table.raw_set("type", kind)?;
    table.raw_set("code", code)?;
    Ok(table)
}

/// Text of each risk found to its number.
pub fn risk_table(view: &View) -> mlua::Result<Table> {
    let found = risk::found(view.slot);
    let table = view.lua.create_table()?;
    for (id, text) in risk::RISKS.iter().filter(|(id, _)| found >> id & 1 == 1) {
        table.raw_set(*text, *id)?;
    }
    Ok(table)
}

/// The values of `getHTTPInfo` in the order of `HTTP_KEYS` and of `flow_http.lua`; none if the flow is not HTTP.
fn http_values(view: &View) -> mlua::Result<MultiValue> {
    if !view.speaks(Proto::HTTP) {
        return Ok(MultiValue::new());
    }
    let [method, code, url] = match view.facts().bytes(Fact::HttpMethod) {
        Some(method) => [
            view.text(method)?.into_lua(view.lua)?,
            view.number(Fact::HttpStatus)
                .unwrap_or(0)
                .into_lua(view.lua)?,
            view.text(view.url())?.into_lua(view.lua)?,
        ],
        None => [Value::Nil, Value::Nil, Value::Nil],
    };
    let name = view.facts().host().into_lua(view.lua)?;
    Ok(MultiValue::from_iter([method, code, url, name]))
}

const HTTP_KEYS: [&str; 4] = [
    "protos.http.last_method",
    "protos.http.last_return_code",
    "protos.http.last_url",
    "protos.http.server_name",
];

/// Adds the keys of `getHTTPInfo`; false if the flow is not HTTP.
pub fn add_http(view: &View, table: &Table) -> mlua::Result<bool> {
    for (key, value) in HTTP_KEYS.iter().zip(http_values(view)?) {
        table.raw_set(*key, value)?;
    }
    Ok(view.speaks(Proto::HTTP))
}

/// Adds the keys of `getDNSInfo`; false if the flow is not DNS.
pub fn add_dns(view: &View, table: &Table) -> mlua::Result<bool> {
    if !view.speaks(Proto::DNS) {
        return Ok(false);
    }
    if let Some(query) = view.facts().bytes(Fact::DnsQuery) {
        let kind = view.number(Fact::DnsType).unwrap_or(0);
        let code = view.number(Fact::DnsCode).unwrap_or(0);
        table.raw_set("protos.dns.last_query_type", kind)?;
        table.raw_set("protos.dns.last_return_code", code)?;
        table.raw_set("protos.dns.last_query", view.text(query)?)?;
        if dns_has_invalid_chars(view) {
            table.raw_set("protos.dns.invalid_chars_in_query", true)?;
        }
    }
    Ok(true)
}

/// Adds the keys of `getTLSInfo`; false if the flow carries no TLS handshake.
pub fn add_tls(view: &View, table: &Table) -> mlua::Result<bool> {
    if !view.speaks_tls() {
        return Ok(false);
    }
    for (key, fact) in [
        ("protos.tls_version", Fact::TlsVersion),
        ("protos.tls.notBefore", Fact::TlsNotBefore),
        ("protos.tls.notAfter", Fact::TlsNotAfter),
    ] {
        put(table, key, view.number(fact))?;
    }
    for (key, fact) in [
        ("protos.tls.server_names", Fact::TlsNames),
        ("protos.tls.client_alpn", Fact::TlsAlpn),
        (
            "protos.tls.client_tls_supported_versions",
            Fact::TlsSupportedVersions,
        ),
        ("protos.tls.issuerDN", Fact::TlsIssuer),
        ("protos.tls.subjectDN", Fact::TlsSubject),
        (
            "protos.tls.client_requested_server_name",
            Fact::TlsServerName,
        ),
        ("protos.tls.ja3.client_hash", Fact::Ja3),
    ] {
        put_text(view, table, key, fact)?;
    }
    if let (Some(hash), Some(cipher)) = (
        view.facts().bytes(Fact::Ja3s),
        view.facts().number(Fact::TlsCipher),
    ) {
        let class = risk::cipher_class(cipher as u16);
        table.raw_set("protos.tls.ja3.server_hash", view.text(hash)?)?;
        table.raw_set("protos.tls.ja3.server_unsafe_cipher", class)?;
        table.raw_set("protos.tls.ja3.server_cipher", cipher)?;
    }
    Ok(true)
}

fn dns_query<'a>(view: &'a View) -> &'a [u8] {
    let query = view.facts().bytes(Fact::DnsQuery);
    query
        .filter(|_| view.speaks(Proto::DNS))
        .unwrap_or_default()
}

fn dns_has_invalid_chars(view: &View) -> bool {
    view.speaks(Proto::DNS) && view.facts().number(Fact::DnsInvalidChars) == Some(1)
}

fn put_text(view: &View, table: &Table, key: &str, fact: Fact) -> mlua::Result<()> {
    match view.facts().bytes(fact) {
        Some(bytes) => table.raw_set(key, view.text(bytes)?),
        None => Ok(()),
    }
}

fn put(table: &Table, key: &str, value: Option<impl IntoLua>) -> mlua::Result<()> {
    match value {
        Some(value) => table.raw_set(key, value),
        None => Ok(()),
    }
}
