//! From folders to scripts that can run, in the order plugins may count on: texts, alert types, statuses,
//! and only then the scripts. A bad file costs itself and is told of; loading goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlua::{Function, Lua, Table, Value};
use serde_json::Value as Json;

use crate::config::ScriptRule;
use crate::script::catalog::{Catalog, Filter, Finding, Level, Plugin, Script, State};
use crate::script::configset::ConfigSets;
use crate::script::current::Hook;
use crate::script::definitions::{self, Definitions, File};
use crate::script::form::Form;
use crate::script::json::from_json;
use crate::script::locale::SharedLocales;
use crate::script::needs::needs;
use crate::script::plugin::{self, Folder, Manifest, Reader, Source};
use crate::script::sandbox::{CallError, ModuleSource, Sandbox};
use crate::script::spelling;
use crate::script::user_script::{Callbacks, UserScript};

/// Where scripts come from and how they are configured.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Folders of plugins; of equal keys the first counts.
    pub plugin_roots: Vec<PathBuf>,
    /// Folders of loose flow scripts (`callbacks/interface/flow`): each file a plugin of one script.
    pub loose_flow: Vec<PathBuf>,
    /// Folders of loose syslog scripts (`callbacks/syslog`).
    pub loose_syslog: Vec<PathBuf>,
    /// Folders of the custom scripts of ntopng 5.x and 6.x.
    pub custom: Vec<PathBuf>,
    /// What the owner set.
    pub config: ConfigSets,
    /// What stands above it, by name of the flow script.
    pub rules: Vec<ScriptRule>,
    /// Language of texts (`en`, `it`, ...).
    pub language: String,
    /// Alerts are raised; `is_alert` scripts run only then.
    pub alerts: bool,
}

impl Default for Sources {
    fn default() -> Self {
        Sources {
            plugin_roots: Vec::new(),
            loose_flow: Vec::new(),
            loose_syslog: Vec::new(),
            custom: Vec::new(),
            config: ConfigSets::default(),
            rules: Vec::new(),
            language: "en".into(),
            alerts: true,
        }
    }
}

/// What a script of the catalogue consists of in Lua.
pub(super) struct Loaded {
    /// Index in the catalogue.
    pub script: u16,
    /// Hooks; empty unless it runs.
    pub hooks: Vec<(Hook, Function)>,
    /// Second argument of hooks.
    pub conf: Table,
    /// Run when the state ends.
    pub teardown: Option<Function>,
    /// Life-cycle callbacks.
    pub callbacks: Callbacks,
}

/// Everything that was loaded.
pub(super) struct Outcome {
    pub catalog: Catalog,
    pub scripts: Vec<Loaded>,
    pub statuses: BTreeMap<u8, Table>,
}

/// Files of 5.x and 6.x and the hook each stands for; the first is the older name of the second.
const CUSTOM_FILES: [(&str, Hook); 4] = [
    ("custom_flow_lua_script.lua", Hook::ProtocolDetected),
    (
        "custom_flow_protocol_detected_script.lua",
        Hook::ProtocolDetected,
    ),
    ("custom_flow_periodic_script.lua", Hook::PeriodicUpdate),
    ("custom_flow_end_script.lua", Hook::FlowEnd),
];

/// Folders of `user_scripts` that ntopng has besides `flow`.
const OTHER_KINDS: [&str; 6] = [
    "host",
    "interface",
    "network",
    "system",
    "snmp_device",
    "syslog",
];

/// What a plugin's folder may hold.
const PARTS: [&str; 9] = [
    "alert_definitions",
    "status_definitions",
    "locales",
    "user_scripts",
    "modules",
    "alert_endpoints",
    "ts_schemas",
    "web_gui",
    "http_lint.lua",
];
/// Of these, what this version has no use for.
const UNUSED_PARTS: [&str; 4] = ["alert_endpoints", "ts_schemas", "web_gui", "http_lint.lua"];

