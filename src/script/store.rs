//! The key-value store behind `ntop.getCache` and its kin: texts, hashes, sets and lists by key, in memory
//! and bounded. Full is a normal state: what has expired goes, then writes are refused and counted.
//! Nothing here is written to disk; what must outlive the process is configuration, not cache.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::time::Micros;

/// Bytes of keys and values together, with [`ENTRY_BYTES`] for each of them.
const LIMIT_BYTES: usize = 256 * 1024;
/// What a key or an element costs beside its text: its share of the tree.
const ENTRY_BYTES: usize = 64;
/// Longest key or value.
const MAX_TEXT: usize = 8 * 1024;

type Text = Box<[u8]>;

enum Value {
    Text(Text),
    Hash(BTreeMap<Text, Text>),
    Set(BTreeSet<Text>),
    List(VecDeque<Text>),
}

struct Entry {
    value: Value,
    expires: Option<Micros>,
}

/// What is kept. Sorted by key, so that listing it gives the same order every time.
#[derive(Default)]
pub struct Store {
    entries: BTreeMap<Text, Entry>,
    used: usize,
    swept_at_secs: Option<u64>,
    /// Writes for which there was no room.
    pub refused: u64,
}

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Index 0.
    Left,
    /// The last.
    Right,
}

impl Store {
    /// Keys that are there, expired ones included until they are looked at.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes in use, of [`Store::limit_bytes`].
    pub fn used_bytes(&self) -> usize {
        self.used
    }

    /// Bytes there are.
    pub fn limit_bytes(&self) -> usize {
        LIMIT_BYTES
    }

    /// Text under `key`.
    pub fn text(&mut self, key: &[u8], now: Micros) -> Option<&[u8]> {
        match self.live(key, now) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Puts `text` under `key`, whatever was there, until `expires`.
    pub fn set_text(
        &mut self,
        key: &[u8],
        text: &[u8],
        expires: Option<Micros>,
        now: Micros,
    ) -> bool {
        self.remove(key);
        if !self.room_for(key.len() + text.len() + ENTRY_BYTES, &[key, text], now) {
            return false;
        }
        let value = Value::Text(text.into());
        self.entries.insert(key.into(), Entry { value, expires });
        true
    }

    /// Whether `key` is there.
    pub fn contains(&mut self, key: &[u8], now: Micros) -> bool {
        self.live(key, now).is_some()
    }

    /// Takes `key` out, whatever is under it.
    pub fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.remove(key) {
            self.used -= key.len() + entry.value.bytes() + ENTRY_BYTES;
        }
    }

    /// Field of the hash under `key`.
    pub fn field(&mut self, key: &[u8], field: &[u8], now: Micros) -> Option<&[u8]> {
        match self.live(key, now) {
            Some(Value::Hash(hash)) => hash.get(field).map(|text| &**text),
            _ => None,
        }
    }

    /// All fields of the hash under `key`, if there is one.
    pub fn fields(
        &mut self,
        key: &[u8],
        now: Micros,
    ) -> Option<impl Iterator<Item = (&[u8], &[u8])>> {
        match self.live(key, now) {
            Some(Value::Hash(hash)) => Some(hash.iter().map(|(field, text)| (&**field, &**text))),
            _ => None,
        }
    }

    /// Sets a field of the hash under `key`, making the hash if need be.
    pub fn set_field(&mut self, key: &[u8], field: &[u8], text: &[u8], now: Micros) -> bool {
        self.remove_field(key, field);
        if !self.make(
            key,
            now,
            |value| matches!(value, Value::Hash(_)),
            || Value::Hash(BTreeMap::new()),
        ) || !self.room_for(field.len() + text.len() + ENTRY_BYTES, &[field, text], now)
        {
            self.drop_empty(key);
            return false;
        }
        if let Some(Value::Hash(hash)) = self.value(key) {
            hash.insert(field.into(), text.into());
        }
        true
    }

    /// Takes a field out; the hash goes with its last one.
    pub fn remove_field(&mut self, key: &[u8], field: &[u8]) {
        let gone = match self.value(key) {
            Some(Value::Hash(hash)) => hash.remove(field).map(|text| field.len() + text.len()),
            _ => None,
        };
        if let Some(bytes) = gone {
            self.used -= bytes + ENTRY_BYTES;
            self.drop_empty(key);
        }
    }

    /// Members of the set under `key`.
    pub fn members(&mut self, key: &[u8], now: Micros) -> Option<impl Iterator<Item = &[u8]>> {
        match self.live(key, now) {
            Some(Value::Set(set)) => Some(set.iter().map(|text| &**text)),
            _ => None,
        }
    }

