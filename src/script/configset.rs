//! What the owner set for each script: ntopng's configuration sets in their import/export envelope, as
//! `scripts.json`. Reading survives a file that does not parse; writing survives a loss of power.
//!
//! Scripts get their part as JSON gives it back: an empty table is `[]`, integer keys of what is not an
//! array are texts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::l7::{Category, Proto};
use crate::verdict::Action;

/// Largest file read or text imported.
pub const MAX_BYTES: u64 = 1024 * 1024;
/// Most entries of a list in one script's configuration.
pub const MAX_ITEMS: usize = 4096;
/// Longest entry of such a list, bytes.
const MAX_ITEM_BYTES: usize = 255;
/// The one set flow scripts use.
const DEFAULT_SET: &str = "0";

/// One hook's entry (`all` for flow scripts).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Whether the hook runs.
    pub enabled: bool,
    /// What the hook gets as its second argument.
    #[serde(default = "empty")]
    pub script_conf: Value,
    /// Runs before the request leaves; absent: as the script says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early: Option<bool>,
    /// What is done when this script's status decides; absent: what holds for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Members other programs wrote: kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Hook name to entry.
pub type Hooks = BTreeMap<String, Entry>;

/// One configuration set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigSet {
    /// Number; 0 is the default set.
    pub id: u32,
    /// Shown name.
    pub name: String,
    /// Script type, then script key, then hook. ntopng writes an empty one as `[]`.
    #[serde(default, deserialize_with = "map_or_empty_list")]
    pub config: BTreeMap<String, Scripts>,
}

/// Scripts of one type, by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scripts(#[serde(deserialize_with = "map_or_empty_list")] pub BTreeMap<String, Hooks>);

/// The envelope: everything `scripts.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigSets {
    version: String,
    modules: Modules,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Modules {
    scripts: BTreeMap<String, ConfigSet>,
    /// Other modules of an export: kept.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// Where the sets came from.
#[derive(Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    Newest,
    /// There is no file yet: all defaults.
    Absent,
    /// The file was of no use, for this reason; its predecessor was read.
    LastGood(String),
    /// Neither was of use, for this reason: all defaults.
    Defaults(String),
}

/// Why sets could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file system said no.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Larger than [`MAX_BYTES`].
    #[error("script configuration is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not an envelope.
    #[error("script configuration does not parse: {0}")]
    Parse(#[from] serde_json::Error),
    /// The default set is missing.
    #[error("script configuration lacks set \"0\" under modules.scripts")]
    NoDefaultSet,
}

impl Default for ConfigSets {
    fn default() -> Self {
        let set = ConfigSet { id: 0, name: "Default".into(), config: BTreeMap::new() };
        ConfigSets {
            version: "1.0".into(),
            modules: Modules {
                scripts: BTreeMap::from([(DEFAULT_SET.into(), set)]),
                other: Map::new(),
            },
        }
    }
}

impl ConfigSets {
    /// Reads `path`; if that does not parse, the predecessor kept beside it. Never fails: what was wrong is
    /// in the [`Origin`].
    pub fn load(path: &Path) -> (ConfigSets, Origin) {
        let newest = read(path);
        let reason = match newest {
            Ok(Some(sets)) => return (sets, Origin::Newest),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        match (read(&predecessor(path)), reason) {
            (Ok(Some(sets)), reason) => {
                let reason = reason.unwrap_or_else(|| format!("{} is missing", path.display()));
                (sets, Origin::LastGood(reason))
            }
            (_, Some(reason)) => (ConfigSets::default(), Origin::Defaults(reason)),
            (Err(error), None) => (ConfigSets::default(), Origin::Defaults(error.to_string())),
            (Ok(None), None) => (ConfigSets::default(), Origin::Absent),
        }
    }

    /// Parses an envelope; set "0" must be there.
    pub fn parse(text: &str) -> Result<ConfigSets, ConfigError> {
        if text.len() as u64 > MAX_BYTES {
            return Err(ConfigError::TooLarge);
        }
        let sets: ConfigSets = serde_json::from_str(text)?;
        if !sets.modules.scripts.contains_key(DEFAULT_SET) {
            return Err(ConfigError::NoDefaultSet);
        }
        Ok(sets)
    }

    /// The envelope as text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("all keys are texts");
        text.push('\n');
        text
    }

