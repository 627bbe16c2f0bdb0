use super::*;

const TAG: Format = Format { sample_rate: 44_100, channels: 2 };

fn sounds(codec: AudioCodec) -> Sounds {
    Sounds::new(AudioCoding::Other(codec))
}

/// Feeds one frame; what it tells as (samples, rate, channels, extradata's length).
fn one(sounds: &mut Sounds, body: &[u8], format: Format) -> Result<(u32, u32, u8, usize), HeaderError> {
    let frame = sounds.frame(&Bytes::copy_from_slice(body), format)?;
    let config = sounds.config().unwrap();
    Ok((frame.samples, config.sample_rate(), config.channels(), config.extradata().len()))
}

#[test]
fn aac_raw_and_in_adts() {
    let mut aac = Sounds::new(AudioCoding::Aac);
    let raw = aac.frame(&Bytes::from_static(&[0x21, 0x10]), TAG).unwrap();
    assert_eq!((raw.samples, raw.changed), (0, false), "nothing is known yet");
    assert_eq!(aac.record(&Bytes::new()), Ok(false));
    assert_eq!(aac.record(&Bytes::from_static(&[0x11, 0x90])), Ok(true));
    assert_eq!(one(&mut aac, &[0x21, 0x10], TAG), Ok((1024, 48_000, 2, 2)));
    assert!(aac.record(&Bytes::from_static(&[0xFF, 0xFF])).is_err());

    let header = aac::Config::lc(44_100, 1).unwrap().adts_header(2).unwrap();
    let frame = aac.frame(&[&header[..], &[0x21, 0x10]].concat().into(), TAG).unwrap();
    assert_eq!((&frame.data[..], frame.changed, frame.adts), (&[0x21, 0x10][..], true, true));
    assert_eq!(aac.config().map(AudioConfig::sample_rate), Some(44_100));
}

#[test]
fn codings_that_tell_themselves() {
    let mut opus = sounds(AudioCodec::Opus);
    assert_eq!(one(&mut opus, &[0xFC, 1, 2], TAG), Ok((960, 48_000, 2, 19)), "no header came");
    let mut head = opus::Head::plain(2).bytes.to_vec();
    head[10] = 0x38; // pre-skip
    assert_eq!(opus.record(&head.clone().into()), Ok(true));
    assert_eq!(opus.record(&head.into()), Ok(false));
    assert_eq!(one(&mut opus, &[0xF8, 1], TAG), Ok((960, 48_000, 2, 19)), "a mono packet is no change");
    assert!(one(&mut opus, &[], TAG).is_err());

    let mut flac = sounds(AudioCodec::Flac);
    let frame = [0xFF, 0xF8, 0x5A, 0x18, 0x00];
    assert_eq!(
        flac.frame(&Bytes::copy_from_slice(&frame), TAG),
        Err(HeaderError::Missing("FLAC STREAMINFO"))
    );
    let mut info = vec![0; 34];
    info[10..13].copy_from_slice(&[0x0B, 0xB8, 0x02]);
    flac.record(&[&b"fLaC\x80\0\0\x22"[..], &info].concat().into()).unwrap();
    assert_eq!(one(&mut flac, &frame, TAG), Ok((4608, 48_000, 2, 34)));

    let plain = [0x0B, 0x77, 0x12, 0x34, 0x14, 0x40, 0x43, 0xE1];
    assert_eq!(one(&mut sounds(AudioCodec::Ac3), &plain, TAG), Ok((1536, 48_000, 2, 0)));
    let mut mislabelled = sounds(AudioCodec::Eac3);
    one(&mut mislabelled, &plain, TAG).unwrap();
    assert_eq!(
        mislabelled.config().map(AudioConfig::codecs).as_deref(),
        Some("AC-3"),
        "the bitstream decides"
    );

    let mut mp3 = sounds(AudioCodec::Mp3);
    assert_eq!(one(&mut mp3, &[0xFF, 0xFB, 0x94, 0xC4, 0], TAG), Ok((1152, 48_000, 1, 0)));
    let changed = mp3.frame(&Bytes::from_static(&[0xFF, 0xFB, 0x90, 0x64]), TAG).unwrap();
    assert!(changed.changed);
    assert!(one(&mut mp3, &[1, 2, 3, 4], TAG).is_err());
}

#[test]
fn speex_tells_how_many_frames_a_packet_has() {
    let format = Format { sample_rate: 16_000, channels: 1 };
    let silence = |frames: usize| Bytes::from([&vec![0; frames * 5 / 8][..], &[0x7F]].concat());
    let mut speex = sounds(AudioCodec::Speex);
    let mut frames_in_header = |frames: usize| {
        let frame = speex.frame(&silence(frames), format).unwrap();
        assert_eq!(frame.samples, 320 * frames as u32);
        (frame.changed, speex.config().unwrap().extradata()[64])
    };
    assert_eq!(frames_in_header(8), (true, 8));
    assert_eq!(frames_in_header(8), (false, 8));
    assert_eq!(frames_in_header(16), (false, 8), "one odd packet");
    assert_eq!(frames_in_header(8), (false, 8));
    assert_eq!(frames_in_header(16), (false, 8));
    assert_eq!(frames_in_header(16), (true, 16), "two in a row");
}

#[test]
fn codings_that_only_the_tag_describes() {
    let mono = |sample_rate| Format { sample_rate, channels: 1 };
    for (codec, len, format, want) in [
        (AudioCodec::PcmS16Le, 400, TAG, (100, 44_100, 2, 0)),
        (AudioCodec::PcmU8, 400, TAG, (200, 44_100, 2, 0)),
        (AudioCodec::ALaw, 160, mono(8_000), (160, 8_000, 1, 0)),
        (AudioCodec::MuLaw, 160, mono(8_000), (160, 8_000, 1, 0)),
        (AudioCodec::Nellymoser, 128, mono(22_050), (512, 22_050, 1, 0)),
        (AudioCodec::AdpcmSwf, 103, mono(11_025), (401, 11_025, 1, 0)),
    ] {
        assert_eq!(one(&mut sounds(codec), &vec![0; len], format), Ok(want), "{codec:?}");
        assert!(one(&mut sounds(codec), &[], format).is_err(), "{codec:?}: empty");
    }
}
