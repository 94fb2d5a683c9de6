//! Files of PyTorch before 1.6: five pickles (a magic number, a version, facts of the machine, what was saved, the keys of
//! the storages), then every storage in the order of the keys: its size and its values.

use std::collections::BTreeMap;

use super::rebuild::{StorageRef, reference};
use super::{Format, Storages, Weights, assemble, byte_len};
use crate::error::Result;
use crate::pickle::{Node, Pickle};
use crate::weights::source::Source;

const VERSION: i128 = 1001;

/// Bytes the pickles are first looked for in. They come before the storages, but nothing says how long they are.
const FIRST_LOOK: u64 = 1 << 20;

/// The same at most.
const LAST_LOOK: u64 = 1 << 28;

/// Reads the file.
pub(in crate::weights) fn read(source: &mut Source) -> Result<Weights> {
    let mut look = FIRST_LOOK;
    loop {
        let len = source.len().min(look);
        source.seek(0)?;
        let bytes = source.bytes(len)?;
        match Pickles::read(&bytes) {
            Ok(pickles) => return pickles.weights(source),
            Err(reason) if len == source.len() || look >= LAST_LOOK => return Err(source.refuse(reason)),
            Err(_) => look *= 4,
        }
    }
}

struct Pickles<'a> {
    saved: Pickle<'a>,
    keys: Vec<String>,
    /// Where the storages begin.
    end: u64,
}

impl<'a> Pickles<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut rest = bytes;
        let mut next = || {
            let pickle = Pickle::read(rest)?;
            rest = &rest[pickle.encoded_len()..];
            Ok::<_, String>(pickle)
        };
        let _magic = next()?;
        let version = next()?;
        if version.int(version.root()) != Some(VERSION) {
            return Err(format!(
                "expected version {VERSION} of PyTorch's files, got {}",
                version.describe(version.root())
            ));
        }
        let machine = next()?;
        let facts = machine.items(machine.root()).unwrap_or_default();
        let order = facts.iter().find(|(key, _)| machine.text(*key) == Some("little_endian"));
        if order.is_some_and(|(_, value)| *machine.node(*value) == Node::Bool(false)) {
            return Err("written on a big-endian machine, which is not read".to_string());
        }
        let saved = next()?;
        let keys = next()?;
        let members = keys.sequence(keys.root()).ok_or("damaged: the keys of the storages are no list")?;
        let keys = members.iter().map(|key| keys.text(*key).map(str::to_string)).collect::<Option<_>>();
        let keys = keys.ok_or("damaged: a key of a storage is no text")?;
        Ok(Self { saved, keys, end: (bytes.len() - rest.len()) as u64 })
    }

    fn weights(self, source: &mut Source) -> Result<Weights> {
        let path = source.path().to_path_buf();
        // The list has no types; what was saved has them.
        let mut known = BTreeMap::new();
        for id in self.saved.persistent() {
            let storage = reference(&self.saved, id).map_err(|reason| source.refuse(reason))?;
            if let Some(storage) = storage {
                known.insert(storage.key.clone(), storage);
            }
        }
        source.seek(self.end)?;
        let mut places = BTreeMap::new();
        for key in self.keys {
            let Some(storage) = known.get(&key) else {
                return Err(source.refuse(format!("damaged: nothing refers to storage {key}")));
            };
            let len = source.u64()?;
            if len != storage.len as u64 {
                let reason = format!("damaged: storage {key} has {len} values instead of {}", storage.len);
                return Err(source.refuse(reason));
            }
            let at = source.at();
            source.seek(at.saturating_add(byte_len(storage.len, storage.element)))?;
            places.insert(key, at);
        }
        assemble(&path, Format::TorchLegacy, &self.saved, &mut Tail { source, places })
    }
}

struct Tail<'s> {
    source: &'s mut Source,
    places: BTreeMap<String, u64>,
}

impl Storages for Tail<'_> {
    fn read(&mut self, storage: &StorageRef) -> Result<Vec<f32>> {
        let Some(place) = self.places.get(&storage.key) else {
            return Err(self.source.refuse(format!("damaged: storage {} is not there", storage.key)));
        };
        self.source.seek(*place)?;
        self.source.values(storage.element, storage.len)
    }
}
