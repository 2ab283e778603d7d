//! Statuses, scores and alerts a script gives a flow: plugin contract 6.1 to 6.3, 8.4, and `triggerAlert` of
//! 14.2. The arithmetic is `score.rs`; which candidate becomes an alert is decided at the end of the event.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::Api;
use crate::l7::Fact;
use crate::score::MAX_SCORE;
use crate::script::current::{Candidate, Slot};

/// Status key of `flow.triggerAlert(score, message)`: of no ntopng status, below the user's five.
pub const CUSTOM_SCRIPT_STATUS: u8 = 58;
/// Alert key of the same: what ntopng 5.x calls `flow_alert_custom_lua_script`.
pub const CUSTOM_SCRIPT_ALERT: u32 = 87;
/// Severity of that alert, and of a 3.9 call that names no definition: "error".
const ERROR_SEVERITY: u8 = 5;

pub fn install(api: &Api) -> mlua::Result<()> {
    changes(api)?;
    answers(api)?;
    api.act("triggerAlert", AlertCall::read, |slot, call| {
        call.apply(slot)
    })
}

fn changes(api: &Api) -> mlua::Result<()> {
    api.act("triggerStatus", read_trigger, |slot, (scores, info)| {
        set(slot, &scores, Some(info));
        None::<bool>
    })?;
    api.act(
        "setStatus",
        |lua, arguments| {
            let key = status_key(arguments.front(), "setStatus")?;
            Scores::read(lua, key, &arguments, 1, "setStatus")
        },
        |slot, scores| {
            set(slot, &scores, None);
            None::<bool>
        },
    )?;
    api.act(
        "clearStatus",
        |_, arguments| status_key(arguments.front(), "clearStatus"),
        |slot, key| {
            slot.detail.statuses.clear(key);
            None::<bool>
        },
    )?;
    api.act(
        "setCustomInfo",
        |lua, arguments| text(lua, arguments.front(), "setCustomInfo"),
        |slot, text| {
            slot.detail
                .facts
                .replace(Fact::CustomInfo, &text.as_bytes());
            Some(true)
        },
    )
}

fn answers(api: &Api) -> mlua::Result<()> {
    api.act(
        "isStatusSet",
        |_, arguments| status_key(arguments.front(), "isStatusSet"),
        |slot, key| Some(slot.detail.statuses.map() >> key & 1 == 1),
    )?;
    // Bit 63 makes the Lua integer negative, as in ntopng.
    api.get("getStatus", |v| Ok(v.slot.detail.statuses.map() as i64))?;
    api.get("getAlertedStatus", |v| Ok(v.slot.detail.statuses.alerted))?;
    api.get("getAlertedStatusScore", |v| {
        Ok(v.slot.detail.statuses.alerted_score)
    })?;
    api.get("isAlerted", |v| Ok(v.slot.detail.statuses.alerted != 0))?;
    api.get("getPredominantStatus", |v| {
        Ok(v.slot
            .detail
            .statuses
            .predominant()
            .map_or(0, |status| status.key))
    })?;
    api.get("getScore", |v| Ok(total(v.slot)))?;
    api.get("getScoreInfo", |v| {
        let info = v.lua.create_table()?;
        info.raw_set("status_map", v.slot.detail.statuses.map() as i64)?;
        info.raw_set("score", total(v.slot))?;
        info.raw_set("status_info", "")?;
        Ok(info)
    })
}

/// The verdict score so far.
pub fn total(slot: &Slot) -> u16 {
    slot.detail.statuses.total(slot.score_mode)
}

/// A status and the three scores given with it, as passed.
struct Scores {
    key: u8,
    flow: i64,
    hosts: [i64; 2],
}

impl Scores {
    /// Flow, client and server score from the argument at `at` on.
    fn read(
        lua: &Lua,
        key: u8,
        arguments: &MultiValue,
        at: usize,
        function: &str,
    ) -> mlua::Result<Scores> {
        let score = |at: usize| integer(lua, arguments.get(at), at, function);
        Ok(Scores {
            key,
            flow: score(at)?,
            hosts: [score(at + 1)?, score(at + 2)?],
        })
    }
}