/// Loads everything `sources` names into the state of `sandbox`, which knows all modules but plugins'. The
/// error is one of our own modules or of memory, never a plugin's.
pub(super) fn load(
    sandbox: &Sandbox,
    locales: &SharedLocales,
    sources: &Sources,
) -> mlua::Result<Outcome> {
    let require: Function = sandbox.lua().globals().get("require")?;
    let mut loader = Loader {
        sandbox,
        locales,
        sources,
        reader: Reader::default(),
        definitions: Definitions::new(sandbox.lua())?,
        categories: require
            .call::<Table>("user_scripts")?
            .get("script_categories")?,
        catalog: Catalog::default(),
        scripts: Vec::new(),
    };
    let folders = loader.plugins();
    loader.texts(&folders);
    share_modules(sandbox, &mut loader.reader, &folders)?;
    loader.define("alert_definitions", &folders);
    loader.definitions.add_our_statuses(sandbox.lua())?;
    loader.define("status_definitions", &folders);
    for folder in &folders {
        loader.user_scripts(folder)?;
        loader.other_parts(folder);
    }
    loader.loose()?;
    loader.custom()?;
    let locales = locales.borrow();
    loader.catalog.statuses = loader.definitions.status_catalog(&locales);
    loader.catalog.alerts = loader.definitions.alert_catalog(&locales);
    Ok(Outcome {
        catalog: loader.catalog,
        scripts: loader.scripts,
        statuses: loader.definitions.status_tables(),
    })
}

struct Loader<'a> {
    sandbox: &'a Sandbox,
    locales: &'a SharedLocales,
    sources: &'a Sources,
    reader: Reader,
    definitions: Definitions,
    categories: Table,
    catalog: Catalog,
    scripts: Vec<Loaded>,
}

/// Where a flow script comes from.
struct Origin<'a> {
    plugin: &'a str,
    source: &'a Source,
}

