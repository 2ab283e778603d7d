//! The table a user script file returns: what it wants to hear of, when, and how it is configured. Checks and
//! normalises; whether the script runs is decided with its configuration at hand, by the loader.

use mlua::{Function, Table, Value};
use serde_json::{Map, Value as Json, json};

use crate::l7::Proto;
use crate::script::catalog::Filter;
use crate::script::current::Hook;
use crate::script::form::Form;
use crate::script::json::to_json;
use crate::script::locale::Locales;
use crate::script::spelling;

/// Largest default configuration, bytes of JSON.
const MAX_CONF_BYTES: usize = 64 * 1024;
/// Longest text of the form that is kept, bytes of JSON.
const MAX_GUI_BYTES: usize = 16 * 1024;

/// Names of `l4_proto` and their IP protocol numbers.
const L4_NAMES: [(&str, i16); 16] = [
    ("ip", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ipv6icmp", 58),
    ("icmpv6", 58),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("hip", 139),
    ("other_ip", -1),
];

/// Attributes of a script's table that mean something to us.
const ATTRIBUTES: [&str; 24] = [
    "hooks",
    "category",
    "prio",
    "default_enabled",
    "default_value",
    "gui",
    "is_alert",
    "packet_interface_only",
    "nedge_only",
    "nedge_exclude",
    "windows_exclude",
    "setup",
    "teardown",
    "onLoad",
    "onUnload",
    "onEnable",
    "onDisable",
    "onUpdateConfig",
    "l4_proto",
    "l7_proto",
    "l7_proto_id",
    "three_way_handshake_ok",
    "periodic_update_seconds",
    "early",
];

const BUILDERS: [&str; 6] = [
    "threshold_cross",
    "items_list",
    "elephant_flows",
    "long_lived",
    "multi_select",
    "flow_mud",
];

/// A flow script's table, normalised.
pub struct UserScript {
    /// Hooks with their functions, each hook once.
    pub hooks: Vec<(Hook, Function)>,
    /// Key of `user_scripts.script_categories`.
    pub category: String,
    /// Higher runs first.
    pub prio: i64,
    /// When its hooks are skipped.
    pub filter: Filter,
    /// Only an explicit `false` disables.
    pub default_enabled: bool,
    /// Configuration until the user changes it.
    pub default_conf: Json,
    /// Wants to run before the request leaves.
    pub early: bool,
    /// Of no use while alerts are switched off.
    pub is_alert: bool,
    /// Not for engines in the packets' way.
    pub nedge_exclude: bool,
    /// Shown name, if it has one.
    pub title: Option<String>,
    /// Shown explanation.
    pub description: String,
    /// The `gui` table without functions; null without one.
    pub gui: Json,
    /// How the configuration is checked.
    pub form: Form,
    /// Run at load; a falsy result disables the script.
    pub setup: Option<Function>,
    /// Run when the state ends.
    pub teardown: Option<Function>,
    /// Life-cycle callbacks.
    pub callbacks: Callbacks,
    /// What looks like a slip.
    pub warnings: Vec<String>,
}

/// A script's life-cycle callbacks.
#[derive(Clone, Debug, Default)]
pub struct Callbacks {
    /// Plugins were loaded; the script is enabled.
    pub on_load: Option<Function>,
    /// Plugins are about to be loaded again.
    pub on_unload: Option<Function>,
    /// The configuration has enabled the script.
    pub on_enable: Option<Function>,
    /// The configuration has disabled the script.
    pub on_disable: Option<Function>,
    /// The configuration has changed otherwise.
    pub on_update_config: Option<Function>,
}

impl UserScript {
    /// Reads what a script's file returned. `categories` is `user_scripts.script_categories`. The error
    /// says why the script is of no use.
    pub fn from_lua(
        value: &Value,
        text: &str,
        categories: &Table,
        locales: &Locales,
    ) -> Result<UserScript, String> {
        let Value::Table(table) = value else {
            return Err(format!("returns {}, not a table", value.type_name()));
        };
        let mut warnings = slips(table);
        let filter = filter(table)?;
        let hooks = hooks(table, &mut warnings)?;
        let gui = Gui::read(table, text, locales, &mut warnings);
        let flag = |key: &str| matches!(table.raw_get(key), Ok(Value::Boolean(true)));
        let function = |key: &str| table.raw_get::<Value>(key).ok()?.as_function().cloned();
        Ok(UserScript {
            hooks,
            category: category(table, categories),
            prio: prio(table, &mut warnings),
            filter,
            default_enabled: !matches!(table.raw_get("default_enabled"), Ok(Value::Boolean(false))),
            default_conf: default_conf(table)?,
            early: flag("early"),
            is_alert: flag("is_alert"),
            nedge_exclude: flag("nedge_exclude"),
            title: gui.title,
            description: gui.description,
            gui: gui.all,
            form: gui.form,
            setup: function("setup"),
            teardown: function("teardown"),
            callbacks: Callbacks {
                on_load: function("onLoad"),
                on_unload: function("onUnload"),
                on_enable: function("onEnable"),
                on_disable: function("onDisable"),
                on_update_config: function("onUpdateConfig"),
            },
            warnings,
        })
    }
}

/// Attributes that are nearly ours.
fn slips(table: &Table) -> Vec<String> {
    let mut keys: Vec<String> = table
        .pairs::<String, Value>()
        .filter_map(|pair| pair.ok().map(|(key, _)| key))
        .collect();
    keys.sort();
    let meant = |key: &str| match key {
        // What a widely read article calls it.
        "priority" => Some("prio"),
        key if ATTRIBUTES.contains(&key) || key.len() < 5 => None,
        key => spelling::likely(key, ATTRIBUTES),
    };
    keys.iter()
        .filter_map(|key| {
            Some(format!(
                "attribute \"{key}\" means nothing; did you mean \"{}\"?",
                meant(key)?
            ))
        })
        .collect()
}

fn filter(table: &Table) -> Result<Filter, String> {
    let l4 = match field(table, "l4_proto")? {
        Value::Nil => None,
        Value::String(name) => {
            let name = name.to_string_lossy();
            let row = L4_NAMES.iter().find(|row| row.0 == name);
            let unknown = || {
                let hint = spelling::hint(&name, L4_NAMES.iter().map(|row| row.0));
                format!("l4_proto \"{name}\" is unknown{hint}")
            };
            Some(row.ok_or_else(unknown)?.1)
        }
        other => return Err(format!("l4_proto is a {}, not a name", other.type_name())),
    };
    let l7 = match field(table, "l7_proto")? {
        Value::Nil => match field(table, "l7_proto_id")? {
            Value::Nil => None,
            Value::Integer(id) if (0..=i64::from(u16::MAX)).contains(&id) => Some(id as u16),
            other => return Err(format!("l7_proto_id is {other:?}, not a protocol's number")),
        },
        Value::String(name) => {
            let name = name.to_string_lossy();
            let unknown = || {
                let known = crate::l7::protocols::PROTOCOLS.iter().map(|row| row.1);
                format!(
                    "l7_proto \"{name}\" is unknown{}",
                    spelling::hint(&name, known)
                )
            };
            let id = Proto::by_name(&name).ok_or_else(unknown)?.0;
            table
                .raw_set("l7_proto_id", id)
                .map_err(|error| error.to_string())?;
            Some(id)
        }
        other => return Err(format!("l7_proto is a {}, not a name", other.type_name())),
    };
    Ok(Filter {
        l4,
        l7,
        handshake: matches!(
            field(table, "three_way_handshake_ok")?,
            Value::Boolean(true)
        ),
        period_secs: table.raw_get("periodic_update_seconds").unwrap_or(0),
    })
}

fn hooks(table: &Table, warnings: &mut Vec<String>) -> Result<Vec<(Hook, Function)>, String> {
    let given = match field(table, "hooks")? {
        Value::Table(given) => given,
        Value::Nil => return Err("hooks is missing".into()),
        other => return Err(format!("hooks is a {}, not a table", other.type_name())),
    };
    let names = || Hook::ALL.iter().map(|hook| hook.name());
    if let Value::Function(all) = field(&given, "all")? {
        // As ntopng does it: the table has one entry a hook afterwards, and none called `all`.
        let set = Hook::ALL
            .iter()
            .try_for_each(|hook| given.raw_set(hook.name(), &all));
        set.and_then(|()| given.raw_set("all", Value::Nil))
            .map_err(|error| error.to_string())?;
    }
    let mut hooks = Vec::new();
    let mut unknown = Vec::new();
    for (name, value) in given.pairs::<Value, Value>().flatten() {
        let name = match name {
            Value::String(name) => name.to_string_lossy(),
            other => format!("{other:?}"),
        };
        match (
            Hook::ALL.into_iter().find(|hook| hook.name() == name),
            value,
        ) {
            (Some(hook), Value::Function(function)) => hooks.push((hook, function)),
            (Some(_), other) => {
                unknown.push(format!(
                    "hook {name} is a {}, not a function",
                    other.type_name()
                ));
            }
            (None, _) => {
                unknown.push(format!(
                    "hook \"{name}\" is unknown{}",
                    spelling::hint(&name, names())
                ));
            }
        }
    }
    hooks.sort_by_key(|(hook, _)| *hook);
    unknown.sort();
    if hooks.is_empty() {
        let why = if unknown.is_empty() {
            String::new()
        } else {
            format!(": {}", unknown.join("; "))
        };
        return Err(format!("has no flow hook{why}"));
    }
    warnings.append(&mut unknown);
    Ok(hooks)
}

fn category(table: &Table, categories: &Table) -> String {
    let other = || "other".to_owned();
    let Ok(Value::Table(given)) = table.raw_get("category") else {
        return other();
    };
    let found = categories
        .pairs::<String, Table>()
        .flatten()
        .find(|(_, known)| *known == given);
    found.map_or_else(other, |(key, _)| key)
}

fn prio(table: &Table, warnings: &mut Vec<String>) -> i64 {
    match table.raw_get("prio") {
        Ok(Value::Integer(prio)) => prio,
        Ok(Value::Number(prio)) => prio as i64, // saturates
        Ok(Value::Nil) => 0,
        _ => {
            warnings.push("prio is not a number: 0 is taken".into());
            0
        }
    }
}

/// `default_value` as JSON gives it back.
fn default_conf(table: &Table) -> Result<Json, String> {
    match field(table, "default_value")? {
        Value::Nil => Ok(json!([])),
        Value::String(text) => Ok(old_threshold(&text.to_string_lossy())),
        value @ Value::Table(_) => {
            let text = to_json(&value, MAX_CONF_BYTES)
                .map_err(|error| format!("default_value: {error}"))?;
            serde_json::from_str(&text).map_err(|error| format!("default_value: {error}"))
        }
        other => Err(format!(
            "default_value is a {}, not a table",
            other.type_name()
        )),
    }
}

/// `key;operator;threshold`, as scripts of 2019 wrote it.
fn old_threshold(text: &str) -> Json {
    let mut parts = text.split(';').skip(1);
    match (parts.next(), parts.next().map(str::parse::<f64>)) {
        (Some(operator), Some(Ok(threshold))) => {
            let whole = threshold.fract() == 0.0 && threshold.abs() < 1e15;
            let threshold = if whole {
                json!(threshold as i64)
            } else {
                json!(threshold)
            };
            json!({"operator": operator, "threshold": threshold})
        }
        _ => json!([]),
    }
}

struct Gui {
    title: Option<String>,
    description: String,
    all: Json,
    form: Form,
}

impl Gui {
    fn read(table: &Table, text: &str, locales: &Locales, warnings: &mut Vec<String>) -> Gui {
        let given: Value = table.raw_get("gui").unwrap_or(Value::Nil);
        let nothing = Gui {
            title: None,
            description: String::new(),
            all: Json::Null,
            form: Form::default(),
        };
        if given.is_nil() {
            return nothing;
        }
        let mut all = match to_json(&given, MAX_GUI_BYTES).map(|text| serde_json::from_str(&text)) {
            Ok(Ok(Json::Object(all))) => all,
            Ok(Ok(Json::Array(list))) if list.is_empty() => Map::new(),
            _ => {
                warnings.push("gui is of no use: not a table, or too large".into());
                return nothing;
            }
        };
        for key in [
            "i18n_title",
            "i18n_description",
            "input_title",
            "input_description",
            "i18n_field_unit",
        ] {
            if let Some(Json::String(text)) = all.get_mut(key) {
                *text = locales.shown(text);
            }
        }
        let text_of = |key: &str| all.get(key).and_then(Json::as_str).map(str::to_owned);
        let title = text_of("i18n_title");
        if title.is_none() {
            let why = if text.contains("i18n_title") {
                "nil"
            } else {
                "missing"
            };
            warnings.push(format!("gui.i18n_title is {why}: the file's name is shown"));
        }
        let builder = text_of("input_builder").unwrap_or_default();
        let known = builder.is_empty() || BUILDERS.contains(&builder.as_str());
        if !known {
            let hint = spelling::hint(&builder, BUILDERS);
            warnings.push(format!("gui.input_builder \"{builder}\" is unknown{hint}"));
        }
        let number = |key: &str| all.get(key).and_then(Json::as_f64);
        let form = Form {
            input_builder: if known { builder } else { String::new() },
            item_list_type: text_of("item_list_type").unwrap_or_default(),
            field_min: number("field_min"),
            field_max: number("field_max"),
        };
        let description = text_of("i18n_description").unwrap_or_default();
        Gui {
            title,
            description,
            all: Json::Object(all),
            form,
        }
    }
}

fn field(table: &Table, key: &str) -> Result<Value, String> {
    table
        .raw_get(key)
        .map_err(|error| format!("{key}: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on shall stop
mod tests {
    use super::*;
    use mlua::{Lua, LuaOptions, StdLib};

    fn read(code: &str) -> Result<UserScript, String> {
        let lua = Lua::new_with(StdLib::NONE, LuaOptions::default()).unwrap();
        let categories: Table = lua
            .load("categories = { security = {} } return categories")
            .eval()
            .unwrap();
        let value: Value = lua.load(code).eval().unwrap();
        UserScript::from_lua(&value, code, &categories, &Locales::default())
    }

    fn read_well(attributes: &str) -> UserScript {
        read(&format!(
            "return {{ hooks = {{ flowEnd = function() end }}, {attributes} }}"
        ))
        .unwrap()
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let script = read_well("");

        assert_eq!((script.prio, script.category.as_str()), (0, "other"));
        assert!(script.default_enabled && !script.early && !script.nedge_exclude);
        assert_eq!(script.default_conf, json!([]));
        assert_eq!(script.filter, Filter::default());
        assert!(script.warnings.is_empty());
    }

    #[test]
    fn attributes_are_read() {
        let script = read_well(
            "prio = 5.0, category = categories.security, l4_proto = 'tcp', l7_proto = 'dns',
             three_way_handshake_ok = true, default_enabled = false, early = true, nedge_exclude = true",
        );

        assert_eq!((script.prio, script.category.as_str()), (5, "security"));
        let filter = Filter {
            l4: Some(6),
            l7: Some(5),
            handshake: true,
            period_secs: 0,
        };
        assert_eq!(script.filter, filter);
        assert!(!script.default_enabled && script.early && script.nedge_exclude);
    }

    #[test]
    fn all_stands_for_the_four_hooks() {
        let script = read("return { hooks = { all = function() end } }").unwrap();

        let hooks: Vec<Hook> = script.hooks.iter().map(|(hook, _)| *hook).collect();
        assert_eq!(hooks, Hook::ALL);
    }

    #[test]
    fn a_default_value_is_what_json_gives_back() {
        for (value, conf) in [
            ("{}", json!([])),
            ("{ items = {}, n = 2 }", json!({"items": [], "n": 2})),
            ("{ [3] = 'x', a = print }", json!({"3": "x"})),
            ("'syn;gt;256'", json!({"operator": "gt", "threshold": 256})),
        ] {
            assert_eq!(
                read_well(&format!("default_value = {value}")).default_conf,
                conf,
                "{value}"
            );
        }
    }

    #[test]
    fn what_cannot_work_is_refused_and_says_why() {
        for (code, reason) in [
            ("return nil", "returns nil, not a table"),
            ("return {}", "hooks is missing"),
            ("return { hooks = {} }", "has no flow hook"),
            (
                "return { hooks = { protocolDetect = function() end } }",
                "has no flow hook: hook \"protocolDetect\" is unknown; did you mean \"protocolDetected\"?",
            ),
            (
                "return { l7_proto = 'DNSS', hooks = { flowEnd = function() end } }",
                "l7_proto \"DNSS\" is unknown; did you mean \"DNS\"?",
            ),
            (
                "return { l4_proto = 'TCP', hooks = { flowEnd = function() end } }",
                "l4_proto \"TCP\" is unknown",
            ),
        ] {
            assert_eq!(read(code).err().as_deref(), Some(reason), "{code}");
        }
    }

    #[test]
    fn slips_are_warnings() {
        let script = read_well("priority = 3, defualt_enabled = false, env = {}");

        assert_eq!(
            script.warnings,
            [
                "attribute \"defualt_enabled\" means nothing; did you mean \"default_enabled\"?",
                "attribute \"priority\" means nothing; did you mean \"prio\"?",
            ]
        );
    }

    #[test]
    fn the_form_is_kept_as_data() {
        let script = read_well(
            "gui = { i18n_title = 'T', i18n_description = 'D', input_builder = 'items_list',
                     item_list_type = 'country', f = function() end }",
        );

        assert_eq!(
            (script.title.as_deref(), script.description.as_str()),
            (Some("T"), "D")
        );
        assert_eq!(script.form.item_list_type, "country");
        assert_eq!(script.gui["input_builder"], "items_list");
        assert!(script.gui.get("f").is_none());
    }
}
