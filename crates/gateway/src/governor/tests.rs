//! The governor on a machine that is simulated: streams share its cores evenly, and what they cannot get makes them late.

use std::time::{Duration, Instant};

use transcode::{Cost, Load, RungLoad};

use super::{core::*, cpu::Spare};

const SETTINGS: Settings =
    Settings { budget: 0.9, ceiling: Duration::from_secs(4), admission: Admission::Measured };
/// Three encoded rungs of a 1080p30 source: 720, 480, 360.
const SIZES: [f64; 3] = [27.6e6, 12.3e6, 6.9e6];

struct Stream {
    id: Id,
    load: Load,
    late: f64,
    worst: f64,
}

/// What costs what, and who wants it.
struct Machine {
    core: Core,
    start: Instant,
    second: u64,
    cores: f64,
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

impl Machine {
    fn new(settings: Settings, cores: f64) -> Self {
        Self {
            core: Core::new(settings, cores),
            start: Instant::now(),
            second: 0,
            cores,
            others: 0.0,
            factor: 1.0,
            streams: Vec::new(),
            log: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.second)
    }

    fn begin(&mut self, copied: bool) -> Result<usize, NoRoom> {
        let id = self.core.admit(self.now(), ladder(copied))?;
        let rungs = vec![RungLoad::default(); SIZES.len()];
        self.streams.push(Stream { id, load: Load { rungs, ..Load::default() }, late: 0.0, worst: 0.0 });
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

    fn step(&mut self) {
        let before = self.all();
        self.second += 1;
        let costs: Vec<(f64, Vec<f64>)> = (0..self.streams.len())
            .map(|at| {
                let live = self.live(at);
                let rung = |(nth, mark): (usize, char)| {
                    if mark == '#' { SIZES[nth] * 12e-9 * self.factor } else { 0.0 }
                };
                let rungs: Vec<f64> = live.chars().enumerate().map(rung).collect();
                (if live.contains('#') { 0.16 * self.factor } else { 0.0 }, rungs)
            })
            .collect();
        let needs: f64 = costs.iter().map(|(decode, rungs)| decode + rungs.iter().sum::<f64>()).sum();
        let there = (self.cores - self.others).max(0.01);
        let pace = if needs > 0.0 { there / needs } else { 1.0 };
        let mut used = 0.0;
        for (stream, (decode, rungs)) in self.streams.iter_mut().zip(&costs) {
            // Who is late works faster than real time where it can.
            let done = pace.min(1.0 + stream.late.min(0.5));
            stream.late = (stream.late + 1.0 - done).max(0.0);
            stream.worst = stream.worst.max(stream.late);
            let add = |cost: &mut Cost, cpu: f64| {
                if cpu > 0.0 {
                    cost.cpu_micros += (cpu * done * 1e6) as u64;
                    cost.busy_micros += (cpu * done * 1e6) as u64;
                    cost.content_micros += (done * 1e6) as u64;
                    used += cpu * done;
                }
            };
            let mut add = add;
            add(&mut stream.load.decoder, *decode);
            stream.load.rungs.iter_mut().zip(rungs).for_each(|(rung, cpu)| add(&mut rung.cost, *cpu));
        }
        for at in 0..self.streams.len() {
            let (id, late, load) =
                (self.streams[at].id, self.streams[at].late, self.streams[at].load.clone());
            self.core.report(id, self.now(), late, &load);
        }
        let spare = Spare { idle: (there - used).max(0.0), low: used };
        self.core.tick(self.now(), Some(spare));
        for (at, (before, after)) in before.iter().zip(self.all()).enumerate() {
            for (nth, (was, is)) in before.chars().zip(after.chars()).enumerate() {
                if was != is {
                    let mark = if is == '#' { '+' } else { '-' };
                    self.log.push(format!("{} {mark}{at}.{nth}", self.second));
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
    for _ in 0..10 {
        machine.streams[1].late += 1.0; // six cores are idle
        machine.step();
    }
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