    /// Adds a member to the set under `key`, making the set if need be.
    pub fn add_member(&mut self, key: &[u8], member: &[u8], now: Micros) -> bool {
        self.remove_member(key, member);
        if !self.make(
            key,
            now,
            |value| matches!(value, Value::Set(_)),
            || Value::Set(BTreeSet::new()),
        ) || !self.room_for(member.len() + ENTRY_BYTES, &[member], now)
        {
            self.drop_empty(key);
            return false;
        }
        if let Some(Value::Set(set)) = self.value(key) {
            set.insert(member.into());
        }
        true
    }

    /// Takes a member out; the set goes with its last one.
    pub fn remove_member(&mut self, key: &[u8], member: &[u8]) {
        let gone = match self.value(key) {
            Some(Value::Set(set)) => set.remove(member),
            _ => false,
        };
        if gone {
            self.used -= member.len() + ENTRY_BYTES;
            self.drop_empty(key);
        }
    }

    /// The list under `key`.
    pub fn list(&mut self, key: &[u8], now: Micros) -> Option<&VecDeque<Box<[u8]>>> {
        match self.live(key, now) {
            Some(Value::List(list)) => Some(list),
            _ => None,
        }
    }

    /// Puts `text` at one end of the list under `key`, making the list if need be.
    pub fn push(&mut self, key: &[u8], side: Side, text: &[u8], now: Micros) -> bool {
        if !self.make(
            key,
            now,
            |value| matches!(value, Value::List(_)),
            || Value::List(VecDeque::new()),
        ) || !self.room_for(text.len() + ENTRY_BYTES, &[text], now)
        {
            self.drop_empty(key);
            return false;
        }
        if let Some(Value::List(list)) = self.value(key) {
            match side {
                Side::Left => list.push_front(text.into()),
                Side::Right => list.push_back(text.into()),
            }
        }
        true
    }

    /// Takes one end of the list under `key`; the list goes with its last element.
    pub fn pop(&mut self, key: &[u8], side: Side, now: Micros) -> Option<Box<[u8]>> {
        self.live(key, now)?;
        let text = match (self.value(key), side) {
            (Some(Value::List(list)), Side::Left) => list.pop_front(),
            (Some(Value::List(list)), Side::Right) => list.pop_back(),
            _ => None,
        }?;
        self.used -= text.len() + ENTRY_BYTES;
        self.drop_empty(key);
        Some(text)
    }

    fn value(&mut self, key: &[u8]) -> Option<&mut Value> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// What is under `key`, unless its time is over.
    fn live(&mut self, key: &[u8], now: Micros) -> Option<&mut Value> {
        let expired = self.entries.get(key)?.expires.is_some_and(|at| at <= now);
        if expired {
            self.remove(key);
        }
        self.value(key)
    }

    /// Makes sure that a value of the wanted kind is under `key`; one of another kind gives way.
    fn make(
        &mut self,
        key: &[u8],
        now: Micros,
        wanted: fn(&Value) -> bool,
        new: fn() -> Value,
    ) -> bool {
        if self.live(key, now).is_some_and(|value| wanted(value)) {
            return true;
        }
        self.remove(key);
        if !self.room_for(key.len() + ENTRY_BYTES, &[key], now) {
            return false;
        }
        let entry = Entry {
            value: new(),
            expires: None,
        };
        self.entries.insert(key.into(), entry);
        true
    }

    fn drop_empty(&mut self, key: &[u8]) {
        if self.value(key).is_some_and(|value| value.is_empty()) {
            self.remove(key);
        }
    }

    /// Takes `bytes` of the room there is. At most once a second expired entries are looked for.
    fn room_for(&mut self, bytes: usize, texts: &[&[u8]], now: Micros) -> bool {
        if self.used + bytes > LIMIT_BYTES && self.swept_at_secs != Some(now.as_secs()) {
            self.swept_at_secs = Some(now.as_secs());
            self.sweep(now);
        }
        let fits =
            self.used + bytes <= LIMIT_BYTES && texts.iter().all(|text| text.len() <= MAX_TEXT);
        self.used += if fits { bytes } else { 0 };
        self.refused += u64::from(!fits);
        fits
    }

    fn sweep(&mut self, now: Micros) {
        let mut freed = 0;
        self.entries.retain(|key, entry| {
            let stays = entry.expires.is_none_or(|at| at > now);
            freed += if stays {
                0
            } else {
                key.len() + entry.value.bytes() + ENTRY_BYTES
            };
            stays
        });
        self.used -= freed;
    }
}

