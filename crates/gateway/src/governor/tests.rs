//! The governor on a machine that is simulated: streams share its cores evenly, and what they cannot get makes them late.

use std::time::{Duration, Instant};

use media::MediaTime;
use transcode::{Cost, Load, RungLoad};

use super::{core::*, cpu::Spare};
use crate::stream::lateness::Lateness;

const SETTINGS: Settings =
    Settings { budget: 0.9, ceiling: Duration::from_secs(4), admission: Admission::Measured };
/// Three encoded rungs of a 1080p30 source: 720, 480, 360.
const SIZES: [f64; 3] = [27.6e6, 12.3e6, 6.9e6];

/// The source's keyframes, at which rungs come and go.
const CUTS: f64 = 2.0;
/// What a publisher sent before its ladder was known, and how long a worker takes to start.
const LOOK: f64 = 1.5;
const START: f64 = 0.8;
/// How far behind an encoder is when all is well, and how much faster than real time one works off what it has.
const LOOKAHEAD: f64 = 0.5;
const FASTEST: f64 = 2.5;
/// Of the simulation.
const STEP: f64 = 0.1;
const STEPS: u64 = 10;

struct Stream {
    id: Id,
    begun: f64,
    /// Up to where it is encoded.
    made: f64,
    /// Its encoder makes no more content a second, whatever CPU there is.
    fastest: f64,
    running: Vec<bool>,
    load: Load,
    lateness: Lateness,
    /// Seconds.
    late: f64,
    worst: f64,
    /// Times that it was past the ceiling.
    skips: u32,
}

impl Stream {
    fn end(&self, at: f64) -> f64 {
        at - self.begun + LOOK
    }

    /// CPU seconds for a second of content: decoding, each rung.
    fn costs(&self, factor: f64) -> (f64, Vec<f64>) {
        let rung = |(size, runs): (&f64, &bool)| if *runs { size * 12e-9 * factor } else { 0.0 };
        let decode = if self.running.contains(&true) { 0.16 * factor } else { 0.0 };
        (decode, SIZES.iter().zip(&self.running).map(rung).collect())
    }
}

/// What costs what, and who wants it.
struct Machine {
    core: Core,
    start: Instant,
    steps: u64,
    cores: f64,
    ceiling: f64,
    /// Used by others.
    others: f64,
    /// True costs against the guesses.
    factor: f64,
    streams: Vec<Stream>,
    /// `second stream rung` that went or came, as in `12 -0.720`.
    log: Vec<String>,
}

fn ladder(copied: bool) -> Ladder {
    let work = |size: &f64| Work { size: *size, guess: size * 12e-9 };
    Ladder { decode: 0.16, rungs: SIZES.iter().map(work).collect(), copied }
}

fn media(seconds: f64) -> MediaTime {
    MediaTime::from_ticks((seconds * 90_000.0) as i64)
}

impl Machine {
    fn new(settings: Settings, cores: f64) -> Self {
        Self {
            core: Core::new(settings, cores),
            start: Instant::now(),
            steps: 0,
            cores,
            ceiling: settings.ceiling.as_secs_f64(),
            others: 0.0,
            factor: 1.0,
            streams: Vec::new(),
            log: Vec::new(),
        }
    }

