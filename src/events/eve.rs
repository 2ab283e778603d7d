//! Events as lines of JSON in the shape of Suricata's EVE log, so that every log pipeline reads them; what is
//! ours stands under `flowreeve`. The same event gives the same bytes.

mod protocols;

use std::net::IpAddr;

use self::protocols::{dns, fact, http, tls};
use super::json::{Json, Timestamp};
use super::{Alert, End, Event, Kind, Record};
use crate::config::{Config, Mac, Mode};
use crate::counters::Counters;
use crate::flow::key::Dir;
use crate::flow::{Flow, flag};
use crate::l7::{Fact, Proto};
use crate::score::ScoreMode;
use crate::time::Micros;
use crate::verdict::{Reason, ReasonText};

/// Names of a status definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusName<'a> {
    /// As scripts know it: `status_exe_download`.
    pub name: &'a str,
    /// For people, in the configured language.
    pub title: &'a str,
}

/// Names of an alert definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertName<'a> {
    /// As scripts know it: `alert_exe_download`.
    pub name: &'a str,
    /// For people, in the configured language.
    pub title: &'a str,
}

/// Names for the numbers in records. The catalogue of definitions and scripts has them; an unknown number has
/// an empty name.
pub trait Names {
    /// Script by its index.
    fn script(&self, index: u16) -> &str;
    /// Category of a script: `security`, `network`, ...
    fn category(&self, script: u16) -> &str;
    /// Status by its key.
    fn status(&self, key: u8) -> StatusName<'_>;
    /// Alert by its key.
    fn alert(&self, key: u32) -> AlertName<'_>;
}

/// What is known of addresses beyond the packets.
pub trait Places {
    /// Whether it is one of ours.
    fn is_local(&self, address: IpAddr) -> bool;
    /// Two letters; empty if not known.
    fn country(&self, _address: IpAddr) -> &str {
        ""
    }
    /// Autonomous system; 0 if not known.
    fn asn(&self, _address: IpAddr) -> u32 {
        0
    }
}

impl Places for Config {
    fn is_local(&self, address: IpAddr) -> bool {
        Config::is_local(self, address)
    }
}

/// What lines depend on beside the events.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Names for numbers.
    pub names: &'a dyn Names,
    /// What is known of addresses.
    pub places: &'a dyn Places,
    /// Whether verdicts are put into effect.
    pub mode: Mode,
    /// How the statuses of a flow become one score.
    pub score_mode: ScoreMode,
}

