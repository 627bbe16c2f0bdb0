use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::chunk::writer::{Head, Writer};

/// A message as (kind, stream, time, payload length).
type Told = (u8, u32, u32, usize);

/// Reads `bytes` in pieces of `step`.
fn read(bytes: &[u8], step: usize) -> (Vec<Told>, Result<(), ChunkError>, Reader) {
    let mut reader = Reader::new(Limits::default(), 0);
    let mut out = vec![];
    for mut piece in bytes.chunks(step.max(1)) {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(m)) => out.push((m.kind, m.stream, m.timestamp, m.payload.len())),
                Ok(None) => break,
                Err(error) => return (out, Err(error), reader),
            }
        }
    }
    (out, Ok(()), reader)
}

#[track_caller]
fn check(name: &str, parts: &[&[u8]], want: &[Told]) {
    let bytes = parts.concat();
    for step in [bytes.len(), 1, 2, 3, 5, 7, 130] {
        let (got, result, _) = read(&bytes, step);
        assert_eq!((&got[..], result), (want, Ok(())), "{name}, {step} bytes a read");
    }
}

#[track_caller]
fn refused(name: &str, parts: &[&[u8]], want: &str) {
    let bytes = parts.concat();
    for step in [bytes.len(), 1] {
        let error = read(&bytes, step).1.expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
}

/// fmt 0 on csid 4: audio of `length` bytes at `time`, message stream 1.
fn open(time: u32, length: u32) -> Vec<u8> {
    let (t, l) = (time.min(0xFF_FFFF).to_be_bytes(), length.to_be_bytes());
    let mut out = vec![4, t[1], t[2], t[3], l[1], l[2], l[3], 8, 1, 0, 0, 0];
    if time >= 0xFF_FFFF {
        out.extend(time.to_be_bytes());
    }
    out
}

fn on(csid: u8, header: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    header[0] = header[0] & 0xC0 | csid;
    header
}

/// Set Chunk Size, whole.
fn chunk_size(size: u32) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0], &size.to_be_bytes()[..]].concat()
}

#[test]
fn times_follow_the_header_forms() {
    let body: &[u8] = b"ab";
    check("fmt 0", &[&open(10, 2), body], &[(8, 1, 10, 2)]);
    check(
        "fmt 1 to 3 lean on what went before",
        &[&open(10, 2), body, &[0x44, 0, 0, 5, 0, 0, 1, 9], b"x", &[0x84, 0, 0, 7], b"y", &[0xC4], b"z"],
        &[(8, 1, 10, 2), (9, 1, 15, 1), (9, 1, 22, 1), (9, 1, 29, 1)],
    );
    check(
        "fmt 3 after fmt 0 adds its time again",
        &[&open(10, 2), body, &[0xC4], body],
        &[(8, 1, 10, 2), (8, 1, 20, 2)],
    );
    check(
        "times wrap at 2^32",
        &[&open(u32::MAX - 1, 2), body, &[0x84, 0, 0, 5], body],
        &[(8, 1, u32::MAX - 1, 2), (8, 1, 3, 2)],
    );
    check(
        "fmt 1 on a fresh chunk stream (librtmp's ping reply)",
        &[&[0x42, 0, 0, 9, 0, 0, 1, 8], b"p"],
        &[(8, 0, 9, 1)],
    );
    check(
        "chunk streams keep their own state",
        &[&open(10, 2), body, &on(5, &open(100, 2)), body, &[0x84, 0, 0, 1], body, &[0x85, 0, 0, 2], body],
        &[(8, 1, 10, 2), (8, 1, 100, 2), (8, 1, 11, 2), (8, 1, 102, 2)],
    );
    check(
        "empty messages are whole at once",
        &[&open(10, 0), &[0xC4], &[0xC4]],
        &[(8, 1, 10, 0), (8, 1, 20, 0), (8, 1, 30, 0)],
    );
}

#[test]
fn a_csid_may_be_written_in_any_form() {
    let tail = &open(10, 2)[1..];
    check(
        "69 in two and three bytes",
        &[&[0, 5], tail, b"ab", &[0xC1, 5, 0], b"cd"],
        &[(8, 1, 10, 2), (8, 1, 20, 2)],
    );
    check("the largest", &[&[1, 255, 255], tail, b"ab"], &[(8, 1, 10, 2)]);
}

