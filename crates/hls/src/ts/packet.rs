//! PES payloads cut into 188-byte packets of one PID, and that PID's continuity counter.

use media::MediaTime;
use mpeg2ts::{
    es::StreamId,
    pes::PesHeader,
    time::{ClockReference, Timestamp},
    ts::{
        AdaptationField, ContinuityCounter, Pid, TransportScramblingControl, TsHeader, TsPacket,
        TsPacketWriter, TsPayload, WriteTsPacket, payload,
    },
};

use super::TIME_BASE;

/// A transport packet.
pub(super) const SIZE: usize = TsPacket::SIZE;
/// What is left of it behind the header.
pub(super) const PAYLOAD: usize = SIZE - 4;
/// PES_packet_length counts the three flag bytes and the times too.
const PES_FLAGS: usize = 3;
/// One PTS or DTS.
const PES_TIME: usize = 5;
/// Start code, stream id, length, flags.
const PES_FIXED: usize = 9;

/// One PID's packets.
#[derive(Debug)]
pub(super) struct Counter {
    pid: u16,
    next: ContinuityCounter,
}

/// What the first packet of a PES says in its adaptation field.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) discontinuity: bool,
    pub(super) random_access: bool,
    /// On the stream's timeline, before [`TIME_BASE`].
    pub(super) pcr: Option<MediaTime>,
}

/// What a PES header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct PesStart {
    pub(super) stream_id: u8,
    pub(super) pts: MediaTime,
    /// Only where it differs from `pts`.
    pub(super) dts: Option<MediaTime>,
    /// Else 0, which is allowed for video.
    pub(super) announce_length: bool,
    pub(super) first: First,
}

impl Counter {
    pub(super) fn new(pid: u16) -> Self {
        Self { pid, next: ContinuityCounter::new() }
    }

    /// Writes one PES, from its first packet to its last.
    pub(super) fn write_pes(&mut self, start: &PesStart, payload: &[u8], out: &mut Vec<u8>) {
        let times = if start.dts.is_some() { 2 * PES_TIME } else { PES_TIME };
        let field = start.first.field();
        let room = PAYLOAD - field.as_ref().map_or(0, field_size) - PES_FIXED - times;
        let (head, rest) = payload.split_at(room.min(payload.len()));
        let length = if start.announce_length { PES_FLAGS + times + payload.len() } else { 0 };
        let header = PesHeader {
            stream_id: StreamId::new(start.stream_id),
            priority: false,
            data_alignment_indicator: true,
            copyright: false,
            original_or_copy: false,
            pts: Some(timestamp(start.pts)),
            dts: start.dts.map(timestamp),
            escr: None,
        };
        let at = out.len();
        let has_pcr = start.first.pcr.is_some();
        let pes = payload::Pes {
            header,
            pes_packet_len: u16::try_from(length).unwrap_or(0),
            data: payload::Bytes::new(head).expect("`room` is below a packet's size"),
        };
        write(self.header(), field, Some(TsPayload::PesStart(pes)), out);
        if has_pcr {
            set_pcr_reserved_bits(&mut out[at..]);
        }
        self.next.increment();
        self.continue_pes(rest, out);
    }

    /// Whole packets of payload, then one that is stuffed by its adaptation field.
    fn continue_pes(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let [high, low] = self.pid.to_be_bytes();
        let (whole, last) = payload.as_chunks::<PAYLOAD>();
        for chunk in whole {
            out.extend_from_slice(&[0x47, high, low, 0x10 | self.next.as_u8()]);
            out.extend_from_slice(chunk);
            self.next.increment();
        }
        if last.is_empty() {
            return;
        }
        out.extend_from_slice(&[0x47, high, low, 0x30 | self.next.as_u8()]);
        let stuffing = PAYLOAD - last.len(); // at least 1: the length byte itself
        out.push((stuffing - 1) as u8);
        if stuffing > 1 {
            out.push(0);
            out.resize(out.len() + stuffing - 2, 0xFF);
        }
        out.extend_from_slice(last);
        self.next.increment();
    }

    /// A packet without payload, which does not count, for a PCR alone.
    pub(super) fn write_pcr(&self, pcr: MediaTime, out: &mut Vec<u8>) {
        let at = out.len();
        let first = First { discontinuity: false, random_access: false, pcr: Some(pcr) };
        let mut header = self.header();
        // without payload the counter repeats the packet before it (§2.4.3.3)
        header.continuity_counter =
            ContinuityCounter::from_u8(self.next.as_u8().wrapping_sub(1) & ContinuityCounter::MAX)
                .expect("masked to its range");
        write(header, first.field(), None, out);
        set_pcr_reserved_bits(&mut out[at..]);
    }

    fn header(&self) -> TsHeader {
        TsHeader {
            transport_error_indicator: false,
            transport_priority: false,
            pid: Pid::new(self.pid).expect("our PIDs have 13 bits"),
            transport_scrambling_control: TransportScramblingControl::NotScrambled,
            continuity_counter: self.next,
        }
    }
}

impl First {
    fn field(self) -> Option<AdaptationField> {
        if !self.discontinuity && !self.random_access && self.pcr.is_none() {
            return None;
        }
        Some(AdaptationField {
            discontinuity_indicator: self.discontinuity,
            random_access_indicator: self.random_access,
            es_priority_indicator: false,
            pcr: self.pcr.map(|pcr| ClockReference::from(timestamp(pcr))),
            opcr: None,
            splice_countdown: None,
            transport_private_data: Vec::new(),
            extension: None,
        })
    }
}

/// Length byte, flags, PCR.
fn field_size(field: &AdaptationField) -> usize {
    if field.pcr.is_some() { 8 } else { 2 }
}

/// The one place where times wrap to 33 bits.
fn timestamp(time: MediaTime) -> Timestamp {
    Timestamp::new((time + TIME_BASE).ticks() as u64 & Timestamp::MAX).expect("masked to its range")
}

fn write(
    header: TsHeader,
    adaptation_field: Option<AdaptationField>,
    payload: Option<TsPayload>,
    out: &mut Vec<u8>,
) {
    TsPacketWriter::new(out)
        .write_ts_packet(&TsPacket { header, adaptation_field, payload })
        .expect("sizes fit by construction, and a Vec takes every write");
}

/// The crate leaves the six reserved bits between base and extension 0; the standard wants 1 (§2.4.3.4).
fn set_pcr_reserved_bits(packet: &mut [u8]) {
    packet[10] |= 0x7E;
}
