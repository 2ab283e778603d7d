//! The bundled plugins by the request they see: what they stop, and the near misses they let pass. Captures and
//! real clients are `plugins.rs` and `lab/`.
#![allow(clippy::unwrap_used)] // a test that cannot go on shall stop

#[path = "support/countries.rs"]
mod countries;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flowreeve::flow::key::FlowKey;
use flowreeve::flow::{Detail, Flow, L7, flag};
use flowreeve::geo::Geo;
use flowreeve::l7::{Fact, Proto};
use flowreeve::score::ScoreMode;
use flowreeve::script::catalog::{Level, State};
use flowreeve::script::configset::{ConfigSets, Entry};
use flowreeve::script::current::Hook;
use flowreeve::script::env::Env;
use flowreeve::script::sandbox::Limits;
use flowreeve::script::{Phase, Scripts, Settings, Sources};
use flowreeve::time::{Micros, Now};
use serde_json::json;

const NOW: Now = Now::at(Micros::from_secs(1_700_000_000));

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Everything bundled, with these lists; `None` for factory settings.
fn bundled(script: &str, items: Option<&[&str]>) -> Scripts {
    bundled_in(&Rc::new(Env::default()), "en", script, items)
}

fn bundled_in(env: &Rc<Env>, language: &str, script: &str, items: Option<&[&str]>) -> Scripts {
    let mut config = ConfigSets::default();
    if let Some(items) = items {
        let entry = Entry::new(true, json!({ "items": items }));
        config.set("flow", script, "all", entry);
    }
    let sources = Sources {
        plugin_roots: vec![folder("plugins")],
        loose_flow: vec![folder("plugins/callbacks/interface/flow")],
        config,
        language: language.into(),
        ..Sources::default()
    };
    let settings = Settings {
        limits: Limits::default(),
        output: std::rc::Rc::new(|_| ()),
        score_mode: ScoreMode::default(),
    };
    Scripts::load(&sources, &settings, env, NOW).unwrap()
}

/// A flow from a private address to `server`, with either IP version.
fn flow(l7: Proto, protocol: u8, server: &str) -> Flow {
    let server: IpAddr = server.parse().unwrap();
    let client: IpAddr = if server.is_ipv4() {
        "10.0.0.9"
    } else {
        "fd00::9"
    }
    .parse()
    .unwrap();
    let (key, from_low) = FlowKey::new((client, 40_000), (server, 4_000), protocol, 0);
    Flow {
        key,
        id: 1,
        flags: if from_low { flag::CLIENT_IS_LOW } else { 0 },
        l7: L7 {
            master: l7,
            app: l7,
            guessed: false,
        },
        ..Flow::default()
    }
}

/// What the request-side run makes of a flow: status keys with scores, and the alert's message.
fn early(
    scripts: &mut Scripts,
    mut flow: Flow,
    facts: &[(Fact, &str)],
) -> (Vec<(u8, u16)>, String) {
    let mut detail = Detail::default();
    for (fact, value) in facts {
        detail.facts.set(*fact, value.as_bytes());
    }
    let alert = scripts.run(
        Hook::ProtocolDetected,
        Phase::Early,
        &mut flow,
        &mut detail,
        NOW,
    );
    let statuses = detail.statuses.iter().map(|s| (s.key, s.score)).collect();
    let message = alert.map_or_else(String::new, |alert| alert.message.as_str().into());
    (statuses, message)
}

fn http(scripts: &mut Scripts, host: &str, path: &str) -> (Vec<(u8, u16)>, String) {
    let facts = [
        (Fact::HttpMethod, "GET"),
        (Fact::HttpHost, host),
        (Fact::HttpPath, path),
    ];
    early(scripts, flow(Proto::HTTP, 6, "192.0.2.1"), &facts)
}

