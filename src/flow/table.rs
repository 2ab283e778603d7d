//! The fixed table of flows: find, add, give up, sweep. Knows nothing of protocols or policy.

use std::hash::BuildHasher;

use foldhash::quality::SeedableRandomState;

use crate::flow::key::FlowKey;
use crate::flow::{Detail, Flow, Stage};

/// Slots a key can be in.
pub const WAYS: usize = 8;

/// The flows we watch. Shape: sets of [`WAYS`] slots; a flow lives only in the set its key hashes to, so
/// finding, adding and giving up look at `WAYS` slots, however full the table is.
///
/// Invariants: the number of sets is a power of two; a tag is 0 where its slot is free and only there.
/// The hash is keyed at start, so a stranger cannot pick ports that crowd one set. At half load one flow
/// in 120 goes early; at three quarters, one in 19.
pub struct FlowTable {
    /// One word of the hash a slot, so that a look-up touches one cache line before it touches a flow.
    tags: Box<[[u32; WAYS]]>,
    flows: Box<[Flow]>,
    details: Box<[Detail]>,
    hasher: SeedableRandomState,
    /// Slots in use.
    used: usize,
}

impl FlowTable {
    /// A table of `slots` flows (rounded up to a power of two, at least one set), resident from
    /// the start. `seed` keys the hash.
    pub fn new(slots: usize, seed: u64) -> Self {
        let sets = slots.div_ceil(WAYS).next_power_of_two();
        FlowTable {
            tags: vec![[0; WAYS]; sets].into_boxed_slice(),
            flows: filled(sets * WAYS),
            details: filled(sets * WAYS),
            hasher: SeedableRandomState::with_seed(seed, foldhash::SharedSeed::global_fixed()),
            used: 0,
        }
    }

    /// How many flows fit.
    pub fn capacity(&self) -> usize {
        self.flows.len()
    }

    /// How many flows are in.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether no flow is in.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The slot of `key`.
    pub fn find(&self, key: &FlowKey) -> Option<usize> {
        let (set, tag) = self.place(key);
        (0..WAYS)
            .map(|way| set * WAYS + way)
            .find(|&slot| self.tags[set][slot % WAYS] == tag && self.flows[slot].key == *key)
    }

    /// The slot a new flow of `key` goes to: a free one, or the one of the flow that matters least
    /// ([`Stage`] lists them in that order), the longest silent among equals. Whoever is in it must be
    /// [`free`](Self::free)d before [`claim`](Self::claim).
    pub fn slot_for(&self, key: &FlowKey) -> usize {
        let (set, _) = self.place(key);
        let first = set * WAYS;
        if let Some(way) = self.tags[set].iter().position(|&tag| tag == 0) {
            return first + way;
        }
        (first..first + WAYS)
            .min_by_key(|&slot| (self.flows[slot].stage, self.flows[slot].last_seen))
            .expect("a set has slots")
    }

    /// Puts `flow` into the free slot that [`slot_for`](Self::slot_for) named.
    pub fn claim(&mut self, slot: usize, flow: Flow) {
        let (set, tag) = self.place(&flow.key);
        debug_assert!(slot / WAYS == set && self.tags[set][slot % WAYS] == 0);
        self.tags[set][slot % WAYS] = tag;
        self.flows[slot] = flow;
        self.details[slot] = Detail::default();
        self.used += 1;
    }

    /// Empties a slot.
    pub fn free(&mut self, slot: usize) {
        if self.flows[slot].in_use() {
            self.flows[slot].stage = Stage::Free;
            self.tags[slot / WAYS][slot % WAYS] = 0;
            self.used -= 1;
        }
    }

    /// The flow in `slot`, in use or not.
    pub fn flow(&self, slot: usize) -> &Flow {
        &self.flows[slot]
    }

    /// The flow in `slot` and what is kept beside it.
    pub fn at(&mut self, slot: usize) -> (&mut Flow, &mut Detail) {
        (&mut self.flows[slot], &mut self.details[slot])
    }

