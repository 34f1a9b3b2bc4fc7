//! The state as Prometheus reads it (text format 0.0.4).

use std::fmt::{Display, Write as _};

use super::state::{CameraState, State};
use crate::pipeline::health::{Measure, Report};
use crate::record;

/// The metrics of `state` and `report`.
pub(super) fn metrics(state: &State, report: &Report) -> String {
    let mut text = Text(String::new());
    let sets = &state.sets;
    text.one("vultus_uptime_seconds", "gauge", "Time since the server started.", state.uptime_s);
    text.one("vultus_sets_formed_total", "counter", "Frame sets that were matched.", sets.formed);
    text.one("vultus_sets_analysed_total", "counter", "Frame sets that were analysed.", sets.analysed);
    text.one("vultus_sets_stale_total", "counter", "Frame sets dropped because a newer one was there.", sets.stale);

    let mut by_camera = |name: &str, help: &str, of: fn(&CameraState) -> u64| {
        text.about(name, "counter", help);
        for camera in &state.cameras {
            text.sample(name, &[("camera", &camera.name)], of(camera));
        }
    };
    by_camera("vultus_camera_frames_total", "Frames that arrived.", |camera| camera.received);
    by_camera("vultus_camera_frames_without_set_total", "Frames that no set needed.", |camera| camera.without_set);
    by_camera("vultus_camera_stalls_total", "Times that nothing came for a while.", |camera| camera.stalls);
    by_camera("vultus_camera_losses_total", "Times that the device was lost.", |camera| camera.losses);

    let dropped = "vultus_camera_frames_dropped_total";
    text.about(dropped, "counter", "Frames that were dropped, by reason.");
    for camera in &state.cameras {
        for (reason, count) in &camera.dropped.0 {
            text.sample(dropped, &[("camera", &camera.name), ("reason", reason)], count);
        }
    }

    let time = "vultus_set_seconds";
    text.about(time, "summary", "Times of a frame set by stage; quantiles over the last sets, sums over the run.");
    for measure in Measure::ALL {
        let (recent, stage) = (report.recent[measure as usize], ("stage", measure.name()));
        for (quantile, ms) in [("0.5", recent.p50), ("0.95", recent.p95), ("0.99", recent.p99)] {
            text.sample(time, &[stage, ("quantile", quantile)], ms / 1e3);
        }
        text.sample("vultus_set_seconds_sum", &[stage], report.sums[measure as usize].as_secs_f64());
        text.sample("vultus_set_seconds_count", &[stage], report.sets);
    }

    if let Some(drift) = report.drift {
        let help = "Median distance of landmarks from epipolar lines, of the cameras that agree least, were pictures 640 wide.";
        text.one("vultus_rig_epipolar_pixels", "gauge", help, drift.epipolar_px);
    }
    text.one("vultus_page_watchers", "gauge", "Clients of the page and of the result stream.", state.page.watchers);
    text.one(
        "vultus_recording",
        "gauge",
        "Whether a recording is on.",
        u8::from(state.recording.state == record::State::On),
    );
    text.0
}

struct Text(String);

impl Text {
    fn about(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels = labels.iter().map(label).collect::<Vec<_>>().join(",");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.about(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// A label's value, in which three characters need a backslash.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_of_cameras_cannot_break_out_of_their_label() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
