//! What every script finds without asking, and the modules it may `require`: our own, in `lua/`.
//!
//! What this leaves to others: `i18n`, and the modules of definitions and configuration (the loader's);
//! `require` itself and the limits (the sandbox's).

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{IntoLuaMulti, Lua, Table, Value};

use crate::script::current::Current;
use crate::script::env::Env;
use crate::script::{flow, interface, json, ntop};

/// i18n keys of the risks of [`flow::RISKS`], in that order, without `flow_risk.ndpi_`.
const RISK_NAMES: &[&str] = &[
    "url_possible_xss",
    "url_possible_sql_injection",
    "url_possible_rce_injection",
    "binary_application_transfer",
    "known_protocol_on_non_standard_port",
    "tls_selfsigned_certificate",
    "tls_obsolete_version",
    "tls_weak_cipher",
    "tls_certificate_expired",
    "tls_certificate_mismatch",
    "http_suspicious_user_agent",
    "http_numeric_ip_host",
    "http_suspicious_url",
    "http_suspicious_header",
    "tls_not_carrying_https",
    "suspicious_dga_domain",
    "malformed_packet",
    "ssh_obsolete_client_version_or_cipher",
    "ssh_obsolete_server_version_or_cipher",
    "smb_insecure_version",
    "tls_suspicious_esni_usage",
    "unsafe_protocol",
    "dns_suspicious_traffic",
    "tls_missing_sni",
];

const _: () = assert!(RISK_NAMES.len() == flow::RISKS.len());

/// A module `require` answers with: its name and value.
pub type Module = (&'static str, Value);

/// Makes the globals `flow`, `ntop`, `interface` and those of `lua_utils` in a state for flow scripts, and
/// gives the modules. `string`, `table`, `math`, `io.write` and `os.date` must be there, and still
/// writable: `table.len` and its like are added to them.
pub fn install(lua: &Lua, current: &Current, env: &Rc<Env>) -> mlua::Result<Vec<Module>> {
    flow::install(lua, current, env)?;
    install_without_flow(lua, current, env)
}

/// As [`install`], for states whose scripts have no flow.
pub fn install_without_flow(
    lua: &Lua,
    current: &Current,
    env: &Rc<Env>,
) -> mlua::Result<Vec<Module>> {
    ntop::install(lua, current, env)?;
    interface::install(lua, env)?;

    let format_utils: Table = run(
        lua,
        "format_utils",
        include_str!("lua/format_utils.lua"),
        (),
    )?;
    run::<()>(
        lua,
        "lua_utils",
        include_str!("lua/lua_utils.lua"),
        &format_utils,
    )?;
    let plugins_utils = run(
        lua,
        "plugins_utils",
        include_str!("lua/plugins_utils.lua"),
        (),
    )?;
    let os_utils = run(lua, "os_utils", include_str!("lua/os_utils.lua"), ())?;
    let ts_utils: Table = run(lua, "ts_utils", include_str!("lua/ts_utils.lua"), ())?;
    let names = lua.create_table()?;
    let texts = lua.create_table()?;
    for ((id, text), name) in flow::RISKS.iter().zip(RISK_NAMES) {
        names.raw_set(*id, *name)?;
        texts.raw_set(*id, *text)?;
    }
    let flow_risk_utils = run(
        lua,
        "flow_risk_utils",
        include_str!("lua/flow_risk_utils.lua"),
        (names, texts),
    )?;
    let json = json::module(lua)?;

    // These only define globals, which are there already.
    let mut modules: Vec<Module> = ["lua_utils", "flow_utils", "ntop_utils", "lua_trace"]
        .map(|name| (name, Value::Boolean(true)))
        .into();
    for (name, module) in [
        ("dkjson", &json),
        ("json", &json),
        ("format_utils", &format_utils),
        ("plugins_utils", &plugins_utils),
        ("os_utils", &os_utils),
        ("ts_utils", &ts_utils),
        ("ts_utils_core", &ts_utils),
        ("flow_risk_utils", &flow_risk_utils),
    ] {
        modules.push((name, Value::Table(module.clone())));
    }
    Ok(modules)
}

fn run<R: mlua::FromLuaMulti>(
    lua: &Lua,
    name: &str,
    source: &str,
    arguments: impl IntoLuaMulti,
) -> mlua::Result<R> {
    lua.load(source)
        .set_name(format!("={name}"))
        .set_mode(ChunkMode::Text)
        .call(arguments)
}