impl Context<'_> {
    /// Appends the line of `event`, with its line end. False if it has none (see [`Event::kind`]).
    pub fn line(&self, event: &Event, out: &mut Vec<u8>) -> bool {
        let Some(kind) = event.kind() else {
            return false;
        };
        let (Event::FlowEnd(record, _)
        | Event::Alert(record, _)
        | Event::Drop(record)
        | Event::Detected(record)) = event;
        let mut json = Json::begin(out);
        head(&mut json, kind, record);
        match event {
            Event::FlowEnd(_, end) => flow(&mut json, record, Some(*end)),
            Event::Alert(_, alert) => {
                self.alert(&mut json, record, alert);
                flow(&mut json, record, None);
            }
            Event::Drop(_) => flow(&mut json, record, None),
            Event::Detected(_) => match kind {
                Kind::Dns => dns(&mut json, &record.detail.facts),
                Kind::Tls => tls(&mut json, &record.detail.facts),
                _ => http(&mut json, &record.detail.facts),
            },
        }
        json.object("flowreeve");
        self.ours(&mut json, record);
        if let Event::Alert(_, alert) = event {
            if !alert.message.is_empty() {
                json.text("message", &alert.message);
            }
            json.object("ntopng");
            self.ntopng(&mut json, record, alert);
            json.end();
        }
        json.end();
        json.end();
        out.push(b'\n');
        true
    }

    fn alert(&self, json: &mut Json, record: &Record, alert: &Alert) {
        let AlertName { name, title } = self.names.alert(alert.key);
        json.object("alert");
        json.text(
            "action",
            if record.flow.verdict.drops() {
                "blocked"
            } else {
                "allowed"
            },
        );
        json.number("signature_id", alert.key);
        json.text("signature", if title.is_empty() { name } else { title });
        json.text("category", self.names.category(alert.script));
        json.number("severity", severity(alert.severity));
        json.end();
    }

    /// What every line says of the flow, in our words.
    fn ours(&self, json: &mut Json, record: &Record) {
        let Record { flow, detail, .. } = record;
        json.text("l7", flow.l7.name());
        json.number("l7_master_id", flow.l7.master.0);
        json.number("l7_app_id", flow.l7.app.0);
        json.text("category", flow.l7.category().name());
        if let Some(host) = detail.facts.host() {
            json.text("host", host);
        }
        fact(json, "ja4", &detail.facts, Fact::Ja4);
        if flow.has(flag::HAS_MAC) {
            json.object("device");
            json.text("mac", Mac(flow.client_mac));
            json.end();
        }
        json.number("score", detail.statuses.total(self.score_mode));
        json.array("statuses");
        for status in detail.statuses.iter() {
            json.item();
            json.number("key", status.key);
            json.text("name", self.names.status(status.key).name);
            json.number("score", status.score);
            json.text("script", self.names.script(status.script));
            json.end();
        }
        json.end_array();
        json.text("verdict", flow.verdict.word());
        if self.mode == Mode::Monitor {
            json.text("would", flow.would.word());
        }
        json.text(
            "mode",
            if self.mode == Mode::Monitor {
                "monitor"
            } else {
                "enforce"
            },
        );
        json.text("reason", self.reason(flow.reason));
        if flow.decided_at > 0 {
            json.number("decided_at_packet", flow.decided_at);
        }
        json.number("packets_dropped", flow.packets_dropped);
    }

    /// A reason in words.
    pub fn reason(&self, reason: Reason) -> ReasonText<'_> {
        let (script, status) = match reason {
            Reason::Exceeds { status, script, .. } => {
                (self.names.script(script), self.names.status(status).name)
            }
            Reason::Undecided | Reason::Clean | Reason::Below { .. } | Reason::Exempt(_) => {
                ("", "")
            }
        };
        ReasonText {
            reason,
            script,
            status,
        }
    }

    /// The record ntopng gives to those who are notified of a flow alert, key by key.
    fn ntopng(&self, json: &mut Json, record: &Record, alert: &Alert) {
        let Record { flow, detail, now } = record;
        let (to_server, to_client) = (flow.count(Dir::ToServer), flow.count(Dir::ToClient));
        json.number("ifid", 0u32);
        json.text("action", "store");
        json.flag("is_flow_alert", true);
        json.number("first_seen", now.wall_of(flow.first_seen).as_secs());
        json.number("alert_tstamp", now.wall.as_secs());
        json.number("score", detail.statuses.total(self.score_mode));
        json.number("flow_status", alert.status);
        json.number("alert_type", alert.key);
        json.number("alert_severity", alert.severity);
        json.number("vlan_id", flow.key.vlan);
        json.number("proto", flow.key.proto);
        json.text("proto.ndpi", flow.l7.name());
        json.number("l7_master_proto", flow.l7.master.0);
        json.number("l7_proto", flow.l7.app.0);
        json.number("cli2srv_bytes", to_server.bytes);
        json.number("cli2srv_packets", to_server.packets);
        json.number("srv2cli_bytes", to_client.bytes);
        json.number("srv2cli_packets", to_client.packets);
        for (names, (address, port)) in [(&CLIENT, flow.client()), (&SERVER, flow.server())] {
            let [addr_key, port_key, blacklisted, country, os, asn, localhost] = names;
            json.text(addr_key, address);
            json.number(port_key, port);
            json.flag(blacklisted, false); // no lists of bad addresses are kept
            json.text(country, self.places.country(address));
            json.text(os, ""); // not detected
            json.number(asn, self.places.asn(address));
            json.flag(localhost, self.places.is_local(address));
        }
        json.number("alert_entity", 4u32); // "flow", plugin contract A.4
        json.text("alert_entity_val", "flow");
        json.number("pool_id", 0u32); // the pool of those in no pool
        json.nested("alert_json", |inner| {
            inner.text("info", detail.facts.host().unwrap_or_default());
            inner.text("status_info", &alert.params);
        });
        if alert.replaces {
            json.flag("replace_alert", true);
        }
    }
}

