//! Alert types and flow statuses: ours, and what plugins' `alert_definitions/` and `status_definitions/` add.
//!
//! Scripts see them as `alert_consts.alert_types` and `flow_consts.status_types`; each gets `create(...)`,
//! which calls the alert's creator and notes the definition in the result. Ours are defaults: a plugin's
//! definition of the same name takes the place. Of a number used twice the first counts.

use std::collections::{BTreeMap, BTreeSet};

use mlua::{Function, Lua, Table, Value};

use crate::script::catalog::{AlertDefinition, StatusDefinition};
use crate::script::flow::CUSTOM_SCRIPT_STATUS;
use crate::script::locale::Locales;
use crate::script::spelling;

/// Modules of constants, by the names scripts `require`.
pub const MODULES: &[(&str, &str)] = &[
    ("alert_keys", include_str!("lua/alert_keys.lua")),
    ("flow_keys", include_str!("lua/flow_keys.lua")),
    ("status_keys", "return require('flow_keys')"),
    ("alert_consts", include_str!("lua/alert_consts.lua")),
    (
        "alert_severities",
        "return require('alert_consts').alert_severities",
    ),
    ("flow_consts", include_str!("lua/flow_consts.lua")),
    ("user_scripts", include_str!("lua/user_scripts.lua")),
];

const BUILTIN_ALERTS: &str = include_str!("lua/builtin_alerts.lua");
const BUILTIN_STATUSES: &str = include_str!("lua/builtin_statuses.lua");

/// Makes the `create` of a definition: what the creator gives, with the definition in `field`.
const CHAIN: &str = "
local creator, field, definition = ...
return function(...)
  local result = creator and creator(...)
  if type(result) ~= 'table' then
    result = {}
  end
  result[field] = definition
  return result
end";

/// Severity of a status whose definition names none and whose script passes none: `error`.
pub const DEFAULT_SEVERITY: u8 = 5;

struct Alert {
    key: u32,
    title: String,
    icon: String,
    plugin: Option<String>,
}

struct Status {
    key: u8,
    title: String,
    severity: u8,
    alert: String,
    plugin: Option<String>,
    table: Table,
}

/// The definitions of one Lua state while they are gathered.
pub struct Definitions {
    alert_types: Table,
    status_types: Table,
    alert_keys: Table,
    flow_keys: Table,
    parse_alert_key: Function,
    chain: Function,
    /// Metatable of what scripts hand back to us by identity: the sandbox gives out tables that have one as they
    /// are, all others as a view.
    object: Table,
    declared_statuses: BTreeSet<i64>,
    alerts: BTreeMap<String, Alert>,
    statuses: BTreeMap<String, Status>,
}

/// A definition file that has been run.
pub struct File<'a> {
    /// Plugin it belongs to; none for ours.
    pub plugin: Option<&'a str>,
    /// Its name without `.lua`: the definition's name.
    pub name: &'a str,
    /// Its text, searched for likely slips.
    pub text: &'a str,
    /// What it returned.
    pub value: &'a Value,
}

impl Definitions {
    /// Starts with our own alert types. `require` must know [`MODULES`].
    pub fn new(lua: &Lua) -> mlua::Result<Definitions> {
        let require: Function = lua.globals().get("require")?;
        let module = |name: &str| require.call::<Table>(name);
        let alert_keys = module("alert_keys")?;
        let flow_keys = module("flow_keys")?;
        let mut declared_statuses = BTreeSet::from([i64::from(CUSTOM_SCRIPT_STATUS)]);
        for group in ["ntopng", "user"] {
            flow_keys
                .get::<Table>(group)?
                .for_each(|_: Value, key: i64| {
                    declared_statuses.insert(key);
                    Ok(())
                })?;
        }
        let object = lua.create_table()?;
        object.set("__metatable", false)?;
        let consts = module("alert_consts")?;
        let categories = module("user_scripts")?.get::<Table>("script_categories")?;
        for group in [
            consts.get("alert_severities")?,
            consts.get("alert_entities")?,
            consts.get("alerts_granularities")?,
            alert_keys.get("ntopng")?,
            alert_keys.get("user")?,
            categories,
        ] {
            group.for_each(|_: Value, value: Value| match value {
                Value::Table(table) => table.set_metatable(Some(object.clone())),
                _ => Ok(()),
            })?;
        }
        let mut definitions = Definitions {
            object,
            alert_types: consts.get("alert_types")?,
            status_types: module("flow_consts")?.get("status_types")?,
            parse_alert_key: alert_keys.get("parse_alert_key")?,
            alert_keys,
            flow_keys,
            chain: lua.load(CHAIN).set_name("=create").into_function()?,
            declared_statuses,
            alerts: BTreeMap::new(),
            statuses: BTreeMap::new(),
        };
        definitions.add_our_alerts(lua)?;
        Ok(definitions)
    }