impl Loader<'_> {
    fn find(&mut self, level: Level, plugin: &str, file: &str, line: Option<u32>, reason: String) {
        self.catalog.findings.push(Finding {
            level,
            plugin: plugin.into(),
            file: file.into(),
            line,
            reason,
        });
    }

    fn refuse(&mut self, plugin: &str, file: &str, reason: String) {
        self.find(Level::Refused, plugin, file, None, reason);
    }

    fn warn(&mut self, plugin: &str, file: &str, warnings: Vec<String>) {
        for reason in warnings {
            self.find(Level::Warning, plugin, file, None, reason);
        }
    }

    fn compile(&self, source: &Source, env: &Table) -> Result<Function, CallError> {
        let name = format!("@{}", source.shown);
        self.sandbox.load(source.text.as_bytes(), &name, env)
    }

    /// Runs a file and gives what it returns; what goes wrong is told of.
    fn run(&mut self, plugin: &str, source: &Source) -> Option<Value> {
        let result = self
            .sandbox
            .script_env()
            .and_then(|env| self.compile(source, &env))
            .and_then(|chunk| self.sandbox.call(&chunk, ()));
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let (line, reason) = blame(&error);
                self.find(Level::Refused, plugin, &source.shown, line, reason);
                None
            }
        }
    }

    /// The Lua files of a part of a plugin.
    fn files(&mut self, folder: &Folder, part: &str) -> Vec<Source> {
        let shown = format!("{}/{part}", folder.key);
        let (sources, complaints) = self.reader.folder(&folder.path.join(part), &shown);
        for (file, reason) in complaints {
            self.refuse(&folder.key, &file, reason);
        }
        sources
    }

    /// Finds plugins, reads their manifests, and gives those that load in their order.
    fn plugins(&mut self) -> Vec<Folder> {
        let (folders, complaints) = plugin::discover(&self.sources.plugin_roots);
        for (path, reason) in complaints {
            self.find(
                Level::Warning,
                "",
                &path.display().to_string(),
                None,
                reason,
            );
        }
        let mut manifests = BTreeMap::new();
        for folder in folders {
            if let Some(manifest) = self.manifest(&folder) {
                manifests.insert(folder.key.clone(), (folder, manifest));
            }
        }
        let needs = manifests
            .iter()
            .map(|(key, (_, manifest))| (key.clone(), manifest.dependencies.clone()));
        let (order, refused) = plugin::order(&needs.collect());
        for (key, reason) in refused {
            self.refuse(&key, &format!("{key}/manifest.lua"), reason);
        }
        let mut ordered = Vec::new();
        for key in order {
            let (folder, manifest) = manifests.remove(&key).expect("ordered from this map");
            self.catalog.plugins.push(Plugin {
                key,
                path: folder.path.display().to_string(),
                title: manifest.title,
                description: manifest.description,
                author: manifest.author,
            });
            ordered.push(folder);
        }
        ordered
    }

    fn manifest(&mut self, folder: &Folder) -> Option<Manifest> {
        let shown = format!("{}/manifest.lua", folder.key);
        if !folder.path.join("manifest.lua").is_file() {
            let reason = "is missing: the plugin goes by its folder's name; add one that returns title, \
                          description and author";
            self.warn(&folder.key, &shown, vec![reason.into()]);
            return Some(Manifest {
                title: folder.key.clone(),
                ..Manifest::default()
            });
        }
        let source = match self.reader.file(&folder.path.join("manifest.lua"), &shown) {
            Ok(source) => source,
            Err(reason) => {
                self.refuse(&folder.key, &shown, reason);
                return None;
            }
        };
        let value = self.run(&folder.key, &source)?;
        match Manifest::from_lua(&value) {
            Ok(manifest) if manifest.disabled => {
                let reason = "disabled by its manifest".into();
                self.find(Level::Note, &folder.key, &shown, None, reason);
                None
            }
            Ok(mut manifest) => {
                let warnings = std::mem::take(&mut manifest.warnings);
                self.warn(&folder.key, &shown, warnings);
                Some(manifest)
            }
            Err(reason) => {
                self.refuse(&folder.key, &shown, reason);
                None
            }
        }
    }

    /// Texts first: definitions and scripts may ask for them as soon as they run.
    fn texts(&mut self, folders: &[Folder]) {
        for folder in folders {
            for source in self.files(folder, "locales") {
                let english = source.key == "en";
                if !english && source.key != self.sources.language {
                    continue;
                }
                let whole = match self.run(&folder.key, &source) {
                    Some(Value::Table(table)) => {
                        self.locales.borrow_mut().add(&folder.key, &table, english)
                    }
                    Some(other) => {
                        let reason = format!("returns {}, not a table", other.type_name());
                        self.refuse(&folder.key, &source.shown, reason);
                        true
                    }
                    None => true,
                };
                if !whole {
                    self.warn(
                        &folder.key,
                        &source.shown,
                        vec!["some texts are left out: too many".into()],
                    );
                }
            }
        }
        let locales = self.locales.borrow();
        for plugin in &mut self.catalog.plugins {
            plugin.title = locales.shown(&plugin.title);
            plugin.description = locales.shown(&plugin.description);
        }
    }

    fn define(&mut self, part: &str, folders: &[Folder]) {
        for folder in folders {
            for source in self.files(folder, part) {
                // Such a file asks for modules we lack; that it is of another age is what helps.
                if source.text.contains("classes.class(") {
                    self.refuse(&folder.key, &source.shown, definitions::CLASS_FORM.into());
                    continue;
                }
                let Some(value) = self.run(&folder.key, &source) else {
                    continue;
                };
                let file = File {
                    plugin: Some(&folder.key),
                    name: &source.key,
                    text: &source.text,
                    value: &value,
                };
                let result = match part {
                    "alert_definitions" => self.definitions.add_alert(&file),
                    _ => self.definitions.add_status(&file),
                };
                match result {
                    Ok(warnings) => self.warn(&folder.key, &source.shown, warnings),
                    Err(reason) => self.refuse(&folder.key, &source.shown, reason),
                }
            }
        }
    }

    fn user_scripts(&mut self, folder: &Folder) -> mlua::Result<()> {
        for source in self.files(folder, "user_scripts/flow") {
            self.flow_script(&Origin {
                plugin: &folder.key,
                source: &source,
            })?;
        }
        for kind in OTHER_KINDS {
            for name in plugin::lua_files(&folder.path.join("user_scripts").join(kind)) {
                self.not_run(&folder.key, kind, name.trim_end_matches(".lua"));
            }
        }
        Ok(())
    }

    /// Tells of what else is in a plugin's folder.
    fn other_parts(&mut self, folder: &Folder) {
        let mut slips = names_in(&folder.path, &PARTS);
        let kinds = ["flow"].into_iter().chain(OTHER_KINDS).collect::<Vec<_>>();
        slips.extend(
            names_in(&folder.path.join("user_scripts"), &kinds)
                .into_iter()
                .map(|(name, meant)| (format!("user_scripts/{name}"), meant)),
        );
        for (name, meant) in slips {
            let reason = format!("is not read; did you mean \"{meant}\"?");
            self.warn(&folder.key, &format!("{}/{name}", folder.key), vec![reason]);
        }
        for part in UNUSED_PARTS {
            if folder.path.join(part).exists() {
                let file = format!("{}/{part}", folder.key);
                self.find(
                    Level::Note,
                    &folder.key,
                    &file,
                    None,
                    "not used by this version".into(),
                );
            }
        }
    }

    fn loose(&mut self) -> mlua::Result<()> {
        for folder in &self.sources.loose_flow {
            let (sources, complaints) = self.reader.folder(folder, &folder.display().to_string());
            for (file, reason) in complaints {
                self.refuse("", &file, reason);
            }
            for source in sources {
                self.loose_plugin(&source.key, &source.shown);
                self.flow_script(&Origin {
                    plugin: &source.key,
                    source: &source,
                })?;
            }
        }
        for folder in &self.sources.loose_syslog {
            for name in plugin::lua_files(folder) {
                let key = name.trim_end_matches(".lua");
                self.loose_plugin(key, &folder.join(&name).display().to_string());
                self.not_run(key, "syslog", key);
            }
        }
        Ok(())
    }

    fn loose_plugin(&mut self, key: &str, path: &str) {
        if !self.catalog.plugins.iter().any(|plugin| plugin.key == key) {
            self.catalog.plugins.push(Plugin {
                key: key.into(),
                path: path.into(),
                title: key.into(),
                description: String::new(),
                author: String::new(),
            });
        }
    }

    fn custom(&mut self) -> mlua::Result<()> {
        for folder in &self.sources.custom {
            let new_name = folder.join(CUSTOM_FILES[1].0).is_file();
            for (at, (name, hook)) in CUSTOM_FILES.into_iter().enumerate() {
                let path = folder.join(name);
                let shown = path.display().to_string();
                if !path.is_file() {
                    continue;
                }
                if at == 0 && new_name {
                    let reason = format!("not run: {} is there too, and newer", CUSTOM_FILES[1].0);
                    self.warn("", &shown, vec![reason]);
                    continue;
                }
                match self.reader.file(&path, &shown) {
                    Ok(source) => self.custom_script(&source, hook)?,
                    Err(reason) => self.refuse("", &shown, reason),
                }
            }
        }
        Ok(())
    }

    /// A custom script is a chunk that runs as a whole for each flow.
    fn custom_script(&mut self, source: &Source, hook: Hook) -> mlua::Result<()> {
        let env = self.sandbox.script_env();
        let chunk = match env.and_then(|env| self.compile(source, &env)) {
            Ok(chunk) => chunk,
            Err(error) => {
                let (line, reason) = blame(&error);
                self.find(Level::Refused, &source.key, &source.shown, line, reason);
                return Ok(());
            }
        };
        self.loose_plugin(&source.key, &source.shown);
        let script = UserScript {
            hooks: vec![(hook, chunk)],
            category: "security".into(),
            prio: 0,
            filter: Filter::default(),
            default_enabled: true,
            default_conf: Json::Array(Vec::new()),
            early: false,
            is_alert: false,
            nedge_exclude: false,
            title: None,
            description: String::new(),
            gui: Json::Null,
            form: Form::default(),
            setup: None,
            teardown: None,
            callbacks: Callbacks::default(),
            warnings: Vec::new(),
        };
        self.keep(
            &Origin {
                plugin: &source.key,
                source,
            },
            script,
        )
    }

    fn not_run(&mut self, plugin: &str, kind: &str, key: &str) {
        self.catalog.scripts.push(Script {
            key: key.into(),
            plugin: plugin.into(),
            kind: kind.into(),
            title: key.into(),
            description: String::new(),
            category: "other".into(),
            hooks: Vec::new(),
            prio: 0,
            filter: Filter::default(),
            state: State::NotRun,
            enabled: false,
            early: false,
            action: None,
            conf: Json::Null,
            default_conf: Json::Null,
            default_enabled: false,
            gui: Json::Null,
            form: Form::default(),
            needs: Vec::new(),
        });
    }

    fn flow_script(&mut self, origin: &Origin) -> mlua::Result<()> {
        let Origin { plugin, source } = origin;
        if let Some(other) = self.catalog.script("flow", &source.key) {
            let owner = &self.catalog.scripts[usize::from(other)].plugin;
            let reason = format!(
                "flow script \"{}\" is there already, from {owner}",
                source.key
            );
            self.refuse(plugin, &source.shown, reason);
            return Ok(());
        }
        let Some(value) = self.run(plugin, source) else {
            return Ok(());
        };
        let script = UserScript::from_lua(
            &value,
            &source.text,
            &self.categories,
            &self.locales.borrow(),
        );
        match script {
            Ok(script) => self.keep(origin, script),
            Err(reason) => {
                self.refuse(plugin, &source.shown, reason);
                Ok(())
            }
        }
    }

    /// Brings a script and its configuration together.
    fn keep(&mut self, origin: &Origin, mut script: UserScript) -> mlua::Result<()> {
        let Origin { plugin, source } = origin;
        self.warn(plugin, &source.shown, std::mem::take(&mut script.warnings));
        let entry = self.sources.config.entry("flow", &source.key, "all");
        let rule = self
            .sources
            .rules
            .iter()
            .find(|rule| rule.name == source.key);
        let enabled = rule
            .and_then(|rule| rule.enabled)
            .unwrap_or_else(|| entry.map_or(script.default_enabled, |entry| entry.enabled));
        let conf = entry.map_or(&script.default_conf, |entry| &entry.script_conf);
        let state = self.state(origin, &script, enabled);
        let runs = state == State::Running;
        let index = self.catalog.scripts.len();
        self.scripts.push(Loaded {
            script: u16::try_from(index).expect("fewer files are read"),
            hooks: if runs {
                script.hooks.clone()
            } else {
                Vec::new()
            },
            conf: conf_table(self.sandbox.lua(), conf)?,
            teardown: script.teardown.filter(|_| runs),
            callbacks: script.callbacks,
        });
        self.catalog.scripts.push(Script {
            key: source.key.clone(),
            plugin: (*plugin).into(),
            kind: "flow".into(),
            title: script.title.unwrap_or_else(|| source.key.clone()),
            description: script.description,
            category: script.category,
            hooks: script.hooks.iter().map(|(hook, _)| *hook).collect(),
            prio: script.prio,
            filter: script.filter,
            state,
            enabled,
            early: rule
                .and_then(|rule| rule.early)
                .or_else(|| entry.and_then(|entry| entry.early))
                .unwrap_or(script.early),
            action: rule
                .and_then(|rule| rule.action)
                .or_else(|| entry.and_then(|entry| entry.action)),
            conf: conf.clone(),
            default_conf: script.default_conf.clone(),
            default_enabled: script.default_enabled,
            gui: script.gui,
            form: script.form,
            needs: needs(self.sandbox, &source.text),
        });
        Ok(())
    }

    fn state(&mut self, origin: &Origin, script: &UserScript, enabled: bool) -> State {
        if script.nedge_exclude {
            return State::NotApplicable("nedge_exclude: not for engines that drop packets".into());
        }
        if !enabled {
            return State::Disabled;
        }
        if script.is_alert && !self.sources.alerts {
            return State::NotApplicable("is_alert: alerts are switched off".into());
        }
        let Some(setup) = &script.setup else {
            return State::Running;
        };
        match self.sandbox.call::<Value>(setup, ()) {
            Ok(Value::Nil | Value::Boolean(false)) => {
                State::NotApplicable("its setup() did not return true".into())
            }
            Ok(_) => State::Running,
            Err(error) => {
                let (line, reason) = blame(&error);
                let Origin { plugin, source } = origin;
                self.find(
                    Level::Refused,
                    plugin,
                    &source.shown,
                    line,
                    format!("setup(): {reason}"),
                );
                State::NotApplicable("its setup() failed".into())
            }
        }
    }
}

