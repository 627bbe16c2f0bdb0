//! One picture of an I-frame list (§4.4.3.6): the packets of its PES, the tables left out or not.

use super::es;
use super::packet::{PACKET, Packet};
use super::pes::Raw;

/// Why the packets are not one IDR picture.
pub fn iframe_fault(bytes: &[u8]) -> Option<String> {
    let mut raw: Option<Raw> = None;
    for (index, bytes) in bytes.chunks(PACKET).enumerate() {
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(text) => return Some(format!("packet {index}: {text}")),
        };
        let video = packet.unit_start && matches!(packet.payload, [0, 0, 1, 0xe0..=0xef, ..]);
        match &mut raw {
            None if video => {
                raw = Some(Raw {
                    pid: packet.pid,
                    packet: index,
                    random_access: true,
                    pcr: None,
                    data: packet.payload.to_vec(),
                });
            }
            Some(raw) if raw.pid == packet.pid && packet.unit_start => {
                return Some(format!("packet {index} begins another picture"));
            }
            Some(raw) if raw.pid == packet.pid => raw.data.extend_from_slice(packet.payload),
            _ => {}
        }
    }
    let Some(raw) = raw else { return Some("no PES of pictures begins in the range".into()) };
    let Ok(pes) = raw.parse() else { return Some("the PES is not whole".into()) };
    match es::nals(pes.payload) {
        Ok(nals) if nals.iter().any(|n| n.kind == 5) => None,
        Ok(nals) => {
            Some(format!("NAL units are {:?}, no IDR", nals.iter().map(|n| n.kind).collect::<Vec<_>>()))
        }
        Err(text) => Some(text),
    }
}