    fn add_our_alerts(&mut self, lua: &Lua) -> mlua::Result<()> {
        let keys: Table = self.alert_keys.get("ntopng")?;
        let rows: Table = lua
            .load(BUILTIN_ALERTS)
            .set_name("=builtin_alerts")
            .eval()?;
        for row in rows.sequence_values::<Table>() {
            let row = row?;
            let name: String = row.get(1)?;
            let table = lua.create_table()?;
            table.set("alert_key", constant(&keys, "alert_", row.get(2)?)?)?;
            table.set("i18n_title", row.get::<Value>(3)?)?;
            table.set("icon", row.get::<Value>(4)?)?;
            table.set("creator", row.get::<Value>(5)?)?;
            let value = Value::Table(table);
            self.add_alert(&File {
                plugin: None,
                name: &name,
                text: "",
                value: &value,
            })
            .map_err(mlua::Error::runtime)?;
        }
        Ok(())
    }

    /// Adds our own statuses; to be called when all alert types are there, before plugins' statuses.
    pub fn add_our_statuses(&mut self, lua: &Lua) -> mlua::Result<()> {
        let keys: Table = self.flow_keys.get("ntopng")?;
        let require: Function = lua.globals().get("require")?;
        let severities: Table = require
            .call::<Table>("alert_consts")?
            .get("alert_severities")?;
        let rows: Table = lua
            .load(BUILTIN_STATUSES)
            .set_name("=builtin_statuses")
            .eval()?;
        for row in rows.sequence_values::<Table>() {
            let row = row?;
            let name: String = row.get(1)?;
            let table = lua.create_table()?;
            table.set("status_key", constant(&keys, "status_", row.get(2)?)?)?;
            table.set(
                "alert_severity",
                severities.get::<Value>(row.get::<String>(3)?)?,
            )?;
            table.set(
                "alert_type",
                self.alert_types.get::<Value>(row.get::<String>(4)?)?,
            )?;
            table.set("i18n_title", row.get::<Value>(5)?)?;
            let value = Value::Table(table);
            self.add_status(&File {
                plugin: None,
                name: &name,
                text: "",
                value: &value,
            })
            .map_err(mlua::Error::runtime)?;
        }
        Ok(())
    }

    /// Takes an alert definition in. Gives warnings, or the reason why it is refused.
    pub fn add_alert(&mut self, file: &File) -> Result<Vec<String>, String> {
        let table = definition_table(file)?;
        let mut warnings = Vec::new();
        let title = title(file, table, &mut warnings)?;
        let icon = required_text(table, "icon")?;
        let creator = optional_function(table, "creator")?;
        check_description(table)?;
        let key = self.alert_key(file, table)?;

        free_name(self.alerts.get(file.name).map(|alert| &alert.plugin), file)?;
        if let Some((name, other)) = self
            .alerts
            .iter()
            .find(|(name, alert)| alert.key == key && *name != file.name)
        {
            let owner = owner(&other.plugin);
            return Err(format!("alert_key {key} is taken by {name} of {owner}"));
        }
        self.install(&self.alert_types, file.name, table, creator, "alert_type")
            .and_then(|()| table.raw_set("alert_key", key))
            .and_then(|()| table.set_metatable(Some(self.object.clone())))
            .map_err(|error| error.to_string())?;
        let alert = Alert {
            key,
            title,
            icon,
            plugin: file.plugin.map(str::to_owned),
        };
        self.alerts.insert(file.name.into(), alert);
        Ok(warnings)
    }

