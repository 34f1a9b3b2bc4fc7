//! What can be asked for, by path. Every request has passed the [`guard`](super::guard) before.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode, Uri};
use axum::routing::{get, post};
use futures_util::stream::unfold;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use super::answer::{json, of_type, refused};
use super::board::{Board, Held, Said};
use super::guard::{self, Guard};
use super::relay::Channels;
use super::socket::Client;
use super::{About, REQUEST_PATIENCE};
use super::{metrics, page};
use crate::record::{RecordError, Recorder, Status};

/// Pages and readers of results at a time.
pub(super) const WATCHERS: u32 = 32;
/// No request says more.
const LARGEST_BODY: usize = 1 << 10;
const LARGEST_MESSAGE: usize = 4 << 10;

/// What every answer may need.
pub(super) struct App {
    pub about: Arc<About>,
    pub board: Arc<Board>,
    pub channels: Channels,
    pub recorder: Recorder,
    pub seats: Arc<Semaphore>,
}

type Shared = State<Arc<App>>;

/// Everything that is served.
pub(super) fn router(app: App, guard: Guard) -> Router {
    Router::new()
        .route("/ws", get(socket))
        .route("/api/state", get(state))
        .route("/api/results", get(results))
        .route("/api/record/start", post(start_recording))
        .route("/api/record/stop", post(stop_recording))
        .route("/metrics", get(metrics_text))
        .method_not_allowed_fallback(async || wrong_method())
        .fallback(file)
        .with_state(Arc::new(app))
        .layer(axum::middleware::from_fn_with_state(Arc::new(guard), guard::guard))
}

async fn file(method: Method, uri: Uri) -> Response<Body> {
    match page::asset(uri.path()) {
        Some(_) if !matches!(method, Method::GET | Method::HEAD) => wrong_method(),
        Some(asset) => of_type(StatusCode::OK, asset.content_type, asset.text),
        None => refused(StatusCode::NOT_FOUND, "there is nothing here; docs/reference/api.md lists what there is"),
    }
}

fn wrong_method() -> Response<Body> {
    refused(StatusCode::METHOD_NOT_ALLOWED, "this is asked for in another way; docs/reference/api.md tells how")
}

async fn state(State(app): Shared) -> Response<Body> {
    let snapshot = app.channels.snapshot.borrow().clone();
    json(StatusCode::OK, snapshot.json.clone())
}

async fn metrics_text(State(app): Shared) -> Response<Body> {
    let snapshot = app.channels.snapshot.borrow().clone();
    let text = metrics::metrics(&snapshot.state, &snapshot.report);
    of_type(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

async fn start_recording(State(app): Shared, request: Request) -> Response<Body> {
    let recorder = app.recorder.clone();
    match said_nothing(request).await {
        Ok(()) => tell(&app, spawn_blocking(move || recorder.start().map(|_| recorder.status())).await).await,
        Err(refusal) => refusal,
    }
}

async fn stop_recording(State(app): Shared, request: Request) -> Response<Body> {
    let recorder = app.recorder.clone();
    match said_nothing(request).await {
        Ok(()) => tell(&app, spawn_blocking(move || recorder.stop()).await).await,
        Err(refusal) => refusal,
    }
}

/// Takes in a request's body, which has nothing to say, but must not be endless.
async fn said_nothing(request: Request) -> Result<(), Response<Body>> {
    match timeout(REQUEST_PATIENCE, to_bytes(request.into_body(), LARGEST_BODY)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "this request needs no body; send none")),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the request's body did not come; send none")),
    }
}

/// How the recording is now, or why it is not as was asked. The disk may be slow, so it was asked on another thread.
async fn tell(app: &App, outcome: Result<Result<Status, RecordError>, JoinError>) -> Response<Body> {
    // Whoever asks for the state next is told the same.
    app.channels.look().await;
    match outcome {
        Ok(Ok(status)) => match serde_json::to_string(&status) {
            Ok(status) => json(StatusCode::OK, status),
            Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Ok(Err(
            error @ (RecordError::AlreadyOn
            | RecordError::NotOn
            | RecordError::RunEnded
            | RecordError::StillClosing { .. }),
        )) => refused(StatusCode::CONFLICT, &error.to_string()),
        Ok(Err(error)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error_text(&error)),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the recorder panicked. This is a fault of vultus"),
    }
}

/// An error and what it comes from.
fn error_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn socket(State(app): Shared, upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Response<Body> {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => return refused(error.status(), &error.body_text()),
    };
    let Ok(seat) = app.seats.clone().try_acquire_owned() else { return full() };
    let watcher = app.board.watchers.hold();
    let upgrade = upgrade.protocols(["vultus"]).max_message_size(LARGEST_MESSAGE).max_frame_size(LARGEST_MESSAGE);
    upgrade.on_upgrade(move |socket| async move {
        let (about, channels, waiting) = (app.about.clone(), app.channels.listen(), app.board.waiting.clone());
        Client { socket, about, channels, waiting }.run().await;
        drop((seat, watcher));
    })
}

/// The records as server-sent events: an event `header`, then one message a record. A client that is too slow misses
/// some and is told how many sets (event `missed`).
async fn results(State(app): Shared) -> Response<Body> {
    let Ok(seat) = app.seats.clone().try_acquire_owned() else { return full() };
    let header = serde_json::to_string(&app.about.header).unwrap_or_default();
    let reader = Reader { said: app.channels.said.resubscribe(), _guards: (seat, app.board.watchers.hold()) };
    let first = VecDeque::from([Bytes::from(format!("event: header\ndata: {header}\n\n"))]);
    let events = unfold((first, reader), |(mut first, mut reader)| async move {
        let event = match first.pop_front() {
            Some(event) => event,
            None => reader.next().await?,
        };
        Some((Ok::<_, Infallible>(event), (first, reader)))
    });
    let mut response = of_type(StatusCode::OK, "text/event-stream", Body::from_stream(events));
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

struct Reader {
    said: Receiver<Arc<Said>>,
    _guards: (tokio::sync::OwnedSemaphorePermit, Held),
}

impl Reader {
    /// The events of the next set; `None` when the run is over.
    async fn next(&mut self) -> Option<Bytes> {
        match self.said.recv().await {
            Ok(said) => {
                let mut text = Vec::with_capacity(said.lines.len() + 64);
                if said.missed > 0 {
                    text.extend_from_slice(&missed(said.missed));
                }
                for line in said.records() {
                    text.extend_from_slice(b"data: ");
                    text.extend_from_slice(line);
                    text.extend_from_slice(b"\n\n");
                }
                Some(text.into())
            }
            Err(RecvError::Lagged(sets)) => Some(missed(sets)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// The event that says how many sets a client missed.
fn missed(sets: u64) -> Bytes {
    format!("event: missed\ndata: {{\"sets\":{sets}}}\n\n").into()
}

fn full() -> Response<Body> {
    refused(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open; close one")
}
