//! `/metrics`: the process's own metrics as the recorder renders them, then what the library knows of each stream.
//!
//! The streams' figures are read from their snapshots at each scrape, so that a stream that is gone leaves none behind.

use std::fmt::Write as _;

use crate::{
    api::{self, Now},
    library::Face,
};

/// Prometheus text format 0.0.4.
pub(crate) const MIME: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All streams' figures. Label values need no escaping: they are stream names, rendition ids and our own words.
pub(crate) fn streams(out: &mut String, faces: &[Face], now: Now) {
    family(out, "sluice_stream_state", "gauge", "1 for the state a stream is in");
    for face in faces {
        let (name, state) = (face.snapshot.name(), api::state(&face.snapshot));
        let _ = writeln!(out, "sluice_stream_state{{stream=\"{name}\",state=\"{state}\"}} 1");
    }
    family(out, "sluice_stream_viewers", "gauge", "who asked for a media playlist lately, estimated");
    for face in faces {
        let (name, viewers) =
            (face.snapshot.name(), face.audience.count(now.steady, api::memory_of(&face.snapshot)));
        let _ = writeln!(out, "sluice_stream_viewers{{stream=\"{name}\"}} {viewers}");
    }
    family(
        out,
        "sluice_stream_events_total",
        "counter",
        "repairs, drops and restarts of a stream, by what happened",
    );
    for face in faces {
        let name = face.snapshot.name();
        for (what, count) in &face.info.counters {
            let _ = writeln!(out, "sluice_stream_events_total{{stream=\"{name}\",what=\"{what}\"}} {count}");
        }
    }
    family(out, "sluice_stream_publisher", "gauge", "1 while somebody publishes, by how and by what proof");
    for face in faces {
        let Some(publisher) = &face.info.publisher else { continue };
        let (name, proof) = (face.snapshot.name(), &publisher.proof);
        let transport = publisher.transport.as_deref().unwrap_or("unknown");
        let _ = writeln!(
            out,
            "sluice_stream_publisher{{stream=\"{name}\",transport=\"{transport}\",proof=\"{proof}\"}} 1"
        );
    }
    family(out, "sluice_stream_quirks", "gauge", "distinct oddities of the encoder that publishes now");
    for face in faces {
        let Some(publisher) = &face.info.publisher else { continue };
        let (name, quirks) = (face.snapshot.name(), publisher.quirks.len());
        let _ = writeln!(out, "sluice_stream_quirks{{stream=\"{name}\"}} {quirks}");
    }
    family(out, "sluice_rendition_bits_per_second", "gauge", "declared and measured bit rates");
    for face in faces {
        let name = face.snapshot.name();
        for view in face.snapshot.renditions() {
            for (figure, bps) in [
                ("declared", view.declared_bps()),
                ("declared_average", view.declared_average_bps()),
                ("measured_peak", view.measured_peak_bps()),
                ("measured_average", view.measured_average_bps()),
            ] {
                let Some(bps) = api::known(bps) else { continue };
                let id = view.id();
                let _ = writeln!(
                    out,
                    "sluice_rendition_bits_per_second{{stream=\"{name}\",rendition=\"{id}\",figure=\"{figure}\"}} {bps}"
                );
            }
        }
    }
    family(out, "sluice_rendition_newest_segment", "gauge", "the newest segment's media sequence number");
    for face in faces {
        let name = face.snapshot.name();
        for view in face.snapshot.renditions() {
            let Some(newest) = view.newest() else { continue };
            let id = view.id();
            let _ = writeln!(
                out,
                "sluice_rendition_newest_segment{{stream=\"{name}\",rendition=\"{id}\"}} {newest}"
            );
        }
    }
    family(out, "sluice_rendition_held_bytes", "gauge", "bytes of segments held in memory");
    for face in faces {
        let name = face.snapshot.name();
        for view in face.snapshot.renditions() {
            let (id, bytes) = (view.id(), view.bytes_held());
            let _ =
                writeln!(out, "sluice_rendition_held_bytes{{stream=\"{name}\",rendition=\"{id}\"}} {bytes}");
        }
    }
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
