//! Each function scripts may call, called from Lua: every file of `tests/lua/` is a test, named by the section of
//! the plugin contract it checks. `on(name, f)` runs `f` as a hook of one of the flows below would.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flowreeve::flow::key::FlowKey;
use flowreeve::flow::{Counters, Flow, L7, flag, tcp};
use flowreeve::geo::Geo;
use flowreeve::l7::{Fact, Facts, Proto};
use flowreeve::script::current::{Current, Slot};
use flowreeve::script::env::{Charge, Env};
use flowreeve::script::prelude;
use flowreeve::time::{Micros, Now};
use mlua::{Function, Lua, LuaString, Table, Value};

#[path = "support/mmdb.rs"]
mod mmdb;

/// Wall clock of every event: 2020-10-12 00:00:10 UTC; the engine has run for an hour.
const NOW: Now = Now {
    mono: Micros::from_secs(3_610),
    wall: Micros::from_secs(1_602_460_810),
};

#[test]
fn every_file_of_assertions_holds() {
    let mut failures = Vec::new();
    let files = lua_files();

    for file in &files {
        if let Err(error) = run(file) {
            failures.push(format!("{}: {error}", file.display()));
        }
    }

    assert!(files.len() > 20, "tests/lua/ was not found");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_function_scripts_have_is_called_by_a_test() {
    let bare = Lua::new();
    let (lua, _) = state();
    let sources: String = lua_files()
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("a test"))
        .collect();

    let mut names = BTreeSet::new();
    for table in ["flow", "ntop", "interface", "table", "string"] {
        let own: Table = lua.globals().get(table).expect("a table scripts have");
        let standard: Option<Table> = bare.globals().get(table).expect("a table or nil");
        for (name, _) in own.pairs::<String, Function>().flatten() {
            if !standard
                .as_ref()
                .is_some_and(|known| known.contains_key(&*name).expect("a text key"))
            {
                names.insert(format!("{table}.{name}("));
            }
        }
    }
    for (name, value) in lua.globals().pairs::<String, Value>().flatten() {
        let ours = !bare.globals().contains_key(&*name).expect("a text key");
        // What `run` itself adds is not scripts'.
        if ours && value.is_function() && !["on", "eq", "fails"].contains(&&*name) {
            names.insert(format!("{name}("));
        }
    }

    let missing: Vec<_> = names
        .iter()
        .filter(|name| !sources.contains(&***name))
        .collect();
    assert!(
        names.len() > 200,
        "only {} functions were found",
        names.len()
    );
    assert!(missing.is_empty(), "no test calls {missing:?}");
}

#[test]
fn a_stashed_table_never_shows_another_flow() {
    let (lua, current) = state();
    let get: Function = lua
        .load("return flow.getInfo()")
        .into_function()
        .expect("a chunk");

    enter(&current, "http");
    let first: Table = get.call(()).expect("a hook is running");
    enter(&current, "dns");
    let second: Table = get.call(()).expect("a hook is running");

    let ndpi = |info: &Table| {
        info.get::<String>("proto.ndpi")
            .expect("a key that is always there")
    };
    assert_eq!(
        (ndpi(&first), ndpi(&second)),
        ("HTTP".to_owned(), "DNS".to_owned())
    );
}

#[test]
fn dear_calls_are_paid_for() {
    let (lua, current) = state();
    let left = Rc::new(Cell::new(20_000u64));
    let purse = Rc::clone(&left);
    lua.set_app_data(Charge(Box::new(move |units| {
        let rest = purse.get().checked_sub(units);
        purse.set(rest.unwrap_or(0));
        rest.map(|_| ())
            .ok_or_else(|| mlua::Error::runtime("spent"))
    })));
    enter(&current, "http");

    for chunk in [
        "flow.getFullInfo()",
        "ntop.md5(('x'):rep(10000))",
        "require('dkjson').encode(('x'):rep(10000))",
        "require('dkjson').decode('\"' .. ('x'):rep(10000) .. '\"')",
        "for i = 1, 100 do ntop.setHashCache('h', i, 'v') end ntop.getHashAllCache('h')",
    ] {
        left.set(20_000);
        lua.load(chunk)
            .exec()
            .expect("20000 units are enough for once");
        assert!(left.get() < 20_000, "{chunk}");
        let ended = lua.load(format!("while true do {chunk} end")).exec();
        assert!(
            ended.is_err_and(|error| error.to_string().contains("spent")),
            "{chunk}"
        );
    }
}