    /// Takes a status definition in. Gives warnings, or the reason why it is refused.
    pub fn add_status(&mut self, file: &File) -> Result<Vec<String>, String> {
        let table = definition_table(file)?;
        let mut warnings = Vec::new();
        let title = title(file, table, &mut warnings)?;
        check_description(table)?;
        let key = self.status_key(file, table)?;
        let severity = match field(table, "alert_severity")? {
            Value::Table(severity) => severity.raw_get("severity_id").unwrap_or(0),
            _ => {
                if file.text.contains("alert_severity") {
                    warnings
                        .push("alert_severity is nil: the script's, or \"error\", is taken".into());
                }
                0
            }
        };
        let (alert, create) = self.alert_type(file, table)?;

        free_name(
            self.statuses.get(file.name).map(|status| &status.plugin),
            file,
        )?;
        if let Some((name, other)) = self
            .statuses
            .iter()
            .find(|(name, status)| status.key == key && *name != file.name)
        {
            let owner = owner(&other.plugin);
            return Err(format!("status_key {key} is taken by {name} of {owner}"));
        }
        self.install(
            &self.status_types,
            file.name,
            table,
            Some(create),
            "status_type",
        )
        .and_then(|()| table.set_metatable(Some(self.object.clone())))
        .map_err(|error| error.to_string())?;
        let plugin = file.plugin.map(str::to_owned);
        let status = Status {
            key,
            title,
            severity,
            alert,
            plugin,
            table: table.clone(),
        };
        self.statuses.insert(file.name.into(), status);
        Ok(warnings)
    }

    fn install(
        &self,
        types: &Table,
        name: &str,
        table: &Table,
        creator: Option<Function>,
        field: &str,
    ) -> mlua::Result<()> {
        let create: Function = self.chain.call((creator, field, table))?;
        table.raw_set("create", create)?;
        types.raw_set(name, table)
    }

    fn alert_key(&self, file: &File, table: &Table) -> Result<u32, String> {
        let key = field(table, "alert_key")?;
        if key.is_nil() {
            for group in ["ntopng", "user"] {
                if let Some(slip) = self.unknown_member(file, &self.alert_keys, group) {
                    return Err(slip);
                }
            }
            return Err(missing(table, "alert_key"));
        }
        let parsed: Result<(Option<u32>, Option<String>), _> = self.parse_alert_key.call(key);
        match parsed {
            Ok((Some(key), _)) => Ok(key),
            Ok((None, reason)) => Err(reason.unwrap_or_else(|| "alert_key is of no use".into())),
            Err(error) => Err(format!("alert_key: {error}")),
        }
    }

    fn status_key(&self, file: &File, table: &Table) -> Result<u8, String> {
        match field(table, "status_key")? {
            Value::Integer(key) if self.declared_statuses.contains(&key) => {
                u8::try_from(key).map_err(|_| format!("status_key {key} is out of range"))
            }
            Value::Integer(key) => Err(format!(
                "status_key {key} is not a declared constant of flow_keys"
            )),
            Value::Nil => {
                for group in ["ntopng", "user"] {
                    if let Some(slip) = self.unknown_member(file, &self.flow_keys, group) {
                        return Err(slip);
                    }
                }
                Err(missing(table, "status_key"))
            }
            other => Err(format!(
                "status_key is a {}, not an integer",
                other.type_name()
            )),
        }
    }