    fn at(&self) -> f64 {
        self.steps as f64 * STEP
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.steps * 100)
    }

    fn begin(&mut self, copied: bool) -> Result<usize, NoRoom> {
        let id = self.core.admit(self.now(), ladder(copied))?;
        let running: Vec<bool> = self.core.shed(id).iter().map(Option::is_none).collect();
        let rungs = vec![RungLoad::default(); SIZES.len()];
        self.streams.push(Stream {
            id,
            begun: self.at(),
            made: 0.0,
            fastest: FASTEST,
            running,
            load: Load { rungs, ..Load::default() },
            lateness: Lateness::new(self.now(), media(0.0)),
            late: 0.0,
            worst: 0.0,
            skips: 0,
        });
        Ok(self.streams.len() - 1)
    }

    fn live(&self, stream: usize) -> String {
        let shed = self.core.shed(self.streams[stream].id);
        shed.iter().map(|why| if why.is_none() { '#' } else { '.' }).collect()
    }

    fn all(&self) -> Vec<String> {
        (0..self.streams.len()).map(|stream| self.live(stream)).collect()
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.step();
        }
    }

    /// A tenth of a second's work, shared evenly; gives the CPU that it took.
    fn work(&mut self) -> f64 {
        self.steps += 1;
        let (at, now, factor, ceiling) = (self.at(), self.now(), self.factor, self.ceiling);
        let there = (self.cores - self.others).max(0.01) * STEP;
        let wants: Vec<f64> = self
            .streams
            .iter()
            .map(|stream| {
                let ready = at - stream.begun > START && stream.running.contains(&true);
                let backlog = (stream.end(at) - LOOKAHEAD - stream.made).max(0.0);
                if ready { backlog.min(stream.fastest * STEP) } else { 0.0 }
            })
            .collect();
        let cost = |stream: &Stream| {
            let (decode, rungs) = stream.costs(factor);
            decode + rungs.iter().sum::<f64>()
        };
        let needs: f64 = self.streams.iter().zip(&wants).map(|(stream, want)| cost(stream) * want).sum();
        let share = if needs > there { there / needs } else { 1.0 };
        for (stream, want) in self.streams.iter_mut().zip(&wants) {
            let done = want * share;
            let (decode, rungs) = stream.costs(factor);
            let add = |cost: &mut Cost, cpu: f64| {
                cost.cpu_micros += (cpu * done * 1e6) as u64;
                cost.busy_micros += (cpu * done * 1e6) as u64;
                cost.content_micros += if cpu > 0.0 { (done * 1e6) as u64 } else { 0 };
            };
            add(&mut stream.load.decoder, decode);
            stream.load.rungs.iter_mut().zip(&rungs).for_each(|(rung, cpu)| add(&mut rung.cost, *cpu));
            let (before, end) = (stream.made, stream.end(at));
            stream.made += done;
            if !stream.running.contains(&true) {
                stream.made = end;
                stream.lateness.restart(now, media(end));
            } else {
                stream.lateness.see(now, media(end), media(stream.made));
            }
            stream.late = stream.lateness.late().as_secs_f64();
            stream.worst = stream.worst.max(stream.late);
            if stream.late > ceiling {
                stream.skips += 1;
                stream.made = end;
                stream.lateness.restart(now, media(end));
            }
            if (before / CUTS).floor() != (stream.made / CUTS).floor() {
                stream.running = self.core.shed(stream.id).iter().map(Option::is_none).collect();
            }
            for (told, runs) in stream.load.rungs.iter_mut().zip(&stream.running) {
                told.running = *runs;
            }
        }
        needs * share
    }

    fn step(&mut self) {
        let before = self.all();
        let used: f64 = (0..STEPS).map(|_| self.work()).sum();
        let now = self.now();
        for stream in &self.streams {
            if self.at() - stream.begun > START {
                let late = stream.lateness.against_normal().as_secs_f64();
                self.core.report(stream.id, now, late, &stream.load);
            }
        }
        let there = (self.cores - self.others).max(0.0);
        let spare = Spare { idle: (there - used).max(0.0), low: used };
        self.core.tick(now, Some(spare));
        for (at, (before, after)) in before.iter().zip(self.all()).enumerate() {
            for (nth, (was, is)) in before.chars().zip(after.chars()).enumerate() {
                if was != is {
                    let mark = if is == '#' { '+' } else { '-' };
                    self.log.push(format!("{} {mark}{at}.{nth}", self.at().round()));
                }
            }
        }
    }

    /// The log without its times.
    fn order(&self) -> Vec<&str> {
        self.log.iter().map(|line| line.split_once(' ').map_or("", |(_, what)| what)).collect()
    }
}

/// Begins all that is asked for, whatever the room.
fn always() -> Settings {
    Settings { admission: Admission::Always, ..SETTINGS }
}

#[test]
fn a_ladder_that_fits_is_left_alone() {
    let mut machine = Machine::new(SETTINGS, 2.0);
    machine.begin(true).unwrap();
    machine.run(300);
    assert_eq!((machine.all(), machine.log.len()), (vec!["###".to_owned()], 0), "{:?}", machine.log);
}

#[test]
fn the_largest_rungs_of_all_streams_go_first_and_the_ceiling_holds() {
    // Three ladders need 2.2 cores of guessed and 3.3 of true cost.
    let mut machine = Machine::new(always(), 2.0);
    machine.factor = 1.5;
    (0..3).for_each(|_| assert!(machine.begin(true).is_ok()));
    machine.run(60);
    let order = machine.order();
    let first: Vec<&&str> = order.iter().take_while(|what| what.starts_with('-')).collect();
    assert!(first.len() >= 3 && first[..3].iter().all(|what| what.ends_with(".0")), "{:?}", machine.log);
    assert!(machine.all().iter().all(|live| live.ends_with("##")), "{:?}", machine.log);
    for stream in &machine.streams {
        assert!(stream.worst < 4.0 && stream.late < 0.5, "{} {:?}", stream.worst, machine.log);
    }
}