/// Names of what the record says of the two ends.
const CLIENT: [&str; 7] = [
    "cli_addr",
    "cli_port",
    "cli_blacklisted",
    "cli_country",
    "cli_os",
    "cli_asn",
    "cli_localhost",
];
const SERVER: [&str; 7] = [
    "srv_addr",
    "srv_port",
    "srv_blacklisted",
    "srv_country",
    "srv_os",
    "srv_asn",
    "srv_localhost",
];

/// Appends a line of counters, grouped by stage; `uptime` since start.
pub fn stats(wall: Micros, uptime: Micros, counters: &Counters, out: &mut Vec<u8>) {
    let mut json = Json::begin(out);
    json.text("timestamp", Timestamp(wall));
    json.text("event_type", Kind::Stats.name());
    json.object("stats");
    json.number("uptime", uptime.as_secs());
    let mut open = "";
    for (stage, name, value) in counters.each() {
        if stage != open {
            if !open.is_empty() {
                json.end();
            }
            json.object(stage);
            open = stage;
        }
        json.number(name, value);
    }
    json.end();
    json.end();
    json.end();
    out.push(b'\n');
}

/// What all lines of a flow begin with.
fn head(json: &mut Json, kind: Kind, record: &Record) {
    let flow = &record.flow;
    let (client, server) = (flow.client(), flow.server());
    json.text("timestamp", Timestamp(record.now.wall));
    json.text("event_type", kind.name());
    json.number("flow_id", flow.id);
    let ports = matches!(flow.key.proto, 6 | 17 | 33 | 132 | 136); // those with ports: RFC 5237's list
    json.text("src_ip", client.0);
    if ports {
        json.number("src_port", client.1);
    }
    json.text("dest_ip", server.0);
    if ports {
        json.number("dest_port", server.1);
    }
    match transport(flow.key.proto) {
        Some(name) => json.text("proto", name),
        None => json.text("proto", flow.key.proto),
    }
    if matches!(flow.key.proto, 1 | 58) {
        json.number("icmp_type", flow.icmp[0]);
        json.number("icmp_code", flow.icmp[1]);
    }
    if flow.key.vlan != 0 {
        json.array("vlan");
        json.number_item(flow.key.vlan);
        json.end_array();
    }
    json.text("app_proto", app_proto(flow).as_str());
}

/// Traffic of the flow; its end too, if it is over.
fn flow(json: &mut Json, record: &Record, end: Option<End>) {
    let Record { flow, now, .. } = record;
    let (to_server, to_client) = (flow.count(Dir::ToServer), flow.count(Dir::ToClient));
    json.object("flow");
    json.number("pkts_toserver", to_server.packets);
    json.number("pkts_toclient", to_client.packets);
    json.number("bytes_toserver", to_server.bytes);
    json.number("bytes_toclient", to_client.bytes);
    json.text("start", Timestamp(now.wall_of(flow.first_seen)));
    if let Some(end) = end {
        json.text("end", Timestamp(now.wall_of(flow.last_seen)));
        json.text("reason", end.word());
    }
    json.end();
}

/// Suricata's three grades for ntopng's eight: error and above, warning, all below.
fn severity(ntopng: u8) -> u32 {
    match ntopng {
        5.. => 1,
        4 => 2,
        0..=3 => 3,
    }
}

/// IP protocol by the name EVE has for it.
fn transport(proto: u8) -> Option<&'static str> {
    Some(match proto {
        1 => "ICMP",
        2 => "IGMP",
        6 => "TCP",
        17 => "UDP",
        33 => "DCCP",
        41 => "IPv6",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "IPv6-ICMP",
        89 => "OSPF",
        132 => "SCTP",
        136 => "UDPLite",
        _ => return None,
    })
}

