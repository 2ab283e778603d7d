//! Plugins from folder to alert: what loads, what does not and why, and how scripts run beside each other.
#![allow(clippy::unwrap_used)] // a test that cannot go on shall stop

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flowreeve::events::Alert;
use flowreeve::flow::key::FlowKey;
use flowreeve::flow::{Detail, Flow, L7, flag};
use flowreeve::l7::{Fact, Proto};
use flowreeve::score::ScoreMode;
use flowreeve::script::catalog::{Catalog, Level, State};
use flowreeve::script::configset::{ConfigSets, Entry};
use flowreeve::script::current::Hook;
use flowreeve::script::env::Env;
use flowreeve::script::sandbox::Limits;
use flowreeve::script::{MAX_STRIKES, Phase, Scripts, Settings, Sources};
use flowreeve::time::{Micros, Now};
use flowreeve::verdict::Action;
use serde_json::json;

/// A folder of plugins that is there as long as the test runs.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, files: &[(&str, &str)]) -> Tree {
        let root = std::env::temp_dir().join(format!("plugins-load-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let tree = Tree(root);
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A plugin of one flow script.
    fn script(self, key: &str, code: &str) -> Tree {
        self.write(&format!("{key}/manifest.lua"), MANIFEST);
        self.write(&format!("{key}/user_scripts/flow/{key}.lua"), code);
        self
    }

    fn sources(&self) -> Sources {
        Sources {
            plugin_roots: vec![self.0.clone()],
            ..Sources::default()
        }
    }

    fn load(&self) -> Scripts {
        load(&self.sources())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const MANIFEST: &str = "return { title = 't', description = 'd', author = 'a' }";

/// Alert and status definition `x` of a plugin, with the user keys numbered `n`.
fn definitions(tree: Tree, plugin: &str, n: u8) -> Tree {
    tree.write(
        &format!("{plugin}/alert_definitions/alert_{plugin}.lua"),
        &format!(
            "return {{ alert_key = require('alert_keys').user.alert_user_0{n}, i18n_title = 'A', icon = 'i',
               creator = function(s, p) return {{ alert_severity = s, alert_type_params = p }} end }}"
        ),
    );
    tree.write(
        &format!("{plugin}/status_definitions/status_{plugin}.lua"),
        &format!(
            "local c = require 'alert_consts'
             return {{ status_key = require('flow_keys').user.status_user_0{n}, i18n_title = 'S',
               alert_severity = c.alert_severities.error, alert_type = c.alert_types.alert_{plugin} }}"
        ),
    );
    tree
}

/// A script that triggers status `name` with `score` at protocolDetected.
fn triggers(name: &str, score: &str) -> String {
    format!(
        "local t = require('flow_consts').status_types
         return {{ hooks = {{ protocolDetected = function()
           flow.triggerStatus(t.status_{name}.create(t.status_{name}.alert_severity, {{}}), {score}, 1, 2)
         end }} }}"
    )
}

fn load(sources: &Sources) -> Scripts {
    load_with(sources, &Rc::new(Env::default()))
}

/// What was refused, as text lines.
fn refused(catalog: &Catalog) -> Vec<String> {
    catalog
        .findings(Level::Refused)
        .map(ToString::to_string)
        .collect()
}

fn warned(catalog: &Catalog) -> Vec<String> {
    catalog
        .findings(Level::Warning)
        .map(ToString::to_string)
        .collect()
}

/// A flow from 10.0.0.2:40000 to 10.0.0.1.
fn flow(proto: u8, port: u16, l7: Proto) -> Flow {
    let client = (IpAddr::from([10, 0, 0, 2]), 40_000);
    let (key, from_low) = FlowKey::new(client, (IpAddr::from([10, 0, 0, 1]), port), proto, 0);
    let flags = if from_low { flag::CLIENT_IS_LOW } else { 0 };
    Flow {
        key,
        id: 1,
        flags,
        l7: L7 {
            master: l7,
            app: l7,
            guessed: false,
        },
        ..Flow::default()
    }
}

const NOW: Now = Now::at(Micros::from_secs(1_700_000_000));

/// One event of a fresh HTTP flow; the scripts' statuses and the alert.
fn detected(scripts: &mut Scripts) -> (Detail, Option<Alert>) {
    let mut detail = Detail::default();
    let alert = event(scripts, Hook::ProtocolDetected, &mut detail);
    (detail, alert)
}

fn event(scripts: &mut Scripts, hook: Hook, detail: &mut Detail) -> Option<Alert> {
    let mut flow = flow(6, 80, Proto::HTTP);
    scripts.run(hook, Phase::All, &mut flow, detail, NOW)
}

/// What scripts noted with [`NOTE`].
fn notes(env: &Rc<Env>) -> String {
    let mut store = env.store.borrow_mut();
    let text = store.text(b"notes", Micros::default()).unwrap_or_default();
    String::from_utf8_lossy(text).into()
}

fn load_with(sources: &Sources, env: &Rc<Env>) -> Scripts {
    let settings = Settings {
        limits: Limits::default(),
        output: std::rc::Rc::new(|_| ()),
        score_mode: ScoreMode::default(),
    };
    Scripts::load(sources, &settings, env, NOW).unwrap()
}

/// Lua: adds `x` to what [`notes`] gives.
const NOTE: &str =
    "local function note(x) ntop.setCache('notes', ntop.getCache('notes') .. x) end\n";

#[test]
fn the_worked_example_raises_its_alert() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua/load");
    let mut scripts = load(&Sources {
        plugin_roots: vec![root],
        ..Sources::default()
    });
    let mut flow = flow(17, 53, Proto::DNS);
    let mut detail = Detail::default();
    let name = "a".repeat(58) + ".example.org";
    detail.facts.set(Fact::DnsQuery, name.as_bytes());
    detail.facts.set_number(Fact::DnsType, 1);

    let alert = scripts
        .run(
            Hook::ProtocolDetected,
            Phase::All,
            &mut flow,
            &mut detail,
            NOW,
        )
        .unwrap();

    assert_eq!(name.len(), 70);
    assert_eq!(
        (alert.key, alert.severity, alert.status, alert.score),
        (32770, 4, 61, 120)
    );
    assert_eq!(alert.params.as_str(), name);
    assert_eq!(alert.message.as_str(), "A very long name was asked for");
    assert!(!alert.replaces);
    assert_eq!(detail.statuses.total(ScoreMode::Event), 120);
    assert_eq!(detail.statuses.host_scores, [60, 0]);
    let catalog = scripts.catalog();
    let script = &catalog.scripts[usize::from(alert.script)];
    assert_eq!(
        (script.key.as_str(), script.title.as_str()),
        ("long_names", "Long DNS name")
    );
    assert_eq!(
        (script.category.as_str(), script.prio, script.filter.l7),
        ("security", 5, Some(5))
    );
    assert_eq!(script.gui["input_title"], "Suffixes to ignore");
    assert!(catalog.findings.is_empty(), "{:?}", catalog.findings);
}

