//! The live page as a run starts it: served, announced, opened.

use std::io::Write;
use std::sync::Arc;

use vultus::pipeline::counters::Counters;
use vultus::record::Recorder;
use vultus::serve::{About, Listener, Publisher, ServeError, Server};

use super::status::log_writer;

/// Serves the page and says where it is; `shows` has a browser opened, where there is a desktop.
pub(super) fn open(
    listener: Listener,
    about: About,
    counters: Arc<Counters>,
    recorder: Recorder,
    shows: bool,
) -> Result<(Server, Publisher), ServeError> {
    let (url, elsewhere, is_open) = (listener.url.clone(), listener.url_elsewhere.clone(), listener.is_open);
    let served = Server::start(listener, about, counters, recorder)?;
    if is_open {
        let elsewhere = elsewhere.unwrap_or_else(|| "the same, with this machine's address".to_owned());
        // No message of the log: without the token the page is of no use, also to those who want to hear little.
        let _ = writeln!(log_writer(), "the live page: {url}\non other machines: {elsewhere}");
        tracing::warn!(
            "whoever has this address sees the cameras, and the way there is not encrypted (docs/guide/live-page.md)"
        );
    } else {
        tracing::info!("the live page: {url}");
    }
    // A browser's command line can be read by every user of the machine: no token goes there.
    show(&url, shows && !is_open);
    Ok(served)
}

/// Opens `url` in a browser if that is wanted and there is a desktop.
pub(super) fn show(url: &str, is_wanted: bool) {
    if is_wanted
        && has_desktop()
        && let Err(error) = open::that_detached(url)
    {
        tracing::warn!("no browser could be opened ({error}): open the address yourself");
    }
}

/// Whether there is a screen for a browser to open on.
fn has_desktop() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
