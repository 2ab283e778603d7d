//! `flow.getInfo()`, and what else gives a fresh table a call, made of values found out once an event.
//!
//! Several scripts of one event take this table, and each may change or keep its own. The values are kept on
//! the Lua side and the table is made by a constructor there, which costs a fraction of setting its fields
//! from outside; this side only says whether the values still hold.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, IntoLua, MultiValue};

use super::Api;
use super::view::{Peer, View};
use crate::flow::key::FlowKey;
use crate::flow::{Counters, Flow, L7};
use crate::l7::Facts;
use crate::script::current::Slot;
use crate::time::Micros;

/// All the values depend on.
struct Seen {
    key: FlowKey,
    id: u64,
    flags: u16,
    first_seen: Micros,
    last_seen: Micros,
    counters: [Counters; 2],
    l7: L7,
    facts: Facts,
}

impl Seen {
    fn of(slot: &Slot) -> Seen {
        let Flow {
            key,
            id,
            flags,
            first_seen,
            last_seen,
            counters,
            l7,
            ..
        } = slot.flow;
        let facts = slot.detail.facts;
        Seen {
            key,
            id,
            flags,
            first_seen,
            last_seen,
            counters,
            l7,
            facts,
        }
    }

    /// Whether it is `slot`'s still; field by field, since this is asked at every call.
    fn holds(&self, slot: &Slot) -> bool {
        let Seen {
            key,
            id,
            flags,
            first_seen,
            last_seen,
            counters,
            l7,
            facts,
        } = self;
        let flow = &slot.flow;
        *id == flow.id
            && *last_seen == flow.last_seen
            && *first_seen == flow.first_seen
            && *flags == flow.flags
            && *l7 == flow.l7
            && *counters == flow.counters
            && *key == flow.key
            && *facts == slot.detail.facts
    }
}

pub fn install(api: &Api) -> mlua::Result<()> {
    keep(api, "getInfo", include_str!("../lua/flow_info.lua"), values)?;
    api.get("getFlowInfoField", |v| v.text(v.info()))
}

/// Makes the function `name`: `constructor` is Lua text that takes two functions, one that says whether what it
/// has still holds (nothing without a flow), and one that gives the values anew.
pub fn keep(
    api: &Api,
    name: &str,
    constructor: &str,
    values: fn(&View) -> mlua::Result<MultiValue>,
) -> mlua::Result<()> {
    let seen: Rc<RefCell<Option<Seen>>> = Rc::default();

    let (current, known) = (Rc::clone(api.current), Rc::clone(&seen));
    let still_holds = api.lua.create_function(move |_, ()| {
        let slot = current.borrow();
        let holds = || {
            known
                .borrow()
                .as_ref()
                .is_some_and(|seen| seen.holds(&slot))
        };
        Ok(slot.active.then(holds)) // nil for none: Lua text asks, no script
    })?;

    let (current, env) = (Rc::clone(api.current), Rc::clone(api.env));
    let values = api.lua.create_function(move |lua, ()| {
        let slot = current.borrow();
        let found = values(&View {
            lua,
            slot: &slot,
            env: &env,
        })?;
        *seen.borrow_mut() = Some(Seen::of(&slot));
        Ok(found)
    })?;

    let made: Function = api
        .lua
        .load(constructor)
        .set_name(format!("={name}"))
        .set_mode(ChunkMode::Text)
        .call((still_holds, values))?;
    api.table.raw_set(name, made)
}

/// The values in the order `flow_info.lua` takes them.
fn values(v: &View) -> mlua::Result<MultiValue> {
    let l7 = v.flow().l7;
    let (client, server) = (v.sent(Peer::Client), v.sent(Peer::Server));
    [
        v.text(v.address_text(Peer::Client))?.into_lua(v.lua),
        v.text(v.address_text(Peer::Server))?.into_lua(v.lua),
        v.port(Peer::Client).into_lua(v.lua),
        v.port(Peer::Server).into_lua(v.lua),
        v.is_local(Peer::Client).into_lua(v.lua),
        v.is_local(Peer::Server).into_lua(v.lua),
        v.duration_secs().into_lua(v.lua),
        v.l4_text().as_str().into_lua(v.lua),
        l7.name().as_str().into_lua(v.lua),
        l7.most_specific().name().into_lua(v.lua),
        l7.category().name().into_lua(v.lua),
        l7.category().0.into_lua(v.lua),
        l7.most_specific().breed().name().into_lua(v.lua),
        client.bytes.into_lua(v.lua),
        server.bytes.into_lua(v.lua),
        client.packets.into_lua(v.lua),
        server.packets.into_lua(v.lua),
        v.text(v.info())?.into_lua(v.lua),
    ]
    .into_iter()
    .collect()
}