/// Names in a folder that are nearly one of `known`, with that one.
fn names_in<'a>(folder: &Path, known: &[&'a str]) -> Vec<(String, &'a str)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .take(1_000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let slip = |name: String| {
        let known = known.iter().copied();
        if known.clone().any(|known| known == name) {
            return None;
        }
        spelling::likely(&name, known).map(|meant| (name, meant))
    };
    names.into_iter().filter_map(slip).collect()
}

/// `conf` as scripts get it; a table in any case.
fn conf_table(lua: &Lua, conf: &Json) -> mlua::Result<Table> {
    match from_json(lua, &conf.to_string()) {
        Ok(Value::Table(table)) => Ok(table),
        _ => lua.create_table(),
    }
}

/// Plugins' own modules, for `plugins_utils.loadModule(plugin, module)`, each run when first asked for.
fn share_modules(sandbox: &Sandbox, reader: &mut Reader, folders: &[Folder]) -> mlua::Result<()> {
    let lua = sandbox.lua();
    for folder in folders {
        let shown = format!("{}/modules", folder.key);
        // A module that cannot be read is missed, with its name, by the script that asks for it.
        for source in reader.folder(&folder.path.join("modules"), &shown).0 {
            let name = format!("{shown}/{}", source.key);
            sandbox.register_module(&name, ModuleSource::text(&name, &source.text));
        }
    }
    let data: BTreeMap<String, PathBuf> = folders
        .iter()
        .map(|folder| (folder.key.clone(), folder.path.clone()))
        .collect();
    let require: Function = lua.globals().get("require")?;
    let utils: Table = require.call("plugins_utils")?;
    let load = lua.create_function(move |_, (plugin, module): (String, String)| {
        require.call::<Value>(format!("{plugin}/modules/{module}"))
    })?;
    utils.raw_set("loadModule", load)?;
    let data_dir = lua.create_function(move |_, (plugin, part): (String, Option<String>)| {
        let folder = data
            .get(&plugin)
            .map(|path| path.join(part.unwrap_or_default()));
        Ok(folder.map(|path| path.display().to_string()))
    })?;
    utils.raw_set("getPluginDataDir", data_dir)
}

/// Line and reason of what went wrong. Lua names the place as `FILE.lua:LINE:`.
pub(super) fn blame(error: &CallError) -> (Option<u32>, String) {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    for (at, found) in first.match_indices(".lua:") {
        let rest = &first[at + found.len()..];
        if let Some((number, reason)) = rest.split_once(':')
            && let Ok(line) = number.parse()
        {
            return (Some(line), reason.trim().to_owned());
        }
    }
    (None, first.to_owned())
}