/// Sets the status and, with `info`, remembers the candidate for the event's alert. Status 0 ("normal")
/// cannot be set: the call is ignored, scores included.
fn set(slot: &mut Slot, scores: &Scores, info: Option<Table>) {
    let Slot {
        detail,
        score_mode,
        script,
        candidate,
        ..
    } = slot;
    if scores.key == 0 {
        return;
    }
    let statuses = &mut detail.statuses;
    statuses.set(scores.key, clamped(scores.flow), *script, *score_mode);
    for (host, score) in statuses.host_scores.iter_mut().zip(scores.hosts) {
        *host = host.saturating_add(clamped(score));
    }
    let Some(info) = info else {
        return;
    };
    let better = candidate.as_ref().is_none_or(|best| {
        scores.flow > best.score || (scores.flow == best.score && scores.key < best.status)
    });
    if better {
        *candidate = Some(Candidate {
            status: scores.key,
            score: scores.flow,
            script: *script,
            info,
        });
    }
}

fn clamped(score: i64) -> u16 {
    score.clamp(0, i64::from(MAX_SCORE)) as u16
}

/// `triggerStatus` of either dialect: `(info, flow, cli, srv)` as in 4.2, or
/// `(status_type, status_info, flow, cli, srv [, severity])` as in 3.9 and 4.0.
fn read_trigger(lua: &Lua, arguments: MultiValue) -> mlua::Result<(Scores, Table)> {
    const NAME: &str = "triggerStatus";
    let first = arguments.front().unwrap_or(&Value::Nil);
    let second = arguments.get(1).unwrap_or(&Value::Nil);
    let status_type = match first {
        Value::Table(info) => info.get::<Value>("status_type")?,
        _ => Value::Nil,
    };
    let second_is_info = match second {
        Value::Table(_) => true,
        Value::String(_) => lua.coerce_number(second.clone())?.is_none(),
        _ => false,
    };
    match (first, status_type) {
        (Value::Table(info), status_type) if !status_type.is_nil() && !second_is_info => {
            let key = status_key(Some(&status_type), NAME)?;
            let scores = Scores::read(lua, key, &arguments, 1, NAME)?;
            Ok((scores, info.clone()))
        }
        (first, status_type) => {
            let definition = if status_type.is_nil() {
                first.clone()
            } else {
                status_type
            };
            let key = status_key(Some(&definition), NAME)?;
            let scores = Scores::read(lua, key, &arguments, 2, NAME)?;
            let definition = match definition {
                Value::Table(table) => table,
                _ => {
                    let table = lua.create_table()?;
                    table.raw_set("status_key", key)?;
                    table
                }
            };
            let info = lua.create_table()?;
            info.raw_set("alert_type", definition.get::<Value>("alert_type")?)?;
            info.raw_set("alert_severity", arguments.get(5).cloned())?;
            info.raw_set("alert_type_params", second.clone())?;
            info.raw_set("status_type", definition)?;
            Ok((scores, info))
        }
    }
}

/// The two forms of `triggerAlert`.
enum AlertCall {
    /// A custom script's `(score, message)`, and the record its alert is made of.
    Custom(Scores, Table),
    /// The driver's six arguments, and their last one, which is given back.
    Driver(Scores, Table, Table),
}

impl AlertCall {
    fn read(lua: &Lua, arguments: MultiValue) -> mlua::Result<AlertCall> {
        const NAME: &str = "triggerAlert";
        if arguments.len() > 2 {
            let key = status_key(arguments.front(), NAME)?;
            let alert = integer(lua, arguments.get(1), 1, NAME)?;
            let severity = integer(lua, arguments.get(2), 2, NAME)?;
            let flow = integer(lua, arguments.get(3), 3, NAME)?;
            let params = arguments.get(5).cloned().unwrap_or(Value::Nil);
            let answer = lua.create_table()?;
            answer.raw_set("alert_json", params.clone())?;
            let info = record(lua, key, alert, severity, params)?;
            return Ok(AlertCall::Driver(
                Scores {
                    key,
                    flow,
                    hosts: [0, 0],
                },
                info,
                answer,
            ));
        }
        let flow = integer(lua, arguments.front(), 0, NAME)?;
        let params = lua.create_table()?;
        params.raw_set("alert.message", text(lua, arguments.get(1), NAME)?)?;
        let alert = i64::from(CUSTOM_SCRIPT_ALERT);
        let severity = i64::from(ERROR_SEVERITY);
        let info = record(
            lua,
            CUSTOM_SCRIPT_STATUS,
            alert,
            severity,
            Value::Table(params),
        )?;
        let scores = Scores {
            key: CUSTOM_SCRIPT_STATUS,
            flow,
            hosts: [0, 0],
        };
        Ok(AlertCall::Custom(scores, info))
    }