#[test]
fn all_of_them_load_without_a_word_of_complaint() {
    let scripts = bundled("", None);

    let catalog = scripts.catalog();
    assert!(catalog.findings.is_empty(), "{:?}", catalog.findings);
    assert_eq!(catalog.findings(Level::Refused).count(), 0);
    let flow_scripts: Vec<&str> = catalog.scripts.iter().map(|s| s.key.as_str()).collect();
    for name in [
        "exes_download",
        "unexpected_dns",
        "unexpected_hosts",
        "suspicious_countries",
    ] {
        assert!(flow_scripts.contains(&name), "{name} in {flow_scripts:?}");
    }
    for script in &catalog.scripts {
        assert_eq!(
            (&script.state, script.early),
            (&State::Running, true),
            "{}",
            script.key
        );
        assert!(
            script.needs.iter().all(|need| need.have),
            "{:?}",
            script.needs
        );
    }
}

#[test]
fn each_text_has_a_german_one_and_a_readme_stands_beside_the_plugin() {
    let texts = |file: &Path| -> Vec<String> {
        let keys = fs::read_to_string(file).unwrap();
        let keys = keys
            .lines()
            .filter_map(|line| line.trim().split_once(" = "));
        keys.map(|(key, _)| key.to_owned()).collect()
    };
    for plugin in fs::read_dir(folder("plugins/security")).unwrap() {
        let plugin = plugin.unwrap().path();

        assert_eq!(
            texts(&plugin.join("locales/en.lua")),
            texts(&plugin.join("locales/de.lua")),
            "{}",
            plugin.display()
        );
        assert!(plugin.join("README.md").is_file(), "{}", plugin.display());
    }
}

#[test]
fn a_program_is_known_by_the_ending_of_its_path() {
    let mut scripts = bundled("exes_download", Some(&["exe", " .MSI", "*.hta"]));

    for path in [
        "/setup.exe",
        "/a/b/SETUP.ExE?from=mirror",
        "/setup.msi#part",
        "/page.hta;jsessionid=1",
        "/setup.ex%65",
        "/setup.exe.",
        "/setup.exe%20",
        "/folder\\setup.exe",
        "/get.php/setup.exe",
    ] {
        assert_eq!(
            http(&mut scripts, "example.org", path).0,
            [(59, 200)],
            "{path}"
        );
    }
    for path in [
        "/",
        "/notes.txt",
        "/setup.exe.txt",
        "/get?file=setup.exe",
        "/setup.exe/",
        "/exe",
        "/a.b;c.exe",
        "/program.scr",
        "",
    ] {
        assert_eq!(http(&mut scripts, "files.exe", path).0, [], "{path}");
    }
}

#[test]
fn the_factory_list_knows_programs_and_says_which() {
    let mut scripts = bundled("", None);

    let (statuses, message) = http(&mut scripts, "example.org:8080", "/tools/run.ps1");

    assert_eq!(statuses, [(59, 200)]);
    assert_eq!(
        message,
        "A program (.ps1) was asked for: example.org:8080/tools/run.ps1"
    );
}

#[test]
fn texts_come_in_german_too() {
    let env = Rc::new(Env::default());
    let mut scripts = bundled_in(&env, "de", "", None);

    let message = http(&mut scripts, "example.org", "/a.exe").1;

    assert_eq!(
        message,
        "Ein Programm (.exe) wurde angefordert: example.org/a.exe"
    );
}

#[test]
fn no_url_makes_a_script_overrun() {
    let mut scripts = bundled("unexpected_hosts", Some(&["example.org"]));

    for long in [".", "/", "%2e", ". ", "a.", ";", "://", "\\"] {
        let path: String = format!("/{}x", long.repeat(80)).chars().take(250).collect();
        http(&mut scripts, &long.repeat(80), &path);
    }

    assert!(scripts.counters().any(|counters| counters.calls == 8));
    for counters in scripts.counters() {
        assert_eq!((counters.overruns, counters.errors), (0, 0));
    }
}