    /// Name and `create` of the alert type a status names.
    fn alert_type(&self, file: &File, table: &Table) -> Result<(String, Function), String> {
        match field(table, "alert_type")? {
            Value::Table(alert) => {
                let known = self.alerts.keys().find(|name| {
                    let ours: mlua::Result<Table> = self.alert_types.raw_get(name.as_str());
                    ours.is_ok_and(|ours| ours == alert)
                });
                let name = known.ok_or("alert_type is not one of alert_consts.alert_types")?;
                let create = alert.raw_get("create").map_err(|error| error.to_string())?;
                Ok((name.clone(), create))
            }
            Value::Nil => {
                let known = || self.alerts.keys().map(String::as_str);
                let unknown = spelling::members(file.text, "alert_types")
                    .find(|name| !self.alerts.contains_key(*name));
                Err(match unknown {
                    Some(name) => format!(
                        "alert_type is nil: there is no alert_types.{name}{}",
                        spelling::hint(name, known())
                    ),
                    None => missing(table, "alert_type"),
                })
            }
            other => Err(format!(
                "alert_type is a {}, not a definition",
                other.type_name()
            )),
        }
    }

    /// A constant the file asks for and that `keys[group]` does not have.
    fn unknown_member(&self, file: &File, keys: &Table, group: &str) -> Option<String> {
        let group_table: Table = keys.raw_get(group).ok()?;
        let names: Vec<String> = group_table
            .pairs::<String, Value>()
            .filter_map(|pair| Some(pair.ok()?.0))
            .collect();
        let unknown = spelling::members(file.text, group)
            .find(|name| !names.iter().any(|known| known == name))?;
        let hint = spelling::hint(unknown, names.iter().map(String::as_str));
        Some(format!(
            "the key is nil: there is no constant {group}.{unknown}{hint}"
        ))
    }

    /// The alert types by key, texts looked up.
    pub fn alert_catalog(&self, locales: &Locales) -> BTreeMap<u32, AlertDefinition> {
        let rows = self.alerts.iter().map(|(name, alert)| {
            let definition = AlertDefinition {
                name: name.clone(),
                title: locales.shown(&alert.title),
                icon: alert.icon.clone(),
                plugin: alert.plugin.clone(),
            };
            (alert.key, definition)
        });
        rows.collect()
    }

    /// The statuses by key, texts looked up.
    pub fn status_catalog(&self, locales: &Locales) -> BTreeMap<u8, StatusDefinition> {
        let rows = self.statuses.iter().map(|(name, status)| {
            let definition = StatusDefinition {
                name: name.clone(),
                title: locales.shown(&status.title),
                alert_key: self.alerts.get(&status.alert).map_or(0, |alert| alert.key),
                alert_name: status.alert.clone(),
                severity: status.severity,
                plugin: status.plugin.clone(),
            };
            (status.key, definition)
        });
        rows.collect()
    }

    /// The statuses' tables by key.
    pub fn status_tables(&self) -> BTreeMap<u8, Table> {
        self.statuses
            .values()
            .map(|status| (status.key, status.table.clone()))
            .collect()
    }
}

/// The constant of a row of ours, named without its prefix; a number stands for itself.
fn constant(keys: &Table, prefix: &str, named: Value) -> mlua::Result<Value> {
    match named {
        Value::String(name) => keys.get(format!("{prefix}{}", name.to_str()?)),
        number => Ok(number),
    }
}

fn definition_table<'a>(file: &File<'a>) -> Result<&'a Table, String> {
    let Value::Table(table) = file.value else {
        return Err(format!("returns {}, not a table", file.value.type_name()));
    };
    if matches!(table.raw_get("meta"), Ok(Value::Table(_))) {
        return Err(CLASS_FORM.into());
    }
    Ok(table)
}

/// Said of definitions in the form of the 4.3 development versions.
pub const CLASS_FORM: &str = "4.3 class definition not supported";

fn free_name(present: Option<&Option<String>>, file: &File) -> Result<(), String> {
    match present {
        Some(Some(plugin)) => Err(format!(
            "{} is already defined by plugin {plugin}",
            file.name
        )),
        Some(None) | None => Ok(()),
    }
}

