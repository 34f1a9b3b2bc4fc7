//! The page that turns bright and dark, for cameras to see when: served on a loopback address, to one browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use crossbeam_queue::ArrayQueue;

use super::ServeError;
use super::site::{HTML, ICON, SCRIPT, STYLE, Site, files};
use crate::time::{Timestamp, monotonic_now};

/// Changes that wait to be taken.
const WAITING: usize = 1024;
/// What a page says is shorter.
const LONGEST_MESSAGE: usize = 64;

const FILES: [(&str, &str, &str); 4] = [
    ("/", HTML, include_str!("screen/index.html")),
    ("/screen.js", SCRIPT, include_str!("screen/screen.js")),
    ("/screen.css", STYLE, include_str!("screen/screen.css")),
    ICON,
];

/// A change of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flash {
    /// What it became.
    pub is_bright: bool,
    /// When the screen's program had drawn it.
    pub shown_at: Timestamp,
}

/// How long the screen stays as it is: a time between these two, at random, so that changes fall anywhere in a camera's
/// period. Who is sensitive to light is at risk from three flashes a second on, which are six changes.
#[derive(Clone, Copy, Debug)]
pub struct Gaps {
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

/// The page.
pub struct Screen {
    /// Its address.
    pub url: String,
    shared: Arc<Shared>,
    _site: Site,
}

struct Shared {
    flashes: ArrayQueue<(Flash, f32)>,
    /// A second page would change at other times.
    is_watched: AtomicBool,
    gaps: Gaps,
}

impl Screen {
    /// Serves it on the loopback address `address`.
    ///
    /// # Errors
    /// [`ServeError::Listen`], [`ServeError::InUse`] and [`ServeError::Start`].
    pub fn serve(address: SocketAddr, gaps: Gaps) -> Result<Self, ServeError> {
        let shared = Arc::new(Shared { flashes: ArrayQueue::new(WAITING), is_watched: AtomicBool::new(false), gaps });
        let changing = shared.clone();
        let router = files(&FILES).route("/flashes", get(move |upgrade| async move { flashes(upgrade, changing) }));
        let site = Site::serve(address, router)?;
        Ok(Self { url: site.url.clone(), shared, _site: site })
    }

    /// The next change that a page has drawn, and how many milliseconds lie between two pictures of its screen.
    #[must_use]
    pub fn flash(&self) -> Option<(Flash, f32)> {
        self.shared.flashes.pop()
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
        let Gaps { least, most } = shared.gaps;
        tokio::time::sleep(least + most.saturating_sub(least).mul_f64(f64::from(random[0]) / 255.0)).await;
        is_bright = !is_bright;
    }
}