#[test]
fn texts_come_in_the_owners_language_and_in_english_where_that_has_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua/load");
    let sources = Sources {
        plugin_roots: vec![root],
        language: "it".into(),
        ..Sources::default()
    };

    let catalog = Rc::new(load(&sources)).catalog().clone();

    assert_eq!(catalog.statuses[&61].title, "Nome DNS lungo");
    assert_eq!(catalog.alerts[&32770].title, "Long DNS name");
}

#[test]
fn plugins_are_found_three_levels_down_and_no_deeper() {
    let tree = Tree::new("depth", &[])
        .script("one", "return { hooks = { flowEnd = function() end } }")
        .script("a/two", "return 1")
        .script("a/b/c/four", "return 1")
        .script("a/b/c/d/five", "return 1");

    let catalog = tree.load().catalog().clone();

    let keys: Vec<&str> = catalog
        .plugins
        .iter()
        .map(|plugin| plugin.key.as_str())
        .collect();
    assert_eq!(keys, ["four", "one", "two"]);
}

#[test]
fn of_plugins_and_scripts_of_one_name_the_first_counts() {
    let end = "return { hooks = { flowEnd = function() end } }";
    let tree = Tree::new("twice", &[])
        .script("g1/same", end)
        .script("g2/same", end)
        .script("other", end);
    tree.write("g1/same/user_scripts/flow/x.lua", end);
    tree.write("other/user_scripts/flow/x.lua", end);

    let catalog = tree.load().catalog().clone();

    assert_eq!(catalog.plugins.len(), 2);
    assert!(
        warned(&catalog)[0].contains("\"same\" is there already"),
        "{:?}",
        warned(&catalog)
    );
    let x = catalog
        .scripts
        .iter()
        .find(|script| script.key == "x")
        .unwrap();
    let lines = refused(&catalog);
    assert_eq!(x.plugin, "other");
    assert_eq!(
        lines,
        ["same/user_scripts/flow/x.lua: flow script \"x\" is there already, from other"]
    );
}

#[test]
fn what_package_managers_leave_behind_is_not_read() {
    let end = "return { hooks = { flowEnd = function() end } }";
    let tree = Tree::new("opkg", &[]).script("p", end);
    for name in ["p.lua.apk-new", "p.lua-opkg", "p.lua~", ".hidden.lua"] {
        tree.write(&format!("p/user_scripts/flow/{name}"), "error('read')");
    }
    tree.write("q-opkg/manifest.lua", "error('read')");

    let catalog = tree.load().catalog().clone();

    assert_eq!(catalog.scripts.len(), 1);
    assert!(catalog.findings.is_empty(), "{:?}", catalog.findings);
}

