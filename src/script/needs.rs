//! What a script's text asks of us by name, so that a report can say what is not here before it is missed.

use std::collections::BTreeMap;

use mlua::Table;

use crate::script::catalog::Need;
use crate::script::sandbox::Sandbox;
use crate::script::spelling;

/// What a script asks of us by name: functions of our tables, and modules.
pub(super) fn needs(sandbox: &Sandbox, text: &str) -> Vec<Need> {
    let code = without_comments(text);
    let globals = sandbox.lua().globals();
    let mut needs = BTreeMap::new();
    for table in ["flow", "ntop", "interface"] {
        let api: Option<Table> = globals.raw_get(table).ok();
        for name in spelling::members(&code, table) {
            let have = api
                .as_ref()
                .is_some_and(|api| api.contains_key(name).unwrap_or(false));
            needs.insert(format!("{table}.{name}"), have);
        }
    }
    for (at, found) in code.match_indices("require") {
        let rest = code[at + found.len()..].trim_start_matches([' ', '(', '\t']);
        if let Some(quote) = rest.chars().next().filter(|c| "\"'".contains(*c))
            && let Some((name, _)) = rest[1..].split_once(quote)
        {
            needs.insert(format!("require {name}"), sandbox.has_module(name));
        }
    }
    needs
        .into_iter()
        .map(|(name, have)| Need { name, have })
        .collect()
}

/// Lua text without `--` comments to the end of the line, and long ones. Good enough to look for names.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("--") {
        out.push_str(before);
        rest = match after.strip_prefix("[[") {
            Some(long) => long.split_once("]]").map_or("", |(_, rest)| rest),
            None => after.find('\n').map_or("", |end| &after[end..]),
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_do_not_count_as_needs() {
        let code = without_comments("a() -- flow.x()\nb() --[[ flow.y()\n ]] c()");

        assert_eq!(code, "a() \nb()  c()");
    }
}
