//! The live page and the API beside it (`docs/reference/api.md`).
//!
//! ```text
//! output thread ─ Publisher ─► Board ─► Relay ─┬─ records ──► pages (WebSocket), readers (/api/results)
//!                 (lock-free)         (server's ├─ pictures ─► pages, as many as results allow
//!                                      thread)  └─ state ────► pages, /api/state, /metrics
//! ```
//!
//! All of it is one thread with one runtime: whatever clients do, it costs the pipeline the pinning up of a set.

mod address;
mod answer;
mod api;
mod board;
mod guard;
mod metrics;
mod pace;
mod page;
mod patient;
mod relay;
pub mod screen;
pub(crate) mod site;
mod socket;
mod space;
mod state;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

pub use address::{Listener, ServeError};

use crate::capture::Stream;
use crate::pipeline::counters::Counters;
use crate::pipeline::health::Health;
use crate::pipeline::priority::Rank;
use crate::record::Recorder;
use crate::results::Header;
use crate::rig::{CalibratedCamera, Rig};
use crate::scene::Scene;
use board::{Board, Pictures, Said};
use patient::Patient;
use relay::Relay;

/// Connections at a time; more wait to be taken.
const CONNECTIONS: usize = 64;
/// A client that has not said what it wants by then is let go.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's head; 8 KiB is the least that hyper takes.
const LARGEST_HEAD: usize = 16 << 10;
/// Time between two reports of how the run is doing.
const REPORT_EVERY: Duration = Duration::from_millis(400);
/// How long clients have to take the last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is known of a run from its beginning to its end.
pub struct About {
    run: Arc<str>,
    source: &'static str,
    header: Header,
    streams: Vec<Stream>,
    /// Time between two sets.
    period: Duration,
    rig: Option<Arc<state::RigState>>,
    /// The cameras of the run, if they are calibrated.
    calibrated: Vec<CalibratedCamera>,
}

impl About {
    /// A run whose frames come from cameras (`is_live`) or from a recording, a set every `period`.
    ///
    /// # Errors
    /// [`ServeError::Random`], and [`ServeError::Rig`] when a camera is not in the rig.
    pub fn new(
        header: Header,
        streams: Vec<Stream>,
        period: Duration,
        is_live: bool,
        rig: Option<&Rig>,
    ) -> Result<Self, ServeError> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(ServeError::Random)?;
        let calibrated = rig.map(|rig| streams.iter().map(|stream| rig.camera(&stream.name).cloned()).collect());
        Ok(Self {
            run: format!("{:016x}", u64::from_le_bytes(id)).into(),
            source: if is_live { "live" } else { "replay" },
            header,
            period,
            calibrated: calibrated.transpose()?.unwrap_or_default(),
            streams,
            rig: rig.map(|rig| Arc::new(state::RigState::new(rig.path.clone(), &rig.cameras))),
        })
    }
}

/// Serves a run; ends when the [`Publisher`] is dropped.
pub struct Server {
    thread: JoinHandle<()>,
}

/// Pins up what the run finds. For the thread that hands the results out.
pub struct Publisher {
    board: Arc<Board>,
    about: Arc<About>,
    reported_at: Option<Instant>,
}

impl Server {
    /// Serves on `listener`, on a thread of its own.
    ///
    /// # Errors
    /// [`ServeError::Start`].
    pub fn start(
        listener: Listener,
        about: About,
        counters: Arc<Counters>,
        recorder: Recorder,
    ) -> Result<(Self, Publisher), ServeError> {
        let (about, board) = (Arc::new(about), Arc::<Board>::default());
        let (relay, channels) = Relay::new(about.clone(), counters, recorder.clone(), board.clone())
            .map_err(|error| ServeError::Start(io::Error::other(error)))?;
        let seats = Arc::new(Semaphore::new(api::WATCHERS as usize));
        let app = api::App { about: about.clone(), board: board.clone(), channels, recorder, seats: seats.clone() };
        let router = api::router(app, listener.guard);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(ServeError::Start)?;
        let socket = listener.socket;
        let serve = move || {
            Rank::Last.take();
            runtime.block_on(async {
                match TcpListener::from_std(socket) {
                    Ok(socket) => {
                        let accepting = tokio::spawn(accept(socket, router));
                        relay.run().await;
                        accepting.abort();
                        // When every seat is free, everybody has been told.
                        let _ = tokio::time::timeout(FAREWELL, seats.acquire_many(api::WATCHERS)).await;
                    }
                    Err(error) => tracing::error!("the page cannot be served: {error}"),
                }
            });
            // A recording that is being started or stopped on a disk that hangs does not hold up the end.
            runtime.shutdown_timeout(FAREWELL);
        };
        let thread = std::thread::Builder::new().name("serve".to_owned()).spawn(serve).map_err(ServeError::Start)?;
        Ok((Self { thread }, Publisher { board, about, reported_at: None }))
    }

    /// Waits until the last clients have been told that the run is over; a second at most.
    pub fn finish(self) {
        if self.thread.join().is_err() {
            tracing::error!("the server panicked. This is a fault of vultus: please report it");
        }
    }
}

impl Publisher {
    /// Pins up one set: `lines` are its records.
    pub fn publish(&mut self, scene: &Scene, lines: &[u8], health: &Health) {
        if self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.reported_at = Some(Instant::now());
            self.board.pin_report(health.report());
        }
        if self.board.watchers.count() > 0 {
            let heads = if self.about.rig.is_some() { space::heads(scene, &self.about.calibrated) } else { Vec::new() };
            let said = Said { missed: 0, lines: Bytes::copy_from_slice(lines), heads };
            self.board.pin(said, Pictures { set: scene.set, frames: scene.frames.clone() });
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.board.end();
    }
}

async fn accept(socket: TcpListener, router: Router) {
    let clients = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = clients.clone().acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    serve_connection(stream, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("a client cannot be taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router) {
    // Pictures are sent whole and at once.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(|request: Request<Incoming>| request.map(Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(service))
        .with_upgrades();
    // A client that breaks off is no error of ours.
    if let Err(error) = connection.await {
        tracing::debug!("a client: {error}");
    }
}