#[test]
fn a_folder_of_scripts_without_a_manifest_goes_by_its_name() {
    let tree = Tree::new("bare", &[]);
    tree.write(
        "g/bare/user_scripts/flow/bare.lua",
        &triggers("flow_risk", "7"),
    );

    let mut scripts = tree.load();

    assert_eq!(scripts.catalog().plugins[0].title, "bare");
    assert_eq!(
        warned(scripts.catalog()),
        [
            "bare/manifest.lua: is missing: the plugin goes by its folder's name; add one that returns title, \
          description and author"
        ]
    );
    assert_eq!(detected(&mut scripts).0.statuses.total(ScoreMode::Event), 7);
}

#[test]
fn manifests_that_are_wrong_are_told_of_and_the_others_load() {
    let tree = Tree::new(
        "manifest",
        &[
            ("good/manifest.lua", MANIFEST),
            (
                "slip/manifest.lua",
                "return { title = 't', description = 'd', author = 'a', dependecies = {} }",
            ),
            (
                "lacks/manifest.lua",
                "return { title = 't', description = 'd' }",
            ),
            (
                "syntax/manifest.lua",
                "return {\n title = 't',\n description = = 'd' }",
            ),
            ("raises/manifest.lua", "local x = nil\nreturn x.y"),
            ("off/manifest.lua", "return { disabled = true }"),
            (
                "waits/manifest.lua",
                "return { title = 't', description = 'd', author = 'a', dependencies = { 'gone' } }",
            ),
        ],
    );

    let catalog = tree.load().catalog().clone();

    let keys: Vec<&str> = catalog
        .plugins
        .iter()
        .map(|plugin| plugin.key.as_str())
        .collect();
    assert_eq!(keys, ["good", "slip"]);
    assert_eq!(
        warned(&catalog),
        [
            "slip/manifest.lua: \"dependecies\" is not a key of a manifest; did you mean \"dependencies\"?"
        ]
    );
    let lines = refused(&catalog);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "lacks/manifest.lua: \"author\" is missing");
    assert!(
        lines[1].starts_with("raises/manifest.lua:2: attempt to index a nil value"),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("syntax/manifest.lua:3: unexpected symbol"),
        "{lines:?}"
    );
    assert_eq!(
        lines[3],
        "waits/manifest.lua: depends on \"gone\", which is not there"
    );
}

#[test]
fn a_bad_file_costs_itself_alone() {
    let tree = definitions(Tree::new("bad", &[]), "p", 1).script("p", &triggers("p", "50"));
    tree.write(
        "p/alert_definitions/alert_zz.lua",
        "return { i18n_title = 'x' }",
    );
    tree.write(
        "p/status_definitions/status_zz.lua",
        "\nerror('on purpose')",
    );
    tree.write("p/user_scripts/flow/zz.lua", "return {");
    tree.write("p/locales/en.lua", "return 7");

    let mut scripts = tree.load();

    let lines = refused(scripts.catalog());
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "p/locales/en.lua: returns integer, not a table");
    assert_eq!(
        lines[1],
        "p/alert_definitions/alert_zz.lua: icon is missing"
    );
    assert_eq!(lines[2], "p/status_definitions/status_zz.lua:2: on purpose");
    assert!(
        lines[3].starts_with("p/user_scripts/flow/zz.lua:1: "),
        "{lines:?}"
    );
    assert_eq!(detected(&mut scripts).1.unwrap().status, 59);
}

#[test]
fn a_definition_of_the_class_form_says_so() {
    let code =
        "local classes = require 'classes'\nlocal a = classes.class(require 'alert')\nreturn a";
    let tree = Tree::new(
        "class",
        &[
            ("p/manifest.lua", MANIFEST),
            ("p/alert_definitions/alert_p.lua", code),
        ],
    );

    let lines = refused(tree.load().catalog());

    assert_eq!(
        lines,
        ["p/alert_definitions/alert_p.lua: 4.3 class definition not supported"]
    );
}

#[test]
fn scripts_see_the_definitions_of_all_plugins_and_a_dependency_comes_first() {
    // Plugin `a` depends on `z`, and its script needs at load what `z` defines.
    let code = "local t = require('flow_consts').status_types.status_z
                local key = t.status_key
                return { hooks = { flowEnd = function() end } }";
    let tree = definitions(Tree::new("order", &[]), "z", 1).script("a", code);
    tree.write("z/manifest.lua", MANIFEST);
    tree.write(
        "a/manifest.lua",
        "return { title = 't', description = 'd', author = 'a', dependencies = { 'z' } }",
    );

    let catalog = tree.load().catalog().clone();

    assert!(refused(&catalog).is_empty(), "{:?}", refused(&catalog));
    let keys: Vec<&str> = catalog
        .plugins
        .iter()
        .map(|plugin| plugin.key.as_str())
        .collect();
    assert_eq!(keys, ["z", "a"]);
}

#[test]
fn a_refused_status_is_an_error_of_the_script_that_uses_it() {
    let tree = definitions(Tree::new("clash", &[]), "a", 1);
    let tree = definitions(tree, "b", 1)
        .script("a", &triggers("a", "50"))
        .script("b", &triggers("b", "90"));

    let mut scripts = tree.load();
    let (detail, alert) = detected(&mut scripts);

    let lines = refused(scripts.catalog());
    assert!(
        lines[0].contains("alert_key 32768 is taken by alert_a of plugin a"),
        "{lines:?}"
    );
    assert_eq!(alert.map(|alert| alert.status), Some(59));
    assert_eq!(detail.statuses.map(), 1 << 59);
    let errors: Vec<u64> = scripts.counters().map(|counters| counters.errors).collect();
    assert_eq!(errors, [0, 1]);
}

