//! What a person sees while a run goes on, and the account at its end. All of it goes to standard error.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use vultus::pipeline::counters::{CameraCounters, Counters};
use vultus::pipeline::health::{Health, Quantiles};
use vultus::record::{self, Recorder, State, time_left};
use vultus::rig::drift::Drift;
use vultus::rig::verdict::Verdict;
use vultus::scene::{Expression, FusedExpression, Scene};

/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(200);

/// What is on the terminal; the log writes around it.
fn on_screen() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Writes log lines to standard error without tearing what is drawn there.
pub(super) fn log_writer() -> impl Write {
    struct Around;
    impl Write for Around {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            on_screen().suspend(|| io::stderr().write_all(line)).map(|()| line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            io::stderr().flush()
        }
    }
    Around
}

/// What to show while a run goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Show {
    /// Nothing.
    Nothing,
    /// Faces, expressions, times and drops, when standard output is a terminal.
    Status,
    /// How far a replay has come.
    Progress {
        /// Frames in all, if known.
        frames: Option<u64>,
    },
}

/// Follows a run.
pub(super) struct Status {
    bar: Option<ProgressBar>,
    show: Show,
    cameras: Vec<Arc<str>>,
    recorder: Recorder,
    drawn_at: Instant,
    began_at: Instant,
}

impl Status {
    pub(super) fn new(show: Show, cameras: Vec<Arc<str>>, recorder: Recorder) -> Self {
        let bar = match show {
            Show::Nothing => None,
            Show::Status => io::stdout().is_terminal().then(|| ProgressBar::no_length().with_style(plain())),
            Show::Progress { frames: Some(frames) } => Some(progress(frames, "frames")),
            Show::Progress { frames: None } => Some(ProgressBar::no_length()),
        };
        let now = Instant::now();
        Self { bar: bar.map(|bar| on_screen().add(bar)), show, cameras, recorder, drawn_at: now, began_at: now }
    }

    /// Redraws now and then.
    pub(super) fn update(&mut self, scene: &Scene, health: &Health, counters: &Counters) {
        let Some(bar) = self.bar.as_ref().filter(|_| self.drawn_at.elapsed() >= REDRAW) else { return };
        self.drawn_at = Instant::now();
        match self.show {
            Show::Progress { .. } => bar.set_position(counters.cameras.iter().map(|c| c.received.get()).sum()),
            _ => bar.set_message(self.lines(scene, health, counters)),
        }
    }

    fn lines(&self, scene: &Scene, health: &Health, counters: &Counters) -> String {
        let latency = health.latency();
        let views = scene.frames.iter().flatten().count();
        let mut text = format!(
            "set {}  {views}/{} views  skew {:.1} ms  latency p50 {:.1}  p95 {:.1}  p99 {:.1} ms  age {:.0} ms\n",
            scene.set,
            self.cameras.len(),
            scene.skew.as_secs_f64() * 1e3,
            latency.p50,
            latency.p95,
            latency.p99,
            scene.age_ms,
        );
        let _ = writeln!(text, "dropped: {}", drops(&self.cameras, counters).unwrap_or_else(|| "nothing".to_owned()));
        let recording = self.recorder.status();
        if recording.state != State::Off {
            let _ = writeln!(text, "{}", recorded(&recording));
        }
        if let Some(drift) = health.drift().filter(|drift| drift.verdict == Verdict::CalibrateAgain) {
            let _ = writeln!(text, "rig: {}", self.rig(&drift));
        }
        if let Some(lost) = health.lost_device() {
            let _ = writeln!(text, "encoder: on {}, as {lost} failed", scene.place.device);
        }
        if scene.people.is_empty() {
            text.push_str("nobody in view");
        }
        for person in &scene.people {
            let _ = writeln!(text, "{}", self.person(person));
        }
        text.trim_end().to_owned()
    }

