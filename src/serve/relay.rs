//! Takes down what the pipeline pins up and hands it to every client: records to all, pictures as many as results
//! allow, the state twice a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast, watch};
use tokio::time::MissedTickBehavior;

use super::About;
use super::board::{Board, Pictures, Said};
use super::pace::{Load, Pace};
use super::state::{Observer, Served, State};
use crate::frame::{Frame, PerCamera};
use crate::image::decode::jpeg_picture;
use crate::image::encode::{Jpeg, JpegEncoder};
use crate::pipeline::counters::Counters;
use crate::pipeline::health::Report;
use crate::record::Recorder;

/// Time between two states.
const STATE_EVERY: Duration = Duration::from_millis(500);
/// Sets whose records a slow client may be behind before it misses some.
const RECORDS_KEPT: usize = 128;
/// Of pictures of cameras that deliver none.
const JPEG_QUALITY: i32 = 85;

/// The pictures of one set, ready to be sent.
#[derive(Default)]
pub(super) struct Shots {
    pub set: u64,
    pub views: PerCamera<Option<Shot>>,
}

/// One camera's picture as JPEG.
pub(super) struct Shot {
    pub seq: u64,
    pub width: u32,
    pub height: u32,
    jpeg: Jpeg,
    /// A camera's bytes may be longer than the picture.
    length: usize,
}

impl Shot {
    pub(super) fn jpeg(&self) -> &[u8] {
        &self.jpeg.as_ref()[..self.length]
    }
}

/// The state at one moment, in the forms that are asked for.
pub(super) struct Snapshot {
    pub state: State,
    pub report: Report,
    pub json: String,
}

/// What clients listen to. All channels close when the run is over.
pub(super) struct Channels {
    pub said: broadcast::Receiver<Arc<Said>>,
    pub shots: watch::Receiver<Arc<Shots>>,
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Nothing is ever said here; it closes with the others.
    pub over: watch::Receiver<()>,
    /// Asks for a new snapshot at once.
    pub look: Arc<Notify>,
}

impl Channels {
    /// Waits for a snapshot that is newer than this call.
    pub(super) async fn look(&self) {
        let mut snapshot = self.snapshot.clone();
        snapshot.mark_unchanged();
        self.look.notify_one();
        // When the run is over there will be none.
        let _ = snapshot.changed().await;
    }

    /// The same for one more client, from now on.
    pub(super) fn listen(&self) -> Self {
        Self {
            said: self.said.resubscribe(),
            shots: self.shots.clone(),
            snapshot: self.snapshot.clone(),
            over: self.over.clone(),
            look: self.look.clone(),
        }
    }
}

/// Runs on the server's thread until the run is over.
pub(super) struct Relay {
    board: Arc<Board>,
    /// Sets whose pictures were sent.
    sent: u64,
    /// As many at the last look.
    sent_before: u64,
    recorder: Recorder,
    counters: Arc<Counters>,
    observer: Observer,
    pace: Pace,
    encoder: JpegEncoder,
    report: Report,
    stale: u64,
    said: broadcast::Sender<Arc<Said>>,
    shots: watch::Sender<Arc<Shots>>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    _over: watch::Sender<()>,
    look: Arc<Notify>,
}

impl Relay {
    pub(super) fn new(
        about: Arc<About>,
        counters: Arc<Counters>,
        recorder: Recorder,
        board: Arc<Board>,
    ) -> Result<(Self, Channels), crate::image::encode::EncodeError> {
        let mut observer = Observer::new(about.clone(), counters.clone());
        let pace = Pace::new(about.period);
        let report = Report::default();
        // The server's thread, whose time counts, has not begun.
        let served = Served {
            watchers: 0,
            pictures: 0,
            at_most_per_s: pace.at_most_per_s(),
            cpu: thread_cpu_time().map(|_| Duration::ZERO),
        };
        let first = snapshot(&mut observer, &report, &served, &recorder);
        let (said, on_said) = broadcast::channel(RECORDS_KEPT);
        let (shots, on_shots) = watch::channel(Arc::default());
        let (snapshot, on_snapshot) = watch::channel(Arc::new(first));
        let (over, on_over) = watch::channel(());
        let look = Arc::new(Notify::new());
        let encoder = JpegEncoder::new(JPEG_QUALITY)?;
        let channels =
            Channels { said: on_said, shots: on_shots, snapshot: on_snapshot, over: on_over, look: look.clone() };
        let relay = Self {
            board,
            sent: 0,
            sent_before: 0,
            recorder,
            counters,
            observer,
            pace,
            encoder,
            report,
            stale: 0,
            said,
            shots,
            snapshot,
            _over: over,
            look,
        };
        Ok((relay, channels))
    }

    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(STATE_EVERY);
        // After a hold-up the rates would otherwise be made of steps of no length.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (board, asked) = (self.board.clone(), self.look.clone());
        loop {
            tokio::select! {
                goes_on = board.news() => {
                    self.pass_on();
                    if !goes_on {
                        return;
                    }
                }
                _ = tick.tick() => self.look(),
                () = asked.notified() => self.look(),
            }
        }
    }

    fn pass_on(&mut self) {
        // Before the records, so that those of the pictures are there when the pictures come.
        let pictures = if self.pace.may_send(Instant::now()) { self.board.take_pictures() } else { None };
        while let Some(said) = self.board.take_said() {
            // Nobody listens: fine.
            let _ = self.said.send(Arc::new(said));
        }
        if let Some(pictures) = pictures.filter(|_| self.board.waiting.count() > 0) {
            self.sent += 1;
            let shots = self.develop(&pictures);
            self.shots.send_replace(Arc::new(shots));
        }
    }

    /// Cameras that deliver JPEG have done the work; others' pictures are encoded here, once for all clients.
    fn develop(&mut self, pictures: &Pictures) -> Shots {
        let mut shot = |frame: &Frame| {
            let jpeg = Jpeg::of(frame, &mut self.encoder).ok()?;
            let length = jpeg_picture(jpeg.as_ref()).ok()?.len();
            Some(Shot { seq: frame.seq, width: frame.width, height: frame.height, jpeg, length })
        };
        let views = pictures.frames.iter().map(|frame| frame.as_ref().and_then(&mut shot)).collect();
        Shots { set: pictures.set, views }
    }

    fn look(&mut self) {
        if let Some(report) = self.board.take_report() {
            let stale = self.counters.stale_sets.get();
            if self.sent > self.sent_before {
                self.pace.step(Load {
                    sets: report.sets - self.report.sets,
                    slow: report.slow - self.report.slow,
                    stale: stale - self.stale,
                });
            } else {
                self.pace.rest();
            }
            (self.report, self.stale, self.sent_before) = (report, stale, self.sent);
        }
        let served = Served {
            watchers: self.board.watchers.count(),
            pictures: self.sent,
            at_most_per_s: self.pace.at_most_per_s(),
            cpu: thread_cpu_time(),
        };
        self.snapshot.send_replace(Arc::new(snapshot(&mut self.observer, &self.report, &served, &self.recorder)));
    }
}

fn snapshot(observer: &mut Observer, report: &Report, served: &Served, recorder: &Recorder) -> Snapshot {
    let state = observer.step(report, served, recorder.status());
    let json = serde_json::to_string(&state).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    Snapshot { state, report: report.clone(), json }
}

/// CPU time of the calling thread.
fn thread_cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
    }
    #[cfg(not(unix))]
    None
}