/// Protocol on the wire, in lower case: `unknown` while detection is under way, `failed` when it gave up.
fn app_proto(flow: &Flow) -> heapless::String<64> {
    let proto = if flow.l7.master == Proto::UNKNOWN {
        flow.l7.app
    } else {
        flow.l7.master
    };
    let name = match proto {
        Proto::UNKNOWN if flow.has(flag::DETECTED) => "failed",
        Proto::UNKNOWN => "unknown",
        Proto::FTP_CONTROL => "ftp",
        proto => proto.name(),
    };
    name.chars()
        .map(|c| c.to_ascii_lowercase())
        .take(64)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::events::tests::{alert, record};
    use crate::flow::key::FlowKey;
    use crate::l7::Facts;
    use crate::verdict::{Class, Verdict};

    /// A catalogue of one script, one status, one alert.
    pub(crate) struct Few;

    impl Names for Few {
        fn script(&self, index: u16) -> &str {
            if index == 3 { "exes_download" } else { "" }
        }
        fn category(&self, script: u16) -> &str {
            if script == 3 { "security" } else { "" }
        }
        fn status(&self, key: u8) -> StatusName<'_> {
            match key {
                59 => StatusName {
                    name: "status_exe_download",
                    title: "EXE download",
                },
                _ => StatusName::default(),
            }
        }
        fn alert(&self, key: u32) -> AlertName<'_> {
            match key {
                32_768 => AlertName {
                    name: "alert_exe_download",
                    title: "EXE download",
                },
                _ => AlertName::default(),
            }
        }
    }

    fn line_in(mode: Mode, event: &Event) -> String {
        let config = Config::default();
        let context = Context {
            names: &Few,
            places: &config,
            mode,
            score_mode: ScoreMode::Event,
        };
        let mut out = Vec::new();
        assert!(context.line(event, &mut out));
        let line = String::from_utf8(out).unwrap();
        let _: serde_json::Value = serde_json::from_str(&line).unwrap();
        line
    }

    fn line(event: &Event) -> String {
        line_in(Mode::Enforce, event)
    }

    const HEAD: &str = r#""flow_id":1234567890123,"src_ip":"192.168.1.23","src_port":51234,"dest_ip":"203.0.113.7","dest_port":443,"proto":"TCP","vlan":[7],"app_proto":"tls","#;
    const FLOW: &str = r#""flow":{"pkts_toserver":12,"pkts_toclient":10,"bytes_toserver":2310,"bytes_toclient":8121,"start":"2026-01-02T03:04:03.678901+0000""#;
    const OURS: &str = r#""flowreeve":{"l7":"TLS.NetFlix","l7_master_id":91,"l7_app_id":133,"category":"Video","host":"www.netflix.com","ja4":"t13d1516h2_8daaf6152771_e5627efa2ab1","device":{"mac":"02:00:00:00:00:01"},"score":200,"statuses":[{"key":59,"name":"status_exe_download","score":200,"script":"exes_download"}],"verdict":"drop","mode":"enforce","reason":"score 200 > 100: exes_download/status_exe_download","decided_at_packet":4,"packets_dropped":3"#;

    #[test]
    fn a_flow_at_its_end() {
        assert_eq!(
            line(&Event::FlowEnd(record(), End::Timeout)),
            format!(
                "{{\"timestamp\":\"2026-01-02T03:04:05.678901+0000\",\"event_type\":\"flow\",{HEAD}{FLOW},\"end\":\"2026-01-02T03:04:05.178901+0000\",\"reason\":\"timeout\"}},{OURS}}}}}\n"
            )
        );
    }

    #[test]
    fn a_drop() {
        assert_eq!(
            line(&Event::Drop(record())),
            format!(
                "{{\"timestamp\":\"2026-01-02T03:04:05.678901+0000\",\"event_type\":\"drop\",{HEAD}{FLOW}}},{OURS}}}}}\n"
            )
        );
    }

    #[test]
    fn an_alert_has_suricata_s_and_ntopng_s_record() {
        let alert_object = r#""alert":{"action":"blocked","signature_id":32768,"signature":"EXE download","category":"security","severity":1},"#;
        let ntopng = r#""ntopng":{"ifid":0,"action":"store","is_flow_alert":true,"first_seen":1767323043,"alert_tstamp":1767323045,"score":200,"flow_status":59,"alert_type":32768,"alert_severity":5,"vlan_id":7,"proto":6,"proto.ndpi":"TLS.NetFlix","l7_master_proto":91,"l7_proto":133,"cli2srv_bytes":2310,"cli2srv_packets":12,"srv2cli_bytes":8121,"srv2cli_packets":10,"cli_addr":"192.168.1.23","cli_port":51234,"cli_blacklisted":false,"cli_country":"","cli_os":"","cli_asn":0,"cli_localhost":true,"srv_addr":"203.0.113.7","srv_port":443,"srv_blacklisted":false,"srv_country":"","srv_os":"","srv_asn":0,"srv_localhost":false,"alert_entity":4,"alert_entity_val":"flow","pool_id":0,"alert_json":"{\"info\":\"www.netflix.com\",\"status_info\":\"{\\\"url\\\":\\\"a\\\\\\\"b\\\"}\"}"}"#;

        assert_eq!(
            line(&Event::Alert(record(), alert())),
            format!(
                "{{\"timestamp\":\"2026-01-02T03:04:05.678901+0000\",\"event_type\":\"alert\",{HEAD}{alert_object}{FLOW}}},{OURS},\"message\":\"EXE download from www.netflix.com\",{ntopng}}}}}\n"
            )
        );
    }

    #[test]
    fn params_come_out_of_an_alert_as_they_went_in() {
        let read: serde_json::Value =
            serde_json::from_str(&line(&Event::Alert(record(), alert()))).unwrap();

        let alert_json: serde_json::Value =
            serde_json::from_str(read["flowreeve"]["ntopng"]["alert_json"].as_str().unwrap())
                .unwrap();

        assert_eq!(
            alert_json["status_info"].as_str().unwrap(),
            alert().params.as_str()
        );
    }

    #[test]
    fn monitor_mode_passes_and_says_what_would_have_been() {
        let mut record = record();
        record.flow.verdict = Verdict::PassFlow(Class::Plain);
        record.flow.would = Verdict::RejectFlow;
        record.flow.packets_dropped = 0;

        let line = line_in(
            Mode::Monitor,
            &Event::Alert(
                record,
                Alert {
                    replaces: true,
                    ..alert()
                },
            ),
        );

        assert!(
            line.contains(r#""verdict":"pass","would":"reject","mode":"monitor","#),
            "{line}"
        );
        assert!(line.contains(r#""action":"allowed""#), "{line}");
        assert!(line.contains(r#""replace_alert":true"#), "{line}");
    }

    fn detected(master: Proto, facts: &[(Fact, &[u8])], numbers: &[(Fact, u64)]) -> String {
        let mut record = record();
        record.flow.l7.master = master;
        record.detail.facts = Facts::default();
        facts
            .iter()
            .for_each(|(fact, value)| record.detail.facts.add(*fact, value));
        numbers
            .iter()
            .for_each(|(fact, value)| record.detail.facts.set_number(*fact, *value));
        line(&Event::Detected(record))
    }

    #[test]
    fn a_dns_answer_and_a_query_without_one() {
        let v6: [u8; 16] = "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets();
        let answer = detected(
            Proto::DNS,
            &[
                (Fact::DnsQuery, b"www.example.com"),
                (Fact::DnsAddress, &[192, 0, 2, 1]),
                (Fact::DnsAddress, &v6),
                (Fact::DnsAddress, &[192, 0, 2, 2]),
            ],
            &[(Fact::DnsType, 1), (Fact::DnsCode, 0)],
        );
        let query = detected(
            Proto::DNS,
            &[(Fact::DnsQuery, b"a.example")],
            &[(Fact::DnsType, 4_242)],
        );

        assert!(answer.contains(r#""event_type":"dns","#), "{answer}");
        assert!(answer.contains(r#""app_proto":"dns","dns":{"type":"answer","rrname":"www.example.com","rrtype":"A","rcode":"NOERROR","grouped":{"A":["192.0.2.1","192.0.2.2"],"AAAA":["2001:db8::1"]}},"flowreeve":{"#), "{answer}");
        assert!(
            query.contains(r#""dns":{"type":"query","rrname":"a.example","rrtype":"TYPE4242"},"#),
            "{query}"
        );
    }

    #[test]
    fn a_tls_handshake() {
        let line = detected(
            Proto::TLS,
            &[
                (Fact::TlsServerName, b"a.example"),
                (Fact::TlsAlpn, b"h2,http/1.1"),
                (Fact::TlsSubject, b"CN=a.example"),
                (Fact::TlsIssuer, b"CN=ca"),
                (Fact::TlsNames, b"a.example,b.example"),
                (Fact::Ja3, b"abc"),
                (Fact::Ja4, b"t12"),
            ],
            &[
                (Fact::TlsVersion, 771),
                (Fact::TlsNotBefore, 1_767_225_600),
                (Fact::TlsNotAfter, 1_798_761_599),
            ],
        );

        assert!(line.contains(r#""tls":{"subject":"CN=a.example","issuerdn":"CN=ca","subjectaltname":["a.example","b.example"],"sni":"a.example","version":"TLS 1.2","notbefore":"2026-01-01T00:00:00","notafter":"2026-12-31T23:59:59","ja3":{"hash":"abc"},"ja4":"t12","client_alpns":["h2","http/1.1"]},"flowreeve":{"#), "{line}");
    }

    #[test]
    fn an_http_exchange_with_what_a_stranger_may_write() {
        let line = detected(
            Proto::HTTP,
            &[
                (Fact::HttpMethod, b"GET"),
                (Fact::HttpHost, b"a.example:8080"),
                (Fact::HttpPath, b"/\"x\"\n\xff"),
                (Fact::HttpUserAgent, b"curl"),
            ],
            &[(Fact::HttpStatus, 200)],
        );

        assert!(line.contains("\"http\":{\"hostname\":\"a.example\",\"url\":\"/\\\"x\\\"\\n\u{fffd}\",\"http_user_agent\":\"curl\",\"http_method\":\"GET\",\"status\":200},\"flowreeve\":{"), "{line}");
    }

    #[test]
    fn protocols_without_ports_have_none_and_icmp_has_type_and_code() {
        let mut record = record();
        record.flow.key = FlowKey::new(
            (IpAddr::from([10, 0, 0, 1]), 0),
            (IpAddr::from([10, 0, 0, 2]), 0),
            1,
            0,
        )
        .0;
        record.flow.icmp = [8, 0];
        record.flow.l7 = crate::flow::L7::default();

        let failed = line(&Event::Drop(record));
        record.flow.flags &= !flag::DETECTED;
        record.flow.key.proto = 112;
        let other = line(&Event::Drop(record));

        assert!(failed.contains(r#""src_ip":"10.0.0.1","dest_ip":"10.0.0.2","proto":"ICMP","icmp_type":8,"icmp_code":0,"app_proto":"failed","#), "{failed}");
        assert!(
            other.contains(r#""proto":"112","app_proto":"unknown","#),
            "{other}"
        );
    }

    #[test]
    fn grades_of_severity_are_three() {
        assert_eq!(
            (0..=9).map(severity).collect::<Vec<_>>(),
            [3, 3, 3, 3, 2, 1, 1, 1, 1, 1]
        );
    }

    #[test]
    fn counters_are_grouped_by_stage() {
        let mut counters = Counters::new(&["short"]);
        counters.packets.seen = 5;
        let mut out = Vec::new();

        stats(Micros(0), Micros::from_secs(9), &counters, &mut out);

        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with(r#"{"timestamp":"1970-01-01T00:00:00.000000+0000","event_type":"stats","stats":{"uptime":9,"packets":{"seen":5,"#), "{line}");
        assert!(
            line.contains(r#"},"malformed":{"short":0},"verdicts":{"#),
            "{line}"
        );
        assert!(line.ends_with("}}}\n"), "{line}");
    }

    #[test]
    fn an_event_without_a_line_writes_nothing() {
        let mut record = record();
        record.flow.l7.master = Proto::SSH;
        let config = Config::default();
        let context = Context {
            names: &Few,
            places: &config,
            mode: Mode::Enforce,
            score_mode: ScoreMode::Event,
        };
        let mut out = Vec::new();

        assert!(!context.line(&Event::Detected(record), &mut out));
        assert!(out.is_empty());
    }
}