#[test]
fn the_highest_score_wins_the_alert_and_of_equals_the_lower_key() {
    let tree = definitions(Tree::new("choice", &[]), "a", 2);
    let tree = definitions(tree, "b", 1)
        .script("a", &triggers("a", "50"))
        .script("b", &triggers("b", "50"));

    let (detail, alert) = detected(&mut tree.load());

    assert_eq!(alert.map(|alert| alert.status), Some(59));
    assert_eq!(detail.statuses.map(), 1 << 60 | 1 << 59);
    assert_eq!(detail.statuses.total(ScoreMode::Event), 100);
    assert_eq!(
        (detail.statuses.alerted, detail.statuses.alerted_score),
        (59, 50)
    );
}

#[test]
fn a_later_alert_must_score_more_and_then_replaces() {
    let code = "local t = require('flow_consts').status_types
        local function with(score) return function() flow.triggerStatus(t.status_p.create(), score, 0, 0) end end
        return { hooks = { protocolDetected = with(50), periodicUpdate = with(50), flowEnd = with(51) } }";
    let mut scripts = definitions(Tree::new("replace", &[]), "p", 3)
        .script("p", code)
        .load();
    let mut detail = Detail::default();

    let first = event(&mut scripts, Hook::ProtocolDetected, &mut detail);
    let equal = event(&mut scripts, Hook::PeriodicUpdate, &mut detail);
    let higher = event(&mut scripts, Hook::FlowEnd, &mut detail);

    assert!(first.is_some_and(|alert| !alert.replaces));
    assert!(equal.is_none());
    assert!(higher.is_some_and(|alert| alert.replaces && alert.score == 51));
    assert_eq!(detail.statuses.total(ScoreMode::Event), 51);
}

#[test]
fn scores_are_clamped() {
    let code = triggers("p", "5000").replace(", 1, 2)", ", -3, nil)");
    let mut scripts = definitions(Tree::new("clamp", &[]), "p", 1)
        .script("p", &code)
        .load();

    let (detail, alert) = detected(&mut scripts);

    assert_eq!(alert.map(|alert| alert.score), Some(1024));
    assert_eq!(detail.statuses.total(ScoreMode::Event), 1024);
    assert_eq!(detail.statuses.host_scores, [0, 0]);
}

#[test]
fn a_status_without_score_raises_no_alert_but_is_set() {
    let mut scripts = definitions(Tree::new("zero", &[]), "p", 1)
        .script("p", &triggers("p", "0"))
        .load();

    let (detail, alert) = detected(&mut scripts);

    assert!(alert.is_none());
    assert_eq!(detail.statuses.map(), 1 << 59);
}

#[test]
fn without_alerts_statuses_still_count() {
    let tree = definitions(Tree::new("quiet", &[]), "p", 1)
        .script("p", &triggers("p", "70"))
        .script(
            "only_alerts",
            "return { is_alert = true, hooks = { flowEnd = function() end } }",
        );

    let mut scripts = load(&Sources {
        alerts: false,
        ..tree.sources()
    });
    let (detail, alert) = detected(&mut scripts);

    assert!(alert.is_none());
    assert_eq!(detail.statuses.total(ScoreMode::Event), 70);
    let state = &scripts.catalog().scripts[0].state;
    assert!(matches!(state, State::NotApplicable(reason) if reason.contains("is_alert")));
}

#[test]
fn a_key_in_a_table_and_plain_keys_are_understood() {
    let tree = definitions(Tree::new("nested", &[]), "p", 1).script("p", &triggers("p", "50"));
    tree.write(
        "p/alert_definitions/alert_p.lua",
        "return { alert_key = {0, require('alert_keys').user.alert_user_01}, i18n_title = 'A', icon = 'i' }",
    );

    let alert = detected(&mut tree.load()).1;

    assert_eq!(alert.map(|alert| alert.key), Some(32768));
}

#[test]
fn higher_priority_runs_first_and_equals_run_by_key() {
    let code = |prio: &str, mark: &str| {
        format!(
            "{NOTE} return {{ prio = {prio}, hooks = {{ flowEnd = function() note('{mark}') end }} }}"
        )
    };
    let tree = Tree::new("prio", &[])
        .script("a", &code("-20", "l"))
        .script("b", &code("0", "m"))
        .script("c", &code("20", "h"))
        .script("d", &code("0", "n"));
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&tree.sources(), &env);

    event(&mut scripts, Hook::FlowEnd, &mut Detail::default());

    assert_eq!(notes(&env), "hmnl");
}

