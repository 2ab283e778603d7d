//! Where plugins are, what their folders hold, what their manifests say, in which order they load.
//! Running their files is the loader's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mlua::{Table, Value};

use crate::script::spelling;

/// Folders without a manifest are looked into down to this many levels below a root.
const MAX_LEVELS: usize = 3;
/// Folders looked at in all roots together.
const MAX_FOLDERS: usize = 4_000;
/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 4_000;
/// Largest file read.
pub const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Most files read.
pub const MAX_FILES: usize = 1_000;

/// Keys of a manifest.
const MANIFEST_KEYS: [&str; 6] = [
    "title",
    "description",
    "author",
    "dependencies",
    "disabled",
    "data_dirs",
];

/// A folder with a manifest, or with user scripts and none: a page's reader may not have come to manifests yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its name: the plugin's key.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
}

/// All plugin folders below `roots` in the order of roots and names, and what was wrong on the way (path,
/// reason). Of equal keys the first counts. A root that is itself a plugin is one.
pub fn discover(roots: &[PathBuf]) -> (Vec<Folder>, Vec<(PathBuf, String)>) {
    let mut search = Search::default();
    for root in roots {
        search.descend(root, 0);
    }
    let mut first: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut folders = Vec::new();
    for folder in search.folders {
        if let Some(other) = first.get(&folder.key) {
            let reason = format!(
                "plugin \"{}\" is there already, at {}: this one is left out",
                folder.key,
                other.display()
            );
            search.complaints.push((folder.path, reason));
        } else {
            first.insert(folder.key.clone(), folder.path.clone());
            folders.push(folder);
        }
    }
    (folders, search.complaints)
}

#[derive(Default)]
struct Search {
    folders: Vec<Folder>,
    complaints: Vec<(PathBuf, String)>,
    seen: usize,
}

impl Search {
    fn descend(&mut self, path: &Path, level: usize) {
        self.seen += 1;
        if self.seen > MAX_FOLDERS {
            if self.seen == MAX_FOLDERS + 1 {
                let reason = format!("more than {MAX_FOLDERS} folders: the rest is left out");
                self.complaints.push((path.into(), reason));
            }
            return;
        }
        if path.join("manifest.lua").is_file() || path.join("user_scripts").is_dir() {
            // A root given as `.` has a name only once resolved.
            let named = path.canonicalize().unwrap_or_else(|_| path.into());
            if let Some(key) = named.file_name().and_then(|name| name.to_str()) {
                self.folders.push(Folder {
                    key: key.into(),
                    path: path.into(),
                });
            } else {
                self.complaints
                    .push((path.into(), "the folder's name is not UTF-8".into()));
            }
            return;
        }
        if level > MAX_LEVELS {
            return;
        }
        match entries(path) {
            Ok(names) => {
                for name in names {
                    let below = path.join(&name);
                    if below.is_dir() && !left_by_package_manager(&name) {
                        self.descend(&below, level + 1);
                    }
                }
            }
            // A root that is not there holds nothing: the user's folder appears with the first plugin.
            Err(error) if level == 0 && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self
                .complaints
                .push((path.into(), format!("cannot be read: {error}"))),
        }
    }
}

