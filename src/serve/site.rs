//! A small page beside the live one: a few files and what they ask for, on a thread of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::address::{Listener, ServeError};
use super::{accept, guard};

/// A page that is served until it is dropped.
pub(crate) struct Site {
    /// Its address.
    pub url: String,
    ends: Arc<Notify>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Site {
    /// Serves `router` on `address`, behind the same guard as the live page.
    ///
    /// # Errors
    /// [`ServeError::Listen`], [`ServeError::InUse`] and [`ServeError::Start`].
    pub(crate) fn serve(address: SocketAddr, router: Router) -> Result<Self, ServeError> {
        let listener = Listener::bind(address)?;
        let url = listener.url.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(ServeError::Start)?;
        let ends = Arc::new(Notify::new());
        let ended = ends.clone();
        let serve = move || {
            runtime.block_on(async {
                let guard = axum::middleware::from_fn_with_state(Arc::new(listener.guard), guard::guard);
                match TcpListener::from_std(listener.socket) {
                    Ok(socket) => tokio::select! {
                        () = ended.notified() => {}
                        () = accept(socket, router.layer(guard)) => {}
                    },
                    Err(error) => tracing::error!("the page cannot be served: {error}"),
                }
            });
        };
        let thread = std::thread::Builder::new().name("page".to_owned()).spawn(serve).map_err(ServeError::Start)?;
        Ok(Self { url, ends, thread: Some(thread) })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.ends.notify_one();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A router of files: path, content type, text.
pub(crate) fn files(files: &'static [(&str, &str, &str)]) -> Router {
    files.iter().fold(Router::new(), |router, (path, content_type, text)| {
        router.route(path, get(move || async move { ([(CONTENT_TYPE, *content_type)], *text).into_response() }))
    })
}

/// Content types of [`files`].
pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const STYLE: &str = "text/css; charset=utf-8";
pub(crate) const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The icon of all pages, as a file of [`files`].
pub(crate) const ICON: (&str, &str, &str) = ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg"));
