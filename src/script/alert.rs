//! From a script's candidate to the alert of an event: which number, how grave, with what parameters and in
//! what words (`alert_type_params` and `i18n_description` of the plugin contract).

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use mlua::{Lua, Table, Value};
use serde_json::{Map, Value as Json, json};

use crate::events::{ALERT_TEXT, Alert};
use crate::flow::Flow;
use crate::script::catalog::Catalog;
use crate::script::current::Candidate;
use crate::script::definitions::DEFAULT_SEVERITY;
use crate::script::flow::key_hash;
use crate::script::json::to_json;
use crate::script::locale::Locales;
use crate::script::sandbox::{CallError, Sandbox};

/// Room kept for what we add to a script's parameters.
const OWN_BYTES: usize = 320;

/// What alerts of one Lua state are made with.
pub(super) struct Alerts<'a> {
    pub sandbox: &'a Sandbox,
    pub catalog: &'a Catalog,
    pub locales: &'a Locales,
    pub statuses: &'a BTreeMap<u8, Table>,
}

impl Alerts<'_> {
    /// The alert of `candidate`. A description that fails leaves the message empty; its error comes second.
    pub fn build(
        &self,
        candidate: &Candidate,
        score: u16,
        replaces: bool,
        flow: &Flow,
    ) -> (Alert, Option<CallError>) {
        let known = self.catalog.statuses.get(&candidate.status);
        let given: Value = candidate
            .info
            .raw_get("alert_type_params")
            .unwrap_or(Value::Nil);
        let severity = known.map_or(0, |status| status.severity);
        let (message, error) = match self.message(candidate, &given) {
            Ok(message) => (message, None),
            Err(error) => (heapless::String::new(), Some(error)),
        };
        let alert = Alert {
            status: candidate.status,
            key: known.map_or_else(|| alert_key(&candidate.info), |status| status.alert_key),
            severity: if severity > 0 {
                severity
            } else {
                severity_of(&candidate.info)
            },
            score,
            script: candidate.script,
            replaces,
            params: params(&given, flow, self.catalog.script_name(candidate.script)),
            message,
        };
        (alert, error)
    }

    /// The status's description, else the alert type's, in words.
    fn message(
        &self,
        candidate: &Candidate,
        given: &Value,
    ) -> Result<heapless::String<256>, CallError> {
        let table = |value: mlua::Result<Value>| value.ok().and_then(|v| v.as_table().cloned());
        let status = self
            .statuses
            .get(&candidate.status)
            .cloned()
            .or_else(|| table(candidate.info.raw_get("status_type")));
        let alert_type = status
            .as_ref()
            .and_then(|status| table(status.raw_get("alert_type")));
        let description = |definition: &Option<Table>| {
            let value = definition
                .as_ref()?
                .raw_get::<Value>("i18n_description")
                .ok()?;
            (!value.is_nil()).then_some(value)
        };
        if let Some(description) = description(&status) {
            return self.describe(&description, given.clone(), given);
        }
        match (description(&alert_type), given) {
            (Some(description), _) => {
                let record = self.record(candidate).map_err(CallError::from)?;
                self.describe(&description, (0, record, given.clone()), given)
            }
            // What a custom script said.
            (None, Value::Table(params)) => Ok(cut(&text(params.raw_get("alert.message")))),
            (None, _) => Ok(heapless::String::new()),
        }
    }

    fn describe(
        &self,
        description: &Value,
        arguments: impl mlua::IntoLuaMulti,
        given: &Value,
    ) -> Result<heapless::String<256>, CallError> {
        let said = match description {
            Value::Function(function) => text(self.sandbox.call(function, arguments).map(Ok)?),
            Value::String(key) => {
                let key = key.to_string_lossy();
                let found = self
                    .locales
                    .format(&key, given.as_table())
                    .map_err(CallError::from)?;
                found.unwrap_or(key)
            }
            _ => String::new(),
        };
        Ok(cut(&said))
    }

    /// What an alert type's description gets as its second argument.
    fn record(&self, candidate: &Candidate) -> mlua::Result<Table> {
        let lua: &Lua = self.sandbox.lua();
        let record = lua.create_table()?;
        record.raw_set("alert_type", alert_key(&candidate.info))?;
        record.raw_set("alert_severity", severity_of(&candidate.info))?;
        record.raw_set("flow_status", candidate.status)?;
        Ok(record)
    }
}

fn text(value: mlua::Result<Value>) -> String {
    match value {
        Ok(Value::String(text)) => text.to_string_lossy(),
        _ => String::new(),
    }
}

fn alert_key(info: &Table) -> u32 {
    let alert_type: mlua::Result<Table> = info.raw_get("alert_type");
    alert_type
        .and_then(|alert_type| alert_type.raw_get("alert_key"))
        .unwrap_or(0)
}