    /// Writes `path` so that at every moment a good file is there: temporary file, fsync, the present file
    /// becomes the predecessor if it parses, rename, fsync of the folder.
    pub fn save(&self, path: &Path) -> Result<(), ConfigError> {
        let failed = |what, path: &Path| {
            let path = path.to_path_buf();
            move |source| ConfigError::Io { what, path, source }
        };
        let fresh = beside(path, ".new");
        let mut file = File::create(&fresh).map_err(failed("cannot create", &fresh))?;
        file.write_all(self.to_text().as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed("cannot write", &fresh))?;
        if matches!(read(path), Ok(Some(_))) {
            let good = predecessor(path);
            fs::rename(path, &good).map_err(failed("cannot keep", &good))?;
        }
        fs::rename(&fresh, path).map_err(failed("cannot replace", path))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("cannot sync", folder))
    }

    /// The entry of a hook in the default set.
    pub fn entry(&self, kind: &str, script: &str, hook: &str) -> Option<&Entry> {
        let set = self.modules.scripts.get(DEFAULT_SET)?;
        set.config.get(kind)?.0.get(script)?.get(hook)
    }

    /// Sets the entry of a hook in the default set.
    pub fn set(&mut self, kind: &str, script: &str, hook: &str, entry: Entry) {
        let set = self
            .modules
            .scripts
            .get_mut(DEFAULT_SET)
            .expect("no way to make sets without the default one");
        let hooks = set.config.entry(kind.into()).or_default().0.entry(script.into()).or_default();
        hooks.insert(hook.into(), entry);
    }

    /// Forgets what was set for a script: its defaults hold again.
    pub fn reset(&mut self, kind: &str, script: &str) {
        if let Some(set) = self.modules.scripts.get_mut(DEFAULT_SET)
            && let Some(scripts) = set.config.get_mut(kind)
        {
            scripts.0.remove(script);
        }
    }

    /// The entry of a hook; at first sight of the script it is made from the script's defaults. An
    /// entry that is there is never changed.
    pub fn first_sight(
        &mut self,
        kind: &str,
        script: &str,
        hook: &str,
        enabled: bool,
        default_value: &Value,
    ) -> &Entry {
        if self.entry(kind, script, hook).is_none() {
            self.set(kind, script, hook, Entry::new(enabled, default_value.clone()));
        }
        self.entry(kind, script, hook).expect("set just now")
    }
}

impl Entry {
    /// An entry without our own extras.
    pub fn new(enabled: bool, script_conf: Value) -> Entry {
        Entry { enabled, script_conf, early: None, action: None, other: Map::new() }
    }
}

/// How a script is configured: `gui.input_builder` with what it needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// `items_list`, `elephant_flows`, `long_lived`, `multi_select`, `threshold_cross`, `flow_mud`; empty for
    /// an enable switch alone.
    pub input_builder: String,
    /// What the items of a list are; empty or unknown: anything.
    pub item_list_type: String,
    /// Bounds of a number.
    pub field_min: Option<f64>,
    /// Bounds of a number.
    pub field_max: Option<f64>,
}

impl Form {
    /// Checks `conf` as the form of this kind would be checked, and gives it back with items cleaned
    /// (trimmed, duplicates dropped). The error says what is wrong with which value.
    pub fn validate(&self, conf: &Value) -> Result<Value, String> {
        let mut conf = match conf {
            Value::Array(list) if list.is_empty() => Value::Object(Map::new()),
            Value::Object(_) => conf.clone(),
            _ => return Err("script_conf is not an object".into()),
        };
        match self.input_builder.as_str() {
            "items_list" => self.items(&mut conf)?,
            "elephant_flows" => {
                number(&conf, "l2r_bytes_value")?;
                number(&conf, "r2l_bytes_value")?;
                self.items(&mut conf)?;
            }
            "long_lived" => {
                number(&conf, "min_duration")?;
                self.items(&mut conf)?;
            }
            "multi_select" => self.items(&mut conf)?,
            "threshold_cross" => {
                let operator = conf.get("operator").and_then(Value::as_str).unwrap_or_default();
                if !matches!(operator, "gt" | "lt" | "eq") {
                    return Err(format!("operator is \"{operator}\", not gt or lt"));
                }
                let threshold = number(&conf, "threshold")?;
                if self.field_min.is_some_and(|min| threshold < min)
                    || self.field_max.is_some_and(|max| threshold > max)
                {
                    return Err(format!("threshold {threshold} is out of its bounds"));
                }
            }
            _ => {}
        }
        Ok(conf)
    }