impl Value {
    /// Bytes of all texts in it, elements' overhead included.
    fn bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Hash(hash) => hash
                .iter()
                .map(|(k, v)| k.len() + v.len() + ENTRY_BYTES)
                .sum(),
            Value::Set(set) => set.iter().map(|text| text.len() + ENTRY_BYTES).sum(),
            Value::List(list) => list.iter().map(|text| text.len() + ENTRY_BYTES).sum(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Value::Text(_) => false,
            Value::Hash(hash) => hash.is_empty(),
            Value::Set(set) => set.is_empty(),
            Value::List(list) => list.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: Micros = Micros::from_secs(100);

    #[test]
    fn a_key_lives_until_its_time_is_over() {
        let mut store = Store::default();
        store.set_text(b"k", b"v", Some(Micros::from_secs(110)), T0);

        assert_eq!(store.text(b"k", Micros::from_secs(109)), Some(&b"v"[..]));
        assert_eq!(store.text(b"k", Micros::from_secs(110)), None);
        assert_eq!((store.len(), store.used_bytes()), (0, 0));
    }

    #[test]
    fn a_full_store_refuses_and_counts_until_something_expires() {
        let mut store = Store::default();
        let soon = Some(Micros::from_secs(105));
        let mut written = 0u32;

        while store.set_text(&written.to_be_bytes(), &[b'x'; 1000], soon, T0) {
            written += 1;
        }

        assert!(store.used_bytes() <= store.limit_bytes());
        assert_eq!(store.refused, 1);
        assert!(!store.set_text(b"late", b"x".repeat(1000).as_slice(), None, T0));
        assert!(store.set_text(b"later", &[b'x'; 1000], None, Micros::from_secs(106)));
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        let mut store = Store::default();

        assert!(!store.set_text(b"k", &[0; MAX_TEXT + 1], None, T0));
        assert!(!store.set_field(b"h", b"f", &[0; MAX_TEXT + 1], T0));
        assert_eq!((store.len(), store.used_bytes()), (0, 0));
    }

    #[derive(Clone, Debug)]
    enum Act {
        Text(u8, usize),
        Field(u8, u8, usize),
        Member(u8, u8),
        Push(u8, usize),
        Pop(u8),
        Remove(u8),
        RemoveField(u8, u8),
        RemoveMember(u8, u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        let (key, size) = (0..4u8, 0..9000usize);
        prop_oneof![
            (key.clone(), size.clone()).prop_map(|(k, n)| Act::Text(k, n)),
            (key.clone(), 0..3u8, size.clone()).prop_map(|(k, f, n)| Act::Field(k, f, n)),
            (key.clone(), 0..3u8).prop_map(|(k, m)| Act::Member(k, m)),
            (key.clone(), size).prop_map(|(k, n)| Act::Push(k, n)),
            key.clone().prop_map(Act::Pop),
            key.clone().prop_map(Act::Remove),
            (key.clone(), 0..3u8).prop_map(|(k, f)| Act::RemoveField(k, f)),
            (key, 0..3u8).prop_map(|(k, m)| Act::RemoveMember(k, m)),
        ]
    }

    proptest! {
        #[test]
        fn the_books_agree_with_what_is_kept(acts in proptest::collection::vec(act(), 0..200)) {
            let mut store = Store::default();

            for (at, act) in acts.into_iter().enumerate() {
                let now = Micros::from_secs(at as u64);
                let expires = Some(Micros::from_secs(at as u64 + 20));
                match act {
                    Act::Text(k, n) => _ = store.set_text(&[k], &vec![0; n], expires, now),
                    Act::Field(k, f, n) => _ = store.set_field(&[k], &[f], &vec![0; n], now),
                    Act::Member(k, m) => _ = store.add_member(&[k], &[m], now),
                    Act::Push(k, n) => _ = store.push(&[k], Side::Left, &vec![0; n], now),
                    Act::Pop(k) => _ = store.pop(&[k], Side::Right, now),
                    Act::Remove(k) => store.remove(&[k]),
                    Act::RemoveField(k, f) => store.remove_field(&[k], &[f]),
                    Act::RemoveMember(k, m) => store.remove_member(&[k], &[m]),
                }

                let kept: usize = store
                    .entries
                    .iter()
                    .map(|(key, entry)| key.len() + entry.value.bytes() + ENTRY_BYTES)
                    .sum();
                prop_assert_eq!(store.used, kept);
                prop_assert!(store.used <= LIMIT_BYTES);
                prop_assert!(store.entries.values().all(|entry| !entry.value.is_empty()));
            }
        }
    }
}