    /// The next slot in use at or after `from` and before `end`.
    pub fn next_used(&self, from: usize, end: usize) -> Option<usize> {
        (from..end.min(self.capacity())).find(|&slot| self.tags[slot / WAYS][slot % WAYS] != 0)
    }

    /// Set and tag of a key. A tag is never 0.
    fn place(&self, key: &FlowKey) -> (usize, u32) {
        let hash = self.hasher.hash_one(key);
        (
            hash as usize & (self.tags.len() - 1),
            (hash >> 32) as u32 | 1,
        )
    }
}

/// A boxed slice of defaults that never stands on the stack. Written at once, so that memory a router does
/// not have is missed at start and not under load.
fn filled<T: Default + Clone>(len: usize) -> Box<[T]> {
    let mut cells = Vec::new();
    cells.resize_with(len, T::default);
    cells.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Micros;
    use std::collections::HashMap;
    use std::net::IpAddr;

    fn key(n: u32) -> FlowKey {
        let client = (IpAddr::from(n.to_be_bytes()), 40_000);
        FlowKey::new(client, (IpAddr::from([192, 0, 2, 1]), 80), 6, 0).0
    }

    fn put(table: &mut FlowTable, flow: Flow) -> Option<FlowKey> {
        let slot = table.slot_for(&flow.key);
        let evicted = table.flow(slot).in_use().then(|| table.flow(slot).key);
        table.free(slot);
        table.claim(slot, flow);
        evicted
    }

    fn flow(n: u32, stage: Stage, seen: u64) -> Flow {
        Flow {
            key: key(n),
            stage,
            last_seen: Micros(seen),
            ..Flow::default()
        }
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_freed() {
        let mut table = FlowTable::new(64, 7);
        put(&mut table, flow(1, Stage::New, 0));

        let slot = table.find(&key(1)).expect("just put in");
        assert_eq!(table.find(&key(2)), None);
        table.free(slot);

        assert_eq!(table.find(&key(1)), None);
        assert!(table.is_empty());
    }

    #[test]
    fn a_full_set_gives_up_the_flow_the_kernel_already_carries() {
        let mut table = FlowTable::new(WAYS, 7);
        for n in 0..WAYS as u32 - 1 {
            put(&mut table, flow(n, Stage::Probing, 1));
        }
        put(&mut table, flow(100, Stage::Decided, 99));

        assert_eq!(put(&mut table, flow(200, Stage::New, 100)), Some(key(100)));
    }

    #[test]
    fn among_equals_the_longest_silent_goes() {
        let mut table = FlowTable::new(WAYS, 7);
        for n in 0..WAYS as u32 {
            put(&mut table, flow(n, Stage::New, u64::from(50 - n)));
        }

        assert_eq!(
            put(&mut table, flow(200, Stage::New, 100)),
            Some(key(WAYS as u32 - 1))
        );
    }

    #[test]
    fn no_live_flow_is_lost_without_being_evicted() {
        let mut table = FlowTable::new(512, 7);
        let mut model: HashMap<FlowKey, ()> = HashMap::new();
        let mut random = 12_345u64;

        for step in 0..200_000u64 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let n = (random >> 33) as u32 % 2_000;
            match (random >> 20) % 3 {
                0 => {
                    if let Some(slot) = table.find(&key(n)) {
                        table.free(slot);
                    }
                    model.remove(&key(n));
                }
                _ if table.find(&key(n)).is_none() => {
                    if let Some(evicted) = put(&mut table, flow(n, Stage::New, step)) {
                        assert!(model.remove(&evicted).is_some());
                    }
                    model.insert(key(n), ());
                }
                _ => assert!(model.contains_key(&key(n))),
            }
            assert_eq!(table.len(), model.len());
        }

        assert!(model.keys().all(|key| table.find(key).is_some()));
        assert!(table.len() <= table.capacity());
    }
}