#[test]
fn an_error_in_one_script_leaves_the_others_alone() {
    let tree = definitions(Tree::new("error", &[]), "p", 1)
        .script("p", &triggers("p", "50"))
        .script("bad", "return { prio = 9, hooks = { protocolDetected = function() local x = nil; x.y = 1 end } }")
        .script("worse", "return { prio = 8, hooks = { protocolDetected = function() error({}) end } }");
    let mut scripts = tree.load();

    for _ in 0..3 {
        assert_eq!(detected(&mut scripts).1.map(|alert| alert.status), Some(59));
    }

    let counts: Vec<(u64, u64)> = scripts.counters().map(|c| (c.calls, c.errors)).collect();
    assert_eq!(counts, [(3, 3), (3, 0), (3, 3)]);
}

#[test]
fn a_script_that_overruns_is_stopped_in_the_end_and_the_others_go_on() {
    let tree = definitions(Tree::new("overrun", &[]), "p", 1)
        .script("p", &triggers("p", "50"))
        .script(
            "endless",
            "return { prio = 9, hooks = { protocolDetected = function() while true do end end } }",
        );
    let mut scripts = tree.load();

    for _ in 0..MAX_STRIKES + 2 {
        assert!(detected(&mut scripts).1.is_some());
    }

    let endless = scripts.counters().next().unwrap();
    assert!(endless.stopped);
    assert_eq!(
        (endless.calls, endless.overruns),
        (u64::from(MAX_STRIKES), u64::from(MAX_STRIKES))
    );
}

#[test]
fn stray_globals_are_allowed_and_shared() {
    let tree = Tree::new("globals", &[])
        .script("a", "return { prio = 1, hooks = { flowEnd = function() stray = 'x' end } }")
        .script("b", &format!("{NOTE} return {{ hooks = {{ flowEnd = function() note(stray .. tostring(undefined)) end }} }}"));
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&tree.sources(), &env);

    event(&mut scripts, Hook::FlowEnd, &mut Detail::default());

    assert_eq!(notes(&env), "xnil");
}

#[test]
fn setup_must_return_true_and_runs_only_where_the_script_would() {
    let with = |setup: &str| {
        format!(
            "{NOTE} return {{ setup = function() note('s') {setup} end, hooks = {{ flowEnd = function() note('r') end }} }}"
        )
    };
    let tree = Tree::new("setup", &[])
        .script("nothing", &with(""))
        .script("no", &with("return false"))
        .script("yes", &with("return true"))
        .script("raises", &with("error('x')"))
        .script(
            "off",
            &with("return true").replace("hooks =", "default_enabled = false, hooks ="),
        );
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&tree.sources(), &env);

    event(&mut scripts, Hook::FlowEnd, &mut Detail::default());

    assert_eq!(notes(&env), "ssssr");
    let running: Vec<&str> = scripts
        .catalog()
        .scripts
        .iter()
        .filter(|script| script.state == State::Running)
        .map(|script| script.key.as_str())
        .collect();
    assert_eq!(running, ["yes"]);
}

#[test]
fn nedge_flags_hold_whatever_the_configuration_says() {
    let with =
        |flag: &str| format!("return {{ {flag} = true, hooks = {{ flowEnd = function() end }} }}");
    let tree = Tree::new("nedge", &[])
        .script("exclude", &with("nedge_exclude"))
        .script("only", &with("nedge_only"))
        .script("packets", &with("packet_interface_only"));
    let mut sources = tree.sources();
    sources
        .config
        .set("flow", "exclude", "all", Entry::new(true, json!({})));

    let catalog = load(&sources).catalog().clone();

    let states: Vec<bool> = catalog
        .scripts
        .iter()
        .map(|s| s.state == State::Running)
        .collect();
    assert_eq!(states, [false, true, true]);
    assert!(
        catalog
            .report_text()
            .contains("flow/exclude: not applicable: nedge_exclude")
    );
}

#[test]
fn the_configuration_decides_what_runs_and_with_what() {
    let code = format!(
        "{NOTE} return {{ default_value = {{ list = {{}}, [7] = 'seven' }}, hooks = {{ flowEnd = function(now, conf)
           note(math.type(now) .. tostring(conf['7']) .. tostring(conf.own) .. #(conf.list or {{1}})) end }} }}"
    );
    let tree = Tree::new("conf", &[])
        .script("a", &code)
        .script("b", &code)
        .script("c", &code);
    let mut sources = tree.sources();
    sources
        .config
        .set("flow", "b", "all", Entry::new(true, json!({"own": 1})));
    sources
        .config
        .set("flow", "c", "all", Entry::new(false, json!({})));
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&sources, &env);

    event(&mut scripts, Hook::FlowEnd, &mut Detail::default());

    assert_eq!(notes(&env), "integersevennil0integernil11");
    assert_eq!(scripts.catalog().scripts[2].state, State::Disabled);
}