/// Names in a folder, sorted, hidden ones left out.
fn entries(path: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(path)?
        .take(MAX_ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// What opkg and apk leave beside a file the owner changed.
fn left_by_package_manager(name: &str) -> bool {
    name.ends_with(".apk-new") || name.ends_with("-opkg")
}

/// A Lua file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// File name without `.lua`.
    pub key: String,
    /// Path from the plugin's folder on, its name included: shown, and the chunk's name.
    pub shown: String,
    /// Its text.
    pub text: String,
}

/// Reads Lua files and keeps count of them.
#[derive(Default)]
pub struct Reader {
    files: usize,
}

impl Reader {
    /// The Lua files directly in `folder`, by name; none if there is no such folder. `shown` is what its path
    /// is called. What could not be read is in the second part: shown path, reason.
    pub fn folder(&mut self, folder: &Path, shown: &str) -> (Vec<Source>, Vec<(String, String)>) {
        let (mut sources, mut complaints) = (Vec::new(), Vec::new());
        for name in lua_files(folder) {
            match self.file(&folder.join(&name), &format!("{shown}/{name}")) {
                Ok(source) => sources.push(source),
                Err(reason) => complaints.push((format!("{shown}/{name}"), reason)),
            }
        }
        (sources, complaints)
    }

    /// One file. The error says why it was not read.
    pub fn file(&mut self, path: &Path, shown: &str) -> Result<Source, String> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(format!("not read: more than {MAX_FILES} files"));
        }
        // Asked before opening: opening a pipe would wait for somebody to write into it.
        let about = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
        if !about.is_file() {
            return Err("not a regular file".into());
        }
        let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("cannot be read: {error}"))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(format!("larger than {MAX_FILE_BYTES} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())?;
        let name = shown.rsplit('/').next().unwrap_or(shown);
        let key = name.strip_suffix(".lua").unwrap_or(name);
        Ok(Source {
            key: key.into(),
            shown: shown.into(),
            text,
        })
    }
}

/// Names of the Lua files directly in `folder`, sorted.
pub fn lua_files(folder: &Path) -> Vec<String> {
    let names = entries(folder).unwrap_or_default();
    names
        .into_iter()
        .filter(|name| name.ends_with(".lua") && name.len() > 4)
        .collect()
}

/// What a manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Shown name; may be a key of the plugin's texts.
    pub title: String,
    /// Shown explanation.
    pub description: String,
    /// Who wrote it.
    pub author: String,
    /// Keys of plugins that must be there.
    pub dependencies: Vec<String>,
    /// The plugin wants to be left alone.
    pub disabled: bool,
    /// Folders of data it wants to reach.
    pub data_dirs: Vec<String>,
    /// What looks like a slip.
    pub warnings: Vec<String>,
}

impl Manifest {
    /// Reads what `manifest.lua` returned. The error names the key that is missing or wrong.
    pub fn from_lua(value: &Value) -> Result<Manifest, String> {
        let Value::Table(table) = value else {
            return Err(format!("returns {}, not a table", value.type_name()));
        };
        let disabled = matches!(table.raw_get("disabled"), Ok(Value::Boolean(true)));
        let mut manifest = Manifest {
            disabled,
            ..Manifest::default()
        };
        if disabled {
            return Ok(manifest);
        }
        let mut unknown: Vec<String> = table
            .pairs::<String, Value>()
            .filter_map(|pair| pair.ok().map(|(key, _)| key))
            .filter(|key| !MANIFEST_KEYS.contains(&key.as_str()))
            .collect();
        unknown.sort();
        let required = |key: &str| text(table, key, &unknown);
        manifest.title = required("title")?;
        manifest.description = required("description")?;
        manifest.author = required("author")?;
        manifest.dependencies = list(table, "dependencies")?;
        manifest.data_dirs = list(table, "data_dirs")?;
        manifest.warnings = unknown
            .iter()
            .filter_map(|key| {
                let meant = spelling::likely(key, MANIFEST_KEYS)?;
                Some(format!(
                    "\"{key}\" is not a key of a manifest; did you mean \"{meant}\"?"
                ))
            })
            .collect();
        Ok(manifest)
    }
}

fn text(table: &Table, key: &str, others: &[String]) -> Result<String, String> {
    match table.raw_get(key) {
        Ok(Value::String(text)) => Ok(text.to_string_lossy()),
        Ok(Value::Nil) => {
            let slip = others
                .iter()
                .find(|other| spelling::likely(other, [key]).is_some());
            let hint = slip.map_or_else(String::new, |slip| format!("; is \"{slip}\" a slip?"));
            Err(format!("\"{key}\" is missing{hint}"))
        }
        Ok(other) => Err(format!("\"{key}\" is a {}, not a text", other.type_name())),
        Err(error) => Err(format!("\"{key}\": {error}")),
    }
}