    fn person(&self, person: &FusedExpression) -> String {
        let label = person.expression.map_or("unsure", Expression::name);
        let filled = (person.confidence * 20.0).round() as usize;
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(20_usize.saturating_sub(filled)));
        let share = |view: &vultus::scene::Contribution| {
            format!("{} {:.0} %", self.cameras[view.face.camera.index()], view.weight * 100.0)
        };
        let views: Vec<String> = person.views.iter().map(share).collect();
        format!("person {}  {label:<9} {bar} {:.2}  {}", person.person, person.confidence, views.join("  "))
    }

    fn rig(&self, drift: &Drift) -> String {
        let [a, b] = drift.cameras.map(|camera| &self.cameras[camera.index()]);
        format!("{}: faces {:.1} pixels from epipolar lines ({a} and {b})", drift.verdict.name(), drift.epipolar_px)
    }

    /// The account of the whole run.
    pub(super) fn finish(self, health: &Health, counters: &Counters) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let seconds = self.began_at.elapsed().as_secs_f64();
        let mut text = format!(
            "{} sets analysed of {} ({:.1} a second), {} stale, {} faces\n",
            health.sets,
            counters.sets.get(),
            health.sets as f64 / seconds,
            counters.stale_sets.get(),
            health.faces,
        );
        if health.sets > 0 {
            let quantiles =
                |Quantiles { p50, p95, p99, .. }: Quantiles| format!("p50 {p50:.1}  p95 {p95:.1}  p99 {p99:.1} ms");
            let _ = writeln!(text, "latency  {}", quantiles(health.latency()));
            if self.cameras.len() > 1 {
                let _ = writeln!(text, "skew     {}", quantiles(health.skew()));
            }
        }
        let received = |(name, c): (&Arc<str>, &CameraCounters)| format!("{name} {}", c.received.get());
        let frames: Vec<String> = self.cameras.iter().zip(&counters.cameras).map(received).collect();
        let _ = writeln!(text, "frames   {}", frames.join("  "));
        let _ = writeln!(text, "dropped  {}", drops(&self.cameras, counters).unwrap_or_else(|| "nothing".to_owned()));
        let surplus = by_camera(&self.cameras, counters, |camera| [("without a set", camera.unmatched.get())]);
        let _ = surplus.map(|surplus| writeln!(text, "surplus  {surplus}"));
        let trouble = by_camera(&self.cameras, counters, |camera| {
            [
                ("stalled", camera.stalls.get()),
                ("lost", camera.losses.get()),
                ("opened again, or tried to", camera.reopen_attempts.get()),
            ]
        });
        let _ = trouble.map(|trouble| writeln!(text, "cameras  {trouble}"));
        if let Some(drift) = health.drift() {
            let _ = writeln!(text, "rig      {}", self.rig(&drift));
        }
        let recording = self.recorder.status();
        if recording.file.is_some() {
            let _ = writeln!(text, "take     {}", recorded(&recording));
        }
        let _ = log_writer().write_all(text.as_bytes());
    }
}

/// How a recording goes.
fn recorded(status: &record::Status) -> String {
    let file = status.file.as_deref().unwrap_or(Path::new("")).display();
    let state = match status.state {
        State::Off => "recorded",
        State::On => "● recording",
        State::Closing => "closing",
        State::Failed => "recording ENDED",
    };
    let mut text = format!("{state} {file}  {:.0} s  {:.1} MB", status.seconds, status.bytes as f64 / 1e6);
    if status.dropped > 0 {
        let _ = write!(text, "  {} missing", status.dropped);
    }
    if let Some(left_s) = status.left_s {
        let _ = write!(text, "  room for {}", time_left(left_s));
    }
    if let Some(error) = &status.error {
        let _ = write!(text, "  {error}");
    }
    text
}

/// What was dropped, by reason and camera; `None` if nothing was.
fn drops(cameras: &[Arc<str>], counters: &Counters) -> Option<String> {
    by_camera(cameras, counters, CameraCounters::drops)
}

/// Numbers above zero, by what they count and camera; `None` if all are zero.
fn by_camera<const N: usize>(
    cameras: &[Arc<str>],
    counters: &Counters,
    of: impl Fn(&CameraCounters) -> [(&'static str, u64); N],
) -> Option<String> {
    let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, camera) in cameras.iter().zip(&counters.cameras) {
        for (kind, count) in of(camera).into_iter().filter(|(_, count)| *count > 0) {
            let entry = format!("{name} {count}");
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, entries)) => entries.push(entry),
                None => kinds.push((kind, vec![entry])),
            }
        }
    }
    let shown: Vec<String> = kinds.iter().map(|(kind, entries)| format!("{kind} ({})", entries.join(", "))).collect();
    (!shown.is_empty()).then(|| shown.join("  "))
}

/// How far something has come that goes through a file.
pub(super) fn bytes_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    on_screen().add(ProgressBar::new(0).with_style(style))
}

fn plain() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far long work has come, in so many steps of something; [`on_screen`] draws it.
fn progress(steps: u64, of: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps).with_style(style).with_message(of)
}

/// The same, drawn.
pub(super) fn progress_bar(steps: u64, of: &'static str) -> ProgressBar {
    on_screen().add(progress(steps, of))
}

/// Lines that change as work goes on.
pub(super) fn message_bar() -> ProgressBar {
    on_screen().add(ProgressBar::no_length().with_style(plain()))
}