#[test]
fn a_configuration_that_scripts_keep_in_locals_is_renewed_with_the_state() {
    let code = format!(
        "{NOTE} local kept
         return {{ hooks = {{ flowEnd = function(_, conf) kept = kept or conf.n; note(kept) end }} }}"
    );
    let tree = Tree::new("kept", &[]).script("a", &code);
    let env = Rc::new(Env::default());
    let mut sources = tree.sources();
    for n in [1, 2] {
        sources
            .config
            .set("flow", "a", "all", Entry::new(true, json!({"n": n})));
        let mut scripts = load_with(&sources, &env);
        event(&mut scripts, Hook::FlowEnd, &mut Detail::default());
        event(&mut scripts, Hook::FlowEnd, &mut Detail::default());
    }

    assert_eq!(notes(&env), "1122");
}

#[test]
fn filters_keep_hooks_from_other_flows() {
    let with = |filter: &str, mark: &str| {
        format!(
            "{NOTE} return {{ {filter}, hooks = {{ protocolDetected = function() note('{mark}') end }} }}"
        )
    };
    let tree = Tree::new("filter", &[])
        .script("a", &with("l4_proto = 'tcp'", "t"))
        .script("b", &with("l7_proto = 'http'", "h"))
        .script("c", &with("l7_proto_id = 5", "d"))
        .script("e", &with("three_way_handshake_ok = true", "w"));
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&tree.sources(), &env);
    let mut run = |mut flow: Flow| {
        env.store.borrow_mut().remove(b"notes");
        let mut detail = Detail::default();
        scripts.run(
            Hook::ProtocolDetected,
            Phase::All,
            &mut flow,
            &mut detail,
            NOW,
        );
        notes(&env)
    };

    let midstream = flow(6, 80, Proto::HTTP);
    let whole = Flow {
        flags: midstream.flags | flag::HANDSHAKE,
        ..midstream
    };

    assert_eq!(run(midstream), "th");
    assert_eq!(run(whole), "thw");
    assert_eq!(run(flow(17, 53, Proto::DNS)), "dw");
    assert_eq!(run(flow(132, 0, Proto::UNKNOWN)), "w");
}

#[test]
fn all_covers_the_four_hooks_and_status_changed_comes_once_an_event() {
    let all =
        format!("{NOTE} return {{ prio = -1, hooks = {{ all = function() note('a') end }} }}");
    let sets = format!(
        "{NOTE} local t = require('flow_consts').status_types
         return {{ hooks = {{
           protocolDetected = function() flow.triggerStatus(t.status_p.create(), 50, 0, 0) end,
           statusChanged = function() note('c') flow.setStatus(t.status_blacklisted, 1, 0, 0) end,
           flowEnd = function() flow.triggerStatus(t.status_p.create(), 50, 0, 0) end }} }}"
    );
    let tree = definitions(Tree::new("all", &[]), "p", 1)
        .script("p", &sets)
        .script("x", &all);
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&tree.sources(), &env);
    let mut detail = Detail::default();

    event(&mut scripts, Hook::ProtocolDetected, &mut detail);
    let after_first = notes(&env);
    event(&mut scripts, Hook::PeriodicUpdate, &mut detail);
    event(&mut scripts, Hook::FlowEnd, &mut detail);

    assert_eq!(after_first, "aca");
    assert_eq!(notes(&env), "acaaa");
    assert_eq!(detail.statuses.map(), 1 << 59 | 1 << 1);
}

#[test]
fn early_scripts_run_once_before_the_others() {
    let with = |attribute: &str, mark: &str| {
        format!(
            "{NOTE} return {{ {attribute} hooks = {{ protocolDetected = function() note('{mark}') end }} }}"
        )
    };
    let tree = Tree::new("early", &[])
        .script("a", &with("early = true,", "a"))
        .script("b", &with("", "b"))
        .script("c", &with("early = true,", "c"));
    let mut sources = tree.sources();
    let mut entry = Entry::new(true, json!({}));
    entry.early = Some(false);
    entry.action = Some(Action::Reject);
    sources.config.set("flow", "c", "all", entry);
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&sources, &env);
    let (mut seen, mut unseen) = (flow(6, 80, Proto::HTTP), flow(6, 80, Proto::HTTP));
    let mut detail = Detail::default();
    let hook = Hook::ProtocolDetected;

    scripts.run(hook, Phase::Early, &mut seen, &mut detail, NOW);
    scripts.run(hook, Phase::Complete, &mut seen, &mut detail, NOW);
    scripts.run(hook, Phase::Complete, &mut unseen, &mut detail, NOW);

    assert!(scripts.has_early());
    assert!(seen.has(flag::EARLY_DONE));
    assert_eq!(notes(&env), "abcabc");
    assert_eq!(scripts.catalog().scripts[2].action, Some(Action::Reject));
}

#[test]
fn a_longer_period_of_its_own_spaces_a_scripts_updates() {
    let code = format!(
        "{NOTE} return {{ periodic_update_seconds = 120, hooks = {{ periodicUpdate = function() note('x') end }} }}"
    );
    let tree = Tree::new("period", &[]).script("a", &code);
    let env = Rc::new(Env::default());
    let mut scripts = load_with(&tree.sources(), &env);
    let mut flow = flow(6, 80, Proto::HTTP);

    for minute in 1..=6 {
        let now = Now::at(Micros::from_secs(minute * 60));
        scripts.run(
            Hook::PeriodicUpdate,
            Phase::All,
            &mut flow,
            &mut Detail::default(),
            now,
        );
    }

    assert_eq!(notes(&env), "xxx");
}