    fn apply(self, slot: &mut Slot) -> Option<Table> {
        match self {
            // Sticky: a second call for the same flow changes nothing.
            AlertCall::Custom(scores, info) => {
                if slot.detail.statuses.map() >> scores.key & 1 == 0 {
                    set(slot, &scores, Some(info));
                }
                None
            }
            AlertCall::Driver(scores, info, answer) => {
                let alerted = i64::from(slot.detail.statuses.alerted_score);
                let triggered = scores.key != 0 && scores.flow > alerted;
                set(slot, &scores, Some(info));
                // A table fresh from `read`, with room for one more key at worst: this cannot fail but for
                // want of memory, and then the script has lost its answer only.
                let _ = answer.raw_set("triggered", triggered);
                Some(answer)
            }
        }
    }
}

/// What `create` would have made, for calls that name numbers instead of definitions.
fn record(lua: &Lua, key: u8, alert: i64, severity: i64, params: Value) -> mlua::Result<Table> {
    let severity_object = lua.create_table()?;
    severity_object.raw_set("severity_id", severity)?;
    let alert_type = lua.create_table()?;
    alert_type.raw_set("alert_key", alert)?;
    let status_type = lua.create_table()?;
    status_type.raw_set("status_key", key)?;
    status_type.raw_set("alert_type", alert_type.clone())?;
    status_type.raw_set("alert_severity", severity_object.clone())?;
    if key == CUSTOM_SCRIPT_STATUS {
        status_type.raw_set("i18n_title", "Custom script")?;
        alert_type.raw_set("i18n_title", "Custom script")?;
    }
    let info = lua.create_table()?;
    info.raw_set("status_type", status_type)?;
    info.raw_set("alert_type", alert_type)?;
    info.raw_set("alert_severity", severity_object)?;
    info.raw_set("alert_type_params", params)?;
    Ok(info)
}

/// The key of a status given as a number, as its definition, or as what `create` made of it.
fn status_key(value: Option<&Value>, function: &str) -> mlua::Result<u8> {
    let wrong = |found: &str| {
        mlua::Error::runtime(format!(
            "bad argument #1 to '{function}' (flow status expected, got {found})"
        ))
    };
    let key = match value {
        Some(Value::Table(table)) => match table.get::<Value>("status_type")? {
            Value::Table(status_type) => status_type.get::<Value>("status_key")?,
            Value::Nil => table.get("status_key")?,
            key => key,
        },
        Some(number @ (Value::Integer(_) | Value::Number(_))) => number.clone(),
        Some(other) => return Err(wrong(other.type_name())),
        None => return Err(wrong("no value")),
    };
    let key = match key {
        Value::Integer(key) => key,
        Value::Number(key) if key.fract() == 0.0 => key as i64,
        _ => return Err(wrong("a table without status_key")),
    };
    match u8::try_from(key) {
        Ok(key) if key < 64 => Ok(key),
        _ => Err(wrong(&format!("{key}, which is not within 0 and 63"))),
    }
}

/// An argument as a whole number: nil is 0, fractions are cut off.
fn integer(lua: &Lua, value: Option<&Value>, at: usize, function: &str) -> mlua::Result<i64> {
    match value {
        None | Some(Value::Nil) => Ok(0),
        Some(Value::Integer(number)) => Ok(*number),
        Some(value) => lua
            .coerce_number(value.clone())?
            .map(|number| number as i64) // saturates; not a number is 0
            .ok_or_else(|| expected("number", Some(value), at, function)),
    }
}

fn text(lua: &Lua, value: Option<&Value>, function: &str) -> mlua::Result<LuaString> {
    let given = value.cloned().unwrap_or(Value::Nil);
    lua.coerce_string(given)?
        .ok_or_else(|| expected("string", value, 0, function))
}

fn expected(what: &str, value: Option<&Value>, at: usize, function: &str) -> mlua::Error {
    let found = value.map_or("no value", Value::type_name);
    mlua::Error::runtime(format!(
        "bad argument #{} to '{function}' ({what} expected, got {found})",
        at + 1
    ))
}