#[test]
fn the_same_flow_with_more_packets_gives_new_counters() {
    let (lua, current) = state();
    let packets = || -> i64 {
        lua.load("return flow.getInfo()['cli2srv.packets']")
            .eval()
            .expect("a hook is running")
    };
    enter(&current, "udp");
    let before = packets();

    current.borrow_mut().flow.counters[0].packets += 1;

    assert_eq!(packets(), before + 1);
}

fn lua_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("tests/lua/ is there")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .collect();
    files.sort();
    files
}

/// A state as flow scripts have it, `require` included.
fn state() -> (Lua, Current) {
    let thread = std::thread::current().id();
    let name = format!("flowreeve-lua-{}-{thread:?}.mmdb", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, mmdb::sample()).expect("the temporary folder can be written");
    let geo = Geo::open(&[&file], 1 << 20).expect("our own database opens");
    std::fs::remove_file(&file).expect("it was written above");
    let env = Rc::new(Env {
        local_networks: ["10.0.0.0/24", "2001:db8::/64"]
            .iter()
            .filter_map(|net| net.parse().ok())
            .collect(),
        blacklisted_networks: vec!["198.51.100.0/24".parse().expect("a network")],
        geo: Some(geo),
        interface_name: "br-lan".to_owned(),
        install_dir: "/usr/share/flowreeve".to_owned(),
        working_dir: "/var/run/flowreeve".to_owned(),
        ..Env::default()
    });
    let lua = Lua::new();
    let current = Current::default();
    current.borrow_mut().now = NOW;
    let modules = prelude::install(&lua, &current, &env).expect("the prelude installs");
    let package: Table = lua.globals().get("package").expect("a standard library");
    let loaded: Table = package.get("loaded").expect("a standard table");
    for (name, module) in modules {
        loaded.set(name, module).expect("a table takes a value");
    }
    (lua, current)
}

fn enter(current: &Current, name: &str) {
    let (flow, facts) = fixture(name);
    let mut slot = current.borrow_mut();
    *slot = Slot {
        active: true,
        flow,
        now: NOW,
        script: 3,
        ..Slot::default()
    };
    slot.detail.facts = facts;
}

fn run(file: &Path) -> mlua::Result<()> {
    let (lua, current) = state();
    let globals = lua.globals();

    let output: Rc<RefCell<String>> = Rc::default();
    let written = Rc::clone(&output);
    let io: Table = globals.get("io")?;
    io.set(
        "write",
        lua.create_function(move |_, texts: mlua::Variadic<LuaString>| {
            written
                .borrow_mut()
                .extend(texts.iter().map(LuaString::to_string_lossy));
            Ok(())
        })?,
    )?;

    let test = lua.create_table()?;
    test.set(
        "output",
        lua.create_function(move |_, ()| Ok(output.take()))?,
    )?;
    let slot = Rc::clone(&current);
    test.set(
        "candidate",
        lua.create_function(move |lua, ()| candidate(lua, &slot))?,
    )?;
    let slot = Rc::clone(&current);
    test.set(
        "host_scores",
        lua.create_function(move |_, ()| Ok(slot.borrow().detail.statuses.host_scores.to_vec()))?,
    )?;
    let slot = Rc::clone(&current);
    test.set(
        "next_event",
        lua.create_function(move |_, ()| {
            let slot = &mut *slot.borrow_mut();
            slot.detail.statuses.begin_event();
            if let Some(best) = slot.candidate.take() {
                slot.detail.statuses.alerted = best.status;
                slot.detail.statuses.alerted_score = best.score.clamp(0, 1024) as u16;
            }
            Ok(())
        })?,
    )?;
    let slot = Rc::clone(&current);
    test.set(
        "later",
        lua.create_function(move |_, seconds: u64| {
            let now = &mut slot.borrow_mut().now;
            now.mono = now.mono + Micros::from_secs(seconds);
            Ok(())
        })?,
    )?;
    globals.set("test", test)?;

    let slot = Rc::clone(&current);
    globals.set(
        "on",
        lua.create_function(move |_, (name, hook): (String, Function)| {
            enter(&slot, &name);
            let answer = hook.call::<()>(());
            slot.borrow_mut().active = false;
            answer
        })?,
    )?;
    lua.load(HELPERS).set_name("=helpers").exec()?;
    lua.load(std::fs::read_to_string(file)?)
        .set_name(format!("={}", file.file_name().expect("a file").display()))
        .exec()
}