    fn items(&self, conf: &mut Value) -> Result<(), String> {
        let given = match conf.get("items") {
            None => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(Value::Object(map)) if map.is_empty() => Vec::new(),
            Some(_) => return Err("items is not a list".into()),
        };
        if given.len() > MAX_ITEMS {
            return Err(format!("items has {} entries, more than {MAX_ITEMS}", given.len()));
        }
        let mut items: Vec<String> = Vec::with_capacity(given.len());
        let mut seen = std::collections::HashSet::new();
        for item in given {
            let text = match item {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                other => return Err(format!("item {other} is not a text")),
            };
            if text.is_empty() {
                continue;
            }
            if text.len() > MAX_ITEM_BYTES || !self.item_is_valid(&text) {
                return Err(format!("\"{text}\" is not a valid {}", self.item_kind()));
            }
            if seen.insert(text.clone()) {
                items.push(text);
            }
        }
        conf["items"] = json!(items);
        Ok(())
    }

    fn item_kind(&self) -> &str {
        match self.item_list_type.as_str() {
            "" => "item",
            "proto_or_category" => "protocol or category",
            kind => kind,
        }
    }

    fn item_is_valid(&self, item: &str) -> bool {
        match self.item_list_type.as_str() {
            "country" => item.len() == 2 && item.bytes().all(|b| b.is_ascii_alphabetic()),
            "proto_or_category" => {
                Proto::by_name(item).is_some() || Category::by_name(item).is_some()
            }
            "string" => !item.contains(char::is_whitespace),
            "device_type" => DEVICE_TYPES.contains(&item),
            "ip_address" => item.parse::<std::net::IpAddr>().is_ok(),
            "mac_address" => is_mac(item),
            _ => true,
        }
    }
}

/// Device types by name; the position is the number.
pub const DEVICE_TYPES: [&str; 13] = [
    "unknown", "printer", "video", "workstation", "laptop", "tablet", "phone", "tv", "networking", "wifi",
    "nas", "multimedia", "iot",
];

