//! Broken media, made of whole clips: marks that make an encoder process misbehave where the gateway was told to obey
//! them, and a seeded mutator.

use super::flv::{self, Tag};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Behind it stands a word and a full stop; see the transcoder's `Fault`.
const MARK: &[u8] = b"sluice-fault:";

/// The clip with `word` as a mark in the first picture at or after `from` milliseconds, as user data that every decoder
/// passes over.
pub fn marked(clip: &Path, word: &str, from: u32, to: &Path) -> Result<PathBuf> {
    let mut tags = flv::read(clip)?;
    let picture = |tag: &&mut Tag| tag.kind == 9 && !tag.is_header() && tag.time >= from;
    if let Some(tag) = tags.iter_mut().find(picture) {
        // SEI (6), user data unregistered (5): a UUID and anything
        let mut payload = vec![0x5c; 16];
        payload.extend(MARK);
        payload.extend(word.bytes());
        payload.push(b'.');
        let mut unit = vec![6, 5, payload.len() as u8];
        unit.extend(payload);
        unit.push(0x80);
        let mut body = tag.body[..5].to_vec();
        body.extend((unit.len() as u32).to_be_bytes());
        body.extend(unit);
        body.extend(&tag.body[5..]);
        tag.body = body;
    }
    flv::write(to, &tags)?;
    Ok(to.to_owned())
}

/// The clip with every tenth packet or so damaged, after the first second: bits turned, bytes replaced, ends cut off,
/// lengths falsified. The same seed makes the same file.
pub fn mutated(clip: &Path, seed: u64, to: &Path) -> Result<PathBuf> {
    let mut tags = flv::read(clip)?;
    let mut dice = Dice(seed | 1);
    for tag in tags.iter_mut().filter(|tag| tag.time > 1000 && !tag.is_header()) {
        let head = match tag.kind {
            9 => 5,
            8 => 2,
            _ => continue,
        };
        if tag.body.len() <= head + 8 || dice.below(10) != 0 {
            continue;
        }
        let body = tag.body.len() - head;
        match dice.below(5) {
            0 => {
                for _ in 0..=dice.below(8) {
                    tag.body[head + dice.below(body)] ^= 1 << dice.below(8);
                }
            }
            1 => {
                let at = head + dice.below(body);
                let end = (at + dice.below(64)).min(tag.body.len());
                tag.body[at..end].iter_mut().for_each(|byte| *byte = dice.below(256) as u8);
            }
            2 => tag.body.truncate(head + 4 + dice.below(body - 4)),
            // the length of the first unit, or the first bytes of sound
            3 => tag.body[head + 2 + dice.below(2)] = dice.below(256) as u8,
            // the slice header, where most is decided
            _ => {
                for byte in tag.body.iter_mut().skip(head + 5).take(6) {
                    *byte ^= dice.below(256) as u8;
                }
            }
        }
    }
    flv::write(to, &tags)?;
    Ok(to.to_owned())
}

/// xorshift64*, which is plenty here.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}