/// CPU that what runs needs in real time.
fn needs(machine: &Machine) -> f64 {
    let cost = |stream: &Stream| {
        let (decode, rungs) = stream.costs(machine.factor);
        decode + rungs.iter().sum::<f64>()
    };
    machine.streams.iter().map(cost).sum()
}

#[test]
fn ladders_that_start_at_once_stay_under_the_ceiling() {
    for (name, settings, cores, count, apart, factor) in [
        ("as guessed", always(), 2.0, 3, 0, 1.0),
        ("half as much again", always(), 2.0, 3, 0, 1.5),
        ("twice", always(), 2.0, 3, 0, 2.0),
        ("twice, a second apart", always(), 2.0, 3, 1, 2.0),
        ("half as much again, three seconds apart", always(), 2.0, 3, 3, 1.5),
        ("six on four cores", always(), 4.0, 6, 0, 1.5),
        ("ten on eight cores", always(), 8.0, 10, 0, 1.8),
        ("measured, as guessed", SETTINGS, 2.0, 3, 0, 1.0),
        ("measured, half as much again", SETTINGS, 2.0, 3, 0, 1.5),
        ("measured, twice", SETTINGS, 2.0, 3, 0, 2.0),
        ("measured, two and a half times", SETTINGS, 2.0, 3, 0, 2.5),
        ("measured, two and a half times, a second apart", SETTINGS, 2.0, 3, 1, 2.5),
    ] {
        let mut machine = Machine::new(settings, cores);
        machine.factor = factor;
        for _ in 0..count {
            machine.begin(true).unwrap();
            machine.run(apart);
        }
        machine.run(25);
        let worst = machine.streams.iter().map(|stream| stream.worst).fold(0.0, f64::max);
        let least = needs(&machine);
        let log = machine.log.join(", ");
        assert!(machine.streams.iter().all(|stream| stream.skips == 0), "{name}: worst {worst:.2}; {log}");
        // Not much more is given up than has to be: nothing that a large rung more would not fill.
        let largest = SIZES[0] * 12e-9 * factor;
        assert!(least > (cores / MOST_PACE).min(0.8 * cores) - largest, "{name}: {least:.2} used; {log}");
    }
}

#[test]
fn one_shed_is_seen_before_the_next() {
    // A little more than there is: one of the large rungs is what has to go.
    let mut machine = Machine::new(always(), 2.0);
    machine.factor = 1.05;
    (0..3).for_each(|_| assert!(machine.begin(true).is_ok()));
    machine.run(60);
    let shed = machine.order().into_iter().filter(|what| what.starts_with('-')).count();
    assert!((1..=2).contains(&shed), "{:?}", machine.log);
}

#[test]
fn what_a_lost_encoder_said_last_counts_no_more() {
    let mut machine = Machine::new(always(), 2.0);
    machine.factor = 0.5;
    (0..2).for_each(|_| assert!(machine.begin(true).is_ok()));
    machine.run(10);
    let (id, load) = (machine.streams[1].id, machine.streams[1].load.clone());
    for late in [1.0, 3.0] {
        machine.core.report(id, machine.now(), late, &load);
    }
    machine.streams.remove(1); // it rests, and tells nothing
    machine.others = 1.9;
    machine.factor = 0.05;
    machine.run(40);
    assert_eq!(machine.live(0), "###", "{:?}", machine.log);
}

#[test]
fn rungs_return_in_reverse_order_when_others_leave() {
    let mut machine = Machine::new(always(), 2.0);
    machine.factor = 2.0;
    (0..3).for_each(|_| assert!(machine.begin(true).is_ok()));
    machine.run(120);
    assert!(machine.all().iter().any(|live| !live.starts_with("##")), "{:?}", machine.log);
    let gone = machine.streams.remove(2);
    machine.core.leave(gone.id);
    let gone = machine.streams.remove(1);
    machine.core.leave(gone.id);
    machine.log.clear();
    machine.run(400);
    assert_eq!(machine.all(), ["###"], "{:?}", machine.log);
    let came: Vec<&str> = machine.order();
    assert!(came.iter().rev().zip(["+0.0", "+0.1", "+0.2"]).all(|(got, want)| *got == want), "{came:?}");
}

