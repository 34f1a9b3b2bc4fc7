//! The page that turns bright and dark: served on a loopback address, to one browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use crossbeam_queue::ArrayQueue;
use tokio::sync::Notify;

use super::flash::Flash;
use crate::serve::{Listener, ServeError, guarded};
use crate::time::monotonic_now;

/// Changes that wait to be taken.
const WAITING: usize = 16;
/// The shortest time between two changes, and how many milliseconds at most are added to it at random: so that changes
/// fall anywhere in a camera's period.
const SHORTEST: Duration = Duration::from_millis(600);
const ADDED_MS: u8 = 200;
/// What a page says is shorter.
const LONGEST_MESSAGE: usize = 64;

/// The page.
pub struct Screen {
    /// Its address.
    pub url: String,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    flashes: ArrayQueue<(Flash, f32)>,
    /// A second page would change at other times.
    is_watched: AtomicBool,
    ends: Notify,
}

impl Screen {
    /// Serves it on the loopback address `address`.
    ///
    /// # Errors
    /// [`ServeError::Listen`], [`ServeError::InUse`] and [`ServeError::Start`].
    pub fn serve(address: SocketAddr) -> Result<Self, ServeError> {
        let listener = Listener::bind(address)?;
        let url = listener.url.clone();
        let shared = Arc::new(Shared {
            flashes: ArrayQueue::new(WAITING),
            is_watched: AtomicBool::new(false),
            ends: Notify::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(ServeError::Start)?;
        let serving = shared.clone();
        let serve = move || {
            runtime.block_on(async {
                let changing = serving.clone();
                let script = ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("screen.js"));
                let icon = ([(CONTENT_TYPE, "image/svg+xml")], include_str!("../serve/page/icon.svg"));
                let style = ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("screen.css"));
                let router = Router::new()
                    .route("/", get(|| async { Html(include_str!("screen.html")) }))
                    .route("/screen.js", get(move || async move { script.into_response() }))
                    .route("/icon.svg", get(move || async move { icon.into_response() }))
                    .route("/screen.css", get(move || async move { style.into_response() }))
                    .route("/flashes", get(move |upgrade| async move { flashes(upgrade, changing) }));
                let served = guarded(listener, router);
                tokio::select! {
                    () = serving.ends.notified() => {}
                    Err(error) = served => tracing::error!("the page cannot be served: {error}"),
                }
            });
        };
        let thread = std::thread::Builder::new().name("screen".to_owned()).spawn(serve).map_err(ServeError::Start)?;
        Ok(Self { url, shared, thread: Some(thread) })
    }

    /// The next change that a page has drawn, and how many milliseconds lie between two pictures of its screen.
    #[must_use]
    pub fn flash(&self) -> Option<(Flash, f32)> {
        self.shared.flashes.pop()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.shared.ends.notify_one();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Has a page change, if no other does.
fn flashes(upgrade: WebSocketUpgrade, shared: Arc<Shared>) -> Response {
    if shared.is_watched.swap(true, Ordering::AcqRel) {
        return (StatusCode::CONFLICT, "this page is open elsewhere, and one changes at a time").into_response();
    }
    let watched = Watched(shared);
    upgrade.max_message_size(LONGEST_MESSAGE).on_upgrade(|page| async move { change(page, &watched.0).await })
}

/// Lets another page in when it goes, also if the upgrade comes to nothing.
struct Watched(Arc<Shared>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.is_watched.store(false, Ordering::Release);
    }
}

/// Has a page change until it is closed.
async fn change(mut page: WebSocket, shared: &Shared) {
    let mut is_bright = true;
    loop {
        let word = if is_bright { "bright" } else { "dark" };
        if page.send(Message::Text(word.into())).await.is_err() {
            return;
        }
        let Some(Ok(Message::Text(frame_ms))) = page.recv().await else { return };
        let shown_at = monotonic_now();
        let frame_ms = frame_ms.parse().ok().filter(|ms: &f32| ms.is_finite() && *ms >= 0.0).unwrap_or_default();
        let _ = shared.flashes.force_push((Flash { is_bright, shown_at }, frame_ms));
        let mut random = [0];
        let _ = getrandom::fill(&mut random);
        tokio::time::sleep(SHORTEST + Duration::from_millis(u64::from(random[0] % ADDED_MS))).await;
        is_bright = !is_bright;
    }
}
