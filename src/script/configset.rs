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
use serde_json::{Map, Value};

use crate::verdict::Action;

/// Largest file read or text imported.
pub const MAX_BYTES: u64 = 1024 * 1024;
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
        let set = ConfigSet {
            id: 0,
            name: "Default".into(),
            config: BTreeMap::new(),
        };
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
        let hooks = set
            .config
            .entry(kind.into())
            .or_default()
            .0
            .entry(script.into())
            .or_default();
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
            self.set(
                kind,
                script,
                hook,
                Entry::new(enabled, default_value.clone()),
            );
        }
        self.entry(kind, script, hook).expect("set just now")
    }
}

impl Entry {
    /// An entry without our own extras.
    pub fn new(enabled: bool, script_conf: Value) -> Entry {
        Entry {
            enabled,
            script_conf,
            early: None,
            action: None,
            other: Map::new(),
        }
    }
}

fn read(path: &Path) -> Result<Option<ConfigSets>, ConfigError> {
    let failed = |source| ConfigError::Io {
        what: "cannot read",
        path: path.into(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
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
#[allow(clippy::unwrap_used)] // a test that cannot go on shall stop
mod tests {
    use super::*;
    use serde_json::json;

    /// A folder of its own for one test, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                std::env::temp_dir().join(format!("configset-{name}-{}", std::process::id()));
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
        sets.set(
            "flow",
            "a",
            "all",
            Entry::new(enabled, json!({"items": ["x"]})),
        );
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

        assert_eq!(
            ConfigSets::load(&folder.file()),
            (ConfigSets::default(), Origin::Absent)
        );
    }

    #[test]
    fn an_export_of_ntopng_is_read_with_its_empty_lists() {
        let text = r#"{"version":"1.0","modules":{"scripts":{"0":{"id":0,"name":"Default","config":
            {"flow":{"x":{"all":{"enabled":true,"script_conf":[]}}},"syslog":[]}},
            "1":{"id":1,"name":"Guests","config":[]}}}}"#;

        let sets = ConfigSets::parse(text).unwrap();

        assert_eq!(
            sets.entry("flow", "x", "all").unwrap(),
            &Entry::new(true, json!([]))
        );
    }

    #[test]
    fn an_envelope_without_the_default_set_is_refused() {
        let text = r#"{"version":"1.0","modules":{"scripts":{}}}"#;

        assert!(matches!(
            ConfigSets::parse(text),
            Err(ConfigError::NoDefaultSet)
        ));
    }

    #[test]
    fn first_sight_writes_defaults_once() {
        let mut sets = ConfigSets::default();
        sets.first_sight("flow", "a", "all", true, &json!({"n": 1}));

        let second = sets
            .first_sight("flow", "a", "all", false, &json!({"n": 2}))
            .clone();

        assert_eq!(second, Entry::new(true, json!({"n": 1})));
        sets.reset("flow", "a");
        assert!(sets.entry("flow", "a", "all").is_none());
    }
}