#[test]
fn loose_scripts_are_plugins_of_one_script() {
    let tree = Tree::new(
        "loose",
        &[
            (
                "flow/country.lua",
                "local s = { hooks = {} } function s.hooks.protocolDetected() end return(s)",
            ),
            (
                "syslog/sshd.lua",
                "return { hooks = { handleEvent = function(message) end } }",
            ),
        ],
    );
    let sources = Sources {
        loose_flow: vec![tree.0.join("flow")],
        loose_syslog: vec![tree.0.join("syslog")],
        ..Sources::default()
    };

    let catalog = load(&sources).catalog().clone();

    let states: Vec<(&str, &State)> = catalog
        .scripts
        .iter()
        .map(|script| (script.key.as_str(), &script.state))
        .collect();
    assert_eq!(
        states,
        [("country", &State::Running), ("sshd", &State::NotRun)]
    );
}

#[test]
fn custom_scripts_run_as_a_whole_and_the_newer_name_wins() {
    let tree = Tree::new(
        "custom",
        &[
            ("custom_flow_lua_script.lua", "error('old')"),
            (
                "custom_flow_protocol_detected_script.lua",
                "runs = (runs or 0) + 1\nif flow.srv_port() == 80 then flow.triggerAlert(300, 'run ' .. runs) end\nreturn(0)",
            ),
        ],
    );
    let mut scripts = load(&Sources {
        custom: vec![tree.0.clone()],
        ..Sources::default()
    });

    detected(&mut scripts);
    let (detail, alert) = detected(&mut scripts);

    let alert = alert.unwrap();
    assert_eq!((alert.status, alert.key, alert.score), (58, 87, 300));
    assert_eq!(alert.message.as_str(), "run 2");
    assert_eq!(detail.statuses.total(ScoreMode::Event), 300);
    assert_eq!(scripts.catalog().scripts.len(), 1);
    assert!(warned(scripts.catalog())[0].contains("not run"));
    assert!(!scripts.has(Hook::FlowEnd));
}

