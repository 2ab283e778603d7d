//! Facts of reading, refusing and writing configurations.

use super::*;
use crate::events::Kind;
use proptest::prelude::*;

const DELIVERED: &str = include_str!("../../openwrt/flowreeve/files/flowreeve.config");

fn uci(text: &str) -> Result<Config, ConfigError> {
    Config::from_uci(text, Path::new("flowreeve"))
}

fn json(text: &str) -> Result<Config, ConfigError> {
    Config::from_json(text, Path::new("config.json"))
}

fn main_with(line: &str) -> String {
    format!("config main 'main'\n\toption enabled '1'\n\t{line}\n")
}

/// The delivered file with every example in it switched on.
fn all_examples() -> String {
    let mut text = String::new();
    for line in DELIVERED.lines() {
        let example = [
            "#config ",
            "#option ",
            "#list ",
            "#\toption ",
            "#\tlist ",
            "#\t#option ",
        ];
        let indented = line.trim_start();
        let on = example.iter().any(|start| indented.starts_with(start));
        text.push_str(if on {
            indented.trim_start_matches(['#', '\t'])
        } else {
            line
        });
        text.push('\n');
    }
    text
}

#[test]
fn an_empty_file_is_the_default_and_the_default_is_allowed() {
    assert_eq!(uci("").unwrap(), Config::default());
    assert_eq!(json("{}").unwrap(), Config::default());
    assert_eq!(
        json(&Config::default().to_json()).unwrap(),
        Config::default()
    );
}

#[test]
fn the_delivered_file_is_the_default_and_inspects_nothing() {
    let config = uci(DELIVERED).unwrap();

    assert_eq!(
        Config {
            eve: Vec::new(),
            ..config.clone()
        },
        Config::default()
    );
    assert_eq!(config.eve, [Eve::default()]);
    assert!(!config.enabled && config.mode == Mode::Monitor);
}

#[test]
fn the_defaults_the_delivered_file_shows_are_the_defaults() {
    let shown = uci(&all_examples()).unwrap();

    let differs = Config {
        // These have no default of their own; the file shows an example.
        mark_threshold: None,
        devices: Vec::new(),
        memory_kb: None,
        flows: None,
        hosts: None,
        lua_kb: None,
        stream_buffers: None,
        geo_country: None,
        geo_asn: None,
        eve: Vec::new(),
        exempt: Vec::new(),
        script: Vec::new(),
        ..shown.clone()
    };
    assert_eq!(differs, Config::default());
    assert_eq!(shown.eve, [Eve::default()]);
    assert_eq!(shown.exempt.len(), 1);
    assert_eq!(shown.script.len(), 1);
}

#[test]
fn every_option_is_explained_in_the_delivered_file() {
    let shown = uci::parse(&all_examples()).unwrap();
    let rule = ScriptRule {
        name: "x".into(),
        ..ScriptRule::default()
    };
    let whole = Config {
        eve: vec![Eve::default()],
        exempt: vec![Exempt::default()],
        script: vec![rule],
        ..Config::default()
    };
    let whole: serde_json::Value = serde_json::from_str(&whole.to_json()).unwrap();
    let is_section = |key: &str| ["web", "eve", "exempt", "script"].contains(&key);
    let explained = |kind: &str, option: &str| {
        shown
            .iter()
            .any(|s| s.kind == kind && s.options.iter().any(|e| e.name == option))
    };

    let mut options = 0;
    for (key, value) in whole.as_object().unwrap() {
        let section = if let Some(list) = value.as_array().filter(|_| is_section(key)) {
            &list[0]
        } else {
            value
        };
        let (kind, names) = match section.as_object().filter(|_| is_section(key)) {
            Some(fields) => (key.as_str(), fields.keys().cloned().collect()),
            None => ("main", vec![key.clone()]),
        };
        for name in names {
            options += 1;
            assert!(explained(kind, &name), "section {kind}, option {name}");
        }
    }
    assert_eq!(
        options,
        options::count(),
        "an option is in the table or in Config, but not in both"
    );
}