fn owner(plugin: &Option<String>) -> String {
    plugin
        .as_ref()
        .map_or("the built-in ones".into(), |plugin| {
            format!("plugin {plugin}")
        })
}

fn field(table: &Table, key: &str) -> Result<Value, String> {
    table
        .raw_get(key)
        .map_err(|error| format!("{key}: {error}"))
}

fn missing(table: &Table, key: &str) -> String {
    let slip = table
        .pairs::<String, Value>()
        .filter_map(|pair| pair.ok().map(|(other, _)| other))
        .filter(|other| spelling::likely(other, [key]).is_some())
        .min();
    let hint = slip.map_or_else(String::new, |slip| format!("; is \"{slip}\" a slip?"));
    format!("{key} is missing{hint}")
}

fn required_text(table: &Table, key: &str) -> Result<String, String> {
    match field(table, key)? {
        Value::String(text) => Ok(text.to_string_lossy()),
        Value::Nil => Err(missing(table, key)),
        other => Err(format!("{key} is a {}, not a text", other.type_name())),
    }
}

/// The title; the file's name where `i18n()` gave nil for it.
fn title(file: &File, table: &Table, warnings: &mut Vec<String>) -> Result<String, String> {
    if field(table, "i18n_title")?.is_nil() && file.text.contains("i18n_title") {
        warnings.push("i18n_title is nil: the file's name is shown".into());
        table
            .raw_set("i18n_title", file.name)
            .map_err(|error| error.to_string())?;
    }
    required_text(table, "i18n_title")
}

fn optional_function(table: &Table, key: &str) -> Result<Option<Function>, String> {
    match field(table, key)? {
        Value::Nil => Ok(None),
        Value::Function(function) => Ok(Some(function)),
        other => Err(format!("{key} is a {}, not a function", other.type_name())),
    }
}

