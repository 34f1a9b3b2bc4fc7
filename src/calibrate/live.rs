//! A board before live cameras: they are watched side by side, and a page shows what they see and what is to be done.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use super::board::Board;
use super::figures::Figures;
use super::guide::{Advice, Guide, Task};
use super::watch::{Glimpse, Sight, Sightings, WatchError, boards};
use crate::capture::Source;
use crate::frame::{Frame, PixelFormat};
use crate::image::Image;
use crate::image::encode::{EncodeError, JpegEncoder};
use crate::pipeline::stop::Stop;
use crate::serve::ServeError;
use crate::serve::site::{HTML, ICON, SCRIPT, STYLE, Site, files};

/// Time between two pictures of a camera that the page gets.
const BETWEEN_PICTURES: Duration = Duration::from_millis(80);
/// Time between two looks at what is to be done.
const BETWEEN_ADVICE: Duration = Duration::from_millis(200);
/// Of pictures that a camera does not send as JPEG.
const JPEG_QUALITY: i32 = 75;
/// How long the page has to fetch the result.
const FAREWELL: Duration = Duration::from_secs(5);

const FILES: [(&str, &str, &str); 5] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/page.css", STYLE, include_str!("page/page.css")),
    ("/theme.css", STYLE, include_str!("../serve/page/theme.css")),
    ICON,
];

/// What came of it, for the page.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// In words.
    pub verdict: &'static str,
    /// The rig's file.
    pub file: Option<String>,
    /// Whether it was written.
    pub was_written: bool,
    /// In figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// By camera: root mean square distance of corners, pixels.
    pub cameras: Vec<CameraError>,
    /// What was left out, in words.
    pub left_out: Vec<String>,
}

/// How well a camera fits.
#[derive(Clone, Debug, Serialize)]
pub struct CameraError {
    /// Which.
    pub name: String,
    /// Root mean square distance of corners, pixels.
    pub error_px: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Watching,
    Calibrating,
    Done,
}

/// What the page is told.
#[derive(Serialize)]
struct Told<'a> {
    phase: Phase,
    #[serde(flatten)]
    advice: Advice,
    problem: Option<&'a str>,
    result: Option<&'a Outcome>,
}

/// The newest picture of a camera.
#[derive(Clone, Default)]
struct Newest {
    number: u64,
    jpeg: Bytes,
    /// The picture before it, which a page may still ask for.
    before: Bytes,
    /// The board in it.
    corners: Vec<[f64; 2]>,
}

struct Desk {
    guide: Guide,
    newest: Vec<Newest>,
    phase: Phase,
    problem: Option<String>,
    outcome: Option<Outcome>,
}

struct Shared {
    desk: Mutex<Desk>,
    /// The page has asked to end the watching.
    is_enough: AtomicBool,
    /// The page has asked to begin anew.
    is_forgotten: AtomicBool,
    /// The page knows the result.
    has_told: AtomicBool,
}

impl Shared {
    /// A thread that panicked has left nothing half done here.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cameras that are watched, with the page.
pub struct Live {
    /// The page's address.
    pub url: String,
    shared: Arc<Shared>,
    sources: Vec<Box<dyn Source>>,
    board: Board,
    sightings: Vec<Sightings>,
    _site: Site,
}

impl Live {
    /// Serves the page on the loopback address `address`.
    ///
    /// # Errors
    /// [`ServeError::Listen`], [`ServeError::InUse`] and [`ServeError::Start`].
    pub fn new(
        sources: Vec<Box<dyn Source>>,
        board: Board,
        task: Task,
        address: SocketAddr,
    ) -> Result<Self, ServeError> {
        let names = sources.iter().map(|source| source.stream().name.to_string());
        let desk = Desk {
            guide: Guide::new(board, task, names),
            newest: vec![Newest::default(); sources.len()],
            phase: Phase::Watching,
            problem: None,
            outcome: None,
        };
        let shared = Arc::new(Shared {
            desk: Mutex::new(desk),
            is_enough: AtomicBool::new(false),
            is_forgotten: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
        });
        let router = files(&FILES).merge(
            axum::Router::new()
                .route("/api/state", get(state))
                .route("/api/finish", post(finish))
                .route("/api/forget", post(forget))
                .route("/camera/{name}", get(picture))
                .with_state(shared.clone()),
        );
        let site = Site::serve(address, router)?;
        let sightings = vec![Sightings::default(); sources.len()];
        Ok(Self { url: site.url.clone(), shared, sources, board, sightings, _site: site })
    }

