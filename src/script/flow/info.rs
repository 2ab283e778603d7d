//! `flow.getInfo()`: a fresh table a call, made of values found out once an event.
//!
//! Several scripts of one event take this table, and each may change or keep its own. The values are kept on
//! the Lua side and the table is made by a constructor there, which costs a fraction of setting its fields
//! from outside; this side only says whether the values still hold.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, IntoLua, MultiValue};

use super::view::{Peer, View};
use super::{Answer, Api};
use crate::flow::key::FlowKey;
use crate::flow::{Counters, Flow, L7};
use crate::l7::Facts;
use crate::script::current::Slot;
use crate::time::Micros;

/// All the values depend on.
#[derive(PartialEq)]
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
}

pub fn install(api: &Api) -> mlua::Result<()> {
    let seen: Rc<RefCell<Option<Seen>>> = Rc::default();

    let (current, known) = (Rc::clone(api.current), Rc::clone(&seen));
    let still_holds = api.lua.create_function(move |_, ()| {
        let slot = current.borrow();
        let holds = || {
            known
                .borrow()
                .as_ref()
                .is_some_and(|seen| *seen == Seen::of(&slot))
        };
        Ok(Answer(slot.active.then(holds)))
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

    let get_info: Function = api
        .lua
        .load(include_str!("../lua/flow_info.lua"))
        .set_name("=flow_info")
        .set_mode(ChunkMode::Text)
        .call((still_holds, values))?;
    api.table.raw_set("getInfo", get_info)?;
    api.get("getFlowInfoField", |v| v.text(v.info()))
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