fn list(table: &Table, key: &str) -> Result<Vec<String>, String> {
    match table.raw_get(key) {
        Ok(Value::Nil) => Ok(Vec::new()),
        Ok(Value::Table(list)) => list
            .sequence_values::<String>()
            .take(MAX_FILES)
            .collect::<mlua::Result<_>>()
            .map_err(|_| format!("\"{key}\" holds something that is not a text")),
        _ => Err(format!("\"{key}\" is not a list of texts")),
    }
}

/// Which plugins load, and in which order: what a plugin depends on comes before it, otherwise by key. Those
/// that cannot load come second, with the reason.
pub fn order(plugins: &BTreeMap<String, Vec<String>>) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut ordered, mut refused) = (Vec::new(), BTreeMap::new());
    let mut done = BTreeSet::new();
    let mut waiting: BTreeSet<&String> = plugins.keys().collect();
    loop {
        let unmet = |key: &String| plugins[key].iter().find(|need| !done.contains(*need));
        let (ready, rest): (Vec<&String>, Vec<&String>) =
            waiting.iter().partition(|key| unmet(key).is_none());
        if ready.is_empty() {
            for key in rest {
                let need = unmet(key).expect("those without are ready");
                let why = if !plugins.contains_key(need) {
                    format!("depends on \"{need}\", which is not there")
                } else {
                    format!(
                        "depends on \"{need}\", which cannot load (missing or circular dependency)"
                    )
                };
                refused.insert(key.clone(), why);
            }
            return (ordered, refused);
        }
        waiting = rest.into_iter().collect();
        for key in ready {
            done.insert(key.clone());
            ordered.push(key.clone());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on shall stop
mod tests {
    use super::*;
    use mlua::{Lua, LuaOptions, StdLib};

    fn manifest(code: &str) -> Result<Manifest, String> {
        let lua = Lua::new_with(StdLib::NONE, LuaOptions::default()).unwrap();
        let value: Value = lua.load(code).eval().unwrap();
        Manifest::from_lua(&value)
    }

    fn plugins(list: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        list.iter()
            .map(|(key, needs)| {
                (
                    key.to_string(),
                    needs.iter().map(|n| n.to_string()).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn a_misspelled_optional_key_is_a_warning_that_names_the_right_one() {
        let manifest = manifest(
            "return {title = 't', description = 'd', author = 'a', dependecies = {}, version = 1}",
        )
        .unwrap();

        let warning = "\"dependecies\" is not a key of a manifest; did you mean \"dependencies\"?";
        assert_eq!(manifest.warnings, [warning]);
    }

    #[test]
    fn a_missing_key_is_named_and_so_is_its_likely_misspelling() {
        let reason = manifest("return {title = 't', description = 'd', auther = 'a'}").unwrap_err();

        assert_eq!(reason, "\"author\" is missing; is \"auther\" a slip?");
        assert!(manifest("return nil").unwrap_err().contains("not a table"));
        assert!(
            manifest("return {title = 1}")
                .unwrap_err()
                .contains("not a text")
        );
    }

    #[test]
    fn a_disabled_plugin_needs_nothing_else() {
        assert!(manifest("return {disabled = true}").unwrap().disabled);
    }

    #[test]
    fn what_is_depended_on_comes_first_through_several_levels() {
        let (order, refused) = order(&plugins(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &[]),
            ("d", &[]),
        ]));

        assert_eq!(order, ["c", "d", "b", "a"]);
        assert!(refused.is_empty());
    }

    #[test]
    fn unmet_and_circular_dependencies_are_named() {
        let (order, refused) = order(&plugins(&[
            ("a", &["gone"]),
            ("b", &["c"]),
            ("c", &["b"]),
            ("d", &["a"]),
        ]));

        assert!(order.is_empty());
        assert_eq!(refused["a"], "depends on \"gone\", which is not there");
        assert!(refused["b"].contains("\"c\"") && refused["b"].contains("circular"));
        assert!(refused["d"].contains("\"a\""));
    }
}
