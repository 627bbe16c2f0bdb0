//! A small muxer for the checker's own tests: right in every rule, so that a test can break one.

/// A box to be written.
#[derive(Debug, Clone)]
pub(crate) struct Bx {
    pub(crate) kind: [u8; 4],
    pub(crate) body: Vec<u8>,
    pub(crate) inside: Vec<Bx>,
}

pub(crate) fn leaf(kind: &[u8; 4], body: impl Into<Vec<u8>>) -> Bx {
    Bx { kind: *kind, body: body.into(), inside: Vec::new() }
}

pub(crate) fn node(kind: &[u8; 4], inside: Vec<Bx>) -> Bx {
    Bx { kind: *kind, body: Vec::new(), inside }
}

impl Bx {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend([0; 4]);
        out.extend(self.kind);
        out.extend(&self.body);
        for child in &self.inside {
            child.write(out);
        }
        let size = u32::try_from(out.len() - at).unwrap();
        out[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// The first box of this kind inside, however deep.
    pub(crate) fn find(&mut self, kind: &[u8; 4]) -> Option<&mut Bx> {
        if self.kind == *kind {
            return Some(self);
        }
        self.inside.iter_mut().find_map(|child| child.find(kind))
    }
}

pub(crate) fn find<'b>(boxes: &'b mut [Bx], kind: &[u8; 4]) -> &'b mut Bx {
    boxes.iter_mut().find_map(|b| b.find(kind)).unwrap()
}

pub(crate) fn bytes(boxes: &[Bx]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in boxes {
        item.write(&mut out);
    }
    out
}

fn be(fields: &[u32]) -> Vec<u8> {
    fields.iter().flat_map(|f| f.to_be_bytes()).collect()
}

/// x264's, High 1.3 of 320x180 at 30 frames a second.
pub(crate) const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0x99, 0x60,
];
pub(crate) const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];

/// `ftyp moov` of one track.
fn header(track: u32, handler: &[u8; 4], timescale: u32, entry: Bx, media: Bx) -> Vec<Bx> {
    let mut ftyp = b"iso6".to_vec();
    ftyp.extend([0; 4]);
    ftyp.extend(b"iso6cmfcmp41dash");
    let mut mvhd = be(&[0, 0, 0, 1000, 0, 0x1_0000, 0x0100_0000, 0, 0]);
    mvhd.extend(be(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]));
    mvhd.extend([0; 24]);
    mvhd.extend(be(&[track + 1]));
    let mut tkhd = be(&[3, 0, 0, track, 0, 0, 0, 0, 0, 0]);
    tkhd.extend(be(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000, 0, 0]));
    let mut hdlr = be(&[0, 0]);
    hdlr.extend(handler);
    hdlr.extend([0; 13]);
    let mut stsd = leaf(b"stsd", be(&[0, 1]));
    stsd.inside.push(entry);
    let mut dref = leaf(b"dref", be(&[0, 1]));
    dref.inside.push(leaf(b"url ", be(&[1])));
    let stbl = vec![
        stsd,
        leaf(b"stts", be(&[0, 0])),
        leaf(b"stsc", be(&[0, 0])),
        leaf(b"stsz", be(&[0, 0, 0])),
        leaf(b"stco", be(&[0, 0])),
    ];
    let minf = node(b"minf", vec![media, node(b"dinf", vec![dref]), node(b"stbl", stbl)]);
    let mdhd = leaf(b"mdhd", be(&[0, 0, 0, timescale, 0, 0x55c4_0000]));
    let mdia = node(b"mdia", vec![mdhd, leaf(b"hdlr", hdlr), minf]);
    let mvex = node(b"mvex", vec![leaf(b"trex", be(&[0, track, 1, 0, 0, 0]))]);
    let moov = vec![leaf(b"mvhd", mvhd), node(b"trak", vec![leaf(b"tkhd", tkhd), mdia]), mvex];
    vec![leaf(b"ftyp", ftyp), node(b"moov", moov)]
}

/// H.264 of 320x180, 90000 ticks a second, track 1.
pub(crate) fn video_header() -> Vec<Bx> {
    let mut avcc = vec![1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1];
    for (set, count) in [(SPS, None), (PPS, Some(1))] {
        avcc.extend(count);
        avcc.extend((set.len() as u16).to_be_bytes());
        avcc.extend(set);
    }
    let mut entry = vec![0; 78];
    entry[7] = 1;
    entry[24..28].copy_from_slice(&[320u16.to_be_bytes(), 180u16.to_be_bytes()].concat());
    let mut entry = leaf(b"avc1", entry);
    entry.inside.push(leaf(b"avcC", avcc));
    header(1, b"vide", 90_000, entry, leaf(b"vmhd", be(&[1, 0, 0])))
}