#[test]
fn a_dns_server_is_allowed_in_whatever_spelling() {
    let asks = |items: &[&str], server: &str| {
        let mut scripts = bundled("unexpected_dns", Some(items));
        let facts = [(Fact::DnsQuery, "example.org")];
        early(&mut scripts, flow(Proto::DNS, 17, server), &facts)
    };

    for (item, server) in [
        ("192.0.2.53", "192.0.2.53"),
        (" 192.0.2.53 ", "192.0.2.53"),
        ("2001:DB8:0:0:0:0:0:53", "2001:db8::53"),
        ("2001:0db8::0:0053", "2001:db8::53"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"),
    ] {
        assert_eq!(asks(&[item], server).0, [], "{item}");
    }
    for (item, server) in [
        ("192.0.2.5", "192.0.2.53"),
        ("2001:db8::35", "2001:db8::53"),
        ("2001:db8:0:1::53", "2001:db8::53"),
        ("2001:db8:53", "2001:db8::53"),
        ("1:2:3:4:5:6:7:8:9", "2001:db8::53"),
        ("::g", "::"),
        ("nonsense", "192.0.2.53"),
    ] {
        let (statuses, message) = asks(&[item], server);
        assert_eq!(statuses, [(33, 200)], "{item}");
        assert!(
            message.ends_with(&format!("not on the list: {server}")),
            "{message}"
        );
    }
    assert_eq!(asks(&[], "192.0.2.53").0, []);
}

#[test]
fn a_listed_name_stands_for_all_below_it_in_each_protocol() {
    let mut scripts = bundled(
        "unexpected_hosts",
        Some(&["Example.org", "*.ads.example.net", "."]),
    );
    let mut asked = |l7, fact, name| {
        let (statuses, _) = early(&mut scripts, flow(l7, 6, "192.0.2.1"), &[(fact, name)]);
        statuses == [(60, 200)]
    };

    for (l7, fact) in [
        (Proto::TLS, Fact::TlsServerName),
        (Proto::DNS, Fact::DnsQuery),
        (Proto::HTTP, Fact::HttpHost),
    ] {
        for name in ["example.org", "www.example.org", "a.b.ads.example.net"] {
            assert!(asked(l7, fact, name), "{name}");
        }
        for name in [
            "badexample.org",
            "org",
            "example.net",
            "example.org.example.com",
            "..",
        ] {
            assert!(!asked(l7, fact, name), "{name}");
        }
    }
    assert!(asked(Proto::HTTP, Fact::HttpHost, "example.org:8080"));
    assert!(!asked(Proto::HTTP, Fact::HttpHost, "[2001:db8::1]:80"));
}

#[test]
fn a_country_counts_at_either_end_and_only_where_it_is_known() {
    let file = std::env::temp_dir().join(format!("flowreeve-countries-{}", std::process::id()));
    let net = |text: &str| text.parse().unwrap();
    let bytes = countries::database(&[
        (net("203.0.113.0"), 24, "CN"),
        (net("2001:db8::"), 32, "CN"),
        (net("198.51.100.0"), 24, "DE"),
    ]);
    fs::write(&file, bytes).unwrap();
    let geo = Geo::open(&[&file], 1 << 20).unwrap();
    fs::remove_file(&file).unwrap();
    let known = Rc::new(Env {
        geo: Some(geo),
        ..Env::default()
    });
    let statuses = |env: &Rc<Env>, items: &[&str], server: &str| {
        let mut scripts = bundled_in(env, "en", "suspicious_countries", Some(items));
        early(&mut scripts, flow(Proto::TLS, 6, server), &[]).0
    };

    assert_eq!(statuses(&known, &["cn"], "203.0.113.7"), [(2, 200)]);
    assert_eq!(statuses(&known, &["KP", "CN"], "2001:db8::7"), [(2, 200)]);
    assert_eq!(statuses(&known, &["CN"], "198.51.100.7"), []);
    assert_eq!(statuses(&known, &["CN"], "10.1.1.1"), []);
    assert_eq!(statuses(&known, &[], "203.0.113.7"), []);
    assert_eq!(
        statuses(&Rc::new(Env::default()), &["CN"], "203.0.113.7"),
        []
    );
}