#[test]
fn other_script_types_and_parts_are_named_and_left_alone() {
    let tree = Tree::new(
        "others",
        &[
            ("p/manifest.lua", MANIFEST),
            ("p/user_scripts/host/scan.lua", "error('run')"),
            ("p/web_gui/menu.lua", "error('run')"),
            ("p/user_script/flow/x.lua", "error('run')"),
            ("p/user_scripts/flows/x.lua", "error('run')"),
        ],
    );

    let catalog = tree.load().catalog().clone();

    assert_eq!(catalog.scripts[0].state, State::NotRun);
    let text = catalog.report_text();
    for line in [
        "script host/scan: not run by this version",
        "p/web_gui: not used by this version",
        "p/user_script: is not read; did you mean \"user_scripts\"?",
        "p/user_scripts/flows: is not read; did you mean \"flow\"?",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(refused(&catalog).is_empty());
}

#[test]
fn a_report_tells_what_a_script_needs_and_we_lack() {
    let code = "local d = require 'dkjson'\nlocal x = require('no_such_module_here') -- require 'commented'
                return { hooks = { flowEnd = function() flow.getInfo() flow.getNoSuchThing() end } }";
    let tree = Tree::new("needs", &[]).script("p", code);
    // The script itself fails at load, for want of the module; one that asks later is kept.
    let late = "return { hooks = { flowEnd = function() require 'no_such_module_here' flow.getInfo() flow.getNoSuchThing() end } }";
    tree.write("p/user_scripts/flow/late.lua", late);

    let catalog = tree.load().catalog().clone();

    assert!(
        refused(&catalog)[0].contains("no_such_module_here"),
        "{:?}",
        refused(&catalog)
    );
    let text = catalog.report_text();
    assert!(
        text.contains("needs what is not here: flow.getNoSuchThing, require no_such_module_here"),
        "{text}"
    );
    let json = catalog.report_json();
    assert_eq!(
        json["scripts"][0]["needs"][0],
        json!({"name": "flow.getInfo", "have": true})
    );
    assert_eq!(json["scripts"][0]["status"]["state"], "running");
    assert_eq!(json["findings"][0]["level"], "refused");
}

#[test]
fn plugins_load_their_own_modules_and_know_their_data() {
    let code = format!(
        "{NOTE} local u = require 'plugins_utils'
         local m = u.loadModule('p', 'helper')
         note(m.word .. tostring(m == u.loadModule('p', 'helper')) .. tostring(u.getPluginDataDir('p', 'data') ~= nil))
         return {{ hooks = {{ flowEnd = function() end }} }}"
    );
    let tree = Tree::new(
        "modules",
        &[("p/modules/helper.lua", "return { word = 'w' }")],
    )
    .script("p", &code);
    let env = Rc::new(Env::default());

    let scripts = load_with(&tree.sources(), &env);

    assert!(
        refused(scripts.catalog()).is_empty(),
        "{:?}",
        refused(scripts.catalog())
    );
    assert_eq!(notes(&env), "wtruetrue");
}

#[test]
fn life_cycle_callbacks_follow_the_configuration() {
    let code = format!(
        "{NOTE} local function say(mark) return function(hook, entry)
           note(mark .. hook .. tostring(entry.enabled) .. tostring(entry.script_conf.n) .. ' ') end end
         return {{ hooks = {{ flowEnd = function() end }}, default_value = {{ n = 1 }},
           onLoad = say('L'), onUnload = say('U'), onEnable = say('E'), onDisable = say('D'),
           onUpdateConfig = say('C'), teardown = function() note('T ') end }}"
    );
    let tree = Tree::new("life", &[]).script("p", &code);
    let env = Rc::new(Env::default());
    let mut sources = tree.sources();
    let mut before: Option<Scripts> = None;

    for (enabled, n) in [(true, 1), (true, 2), (false, 2), (true, 2)] {
        sources
            .config
            .set("flow", "p", "all", Entry::new(enabled, json!({"n": n})));
        if let Some(old) = &mut before {
            old.stop(NOW);
        }
        let mut scripts = load_with(&sources, &env);
        scripts.start(before.as_ref().map(|old| &**old.catalog()), NOW);
        before = Some(scripts);
    }

    let expected =
        "Lalltrue1 Ualltrue1 T Lalltrue2 Calltrue2 Ualltrue2 T Dallfalse2 Lalltrue2 Ealltrue2 ";
    assert_eq!(notes(&env), expected);
}

#[test]
fn a_description_that_is_a_function_gets_the_parameters() {
    let tree = definitions(Tree::new("describe", &[]), "p", 1)
        .script("p", &triggers("p", "50").replace("{})", "{ n = 7 })"));
    tree.write(
        "p/status_definitions/status_p.lua",
        "local c = require 'alert_consts'
         return { status_key = 59, i18n_title = 'S', alert_severity = c.alert_severities.notice,
           alert_type = c.alert_types.alert_p, i18n_description = function(info) return 'n is ' .. info.n end }",
    );
    tree.write("p/locales/en.lua", "return { of = '%{n} of them' }");
    let mut scripts = tree.load();

    let alert = detected(&mut scripts).1.unwrap();
    tree.write(
        "p/status_definitions/status_p.lua",
        "local c = require 'alert_consts'
         return { status_key = 59, i18n_title = 'S', alert_severity = c.alert_severities.notice,
           alert_type = c.alert_types.alert_p, i18n_description = 'p.of' }",
    );
    let by_key = detected(&mut tree.load()).1.unwrap();

    assert_eq!((alert.message.as_str(), alert.severity), ("n is 7", 3));
    assert_eq!(by_key.message.as_str(), "7 of them");
    assert!(
        alert.params.starts_with("{\"alert_generation\":"),
        "{}",
        alert.params
    );
    assert!(alert.params.contains("\"n\":7"));
}

#[test]
fn a_configuration_saved_is_the_configuration_loaded() {
    let tree = Tree::new("sets", &[]).script(
        "p",
        "return { default_value = { items = {} }, hooks = { flowEnd = function() end } }",
    );
    let file = tree.0.join("scripts.json");
    let catalog = tree.load().catalog().clone();
    let mut sets = ConfigSets::default();
    catalog.complete(&mut sets);

    sets.save(&file).unwrap();
    sets.save(&file).unwrap();
    fs::write(&file, "{ broken").unwrap();
    let (config, _) = ConfigSets::load(&file);
    let again = load(&Sources {
        config,
        ..tree.sources()
    })
    .catalog()
    .clone();

    assert_eq!(again.scripts[0].conf, json!({"items": []}));
    assert_eq!(again.scripts[0].conf, catalog.scripts[0].conf);
    assert!(again.scripts[0].enabled);
}

#[test]
fn hostile_plugins_neither_hang_nor_break_loading() {
    let tree = definitions(Tree::new("hostile", &[]), "p", 1)
        .script("p", &triggers("p", "50"))
        .script("endless", "while true do end")
        .script("big", &format!("return {{ x = '{}' }}", "x".repeat(300 * 1024)))
        .script("bytes", "return 1")
        .script("meta", "return setmetatable({}, { __index = function() error('x') end })")
        .script("deep", "local t = {} for i = 1, 1000 do t = { t } end return { default_value = t, hooks = { flowEnd = print } }");
    fs::write(
        tree.0.join("bytes/user_scripts/flow/bytes.lua"),
        b"\x1bLua\xff\xff",
    )
    .unwrap();

    let mut scripts = tree.load();

    let lines = refused(scripts.catalog());
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(detected(&mut scripts).1.map(|alert| alert.status), Some(59));
}
