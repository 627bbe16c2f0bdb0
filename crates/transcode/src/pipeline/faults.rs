//! Faults on purpose, for tests of what is around: a job must ask for them.

use std::thread;

use media::{MediaTime, Packet, TrackId, TrackKind};
use tokio::sync::mpsc;

use super::Ended;
use crate::{FAULT_MARK, Fault, Output, ladder::EncoderName, worker::attempts};

/// What goes wrong at a certain frame.
pub(super) fn inject(
    fault: &mut Option<Fault>,
    frames: u64,
    encoder: EncoderName,
    outbox: &mpsc::Sender<Output>,
) -> Result<(), Ended> {
    match *fault {
        Some(Fault::AbortAtFrame(at)) if frames >= at => std::process::abort(),
        Some(Fault::HangAtFrame(at)) if frames >= at => hang(),
        Some(Fault::LoseEncoderAtFrame(at)) if frames >= at => Err(Ended::Lost(encoder)),
        Some(Fault::BreakOutAtFrame(at)) if frames >= at => {
            *fault = None;
            outbox.blocking_send(Output::Tried(attempts::all())).map_err(|_| Ended::Abandoned)
        }
        _ => Ok(()),
    }
}

/// What a packet's own mark asks for.
pub(super) fn obey(data: &[u8], outbox: &mpsc::Sender<Output>) {
    let Some(at) = data.windows(FAULT_MARK.len()).position(|window| window == FAULT_MARK) else { return };
    let word = data[at + FAULT_MARK.len()..].split(|byte| *byte == b'.').next().unwrap_or_default();
    let say = |rung: usize, ticks: i64, keyframe: bool| {
        let at = MediaTime::from_ticks(ticks);
        let data = vec![0; 100].into();
        let packet = Packet { track: TrackId(0), kind: TrackKind::Video, pts: at, dts: at, keyframe, data };
        outbox.blocking_send(Output::Video { rung, packet }).is_ok()
    };
    match word {
        b"abort" => std::process::abort(),
        b"hang" => hang(),
        b"panic" => panic!("as the mark says"),
        b"eat" => drop((0..1 << 20).map(|_| vec![1u8; 16 << 20]).collect::<Vec<_>>()),
        b"time" => drop(say(0, i64::MAX, true)),
        b"rung" => drop(say(99, 0, true)),
        b"flood" => while say(0, 0, true) {},
        _ => {}
    }
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}