#[test]
fn what_does_not_last_is_tried_ever_less_often() {
    // Idle CPU shows that is not to be had: others take it whenever streams work more.
    let mut machine = Machine::new(always(), 2.0);
    machine.begin(true).unwrap();
    let mut tries = Vec::new();
    for second in 0..1200 {
        // the large rung's presence calls the others in
        machine.others = if machine.live(0).starts_with('#') { 1.6 } else { 0.5 };
        let before = machine.log.len();
        machine.step();
        if machine.log.len() > before && machine.log[before].contains("+0.0") {
            tries.push(second);
        }
    }
    let gaps: Vec<i32> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 3 && gaps.len() < 30, "{tries:?}");
    assert!(gaps.iter().max() >= Some(&150), "{gaps:?}");
    assert!(machine.streams[0].worst < 4.0, "{}", machine.streams[0].worst);
}

#[test]
fn newcomers_get_what_is_left_and_hurt_nobody() {
    let mut machine = Machine::new(SETTINGS, 2.0);
    for _ in 0..3 {
        machine.begin(true).unwrap(); // at once: the first ones' work does not show yet
    }
    assert_eq!(machine.all(), ["###", "###", "..#"], "0.72 each, 1.8 to give away");
    machine.run(60);
    assert!(machine.streams[..2].iter().all(|stream| stream.worst < 0.1));
    assert_eq!(machine.all()[..2], ["###", "###"]);
    let mut small = Machine::new(SETTINGS, 1.0);
    small.begin(true).unwrap();
    small.begin(false).unwrap();
    assert_eq!(small.all(), ["###", "..#"], "what cannot be copied has its smallest rung");
    let mut strict = Machine::new(Settings { admission: Admission::Refuse, ..SETTINGS }, 1.0);
    strict.begin(true).unwrap();
    assert_eq!(strict.begin(false), Err(NoRoom));
    assert_eq!(strict.begin(true), Ok(1), "a copied stream needs no encoder");
    assert_eq!(strict.all(), ["###", "..."]);
}

#[test]
fn what_was_measured_decides_about_the_next() {
    let mut machine = Machine::new(SETTINGS, 4.0);
    machine.factor = 3.0; // a slow machine
    machine.begin(true).unwrap();
    machine.run(60);
    machine.begin(true).unwrap();
    let second = machine.live(1);
    assert_ne!(second, "###", "0.72 is guessed, 2.2 was measured, 1.4 are free");
    assert!(second.ends_with('#'), "{second}");
}

#[test]
fn the_last_rung_stays_where_nothing_is_copied() {
    for (name, copied, want) in [("copied", true, "..."), ("all encoded", false, "..#")] {
        let mut machine = Machine::new(always(), 0.3);
        machine.factor = 4.0;
        machine.begin(copied).unwrap();
        machine.run(30);
        assert_eq!(machine.live(0), want, "{name}: {:?}", machine.log);
        let order: Vec<_> = machine.order().into_iter().filter(|what| what.starts_with('-')).collect();
        assert!(order.starts_with(&["-0.0", "-0.1"]), "{name}: {order:?}");
    }
}

#[test]
fn a_stream_that_is_slow_by_itself_pays_alone() {
    let mut machine = Machine::new(always(), 8.0);
    (0..2).for_each(|_| assert!(machine.begin(true).is_ok()));
    machine.run(10);
    machine.streams[1].fastest = 0.4; // six cores are idle
    machine.run(10);
    assert_eq!(machine.live(0), "###");
    assert!(machine.live(1).starts_with('.'), "{:?}", machine.log);
}

#[test]
fn one_that_stands_still_is_not_overloaded() {
    let mut machine = Machine::new(always(), 2.0);
    let at = machine.begin(true).unwrap();
    machine.run(5);
    let (id, load) = (machine.streams[at].id, machine.streams[at].load.clone());
    for second in 6..60u64 {
        let now = machine.start + Duration::from_secs(second);
        machine.core.report(id, now, second as f64, &load); // it hangs
        if second > 9 {
            machine.core.tick(now, Some(Spare { idle: 1.9, low: 0.0 }));
        }
    }
    assert_eq!(machine.live(at), "###");
}