#[test]
fn values_go_where_they_belong() {
    let config = uci(
        "config main\n option mode enforce\n option threshold 60\n option mark_threshold 30\n option action reject\n option score_mode max\n list network lan\n list network guest\n option queues 4\n option ct_mask 0x00f00000\n option fail_open off\n option custom_scripts ''\n\
         config eve\n option output /var/run/flowreeve/eve.json\n list type drop\n list type alert\n\
         config eve\n option output syslog\n\
         config exempt\n option mac 02-00-00-00-00-01\n option dst 2001:db8::/32\n option comment 'the NAS'\n\
         config script exes_download\n option early 1\n option action mark\n\
         config web\n option auth none\n list listen '[::1]:80'\n",
    )
    .unwrap();

    assert_eq!(
        (config.mode, config.threshold, config.mark_threshold),
        (Mode::Enforce, 60, Some(30))
    );
    assert_eq!(
        (config.action, config.score_mode),
        (Action::Reject, ScoreMode::Max)
    );
    assert_eq!(config.networks, ["lan", "guest"]);
    assert_eq!(
        (config.queues, config.ct_mask.bits(), config.ct_mask.shift()),
        (Some(4), 0x00f0_0000, 20)
    );
    assert!(!config.fail_open);
    assert_eq!(
        config.custom_script_dir,
        Config::default().custom_script_dir
    );
    assert_eq!(
        config.eve[0].output,
        Output::File("/var/run/flowreeve/eve.json".into())
    );
    assert_eq!(config.eve[0].kinds, [Kind::Drop, Kind::Alert]);
    assert_eq!(
        (&config.eve[1].output, config.eve[1].kinds.len()),
        (&Output::Syslog, 7)
    );
    assert_eq!(config.exempt[0].mac, Some(Mac([2, 0, 0, 0, 0, 1])));
    assert_eq!(config.exempt[0].comment, "the NAS");
    let rule = ScriptRule {
        name: "exes_download".into(),
        enabled: None,
        early: Some(true),
        action: Some(Action::Mark),
    };
    assert_eq!(config.script, [rule]);
    assert_eq!(json(&config.to_json()).unwrap(), config);
}

#[test]
fn a_list_may_be_written_as_one_option() {
    assert_eq!(
        uci("config main\noption network 'lan guest'")
            .unwrap()
            .networks,
        ["lan", "guest"]
    );
}

#[test]
fn what_is_not_allowed_is_refused_with_place_and_remedy() {
    for (line, message) in [
        (
            "option threshold '0'",
            "flowreeve:3: section main, option threshold: '0' is not allowed; allowed: 1 to 65535",
        ),
        (
            "option threshold '65536'",
            "flowreeve:3: section main, option threshold: '65536' is not allowed; allowed: 1 to 65535",
        ),
        (
            "option threshold '+5'",
            "flowreeve:3: section main, option threshold: '+5' is not allowed; allowed: 1 to 65535",
        ),
        (
            "option mode 'block'",
            "flowreeve:3: section main, option mode: 'block' is not allowed; allowed: monitor or enforce",
        ),
        (
            "list mode 'monitor'\n list mode 'enforce'",
            "flowreeve:4: section main, option mode: 'enforce' is not allowed; allowed: monitor or enforce",
        ),
        (
            "option mark_threshold '100'",
            "flowreeve:3: section main, option mark_threshold: '100' is not allowed; allowed: 1 to 65534, below threshold",
        ),
        (
            "option ct_mask '0x1e000001'",
            "flowreeve:3: section main, option ct_mask: '0x1e000001' is not allowed; allowed: four contiguous bits such as 0x0f000000",
        ),
        (
            "list network 'lan'\n list network 'a\"; drop'",
            "flowreeve:4: section main, option network: 'a\\\"; drop' is not allowed; allowed: names of logical networks such as lan",
        ),
        (
            "option fail_open 'maybe'",
            "flowreeve:3: section main, option fail_open: 'maybe' is not allowed; allowed: 0 or 1",
        ),
        (
            "option queues '9'",
            "flowreeve:3: section main, option queues: '9' is not allowed; allowed: auto or 1 to 8",
        ),
        (
            "option profile '../x'",
            "flowreeve:3: section main, option profile: '../x' is not allowed; allowed: auto, S, M, L, XL or the name of a board file",
        ),
        (
            "list plugins 'plugins'",
            "flowreeve:3: section main, option plugins: 'plugins' is not allowed; allowed: absolute paths",
        ),
        (
            "config eve\n list type 'quic'",
            "flowreeve:4: section eve, option type: 'quic' is not allowed; allowed: flow, alert, drop, dns, tls, http, stats",
        ),
        (
            "config web\n option auth none\n list listen 0.0.0.0:80",
            "flowreeve:4: section web, option auth: 'none' is not allowed; allowed: luci, token, or none where all listen addresses are loopback",
        ),
        (
            "config exempt nas\n option comment x",
            "flowreeve:3: section exempt 'nas', option src: '' is not allowed; allowed: an address or network such as 192.168.1.0/24 (a section needs src, dst or mac)",
        ),
        (
            "config script\n option early 1",
            "flowreeve:3: section script, option name: '' is not allowed; allowed: the script's file name without .lua, here or as the section's name",
        ),
        (
            "option treshold 1",
            "flowreeve:3: section main, option treshold is unknown; known are enabled, config_version, mode, ",
        ),
        (
            "config mian",
            "flowreeve:3: section type 'mian' is unknown; known are main, web, eve, exempt, script",
        ),
        (
            "option threshold",
            "flowreeve:3: expected option NAME 'VALUE'; a value with blanks needs quotes",
        ),
    ] {
        let error = uci(&main_with(line)).unwrap_err().to_string();
        assert!(error.starts_with(message), "{line}\n{error}\n{message}");
    }
}