#[test]
fn extended_timestamps() {
    let far: u32 = 0x0123_4567;
    let (first, rest) = ([1; 128], [2; 72]);
    let ext = far.to_be_bytes();
    check("without continuation", &[&open(far, 2), b"ab"], &[(8, 1, far, 2)]);
    check("repeated on fmt 3", &[&open(far, 200), &first, &[0xC4], &ext, &rest], &[(8, 1, far, 200)]);
    check("left out on fmt 3", &[&open(far, 200), &first, &[0xC4], &rest], &[(8, 1, far, 200)]);
    check(
        "left out, few bytes follow, another message behind",
        &[&open(far, 130), &first, &[0xC4], b"zz", &on(5, &open(7, 2)), b"ab"],
        &[(8, 1, far, 130), (8, 1, 7, 2)],
    );
    check(
        "with bit 31 lost",
        &[&open(0x8123_4567, 200), &first, &[0xC4, 0x01, 0x23, 0x45, 0x67], &rest],
        &[(8, 1, 0x8123_4567, 200)],
    );
    check(
        "a delta",
        &[&open(0, 2), b"ab", &[0x84, 255, 255, 255, 1, 0x31, 0x2D, 0], b"cd"],
        &[(8, 1, 0, 2), (8, 1, 20_000_000, 2)],
    );
    check(
        "a delta's value repeated on fmt 3",
        &[
            &open(0, 200),
            &first,
            &[0xC4],
            &rest,
            &[0x84, 255, 255, 255, 1, 0x31, 0x2D, 0],
            &first,
            &[0xC4, 1, 0x31, 0x2D, 0],
            &rest,
        ],
        &[(8, 1, 0, 200), (8, 1, 20_000_000, 200)],
    );
    check(
        "the absolute time repeated on fmt 3 after a delta",
        &[
            &open(1000, 200),
            &first,
            &[0xC4],
            &rest,
            &[0x84, 255, 255, 255, 1, 0x31, 0x2D, 0],
            &first,
            &[0xC4, 1, 0x31, 0x30, 0xE8],
            &rest,
        ],
        &[(8, 1, 1000, 200), (8, 1, 20_001_000, 200)],
    );
    check(
        "an absolute time for a delta",
        &[&open(20_000_000, 2), b"ab", &[0x84, 255, 255, 255, 1, 0x31, 0x2D, 40], b"cd"],
        &[(8, 1, 20_000_000, 2), (8, 1, 20_000_040, 2)],
    );
    check(
        "a step back, modulo 2^32",
        &[&open(20_000_000, 2), b"ab", &[0x84, 255, 255, 255, 255, 255, 255, 236], b"cd"],
        &[(8, 1, 20_000_000, 2), (8, 1, 19_999_980, 2)],
    );
    check(
        "fmt 3 that opens a message repeats the delta",
        &[&open(far, 2), b"ab", &[0xC4], &ext, b"cd"],
        &[(8, 1, far, 2), (8, 1, far * 2, 2)],
    );
    check(
        "fmt 3 that opens a message without it",
        &[&open(far, 4), b"abcd", &[0xC4], b"efgh"],
        &[(8, 1, far, 4), (8, 1, far * 2, 4)],
    );
}

/// What the first continuation shows holds for all chunk streams: nothing is guessed twice.
#[test]
fn the_habit_of_a_connection_is_learnt_once() {
    let far: u32 = 0x0123_4567;
    let (first, rest, ext) = ([1; 128], [2; 72], far.to_be_bytes());
    let video = on(6, &open(far, 132));
    check(
        "left out once, so payload that looks like it is payload",
        &[&open(far, 200), &first, &[0xC4], &rest, &video, &first, &[0xC6], &ext],
        &[(8, 1, far, 200), (8, 1, far, 132)],
    );
    check(
        "sent once, so it is skipped whatever it says",
        &[&open(far, 200), &first, &[0xC4], &ext, &rest, &video, &first, &[0xC6, 9, 9, 9, 9], b"abcd"],
        &[(8, 1, far, 200), (8, 1, far, 132)],
    );
    check(
        "sent once, and at the start of a message too",
        &[&open(far, 200), &first, &[0xC4], &ext, &rest, &[0xC4], &ext, &first, &[0xC4], &ext, &rest],
        &[(8, 1, far, 200), (8, 1, far * 2, 200)],
    );
    check(
        "a header without it ends the matter for its chunk stream",
        &[&open(far, 200), &first, &[0xC4], &ext, &rest, &[0x84, 0, 0, 5], &first, &[0xC4], &rest],
        &[(8, 1, far, 200), (8, 1, far + 5, 200)],
    );
    check(
        "told as 0xFFFFFF exactly",
        &[&open(0xFF_FFFF, 200), &first, &[0xC4, 0, 255, 255, 255], &rest],
        &[(8, 1, 0xFF_FFFF, 200)],
    );
    check(
        "the last millisecond, and over it",
        &[&open(u32::MAX, 200), &first, &[0xC4], &[0xFF; 4], &rest, &[0x84, 0, 0, 3], &first, &[0xC4], &rest],
        &[(8, 1, u32::MAX, 200), (8, 1, 2, 200)],
    );
    let omitted = [&open(far, 200)[..], &first, &[0xC4], &rest].concat();
    assert_eq!(
        read(&omitted, 1).2.quirks.take(),
        ["leaves the extended timestamp out of continuation chunks: expected 01234567, met 02020202"]
    );
}