fn candidate(lua: &Lua, current: &Current) -> mlua::Result<Option<Table>> {
    let slot = current.borrow();
    let Some(candidate) = &slot.candidate else {
        return Ok(None);
    };
    let table = lua.create_table()?;
    table.set("status", candidate.status)?;
    table.set("score", candidate.score)?;
    table.set("script", candidate.script)?;
    table.set("info", candidate.info.clone())?;
    Ok(Some(table))
}

/// `eq` compares deeply and tells integers from floats; `fails` wants an error that says `part`.
const HELPERS: &str = r#"
local function show(v)
  if type(v) ~= "table" then return (math.type(v) or type(v)) .. " " .. tostring(v) end
  local parts = {}
  for k, x in pairs(v) do parts[#parts + 1] = tostring(k) .. "=" .. show(x) end
  table.sort(parts)
  return "{" .. table.concat(parts, ", ") .. "}"
end
function eq(actual, expected)
  if show(actual) ~= show(expected) then
    error("got " .. show(actual) .. ", expected " .. show(expected), 2)
  end
end
function fails(f, part)
  local ok, message = pcall(f)
  if ok then error("no error", 2) end
  if not tostring(message):find(part, 1, true) then error("other error: " .. tostring(message), 2) end
end
"#;

/// The flows: `http`, `http_request` (no answer yet), `dns`, `dns_query`, `tls`, `quic`, `udp` (bare), `icmp`,
/// `refused`, `broadcast`, `blacklisted`, `v6`.
fn fixture(name: &str) -> (Flow, Facts) {
    let client = |port| (IpAddr::from([10, 0, 0, 2]), port);
    let server = |port| (IpAddr::from([203, 0, 113, 7]), port);
    let mut facts = Facts::default();
    let mut flow = match name {
        "http" | "http_request" => conversation(client(40_000), server(80), 6, Proto::HTTP),
        "dns" | "dns_query" => conversation(
            client(5353),
            (IpAddr::from([10, 0, 0, 1]), 53),
            17,
            Proto::DNS,
        ),
        "tls" => conversation(client(40_001), server(443), 6, Proto::TLS),
        "quic" => conversation(client(40_002), server(443), 17, Proto::QUIC),
        "udp" => conversation(client(40_003), server(9999), 17, Proto::UNKNOWN),
        "icmp" => conversation(client(0), server(0), 1, Proto::ICMP),
        "refused" => conversation(client(40_004), server(81), 6, Proto::UNKNOWN),
        "broadcast" => conversation(
            (IpAddr::from([0, 0, 0, 0]), 68),
            (IpAddr::from([10, 0, 0, 255]), 67),
            17,
            Proto::DHCP,
        ),
        "blacklisted" => conversation(
            server(5000),
            (IpAddr::from([198, 51, 100, 1]), 6000),
            6,
            Proto::UNKNOWN,
        ),
        "v6" => conversation(
            ("2001:db8::2".parse().expect("an address"), 1),
            ("2001:db9::1".parse().expect("an address"), 2),
            6,
            Proto::UNKNOWN,
        ),
        other => panic!("no flow is called {other}"),
    };
    match name {
        "http" | "http_request" => {
            facts.set(Fact::HttpMethod, b"GET");
            facts.set(Fact::HttpHost, b"example.org:8080");
            facts.set(Fact::HttpPath, b"/a/b.exe?x=\xff1");
            facts.set(Fact::HttpUserAgent, b"curl/8");
        }
        "dns" | "dns_query" => {
            facts.set(Fact::DnsQuery, b"example.org");
            facts.set_number(Fact::DnsType, 28);
        }
        "tls" | "quic" => {
            facts.set(Fact::TlsServerName, b"www.example.net");
            facts.set(Fact::TlsAlpn, b"h2,http/1.1");
            facts.set_number(Fact::TlsVersion, 771);
            facts.set(Fact::TlsSupportedVersions, b"TLSv1.3,TLSv1.2");
            facts.set(Fact::Ja3, b"0123456789abcdef0123456789abcdef");
            facts.set(Fact::Ja4, b"t13d1516h2_8daaf6152771_02713d6af862");
        }
        "icmp" => flow.icmp = [8, 0],
        "refused" => {
            flow.tcp = tcp::State::Closed;
            flow.tcp_flags = [0x02, 0x14];
            flow.flags &= !flag::HANDSHAKE;
        }
        _ => {}
    }
    match name {
        "http" => {
            facts.set_number(Fact::HttpStatus, 200);
            facts.set(Fact::HttpServer, b"nginx");
        }
        "dns" => {
            facts.set_number(Fact::DnsCode, 3);
            facts.set_number(Fact::DnsInvalidChars, 1);
        }
        "tls" => {
            facts.set(Fact::Ja3s, b"fedcba9876543210fedcba9876543210");
            facts.set_number(Fact::TlsCipher, 0xc014);
            facts.set(Fact::TlsIssuer, b"CN=Example CA");
            facts.set(Fact::TlsSubject, b"CN=*.example.org");
            facts.set(Fact::TlsNames, b"*.example.org");
            facts.set_number(Fact::TlsNotBefore, 1_500_000_000);
            facts.set_number(Fact::TlsNotAfter, 1_600_000_000);
            flow.l7.app = Proto::by_name("Google").expect("a protocol of the table");
        }
        "udp" | "dns_query" | "http_request" | "broadcast" => {
            flow.counters[1] = Counters::default()
        }
        _ => {}
    }
    (flow, facts)
}

fn conversation(client: (IpAddr, u16), server: (IpAddr, u16), proto: u8, l7: Proto) -> Flow {
    let (key, client_is_low) = FlowKey::new(client, server, proto, 0);
    let mut flags = flag::HAS_MAC;
    flags |= if client_is_low {
        flag::CLIENT_IS_LOW
    } else {
        0
    };
    flags |= if proto == 6 { flag::HANDSHAKE } else { 0 };
    Flow {
        key,
        id: 7,
        first_seen: Micros::from_secs(3_600),
        last_seen: Micros::from_millis(3_605_900),
        counters: [
            Counters {
                bytes: 1_200,
                payload: 600,
                packets: 12,
                ..Counters::default()
            },
            Counters {
                bytes: 2_400,
                payload: 1_200,
                packets: 10,
                ..Counters::default()
            },
        ],
        flags,
        retransmitted: if proto == 6 { [3, 1] } else { [0, 0] },
        out_of_order: if proto == 6 { [2, 0] } else { [0, 0] },
        l7: L7 {
            master: l7,
            app: l7,
            guessed: false,
        },
        tcp: if proto == 6 {
            tcp::State::Open
        } else {
            tcp::State::Unknown
        },
        client_mac: [2, 0, 0, 0, 0xab, 1],
        ..Flow::default()
    }
}