#[test]
fn json_obeys_the_same_rules() {
    for (text, message) in [
        (
            r#"{"threshold":0}"#,
            "config.json: section main, option threshold: not allowed as it is; allowed: 1 to 65535",
        ),
        (
            r#"{"web":{"auth":"none","listen":["0.0.0.0:80"]}}"#,
            "config.json: section web, option auth: not allowed as it is; allowed: luci",
        ),
        (
            r#"{"exempt":[{}]}"#,
            "config.json: section exempt, option src: ",
        ),
        (
            r#"{"network":["a b"]}"#,
            "config.json: section main, option network: ",
        ),
        (
            "{\n\"treshold\":1}",
            "config.json:2: unknown field `treshold`",
        ),
        (
            r#"{"ct_mask":"0x1"}"#,
            "config.json:1: not four contiguous bits",
        ),
        (
            r#"{"queues":"many"}"#,
            "config.json:1: 'many' is neither auto nor a number",
        ),
        (
            r#"{"queues":9}"#,
            "config.json: section main, option queues: ",
        ),
        ("{", "config.json:1: EOF"),
    ] {
        let error = json(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}\n{error}");
    }
}

#[test]
fn ours_are_the_networks_named() {
    let config = Config::default();

    for (address, local) in [
        ("192.168.1.1", true),
        ("172.31.0.1", true),
        ("172.32.0.1", false),
        ("fe80::1", true),
        ("2001:db8::1", false),
        ("::1", true),
    ] {
        assert_eq!(
            config.is_local(address.parse().unwrap()),
            local,
            "{address}"
        );
    }
}

#[test]
fn checking_writes_json_that_loads_as_the_same_and_leaves_nothing_else() {
    let folder = std::env::temp_dir().join(format!("flowreeve-config-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (file, target) = (folder.join("flowreeve"), folder.join("config.json"));
    fs::write(&file, main_with("option threshold 60")).unwrap();
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(folder.join("elsewhere"), folder.join("config.json.new")).unwrap();

    let checked = check_config(&file, Some(&target)).unwrap();
    let loaded = Config::load(&target).unwrap();
    fs::write(&file, main_with("option threshold 0")).unwrap();
    let refused = check_config(&file, Some(&target));
    let kept = Config::load(&target).unwrap();
    let mut left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();

    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(
        (checked.threshold, &loaded, &kept),
        (60, &checked, &checked)
    );
    assert!(matches!(refused, Err(ConfigError::Value { line: 3, .. })));
    assert_eq!(left, ["config.json", "flowreeve"]);
}

#[test]
fn a_file_that_is_no_text_or_not_there_is_refused() {
    let file = std::env::temp_dir().join(format!("flowreeve-notext-{}", std::process::id()));
    fs::write(&file, b"config main\n\xff").unwrap();
    let binary = Config::load(&file).unwrap_err().to_string();
    fs::write(&file, vec![b'#'; MAX_FILE_BYTES as usize + 1]).unwrap();
    let large = Config::load(&file).unwrap_err().to_string();
    fs::remove_file(&file).unwrap();
    let missing = Config::load(&file).unwrap_err().to_string();

    assert!(binary.ends_with(":2: not UTF-8 text"), "{binary}");
    assert!(large.contains("this is no configuration"), "{large}");
    assert!(missing.starts_with("cannot read /"), "{missing}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_what_is_accepted_survives_json(
        lines in prop::collection::vec("(config (main|eve|exempt|script|web)( x)?|(option|list) [a-z_]{1,10} '?[a-z0-9./:]{0,8}'?|option (threshold|queues|flows|src|output|max_kb|auth) [0-9a-z/]{1,6})", 0..12)
    ) {
        if let Ok(config) = uci(&lines.join("\n")) {
            prop_assert_eq!(json(&config.to_json()).unwrap(), config);
        }
    }
}