/// `aa:bb:cc:dd:ee:ff`, with `@vlan` or without.
fn is_mac(text: &str) -> bool {
    let (mac, vlan) = text.split_once('@').unwrap_or((text, "0"));
    let octets = mac.split(':');
    vlan.parse::<u16>().is_ok()
        && octets.clone().count() == 6
        && octets.into_iter().all(|o| o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn number(conf: &Value, key: &str) -> Result<f64, String> {
    let value = conf.get(key).unwrap_or(&Value::Null);
    value
        .as_f64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .filter(|n: &f64| n.is_finite())
        .ok_or_else(|| format!("{key} is {value}, not a number"))
}

fn read(path: &Path) -> Result<Option<ConfigSets>, ConfigError> {
    let failed = |source| ConfigError::Io { what: "cannot read", path: path.into(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    ConfigSets::parse(&text).map(Some)
}

fn predecessor(path: &Path) -> PathBuf {
    beside(path, ".good")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn empty() -> Value {
    Value::Array(Vec::new())
}

/// A map; Lua's encoders write an empty one as `[]`.
fn map_or_empty_list<'de, D, T>(input: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    use serde::de::Error;
    match Value::deserialize(input)? {
        Value::Array(list) if list.is_empty() => Ok(BTreeMap::new()),
        value => serde_json::from_value(value).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("configset-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("scripts.json")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn with_entry(enabled: bool) -> ConfigSets {
        let mut sets = ConfigSets::default();
        sets.set("flow", "a", "all", Entry::new(enabled, json!({"items": ["x"]})));
        sets
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = Folder::new("round");
        let mut sets = with_entry(true);
        let mut entry = Entry::new(false, json!({}));
        entry.early = Some(true);
        entry.action = Some(Action::Reject);
        sets.set("flow", "b", "all", entry);

        sets.save(&folder.file()).unwrap();

        assert_eq!(ConfigSets::load(&folder.file()), (sets, Origin::Newest));
    }

    #[test]
    fn a_corrupted_file_gives_way_to_its_predecessor() {
        let folder = Folder::new("corrupt");
        with_entry(true).save(&folder.file()).unwrap();
        with_entry(false).save(&folder.file()).unwrap();
        fs::write(folder.file(), "{\"version\":").unwrap();

        let (sets, origin) = ConfigSets::load(&folder.file());

        assert!(sets.entry("flow", "a", "all").unwrap().enabled);
        assert!(matches!(origin, Origin::LastGood(reason) if reason.contains("parse")));
    }

    #[test]
    fn a_corrupted_file_never_becomes_the_predecessor() {
        let folder = Folder::new("keep");
        with_entry(true).save(&folder.file()).unwrap();
        with_entry(true).save(&folder.file()).unwrap();
        fs::write(folder.file(), "garbage").unwrap();

        with_entry(false).save(&folder.file()).unwrap();
        fs::write(folder.file(), "garbage").unwrap();

        let (sets, _) = ConfigSets::load(&folder.file());
        assert!(sets.entry("flow", "a", "all").unwrap().enabled);
    }

    #[test]
    fn a_crash_between_the_two_renames_loses_nothing() {
        let folder = Folder::new("crash");
        with_entry(true).save(&folder.file()).unwrap();
        fs::rename(folder.file(), folder.0.join("scripts.json.good")).unwrap();

        let (sets, origin) = ConfigSets::load(&folder.file());

        assert!(sets.entry("flow", "a", "all").is_some());
        assert!(matches!(origin, Origin::LastGood(_)));
    }

    #[test]
    fn no_file_means_defaults() {
        let folder = Folder::new("absent");

        assert_eq!(ConfigSets::load(&folder.file()), (ConfigSets::default(), Origin::Absent));
    }

    #[test]
    fn an_export_of_ntopng_is_read_with_its_empty_lists() {
        let text = r#"{"version":"1.0","modules":{"scripts":{"0":{"id":0,"name":"Default","config":
            {"flow":{"x":{"all":{"enabled":true,"script_conf":[]}}},"syslog":[]}},
            "1":{"id":1,"name":"Guests","config":[]}}}}"#;

        let sets = ConfigSets::parse(text).unwrap();

        assert_eq!(sets.entry("flow", "x", "all").unwrap(), &Entry::new(true, json!([])));
    }

    #[test]
    fn an_envelope_without_the_default_set_is_refused() {
        let text = r#"{"version":"1.0","modules":{"scripts":{}}}"#;

        assert!(matches!(ConfigSets::parse(text), Err(ConfigError::NoDefaultSet)));
    }

    #[test]
    fn first_sight_writes_defaults_once() {
        let mut sets = ConfigSets::default();
        sets.first_sight("flow", "a", "all", true, &json!({"n": 1}));

        let second = sets.first_sight("flow", "a", "all", false, &json!({"n": 2})).clone();

        assert_eq!(second, Entry::new(true, json!({"n": 1})));
        sets.reset("flow", "a");
        assert!(sets.entry("flow", "a", "all").is_none());
    }

    #[test]
    fn forms_are_checked_by_kind() {
        let form = |builder: &str, kind: &str| Form {
            input_builder: builder.into(),
            item_list_type: kind.into(),
            ..Form::default()
        };
        let items = |list: Value| json!({ "items": list });

        for (form, conf, good) in [
            (form("items_list", "ip_address"), items(json!(["10.0.0.1", "::1"])), true),
            (form("items_list", "ip_address"), items(json!(["10.0.0.999"])), false),
            (form("items_list", "country"), items(json!(["IT"])), true),
            (form("items_list", "country"), items(json!(["Italy"])), false),
            (form("items_list", "string"), items(json!(["two words"])), false),
            (form("items_list", "mac_address"), items(json!(["02:00:00:00:00:01@7"])), true),
            (form("items_list", "mac_address"), items(json!(["02:00"])), false),
            (form("items_list", "proto_or_category"), items(json!(["dns", "Mining"])), true),
            (form("items_list", "proto_or_category"), items(json!(["nosuch"])), false),
            (form("items_list", "device_type"), items(json!(["printer"])), true),
            (form("items_list", "other"), items(json!("text")), false),
            (form("long_lived", ""), json!({"min_duration": 60, "items": []}), true),
            (form("long_lived", ""), json!({"min_duration": "x"}), false),
            (form("threshold_cross", ""), json!({"operator": "gt", "threshold": 5}), true),
            (form("threshold_cross", ""), json!({"operator": ">", "threshold": 5}), false),
            (form("", ""), json!({"whatever": true}), true),
            (form("", ""), json!("text"), false),
        ] {
            assert_eq!(form.validate(&conf).is_ok(), good, "{form:?} {conf}");
        }
    }

    #[test]
    fn items_are_trimmed_and_duplicates_dropped() {
        let form = Form { input_builder: "items_list".into(), ..Form::default() };

        let conf = form.validate(&json!({"items": [" a ", "a", "", 7]})).unwrap();

        assert_eq!(conf, json!({"items": ["a", "7"]}));
    }
}
