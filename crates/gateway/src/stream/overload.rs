//! The stream's side of the governor: how late its encoder is, which of its rungs are given up, and what is told of it.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use media::{MediaSpan, MediaTime, StreamName};
use origin::Encoding;
use tracing::{info, warn};
use transcode::{Load, ladder::Plan};

use super::{encoder::Encoder, lateness::Lateness, packager::Packager};
use crate::governor::{Ticket, Why};

/// How often it is looked at how late the encoder is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the governor is told.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// One publication's encoder under the governor's eye.
pub(super) struct Overload {
    /// `None` where no picture is encoded.
    ticket: Option<Ticket>,
    lateness: Lateness,
    looked_at: Option<Instant>,
    reported_at: Option<Instant>,
    rungs: Vec<Rung>,
    load: Load,
}

/// One encoded rung, in the job's order.
#[derive(Debug, Clone)]
struct Rung {
    name: String,
    shed: Option<Why>,
    /// Over the last second or so that it ran.
    realtime_factor: Option<f64>,
}

impl Overload {
    /// A publication begins at `start`.
    pub(super) fn new(now: Instant, ticket: Option<Ticket>, plan: &Plan, start: MediaTime) -> Self {
        let shed = ticket.as_ref().map_or_else(Vec::new, Ticket::shed);
        let rungs: Vec<Rung> = plan
            .rungs
            .iter()
            .filter(|rung| rung.is_encoded())
            .enumerate()
            .map(|(nth, rung)| Rung {
                name: rung.name.clone(),
                shed: shed.get(nth).copied().flatten(),
                realtime_factor: None,
            })
            .collect();
        for rung in rungs.iter().filter(|rung| rung.shed.is_some()) {
            warn!(rung = rung.name, "there is no CPU for a rung now; it follows when there is");
        }
        let lateness = Lateness::new(now, start);
        Self { ticket, lateness, looked_at: None, reported_at: None, rungs, load: Load::default() }
    }

    /// Which rungs are to be encoded, in the job's order.
    pub(super) fn wanted(&self) -> Vec<bool> {
        self.rungs.iter().map(|rung| rung.shed.is_none()).collect()
    }

    /// How late the encoder is.
    pub(super) fn late(&self) -> MediaSpan {
        self.lateness.late()
    }

    /// The encoder starts over, or goes on, with what comes at `start`.
    pub(super) fn restarted(&mut self, now: Instant, start: MediaTime) {
        self.lateness.restart(now, start);
    }

    /// Looks, tells the governor, and does as it says; true when something changed. To be called often.
    pub(super) fn look(
        &mut self,
        now: Instant,
        name: &StreamName,
        packager: &Packager,
        encoder: &mut Encoder,
    ) -> bool {
        let passed = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        if passed(self.looked_at) < LOOK_EVERY {
            return false;
        }
        self.looked_at = Some(now);
        match packager.encoded_until().filter(|_| encoder.running()) {
            Some(made) => self.lateness.see(now, packager.end(), made),
            None => self.lateness.restart(now, packager.end()),
        }
        if passed(self.reported_at) >= REPORT_EVERY {
            self.reported_at = Some(now);
            self.report(name, encoder.load());
        }
        self.obey(name, encoder)
    }

    fn report(&mut self, name: &StreamName, load: Option<Load>) {
        let (Some(ticket), Some(load)) = (&self.ticket, load) else { return };
        ticket.report(self.lateness.against_normal(), &load);
        let stream = name.to_string();
        metrics::gauge!("sluice_stream_encoder_late_seconds", "stream" => stream.clone())
            .set(self.lateness.late().as_secs_f64());
        if load == self.load {
            return; // nothing new was told
        }
        let before = std::mem::replace(&mut self.load, load);
        for (nth, rung) in self.rungs.iter_mut().enumerate() {
            let Some(now) = self.load.rungs.get(nth) else { continue };
            let since = before.rungs.get(nth).map(|before| before.cost).unwrap_or_default();
            rung.realtime_factor = now.cost.since(since).realtime_factor().filter(|_| now.running);
            let labels = [("stream", stream.clone()), ("rung", rung.name.clone())];
            metrics::gauge!("sluice_rung_realtime_factor", &labels).set(rung.realtime_factor.unwrap_or(0.0));
            metrics::gauge!("sluice_rung_shed", &labels).set(f64::from(u8::from(!now.running)));
            metrics::gauge!("sluice_rung_queued_frames", &labels).set(f64::from(now.queued));
            if let Some(cost) = ticket.cost(nth) {
                metrics::gauge!("sluice_rung_cpu_seconds_per_second", &labels).set(cost);
            }
        }
    }

    fn obey(&mut self, name: &StreamName, encoder: &mut Encoder) -> bool {
        let Some(ticket) = &self.ticket else { return false };
        let mut changed = false;
        for (rung, shed) in self.rungs.iter_mut().zip(ticket.shed()) {
            if rung.shed.is_some() == shed.is_some() {
                continue;
            }
            let labels = [("stream", name.to_string()), ("rung", rung.name.clone())];
            let late = self.lateness.late().millis();
            if shed.is_some() {
                warn!(rung = rung.name, late_ms = late, "the CPU is short: a rung is shed");
                metrics::counter!("sluice_rung_sheds_total", &labels).increment(1);
            } else {
                info!(rung = rung.name, "a rung returns");
                metrics::counter!("sluice_rung_restores_total", &labels).increment(1);
            }
            rung.shed = shed;
            changed = true;
        }
        if changed {
            encoder.want(&self.wanted());
        }
        changed
    }

    /// What is told of the rung `nth`. `shown`: the rung whose pictures stand in for it.
    pub(super) fn encoding(&self, nth: usize, shown: Option<usize>) -> Option<Encoding> {
        let rung = self.rungs.get(nth)?;
        let because = rung.shed.map(|why| match why {
            Why::NoRoom => "there was no CPU for it when the stream began",
            Why::Behind => "streams fell behind for want of CPU",
        });
        let substitute = shown.filter(|shown| *shown != nth).and_then(|shown| self.rungs.get(shown));
        Some(Encoding {
            shed: because.map(Cow::Borrowed),
            substitute: substitute.map(|rung| rung.name.clone()),
            realtime_factor: rung.realtime_factor,
            cpu_seconds: self.ticket.as_ref().and_then(|ticket| ticket.cost(nth)),
        })
    }

    /// Takes the gauges back when the publication is over.
    pub(super) fn retire(&self, name: &StreamName) {
        for rung in &self.rungs {
            let labels = [("stream", name.to_string()), ("rung", rung.name.clone())];
            for gauge in ["realtime_factor", "shed", "queued_frames", "cpu_seconds_per_second"] {
                metrics::gauge!(format!("sluice_rung_{gauge}"), &labels).set(0.0);
            }
        }
        metrics::gauge!("sluice_stream_encoder_late_seconds", "stream" => name.to_string()).set(0.0);
    }
}
