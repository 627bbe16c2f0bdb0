//! Rungs whose encoders are closed and opened again while the stream goes on.

mod support;

use media::{MediaTime, Packet};
use support::{events, inputs, picture, planned, process, times};
use transcode::{Input, Isolation, Output, Transcoder, ladder::Wishes};

/// What a transcoder said, in order; inputs are given as far as asked for.
struct Talk {
    transcoder: Transcoder,
    inputs: std::iter::Peekable<std::vec::IntoIter<Input>>,
    said: Vec<Output>,
}

impl Talk {
    async fn start(isolation: Isolation, shed: &[bool]) -> Self {
        let clip = picture("640x480", 30, 8, 30, "");
        let (_, _, mut job) = planned(&clip.path, &Wishes::default());
        let rungs = &mut job.video.as_mut().expect("a picture is encoded").rungs;
        assert_eq!(rungs.len(), 2, "{rungs:?}");
        rungs.iter_mut().zip(shed).for_each(|(rung, shed)| rung.shed = *shed);
        let inputs = inputs(events(&clip.path), None).into_iter().peekable();
        Self {
            transcoder: Transcoder::start(isolation, job).await.expect("it starts"),
            inputs,
            said: Vec::new(),
        }
    }

    /// Gives everything that is decoded before `seconds`; hears until `enough` of all that was said.
    async fn until(&mut self, seconds: i64, enough: impl Fn(&[Output]) -> bool) {
        let before = |input: &Input| match input {
            Input::Packet(packet) => packet.dts.ticks() < seconds * 90_000 - 9000,
            Input::CutAt(at) => at.ticks() < seconds * 90_000,
            Input::Finish => seconds > 8,
            _ => true,
        };
        while let Some(input) = self.inputs.next_if(before) {
            self.transcoder.send(input).await.expect("it runs"); // so little that nothing waits
            while let Ok(Some(output)) =
                tokio::time::timeout(std::time::Duration::ZERO, self.transcoder.recv()).await
            {
                self.said.push(output);
            }
        }
        while !enough(&self.said) {
            self.said.push(self.transcoder.recv().await.expect("more is said"));
        }
    }

    fn switches(&self) -> Vec<(i64, Vec<Option<usize>>)> {
        let rungs = |output: &Output| match output {
            Output::Rungs { from, by, .. } => Some((from.ticks(), by.clone())),
            _ => None,
        };
        self.said.iter().filter_map(rungs).collect()
    }

    fn pictures(&self, rung: usize) -> Vec<&Packet> {
        let made = self.said.iter().filter_map(|output| match output {
            Output::Video { rung: of, packet } if *of == rung => Some(packet),
            _ => None,
        });
        made.collect()
    }
}

fn has(rung: usize, seconds: i64) -> impl Fn(&[Output]) -> bool {
    let at = MediaTime::from_ticks(seconds * 90_000);
    move |said| {
        said.iter().any(
            |output| matches!(output, Output::Video { rung: of, packet } if *of == rung && packet.pts >= at),
        )
    }
}

fn ended(said: &[Output]) -> bool {
    matches!(said.last(), Some(Output::Finished))
}

async fn a_rung_goes_and_comes(isolation: Isolation) {
    let mut talk = Talk::start(isolation, &[false, false]).await;
    talk.until(2, has(0, 0)).await;
    talk.transcoder.want(&[false, true]);
    talk.until(4, |said| said.iter().any(|output| matches!(output, Output::Drained { rung: 0 }))).await;
    talk.transcoder.want(&[true, true]);
    talk.until(9, ended).await;
    let switches = talk.switches();
    assert_eq!(switches.len(), 2, "{switches:?}");
    let ((shed, by), (back, both)) = (&switches[0], &switches[1]);
    assert_eq!((&by[..], &both[..]), (&[Some(1), Some(1)][..], &[Some(0), Some(1)][..]));
    assert!(shed % 90_000 == 0 && back % 90_000 == 0 && *shed >= 90_000 && shed < back, "{switches:?}");
    assert!(*back <= 4 * 90_000, "a second after it was asked for: {back}");
    // The large one has everything up to the cut and from the cut on, beginning with a keyframe; the small one everything.
    let all: Vec<i64> = (0..240).map(|nth| nth * 3000).collect();
    let mut large = times(talk.pictures(0));
    large.sort_unstable();
    let want: Vec<i64> = all.iter().copied().filter(|at| at < shed || at >= back).collect();
    assert_eq!(large, want);
    let first_back =
        talk.pictures(0).into_iter().find(|packet| packet.pts.ticks() >= *back).expect("it is back");
    assert!(first_back.keyframe && first_back.pts.ticks() == *back);
    let mut small = times(talk.pictures(1));
    small.sort_unstable();
    assert_eq!(small, all);
    // A switch is told before the pictures that it is about, and the end of the old encoder after its last.
    let told = talk.said.iter().position(|said| matches!(said, Output::Rungs { .. })).expect("told");
    let early = talk.said[..told]
        .iter()
        .any(|said| matches!(said, Output::Video { packet, .. } if packet.pts.ticks() >= *shed));
    assert!(!early);
    let drained =
        talk.said.iter().position(|said| matches!(said, Output::Drained { rung: 0 })).expect("drained");
    let late = talk.said[drained..]
        .iter()
        .any(|said| matches!(said, Output::Video { rung: 0, packet } if packet.pts.ticks() < *back));
    assert!(!late && drained > told);
    let load = talk.transcoder.load();
    assert!(load.rungs.iter().all(|rung| rung.cost.cpu_micros > 0), "{load:?}");
    assert!(load.rungs[1].cost.content_micros > load.rungs[0].cost.content_micros, "{load:?}");
}

#[tokio::test]
async fn a_rung_goes_and_comes_at_cuts_in_a_thread() {
    a_rung_goes_and_comes(Isolation::Thread).await;
}

#[tokio::test]
async fn a_rung_goes_and_comes_at_cuts_in_a_process() {
    a_rung_goes_and_comes(process()).await;
}

#[tokio::test]
async fn with_no_rung_left_nothing_is_decoded_until_one_is_wanted() {
    let mut talk = Talk::start(Isolation::Thread, &[true, true]).await;
    talk.until(3, |said| said.iter().any(|output| matches!(output, Output::Rungs { .. }))).await;
    assert!(
        matches!(&talk.said[..2], [Output::Ready { video, .. }, Output::Rungs { .. }] if video.len() == 2)
    );
    // What was given before it is wanted may still wait; the next keyframe does not.
    while talk.transcoder.room() < 512 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    talk.transcoder.want(&[false, true]);
    talk.until(9, ended).await;
    let switches = talk.switches();
    assert_eq!(switches.len(), 2, "{switches:?}");
    assert_eq!(switches[0].1, [None, None]);
    let (from, by) = &switches[1];
    assert_eq!(by[..], [Some(1), Some(1)]);
    assert!(from % 90_000 == 0 && (90_000..=270_000).contains(from), "{from}");
    let mut small = times(talk.pictures(1));
    small.sort_unstable();
    assert_eq!(small, (from / 3000..240).map(|nth| nth * 3000).collect::<Vec<_>>());
    let decoded = talk.transcoder.stats().frames_decoded;
    assert!(decoded as usize <= small.len() + 3, "{decoded} of {} decoded", small.len());
}