#[test]
fn chunk_size_changes_hold_from_the_next_chunk() {
    check("larger, between messages", &[&chunk_size(4096), &open(1, 300), &[7; 300]], &[(8, 1, 1, 300)]);
    check(
        "larger, inside a message",
        &[&open(1, 300), &[7; 128], &chunk_size(4096), &[0xC4], &[7; 172]],
        &[(8, 1, 1, 300)],
    );
    check(
        "smaller, inside a message",
        &[&open(1, 200), &[7; 128], &chunk_size(60), &[0xC4], &[7; 60], &[0xC4], &[7; 12]],
        &[(8, 1, 1, 200)],
    );
    check(
        "one byte a chunk",
        &[&chunk_size(1), &open(1, 3), b"a", &[0xC4], b"b", &[0xC4], b"c"],
        &[(8, 1, 1, 3)],
    );
    check("zero is ignored", &[&chunk_size(0), &open(1, 129), &[7; 128], &[0xC4], &[7]], &[(8, 1, 1, 129)]);
    check(
        "the largest, bit 31 masked",
        &[&chunk_size(u32::MAX), &open(1, 400), &[7; 400]],
        &[(8, 1, 1, 400)],
    );
}

#[test]
fn messages_interleave_and_may_be_aborted() {
    let video = on(6, &open(2, 200));
    let abort = |csid: u8| [2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, csid];
    check(
        "interleaved",
        &[&open(1, 200), &[1; 128], &video, &[2; 128], &[0xC4], &[1; 72], &[0xC6], &[2; 72]],
        &[(8, 1, 1, 200), (8, 1, 2, 200)],
    );
    check("aborted", &[&open(1, 200), &[1; 128], &abort(4), &open(5, 2), b"ab"], &[(8, 1, 5, 2)]);
    check(
        "aborted in one stream, with another one open",
        &[
            &open(1, 200),
            &[1; 128],
            &video,
            &[2; 128],
            &abort(4),
            &[0xC6],
            &[2; 72],
            &[0xC4],
            b"x",
            &[1; 127],
            &[0xC4],
            &[1; 72],
        ],
        &[(8, 1, 2, 200), (8, 1, 2, 200)],
    );
    check(
        "abort cut short",
        &[&[2, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 4], &open(5, 2), b"ab"],
        &[(8, 1, 5, 2)],
    );
    check("abort of nothing", &[&abort(9), &open(5, 2), b"ab"], &[(8, 1, 5, 2)]);
    check("a fmt 0 abandons what was open", &[&open(1, 200), &[1; 128], &open(5, 2), b"ab"], &[(8, 1, 5, 2)]);
    check(
        "a differing length ends the message that was open",
        &[&open(1, 200), &[1; 128], &[0x44, 0, 0, 4, 0, 0, 2, 8], b"ab"],
        &[(8, 1, 5, 2)],
    );
    check(
        "a differing type does too",
        &[&open(1, 200), &[1; 128], &[0x44, 0, 0, 4, 0, 0, 200, 9], &[2; 128], &[0xC4], &[2; 72]],
        &[(9, 1, 5, 200)],
    );
    check(
        "types that nobody uses are skipped, however long",
        &[&on(3, &[0, 0, 0, 0, 0, 0, 200, 21, 0, 0, 0, 0]), &[1; 128], &[0xC3], &[1; 72], &open(5, 2), b"ab"],
        &[(8, 1, 5, 2)],
    );
    check(
        "control messages on any chunk stream and message stream",
        &[&on(5, &[0, 0, 0, 0, 0, 0, 4, 1, 1, 0, 0, 0]), &300u32.to_be_bytes(), &open(5, 300), &[7; 300]],
        &[(8, 1, 5, 300)],
    );
    check(
        "fmt 1 and 2 may continue",
        &[&open(1, 300), &[1; 128], &[0x44, 0, 0, 0, 0, 1, 44, 8], &[1; 128], &[0x84, 0, 0, 0], &[1; 44]],
        &[(8, 1, 1, 300)],
    );
}

