//! AES-128 of whole segments (§4.4.4.4): the key as it is served, and what it opens.

use super::super::list::Entry;
use super::super::tags;
use super::super::text::{attributes, get, string};
use super::Shared;
use crate::report::Findings;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use bytes::Bytes;

/// The segment as it is to be read; None where it cannot be, which is told.
pub(super) async fn open(
    shared: &Shared,
    at: usize,
    entry: &Entry,
    place: &str,
    body: Bytes,
) -> Option<Bytes> {
    let Some(key) = entry.key.as_deref() else { return Some(body) };
    let tag = tags::find("EXT-X-KEY")?;
    let list = attributes(tag, key, place, &mut Findings::default());
    match get(&list, "METHOD") {
        Some("AES-128") => {}
        Some("NONE") => return Some(body),
        _ => return None, // sample encryption: the keys are a DRM's
    }
    let uri = string(&list, "URI")?;
    let secret = secret(shared, at, &uri, place).await?;
    let iv = get(&list, "IV")
        .and_then(|text| u128::from_str_radix(text.get(2..)?, 16).ok())
        .unwrap_or(u128::from(entry.msn));
    match decrypt(secret, iv.to_be_bytes(), &body) {
        Ok(clear) => Some(clear.into()),
        Err(text) => {
            shared.broken("key.decrypt", place, text);
            None
        }
    }
}

/// The key, asked for once.
async fn secret(shared: &Shared, at: usize, uri: &str, place: &str) -> Option<[u8; 16]> {
    let url = shared.state().renditions[at].url.join(uri).ok()?;
    if let Some(known) = shared.state().keys.get(url.as_str()) {
        return *known;
    }
    let secret = match shared.client.get(&url).await {
        Ok(answer) if answer.status == 200 && answer.body.len() == 16 => {
            <[u8; 16]>::try_from(&answer.body[..]).ok()
        }
        Ok(answer) => {
            let text = format!("key {uri}: status {}, {} bytes", answer.status, answer.body.len());
            shared.broken("key.file", place, text);
            None
        }
        Err(error) => {
            shared.broken("key.file", place, format!("key {uri}: {error:#}"));
            None
        }
    };
    shared.state().keys.insert(url.to_string(), secret);
    secret
}

fn decrypt(key: [u8; 16], iv: [u8; 16], body: &[u8]) -> Result<Vec<u8>, String> {
    if body.is_empty() || !body.len().is_multiple_of(16) {
        return Err(format!("{} bytes are no whole blocks", body.len()));
    }
    let mut buffer = body.to_vec();
    let length = cbc::Decryptor::<aes::Aes128>::new(&key.into(), &iv.into())
        .decrypt_padded_mut::<Pkcs7>(&mut buffer)
        .map_err(|_| "the padding is not PKCS7: wrong key or IV, or damaged")?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}
