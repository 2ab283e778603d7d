//! Every plugin against captures: `tests/plugins/**/case.json` says which events must come and which must not.
//!
//! A case is an object:
//! - `about`: the fact it shows, one sentence;
//! - `plugins`: plugin folders, from the project's root on;
//! - `scripts`: its `scripts.json`, beside the case; absent: factory settings;
//! - `mode`: `monitor` or `enforce`; absent: enforce;
//! - `main`: further lines of `config main`, in which `{root}` is the project's root;
//! - `captures`: files of `tests/captures`, each replayed for itself;
//! - `expect`: patterns, each of which an event must match; `capture` in it names the only one that counts;
//! - `refuse`: patterns that no event may match, likewise;
//! - `says`: texts that standard output or standard error must contain, for each capture.
//!
//! A pattern matches what contains it: objects may have more members, of lists each element must be found.

#[path = "support/countries.rs"]
mod countries;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    plugins: Vec<String>,
    #[serde(default)]
    scripts: Option<String>,
    #[serde(default = "enforce")]
    mode: String,
    #[serde(default)]
    main: Vec<String>,
    captures: Vec<String>,
    #[serde(default)]
    expect: Vec<Map<String, Value>>,
    #[serde(default)]
    refuse: Vec<Map<String, Value>>,
    #[serde(default)]
    says: Vec<String>,
}

fn enforce() -> String {
    "enforce".into()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn flowreeve(arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flowreeve"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// All `case.json` below `folder`, by path.
fn cases_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).expect("the folder of cases can be read");
    for entry in entries {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            found.extend(cases_below(&path));
        } else if path.file_name().is_some_and(|name| name == "case.json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn plugins_do_to_captures_what_their_cases_say() {
    let cases = cases_below(&root().join("tests/plugins"));
    assert!(cases.len() >= 10, "only {} cases found", cases.len());

    let mut wrong = Vec::new();
    for path in &cases {
        let shown = path.strip_prefix(root()).expect("below the root").display();
        let text = fs::read_to_string(path).expect("a case can be read");
        let case: Case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{shown}: {e}"));
        for complaint in judge(&case, path) {
            wrong.push(format!("{shown} ({}): {complaint}", case.about));
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with one case.
fn judge(case: &Case, path: &Path) -> Vec<String> {
    let folder = path.parent().expect("a file has a folder");
    let config = write_config(case, path);
    let mut wrong = Vec::new();
    for name in &case.captures {
        let mut arguments = vec!["replay".into(), "--config".into(), config.clone()];
        if let Some(scripts) = &case.scripts {
            arguments.extend(["--scripts".into(), folder.join(scripts)]);
        }
        arguments.push(root().join("tests/captures").join(name));
        let output = flowreeve(arguments);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            wrong.push(format!("{name}: {}: {stderr}", output.status));
            continue;
        }

        let events: Vec<Value> = stdout
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let found = |pattern: &Map<String, Value>| events.iter().any(|e| holds(e, pattern));
        for pattern in patterns_for(&case.expect, name) {
            if !found(&pattern) {
                wrong.push(format!(
                    "{name}: missing {}\nstdout: {stdout}stderr: {stderr}",
                    Value::Object(pattern)
                ));
            }
        }
        for pattern in patterns_for(&case.refuse, name) {
            if found(&pattern) {
                wrong.push(format!(
                    "{name}: must not be there: {}\nstdout: {stdout}",
                    Value::Object(pattern)
                ));
            }
        }
        for text in &case.says {
            if !stdout.contains(text) && !stderr.contains(text) {
                wrong.push(format!(
                    "{name}: does not say \"{text}\"\nstdout: {stdout}stderr: {stderr}"
                ));
            }
        }
    }
    wrong
}

/// Nothing from this machine's own folders takes part in a case.
fn write_config(case: &Case, path: &Path) -> PathBuf {
    let name: String = path
        .strip_prefix(root())
        .expect("below the root")
        .to_string_lossy()
        .replace('/', "-");
    let root = root().display().to_string();
    let mut text = format!(
        "config main\n\toption enabled '1'\n\toption mode '{}'\n\
         \toption scripts_file '{root}/tests/plugins/none.json'\n",
        case.mode
    );
    let none = ["tests/plugins/none".to_owned()];
    let plugins = if case.plugins.is_empty() {
        &none
    } else {
        case.plugins.as_slice()
    };
    for folder in plugins {
        text += &format!("\tlist plugins '{root}/{folder}'\n");
    }
    for line in &case.main {
        text += &format!("\t{}\n", line.replace("{root}", &root));
    }
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.uci"));
    fs::write(&config, text).expect("the test folder can be written");
    config
}

/// The patterns that count for `capture`, without its name.
fn patterns_for(patterns: &[Map<String, Value>], capture: &str) -> Vec<Map<String, Value>> {
    let mut counting = Vec::new();
    for pattern in patterns {
        let mut pattern = pattern.clone();
        match pattern.remove("capture") {
            Some(only) if only != capture => {}
            _ => counting.push(pattern),
        }
    }
    counting
}

fn holds(event: &Value, pattern: &Map<String, Value>) -> bool {
    pattern
        .iter()
        .all(|(key, wanted)| event.get(key).is_some_and(|value| contains(value, wanted)))
}

fn contains(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(_), Value::Object(pattern)) => holds(value, pattern),
        (Value::Array(values), Value::Array(wanted)) => wanted
            .iter()
            .all(|wanted| values.iter().any(|value| contains(value, wanted))),
        _ => value == wanted,
    }
}

#[test]
fn a_pattern_matches_what_contains_it_and_nothing_else() {
    let event = serde_json::json!({"a": 1, "b": {"c": [{"d": 2, "e": 3}, 4]}});
    let pattern = |text: &str| serde_json::from_str::<Map<String, Value>>(text).expect("JSON");

    assert!(holds(&event, &pattern(r#"{"b": {"c": [{"d": 2}]}}"#)));
    assert!(!holds(&event, &pattern(r#"{"b": {"c": [{"d": 3}]}}"#)));
    assert!(!holds(&event, &pattern(r#"{"a": 1, "f": 1}"#)));
    assert!(!holds(&event, &pattern(r#"{"a": "1"}"#)));
}

#[test]
fn the_bundled_plugins_load_without_a_complaint() {
    let output = flowreeve(["plugins".as_ref(), root().join("plugins").as_os_str()]);

    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("; 0 refused"), "{report}");
    assert!(!report.contains("warnings:"), "{report}");
    assert!(!report.contains("needs what is not here"), "{report}");
    for name in ["exes_download", "unexpected_dns", "unexpected_hosts"] {
        assert!(
            report.contains(&format!("script flow/{name}: running")),
            "{report}"
        );
    }
}

#[test]
fn the_database_of_countries_is_the_one_described() {
    let address = |text: &str| text.parse().expect("an address");
    let described = countries::database(&[
        (address("10.77.2.3"), 32, "CN"),
        (address("10.77.2.2"), 32, "DE"),
        (address("192.0.2.0"), 24, "CN"),
        (address("198.51.100.0"), 24, "CN"),
        (address("203.0.113.0"), 24, "CN"),
        (address("fd77:2::3"), 128, "CN"),
        (address("fd77:2::2"), 128, "DE"),
        (address("2001:db8::"), 32, "CN"),
    ]);
    let file = root().join("tests/plugins/countries.mmdb");

    // `UPDATE=1 cargo test --test plugins` writes it anew.
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &described).expect("the file can be written");
    }
    assert_eq!(fs::read(&file).expect("the file is there"), described);
}