#[test]
fn limits_close_the_connection() {
    refused("fmt 3 on a fresh chunk stream", &[&[0xC4]], "chunk stream 4 opens with fmt 3");
    refused("fmt 2 on a fresh chunk stream", &[&[0x84, 0, 0, 1]], "input byte 0");
    refused("a long audio message", &[&open(0, (512 << 10) + 1)], "announces 524289 bytes, limit 524288");
    let streams: Vec<u8> = (0..65).flat_map(|at| [&[0u8, at][..], &open(0, 0)[1..]].concat()).collect();
    refused("65 chunk streams", &[&streams], "more than 64 chunk streams");
    let partial: Vec<u8> =
        (3..12).flat_map(|csid| [on(csid, &open(0, 200)), vec![0; 128]].concat()).collect();
    refused("9 messages in the making", &[&partial], "more than 8 messages in the making");
    let begun: Vec<u8> = (0..10).flat_map(|_| [open(0, 200), vec![0; 128]].concat()).collect();
    refused("abandoned again and again", &[&begun], "begun anew");
    let ones: Vec<u8> = (0..30_000).flat_map(|_| [0xC4, 7]).collect();
    refused("chunk size 1", &[&chunk_size(1), &open(0, 60_000), &[7], &ones], "small chunks within a second");
    refused("empty messages", &[&open(0, 0), &[0xC4; 30_000]], "small chunks within a second");
    let kinds: Vec<u8> = (0..5).flat_map(|_| [3, 0, 0, 0, 0, 0, 1, 99, 0, 0, 0, 0, 7]).collect();
    refused("types that RTMP does not have", &[&kinds], "messages of unknown type");
}

#[test]
fn partial_messages_together_are_bounded() {
    let mut bytes = chunk_size(6 << 20);
    for csid in [4, 5, 6] {
        let mut header = on(csid, &open(0, 7 << 20));
        header[7] = kind::VIDEO;
        bytes.extend(header);
        bytes.extend(vec![0; 6 << 20]);
    }
    let error = read(&bytes, 65_536).1.unwrap_err().to_string();
    assert!(error.contains("bytes in unfinished messages"), "{error}");
}

#[test]
fn announced_lengths_allocate_nothing() {
    let mut header = open(0, 8 << 20);
    header[7] = kind::VIDEO;
    let (_, result, reader) = read(&[&chunk_size(u32::MAX)[..], &header, &[1]].concat(), 4096);
    assert_eq!(result, Ok(()));
    assert!(reader.held_bytes() <= FIRST_RESERVATION, "{}", reader.held_bytes());
}

#[test]
fn long_data_messages_are_skipped() {
    let mut header = open(0, (256 << 10) + 1);
    header[7] = kind::DATA;
    let bytes = [&chunk_size(1 << 20)[..], &header, &vec![0; (256 << 10) + 1], &open(5, 2), b"ab"].concat();
    let (got, result, mut reader) = read(&bytes, 1000);
    assert_eq!((got, result), (vec![(8, 1, 5, 2)], Ok(())));
    assert_eq!(reader.quirks.take().len(), 1);
}

prop_compose! {
    fn some_message()(csid in 2u32..10, kind in prop::sample::select(vec![8u8, 9, 18, 20]), stream in 0u32..3,
        timestamp in prop_oneof![0u32..100_000, any::<u32>()], body in prop::collection::vec(any::<u8>(), 0..600))
        -> (Head, Vec<u8>) {
        (Head { csid, kind, stream, timestamp }, body)
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_wherever_it_is_cut(
        messages in prop::collection::vec(some_message(), 1..30), size in 1u32..300, step in 1usize..200,
    ) {
        let (mut writer, mut out) = (Writer::new(), BytesMut::new());
        writer.set_chunk_size(&mut out, size);
        for (head, body) in &messages { writer.write(&mut out, *head, body); }
        let mut reader = Reader::new(Limits::default(), 0);
        let mut got = vec![];
        for mut piece in out.chunks(step) {
            while let Some(m) = reader.next(&mut piece).unwrap() { got.push((m.kind, m.stream, m.timestamp, m.payload.to_vec())); }
        }
        let want: Vec<_> = messages.iter().map(|(h, body)| (h.kind, h.stream, h.timestamp, body.clone())).collect();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn hostile_bytes_stay_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..2000), step in 1usize..100) {
        let (_, _, reader) = read(&bytes, step);
        prop_assert!(reader.held_bytes() <= 2 * bytes.len() + 9 * FIRST_RESERVATION);
    }
}
