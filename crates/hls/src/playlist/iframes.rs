//! Lists of keyframes (EXT-X-I-FRAMES-ONLY, RFC 8216 §4.3.3.6): each entry is one picture as a range of bytes in a segment,
//! as long as it is until the next, so that players can skim.

use std::sync::Arc;

use super::lines::{DateTime, Lines, Seconds};
use crate::{Init, Segment};

/// What a list of keyframes says. The media sequence is that of its first keyframe, counted from the segment's: every
/// segment is an entry, by its first keyframe, so that numbers are those of the segments.
#[derive(Clone, Copy, Debug)]
pub struct Iframes<'a> {
    /// EXT-X-TARGETDURATION in seconds, as in the other lists.
    pub target_duration: u32,
    /// EXT-X-DISCONTINUITY-SEQUENCE: the number before the first segment's own tag.
    pub discontinuity_sequence: u64,
    /// Listed segments, numbered without holes.
    pub segments: &'a [Arc<Segment>],
    /// No segment will follow.
    pub ended: bool,
    /// They are of fragmented MP4.
    pub fragmented: bool,
}

impl Iframes<'_> {
    /// The text. URIs are those of the segments, relative to the list.
    pub fn render(&self) -> String {
        let mut out = Lines::with_capacity(160 + self.segments.len() * 128);
        // EXT-X-I-FRAMES-ONLY came with version 4, EXT-X-MAP in such a list with 5 (RFC 8216 §7).
        let (version, extension) = if self.fragmented { (6, "m4s") } else { (4, "ts") };
        out.put(format_args!("#EXTM3U"));
        out.put(format_args!("#EXT-X-VERSION:{version}"));
        out.put(format_args!("#EXT-X-TARGETDURATION:{}", self.target_duration));
        out.put(format_args!(
            "#EXT-X-MEDIA-SEQUENCE:{}",
            self.segments.first().map_or(0, |segment| segment.sequence.0)
        ));
        out.put(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence));
        out.put(format_args!("#EXT-X-I-FRAMES-ONLY"));
        let mut map: Option<&Init> = None;
        for segment in self.segments {
            if segment.discontinuity {
                out.put(format_args!("#EXT-X-DISCONTINUITY"));
            }
            if let Some(init) = segment.init.as_deref()
                && map.is_none_or(|before| before.name != init.name)
            {
                map = Some(init);
                out.put(format_args!("#EXT-X-MAP:URI=\"{}\"", init.name));
            }
            out.put(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(segment.unix_micros)));
            let keyframe = segment.keyframes.first();
            if keyframe.is_none() {
                out.put(format_args!("#EXT-X-GAP"));
            }
            out.put(format_args!("#EXTINF:{},", Seconds(segment.duration)));
            if let Some(keyframe) = keyframe {
                out.put(format_args!("#EXT-X-BYTERANGE:{}@{}", keyframe.length, keyframe.offset));
            }
            out.put(format_args!("{}.{extension}", segment.sequence));
        }
        if self.ended {
            out.put(format_args!("#EXT-X-ENDLIST"));
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use media::{MediaSequence, MediaSpan, MediaTime};

    use super::*;
    use crate::Keyframe;

    #[test]
    fn the_first_keyframe_of_each_segment() {
        let segment = |sequence: u64, keyframes: &[(u32, u32)]| {
            Arc::new(Segment {
                sequence: MediaSequence(sequence),
                duration: MediaSpan::from_millis(2000),
                unix_micros: 1_795_348_800_000_000 + sequence as i64 * 2_000_000,
                gap: keyframes.is_empty(),
                keyframes: keyframes
                    .iter()
                    .map(|(offset, length)| Keyframe {
                        at: MediaTime::ZERO,
                        offset: *offset,
                        length: *length,
                    })
                    .collect(),
                ..Segment::default()
            })
        };
        let segments = [segment(7, &[(376, 18_800), (90_000, 188)]), segment(8, &[])];
        let list = Iframes {
            target_duration: 2,
            discontinuity_sequence: 1,
            segments: &segments,
            ended: true,
            fragmented: false,
        };
        let text = list.render();
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-I-FRAMES-ONLY\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:14.000Z\n#EXTINF:2.00000,\n#EXT-X-BYTERANGE:18800@376\n7.ts\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:16.000Z\n#EXT-X-GAP\n#EXTINF:2.00000,\n8.ts\n\
             #EXT-X-ENDLIST\n"
        );
        let (rest, read) = m3u8_rs::parse_media_playlist(text.as_bytes()).unwrap();
        assert!(rest.is_empty() && read.i_frames_only);
        assert_eq!(read.segments[0].byte_range.as_ref().map(|range| range.length), Some(18_800));
    }
}
