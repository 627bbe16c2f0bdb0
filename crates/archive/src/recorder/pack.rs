//! Some segments as one object, and the page that names what is in it. Pure.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{
    index::{Entry, Extent, Hash, InitEntry},
    recorder::intake::Item,
    samples::Table,
};

/// A pack, ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    pub(crate) number: u32,
    /// Its bytes, in the pieces they are held in.
    pub(crate) chunks: Vec<Bytes>,
    /// Headers that are not in earlier packs.
    pub(crate) inits: Vec<InitEntry>,
    pub(crate) entries: Vec<Entry>,
}

impl Pack {
    /// Lays out `items`: headers first, then segments, sample tables last. `known` are the headers of earlier packs.
    /// Reads every byte once, for the hashes: some milliseconds for each MiB.
    pub(crate) fn build(number: u32, items: &[Item], known: &[InitEntry]) -> Self {
        let mut pack = Self { number, chunks: Vec::new(), inits: Vec::new(), entries: Vec::new() };
        let mut end = 0;
        let mut ids: HashMap<&str, u32> = known.iter().map(|init| (init.name.as_str(), init.id)).collect();
        for item in items {
            let Some(init) = &item.segment.init else { continue };
            if ids.contains_key(init.name.as_str()) {
                continue;
            }
            let id = (known.len() + pack.inits.len()) as u32;
            ids.insert(&init.name, id);
            let at = Extent { pack: number, offset: end, length: init.bytes.len() as u64 };
            let (name, codecs) = (init.name.clone(), init.codecs.clone());
            pack.inits.push(InitEntry { id, name, codecs, at });
            end += at.length;
            pack.chunks.push(init.bytes.clone());
        }
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            let segment = &item.segment;
            let at = Extent { pack: number, offset: end, length: segment.size() };
            let mut hash = Sha256::new();
            segment.chunks().for_each(|chunk| hash.update(chunk));
            let mut short = [0; 16];
            short.copy_from_slice(&hash.finalize()[..16]);
            end += at.length;
            pack.chunks.extend(segment.chunks().cloned());
            let init = segment.init.as_ref().and_then(|init| ids.get(init.name.as_str()).copied());
            let table = init.and_then(|_| Table::of_parts(segment.parts.iter().map(|part| &part.bytes[..])));
            tables.push(table.map(|table| table.to_bytes()));
            pack.entries.push(Entry {
                rendition: item.rendition,
                sequence: segment.sequence.0,
                start: segment.start.ticks(),
                duration: segment.duration.ticks(),
                discontinuities: item.discontinuities,
                unix_micros: segment.unix_micros,
                at,
                hash: Hash(short),
                init,
                samples: None,
            });
        }
        for (entry, table) in pack.entries.iter_mut().zip(tables) {
            let Some(table) = table else { continue };
            let Ok(length) = u32::try_from(table.len()) else { continue };
            entry.samples = Some((end, length));
            end += u64::from(length);
            pack.chunks.push(table.into());
        }
        pack
    }
}