    /// Watches the cameras until the page says that it is enough, the time is up, or `stop` is requested; what they have
    /// seen since the beginning. `on_advice` is told now and then what is to be done.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn watch(
        &mut self,
        lasts: Option<Duration>,
        stop: &Stop,
        mut on_advice: impl FnMut(&Advice),
    ) -> Result<Vec<Sightings>, WatchError> {
        let began_at = Instant::now();
        let Self { shared, sources, board, sightings, .. } = self;
        // One camera that fails ends the watching of all.
        let failed = Stop::default();
        let goes_on = || {
            !(stop.is_requested()
                || failed.is_requested()
                || shared.is_enough.load(Ordering::Acquire)
                || lasts.is_some_and(|lasts| began_at.elapsed() >= lasts))
        };
        let board = *board;
        loop {
            let watch = |(n, (source, sightings)): (usize, (&mut Box<dyn Source>, &mut Sightings))| {
                let _fails_all = failed.on_panic();
                let watched = Shown::new(n).map_err(WatchError::from).and_then(|mut shown| {
                    boards(&mut **source, board, sightings, |glimpse| {
                        match glimpse {
                            Some(glimpse) => shown.step(&glimpse, shared),
                            None => shared.desk().guide.lost(n),
                        }
                        goes_on() && !shared.is_forgotten.load(Ordering::Acquire)
                    })
                });
                watched.inspect_err(|_| failed.request())
            };
            let results: Vec<Result<(), WatchError>> = std::thread::scope(|scope| {
                let each = sources.iter_mut().zip(sightings.iter_mut()).enumerate();
                let threads: Vec<_> = each.map(|one| scope.spawn(move || watch(one))).collect();
                while threads.iter().any(|thread| !thread.is_finished()) {
                    on_advice(&shared.desk().guide.advice());
                    std::thread::sleep(BETWEEN_ADVICE);
                }
                threads.into_iter().map(|thread| thread.join().unwrap_or(Err(WatchError::Panicked))).collect()
            });
            results.into_iter().collect::<Result<Vec<()>, _>>()?;
            // Recordings that have ended wait for the page.
            while goes_on() && !shared.is_forgotten.load(Ordering::Acquire) {
                on_advice(&shared.desk().guide.advice());
                std::thread::sleep(BETWEEN_ADVICE);
            }
            if !shared.is_forgotten.swap(false, Ordering::AcqRel) || !goes_on() {
                break;
            }
            sightings.iter_mut().for_each(|sightings| *sightings = Sightings::default());
            let mut desk = shared.desk();
            desk.guide.forget();
            desk.problem = None;
        }
        shared.desk().phase = Phase::Calibrating;
        Ok(sightings.clone())
    }

    /// It did not work: the page says why, and the cameras are to be watched on.
    pub fn failed(&self, problem: String) {
        let mut desk = self.shared.desk();
        self.shared.is_enough.store(false, Ordering::Release);
        (desk.phase, desk.problem) = (Phase::Watching, Some(problem));
    }

    /// It worked; waits until the page knows.
    pub fn done(self, outcome: Outcome) {
        {
            let mut desk = self.shared.desk();
            (desk.phase, desk.problem, desk.outcome) = (Phase::Done, None, Some(outcome));
        }
        let until = Instant::now() + FAREWELL;
        while !self.shared.has_told.load(Ordering::Acquire) && Instant::now() < until {
            std::thread::sleep(BETWEEN_PICTURES);
        }
    }
}