/// The severity a script passed, else the default.
fn severity_of(info: &Table) -> u8 {
    let id = match info.raw_get("alert_severity") {
        Ok(Value::Table(severity)) => severity.raw_get("severity_id").unwrap_or(0),
        Ok(Value::Integer(id)) => u8::try_from(id).unwrap_or(0),
        _ => 0,
    };
    if (1..=8).contains(&id) {
        id
    } else {
        DEFAULT_SEVERITY
    }
}

/// The parameters as they are stored: a text verbatim, a table as JSON with what identifies flow and script.
/// What does not fit gives way to `"truncated":true`; the JSON stays whole.
fn params(given: &Value, flow: &Flow, script: &str) -> heapless::String<ALERT_TEXT> {
    if let Value::String(text) = given {
        return cut(&text.to_string_lossy());
    }
    let mut all = to_json(given, ALERT_TEXT - OWN_BYTES).map_or_else(
        |_| Map::from_iter([("truncated".to_owned(), json!(true))]),
        |json| object(serde_json::from_str(&json).unwrap_or(Json::Null)),
    );
    all.insert("ntopng.key".into(), json!(key_hash(&flow.key)));
    all.insert("hash_entry_id".into(), json!(flow.id));
    if matches!(flow.key.proto, 1 | 58) {
        all.insert(
            "icmp".into(),
            json!({"type": flow.icmp[0], "code": flow.icmp[1]}),
        );
    }
    let mut name = script;
    while name.len() > 128 {
        name = &name[..name.floor_char_boundary(name.len() - 1)];
    }
    let generation = json!({"script_key": name, "subdir": "flow", "confset_id": 0});
    all.insert("alert_generation".into(), generation);
    cut(&Json::Object(all).to_string())
}

/// An array with names added is an object with its numbers as texts.
fn object(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(map) => map,
        Json::Array(list) => list
            .into_iter()
            .enumerate()
            .map(|(at, value)| ((at + 1).to_string(), value))
            .collect(),
        _ => Map::new(),
    }
}

/// As much of `text` as fits.
fn cut<const N: usize>(text: &str) -> heapless::String<N> {
    let mut out = heapless::String::new();
    let _ = out.push_str(&text[..text.floor_char_boundary(N)]);
    out
}

/// A flow in a few words, for the log: `[DNS] UDP 10.0.0.2:5353 -> 10.0.0.1:53`.
pub(super) struct Label<'a>(pub &'a Flow);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = self.0;
        let (client, server) = (flow.client(), flow.server());
        write!(f, "[{}] ", flow.l7.name())?;
        match flow.key.proto {
            6 => f.write_str("TCP")?,
            17 => f.write_str("UDP")?,
            1 => f.write_str("ICMP")?,
            58 => f.write_str("ICMPv6")?,
            other => write!(f, "IP protocol {other}")?,
        }
        f.write_char(' ')?;
        write!(f, "{}:{} -> {}:{}", client.0, client.1, server.0, server.1)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on shall stop
mod tests {
    use super::*;
    use crate::flow::key::FlowKey;
    use mlua::{LuaOptions, StdLib};
    use std::net::IpAddr;

    fn flow(proto: u8) -> Flow {
        let key = FlowKey::new(
            (IpAddr::from([10, 0, 0, 2]), 0),
            (IpAddr::from([10, 0, 0, 1]), 0),
            proto,
            0,
        );
        Flow {
            key: key.0,
            id: 7,
            icmp: [3, 1],
            ..Flow::default()
        }
    }

    fn stored(code: &str, proto: u8) -> String {
        let lua = Lua::new_with(StdLib::STRING, LuaOptions::default()).unwrap();
        let value: Value = lua.load(code).eval().unwrap();
        params(&value, &flow(proto), "script").to_string()
    }

    #[test]
    fn a_text_is_stored_as_it_is() {
        assert_eq!(stored("return '10.0.0.1'", 6), "10.0.0.1");
    }

    #[test]
    fn a_table_is_stored_with_flow_and_script() {
        let json: Json = serde_json::from_str(&stored("return { a = 1 }", 1)).unwrap();

        assert_eq!(json["a"], 1);
        assert_eq!(json["hash_entry_id"], 7);
        assert_eq!(json["icmp"], json!({"type": 3, "code": 1}));
        assert_eq!(
            json["alert_generation"],
            json!({"script_key": "script", "subdir": "flow", "confset_id": 0})
        );
        assert!(json["ntopng.key"].is_u64());
    }

    #[test]
    fn whatever_a_script_passes_the_text_is_whole_json() {
        for code in [
            "return nil",
            "return {}",
            "return { 'a', 'b' }",
            "return { f = print, deep = { { { 1 } } } }",
            "local t = {}; t.t = t; return t",
            "return { long = ('x'):rep(5000) }",
            "return { ('\"'):rep(600) }",
            "return 17",
        ] {
            let json: Json = serde_json::from_str(&stored(code, 17)).expect(code);
            assert!(json["alert_generation"].is_object(), "{code}");
            assert!(json.get("icmp").is_none(), "{code}");
        }
        assert!(stored("return { long = ('x'):rep(5000) }", 6).contains("\"truncated\":true"));
    }
}