fn check_description(table: &Table) -> Result<(), String> {
    match field(table, "i18n_description")? {
        Value::Nil | Value::String(_) | Value::Function(_) => Ok(()),
        other => Err(format!(
            "i18n_description is a {}, neither text nor function",
            other.type_name()
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on shall stop
mod tests {
    use super::*;
    use crate::script::sandbox::{Limits, ModuleSource, Sandbox};

    struct State {
        sandbox: Sandbox,
        definitions: Definitions,
    }

    impl State {
        fn new() -> State {
            let sandbox = Sandbox::new(Limits::default(), std::rc::Rc::new(|_| ())).unwrap();
            for (name, source) in MODULES {
                sandbox.register_module(name, ModuleSource::text(name, source));
            }
            let definitions = Definitions::new(sandbox.lua()).unwrap();
            State {
                sandbox,
                definitions,
            }
        }

        fn alert(&mut self, plugin: &str, name: &str, text: &str) -> Result<Vec<String>, String> {
            let value: Value = self.sandbox.lua().load(text).eval().unwrap();
            let file = File {
                plugin: Some(plugin),
                name,
                text,
                value: &value,
            };
            self.definitions.add_alert(&file)
        }

        fn status(&mut self, plugin: &str, name: &str, text: &str) -> Result<Vec<String>, String> {
            let value: Value = self.sandbox.lua().load(text).eval().unwrap();
            let file = File {
                plugin: Some(plugin),
                name,
                text,
                value: &value,
            };
            self.definitions.add_status(&file)
        }

        fn with_our_statuses(mut self) -> State {
            self.definitions
                .add_our_statuses(self.sandbox.lua())
                .unwrap();
            self
        }

        fn eval<T: mlua::FromLua>(&self, code: &str) -> T {
            self.sandbox.lua().load(code).eval().unwrap()
        }
    }

    fn alert_with(key: &str) -> String {
        format!(
            "local alert_keys = require 'alert_keys'
             return {{ alert_key = {key}, i18n_title = 't', icon = 'i' }}"
        )
    }

    const STATUS: &str = "
        local c, k = require 'alert_consts', require 'flow_keys'
        return { status_key = k.user.status_user_01, alert_severity = c.alert_severities.warning,
                 alert_type = c.alert_types.alert_a, i18n_title = 't' }";

    #[test]
    fn alert_keys_have_the_numbers_of_the_contract() {
        for (key, number) in [
            ("alert_keys.user.alert_user_01", 32768),
            ("{0, alert_keys.user.alert_user_01}", 32768),
            ("{312, 513}", 20447745),
            ("alert_keys.ntopng.alert_list_download_succeeded", 69),
            ("32770", 32770),
            ("{65534, 65534}", 4294901758),
        ] {
            let mut state = State::new();
            assert_eq!(
                state.alert("p", "alert_a", &alert_with(key)),
                Ok(vec![]),
                "{key}"
            );
            let got: i64 =
                state.eval("return require('alert_consts').alert_types.alert_a.alert_key");
            assert_eq!(got, number, "{key}");
        }
    }

    #[test]
    fn alert_keys_that_are_none_are_refused_with_the_reason() {
        for (key, reason) in [
            ("{0, 999}", "not a declared constant"),
            ("{65535, 1}", "both go from 0 to 65534"),
            ("{'a', 1}", "two integers"),
            ("'x'", "not {pen, id}"),
            ("-1", "out of range"),
            (
                "alert_keys.user.alert_user_1",
                "did you mean \"alert_user_01\"?",
            ),
            ("nil", "alert_key is missing"),
        ] {
            let error = State::new()
                .alert("p", "alert_a", &alert_with(key))
                .unwrap_err();
            assert!(error.contains(reason), "{key}: {error}");
        }
    }

    #[test]
    fn every_status_of_ours_exists_with_its_alert() {
        let state = State::new().with_our_statuses();
        let statuses = state.definitions.status_catalog(&Locales::default());
        let alerts = state.definitions.alert_catalog(&Locales::default());

        let keys: Vec<u8> = (0..=35).chain([CUSTOM_SCRIPT_STATUS]).collect();
        assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), keys);
        for status in statuses.values() {
            assert_eq!(alerts[&status.alert_key].name, status.alert_name);
        }
        assert_eq!(statuses[&33].name, "status_unexpected_dns");
        assert_eq!((statuses[&33].alert_key, statuses[&33].severity), (63, 5));
        assert_eq!(
            statuses[&CUSTOM_SCRIPT_STATUS].alert_key,
            crate::script::flow::CUSTOM_SCRIPT_ALERT
        );
    }

    #[test]
    fn create_passes_its_arguments_to_the_creator_and_notes_both_definitions() {
        let state = State::new().with_our_statuses();

        let ok: bool = state.eval(
            "local s = require('flow_consts').status_types.status_unexpected_dns
             local r = s.create(s.alert_severity, '10.0.0.1')
             return r.alert_type_params == '10.0.0.1' and r.status_type == s
               and r.alert_type == require('alert_consts').alert_types.alert_unexpected_dns
               and r.alert_severity.severity_id == 5",
        );
        let without_creator: bool = state.eval(
            "local s = require('flow_consts').status_types.status_remote_to_remote
             local r = s.create(s.alert_severity)
             return r.status_type == s and r.alert_type == s.alert_type and r.alert_type_params == nil",
        );

        assert!(ok && without_creator);
    }

    #[test]
    fn a_misspelled_alert_type_is_named() {
        let mut state = State::new().with_our_statuses();
        state
            .alert("p", "alert_a_thing", &alert_with("{0, 32768}"))
            .unwrap();
        let text = STATUS.replace("alert_types.alert_a,", "alert_types.alert_a_thign,");

        let error = state.status("p", "status_a", &text).unwrap_err();

        let expected = "alert_type is nil: there is no alert_types.alert_a_thign; did you mean \"alert_a_thing\"?";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_plugin_replaces_ours_of_the_same_name_and_our_status_follows() {
        let mut state = State::new();
        let text = "return { alert_key = require('alert_keys').user.alert_user_05, i18n_title = 'mine',
                    icon = 'i', creator = function(s, p) return { alert_type_params = { mine = p } } end }";

        state.alert("p", "alert_unexpected_dns", text).unwrap();
        let state = state.with_our_statuses();

        let mine: i64 = state.eval(
            "return require('flow_consts').status_types.status_unexpected_dns.create(nil, 7).alert_type_params.mine",
        );
        assert_eq!(mine, 7);
        let statuses = state.definitions.status_catalog(&Locales::default());
        assert_eq!(statuses[&33].alert_key, 32772);
    }

    #[test]
    fn of_a_key_used_twice_the_first_counts() {
        let mut state = State::new();
        state
            .alert("p", "alert_a", &alert_with("{0, 32768}"))
            .unwrap();

        let other = state
            .alert("q", "alert_b", &alert_with("{0, 32768}"))
            .unwrap_err();
        let ours = state
            .alert("q", "alert_b", &alert_with("{0, 63}"))
            .unwrap_err();
        let name = state
            .alert("q", "alert_a", &alert_with("{0, 32769}"))
            .unwrap_err();

        assert_eq!(other, "alert_key 32768 is taken by alert_a of plugin p");
        assert_eq!(
            ours,
            "alert_key 63 is taken by alert_unexpected_dns of the built-in ones"
        );
        assert_eq!(name, "alert_a is already defined by plugin p");
    }

    #[test]
    fn status_keys_are_declared_and_used_once() {
        let mut state = State::new().with_our_statuses();
        state
            .alert("p", "alert_a", &alert_with("{0, 32768}"))
            .unwrap();
        state.status("p", "status_a", STATUS).unwrap();

        let twice = state.status("q", "status_b", STATUS).unwrap_err();
        let far = STATUS.replace("k.user.status_user_01", "57");
        let undeclared = state.status("q", "status_c", &far).unwrap_err();
        let slip = STATUS.replace("status_user_01", "status_usr_01");
        let slip = state.status("q", "status_d", &slip).unwrap_err();

        assert_eq!(twice, "status_key 59 is taken by status_a of plugin p");
        assert!(undeclared.contains("not a declared constant"));
        assert!(slip.contains("did you mean \"status_user_01\"?"), "{slip}");
    }

    #[test]
    fn a_status_without_severity_is_loaded() {
        let mut state = State::new();
        state
            .alert("p", "alert_a", &alert_with("{0, 32768}"))
            .unwrap();
        let text = STATUS.replace("alert_severities.warning", "alert_severities.warnign");

        let warnings = state.status("p", "status_a", &text).unwrap();

        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn what_is_incomplete_or_of_another_age_says_so() {
        let mut state = State::new();
        let mut refuse = |text: &str| state.alert("p", "alert_a", text).unwrap_err();

        assert_eq!(refuse("return nil"), "returns nil, not a table");
        assert_eq!(refuse("return { meta = {} }"), CLASS_FORM);
        assert_eq!(
            refuse("return { alert_key = 1, icon = 'i' }"),
            "i18n_title is missing"
        );
        assert_eq!(
            refuse("return { alert_key = 1, i18n_title = 't', icno = 'i' }"),
            "icon is missing; is \"icno\" a slip?"
        );
        let creator = "return { alert_key = 1, i18n_title = 't', icon = 'i', creator = 1 }";
        assert_eq!(refuse(creator), "creator is a integer, not a function");
    }

    #[test]
    fn a_title_that_i18n_did_not_know_becomes_the_files_name() {
        let mut state = State::new();
        let text = "return { alert_key = {0, 32768}, i18n_title = nil, icon = 'i' }";

        let warnings = state.alert("p", "alert_a", text).unwrap();

        assert_eq!(warnings, ["i18n_title is nil: the file's name is shown"]);
        assert_eq!(
            state.definitions.alert_catalog(&Locales::default())[&32768].title,
            "alert_a"
        );
    }
}