/// What of a camera's pictures goes to the page.
struct Shown {
    camera: usize,
    encoder: JpegEncoder,
    last_at: Option<Instant>,
}

impl Shown {
    fn new(camera: usize) -> Result<Self, EncodeError> {
        Ok(Self { camera, encoder: JpegEncoder::new(JPEG_QUALITY)?, last_at: None })
    }

    fn step(&mut self, glimpse: &Glimpse<'_>, shared: &Shared) {
        let Glimpse { frame, image, sight } = glimpse;
        let is_time = self.last_at.is_none_or(|at| at.elapsed() >= BETWEEN_PICTURES);
        let jpeg = is_time.then(|| self.jpeg(frame, image)).flatten();
        let mut desk = shared.desk();
        desk.guide.step(self.camera, frame.captured_at, [image.width as u32, image.height as u32], *sight);
        if let Some(jpeg) = jpeg {
            self.last_at = Some(Instant::now());
            let corners = match sight {
                Sight::Board(seen) => seen.corners.iter().map(|(_, at)| *at).collect(),
                Sight::NoBoard(_) => Vec::new(),
            };
            let newest = &mut desk.newest[self.camera];
            let before = std::mem::take(&mut newest.jpeg);
            *newest = Newest { number: newest.number + 1, jpeg, before, corners };
        }
    }

    fn jpeg(&mut self, frame: &Frame, image: &Image) -> Option<Bytes> {
        match frame.format {
            PixelFormat::Mjpeg => Some(Bytes::copy_from_slice(&frame.bytes)),
            _ => self.encoder.picture(image).ok().map(Bytes::from),
        }
    }
}

async fn state(State(shared): State<Arc<Shared>>) -> Response {
    let desk = shared.desk();
    let Desk { phase, problem, outcome, newest, .. } = &*desk;
    let mut advice = desk.guide.advice();
    for (camera, newest) in advice.cameras.iter_mut().zip(newest) {
        camera.picture = newest.number;
        camera.corners.clone_from(&newest.corners);
    }
    match phase {
        Phase::Watching => {}
        Phase::Calibrating => "Calibrating: this takes a moment".clone_into(&mut advice.next),
        Phase::Done => "Done".clone_into(&mut advice.next),
    }
    let told = Told { phase: *phase, advice, problem: problem.as_deref(), result: outcome.as_ref() };
    match serde_json::to_vec(&told) {
        Ok(json) => {
            shared.has_told.fetch_or(*phase == Phase::Done, Ordering::AcqRel);
            ([(CONTENT_TYPE, "application/json")], json).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `/camera/N.jpg?K`: picture K if it still is there, else the newest.
async fn picture(State(shared): State<Arc<Shared>>, Path(name): Path<String>, RawQuery(number): RawQuery) -> Response {
    let camera = name.strip_suffix(".jpg").and_then(|number| number.parse::<usize>().ok());
    let newest = camera.and_then(|camera| shared.desk().newest.get(camera).cloned());
    match newest.filter(|newest| newest.number > 0) {
        Some(newest) => {
            let asked = number.and_then(|number| number.parse::<u64>().ok());
            let is_before = asked.is_some_and(|asked| asked + 1 == newest.number && !newest.before.is_empty());
            ([(CONTENT_TYPE, "image/jpeg")], if is_before { newest.before } else { newest.jpeg }).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn finish(State(shared): State<Arc<Shared>>) -> StatusCode {
    if shared.desk().phase != Phase::Watching {
        return StatusCode::CONFLICT;
    }
    shared.is_enough.store(true, Ordering::Release);
    StatusCode::NO_CONTENT
}

async fn forget(State(shared): State<Arc<Shared>>) -> StatusCode {
    if shared.desk().phase != Phase::Watching {
        return StatusCode::CONFLICT;
    }
    shared.is_forgotten.store(true, Ordering::Release);
    StatusCode::NO_CONTENT
}