/// AAC-LC, 48 kHz, stereo, track 1.
pub(crate) fn audio_header() -> Vec<Bx> {
    let mut esds = vec![0, 0, 0, 0, 3, 25, 0, 1, 0, 4, 17, 0x40, 0x15];
    esds.extend([0; 11]);
    esds.extend([5, 2, 0x11, 0x90, 6, 1, 2]);
    let mut entry = vec![0; 28];
    (entry[7], entry[17], entry[19]) = (1, 2, 16);
    entry[24..26].copy_from_slice(&48_000u16.to_be_bytes());
    let mut entry = leaf(b"mp4a", entry);
    entry.inside.push(leaf(b"esds", esds));
    header(1, b"soun", 48_000, entry, leaf(b"smhd", be(&[0, 0])))
}

/// One sample.
#[derive(Debug, Clone)]
pub(crate) struct Smp {
    pub(crate) duration: u32,
    pub(crate) offset: i32,
    pub(crate) flags: u32,
    pub(crate) data: Vec<u8>,
}

/// A picture of 30 frames a second.
pub(crate) fn picture(key: bool, filler: u8) -> Smp {
    let mut nal = vec![if key { 0x65 } else { 0x41 }, 0x88];
    nal.resize(if key { 700 } else { 150 }, filler);
    let mut data = (nal.len() as u32).to_be_bytes().to_vec();
    data.extend(nal);
    Smp { duration: 3000, offset: 0, flags: if key { 0x0200_0000 } else { 0x0101_0000 }, data }
}

/// A frame of AAC.
pub(crate) fn sound(filler: u8) -> Smp {
    Smp { duration: 1024, offset: 0, flags: 0x0200_0000, data: vec![filler; 90] }
}

/// `moof mdat`.
pub(crate) fn chunk(sequence: u32, time: u64, samples: &[Smp]) -> Vec<Bx> {
    let mut tfdt = be(&[0x0100_0000]);
    tfdt.extend(time.to_be_bytes());
    let mut trun = be(&[0x0100_0f01, samples.len() as u32, 0]);
    for sample in samples {
        trun.extend(be(&[sample.duration, sample.data.len() as u32, sample.flags, sample.offset as u32]));
    }
    let traf = vec![leaf(b"tfhd", be(&[0x02_0000, 1])), leaf(b"tfdt", tfdt), leaf(b"trun", trun)];
    let mut moof = node(b"moof", vec![leaf(b"mfhd", be(&[0, sequence])), node(b"traf", traf)]);
    let offset = bytes(&[moof.clone()]).len() as u32 + 8;
    find(std::slice::from_mut(&mut moof), b"trun").body[8..12].copy_from_slice(&offset.to_be_bytes());
    let data: Vec<u8> = samples.iter().flat_map(|s| s.data.clone()).collect();
    vec![moof, leaf(b"mdat", data)]
}

pub(crate) fn styp() -> Bx {
    leaf(b"styp", b"msdh\0\0\0\0msdhmsix".to_vec())
}

/// Segment `n` of 2 s of pictures, as four parts of 15 pictures each.
pub(crate) fn video_parts(n: u64) -> Vec<Vec<Bx>> {
    let part = |p: u64| {
        let samples: Vec<Smp> = (0..15).map(|i| picture(p == 0 && i == 0, (n * 4 + p + i) as u8)).collect();
        let mut out = chunk((n * 4 + p) as u32 + 1, 900_000 + n * 180_000 + p * 45_000, &samples);
        if p == 0 {
            out.insert(0, styp());
        }
        out
    };
    (0..4).map(part).collect()
}

/// Segment `n` of about 2 s of sound, as four parts; the frame that is nearest to the pictures' cut begins each.
pub(crate) fn audio_parts(n: u64) -> Vec<Vec<Bx>> {
    let frame = |part: u64| (part * 24_000 + 512) / 1024;
    let part = |p: u64| {
        let (from, to) = (frame(n * 4 + p), frame(n * 4 + p + 1));
        let samples: Vec<Smp> = (from..to).map(|i| sound(i as u8)).collect();
        let mut out = chunk((n * 4 + p) as u32 + 1, 480_000 + from * 1024, &samples);
        if p == 0 {
            out.insert(0, styp());
        }
        out
    };
    (0..4).map(part).collect()
}
