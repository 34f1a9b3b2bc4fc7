//! The live page as a run starts it: served, announced, opened.

use std::sync::Arc;

use vultus::pipeline::counters::Counters;
use vultus::record::Recorder;
use vultus::serve::{About, Listener, Publisher, ServeError, Server};

/// Serves the page and says where it is; `shows` has a browser opened, where there is a desktop.
pub(super) fn open(
    listener: Listener,
    about: About,
    counters: Arc<Counters>,
    recorder: Recorder,
    shows: bool,
) -> Result<(Server, Publisher), ServeError> {
    let (url, elsewhere) = (listener.url.clone(), listener.url_elsewhere.clone());
    let served = Server::start(listener, about, counters, recorder)?;
    tracing::info!("the live page: {url}");
    if let Some(elsewhere) = elsewhere {
        tracing::info!("on other machines: {elsewhere}");
        tracing::warn!(
            "whoever has this address sees the cameras, and the way there is not encrypted (docs/guide/live-page.md)"
        );
    }
    if shows
        && has_desktop()
        && let Err(error) = open::that_detached(&url)
    {
        tracing::warn!("no browser could be opened ({error}): open the address yourself");
    }
    Ok(served)
}

/// Whether there is a screen for a browser to open on.
fn has_desktop() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
