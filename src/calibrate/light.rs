//! Live cameras before a page that turns bright and dark: what they see of it, and when it changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::offsets::{Step, Trace};
use super::watch::{WatchError, brightness};
use crate::capture::Source;
use crate::pipeline::stop::Stop;
use crate::serve::screen::{Gaps, Screen};

/// How long the page stays bright or dark: often enough for a short watch, and too seldom to harm (see [`Gaps`]).
pub const GAPS: Gaps = Gaps { least: Duration::from_millis(250), most: Duration::from_millis(500) };
/// The page's word that it has changed is no more exact than this.
const WITHIN: Duration = Duration::from_millis(4);
/// How long the page may take to be opened and shown where the cameras see it.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks at the page's changes.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Watches `sources`, who look at `screen`, for so long from its first change on; their brightness, and the changes.
/// `on_progress` is told how much of the time is over.
///
/// # Errors
/// [`WatchError`]; [`WatchError::BrokenOff`] when `stop` is requested, [`WatchError::NotOpen`] when no browser shows the
/// page.
pub fn watch(
    sources: &mut [Box<dyn Source>],
    screen: &Screen,
    lasts: Duration,
    stop: &Stop,
    mut on_progress: impl FnMut(Duration),
) -> Result<(Vec<Trace>, Vec<Step>), WatchError> {
    let opened_at = Instant::now();
    let (mut began_at, mut steps) = (None, Vec::new());
    let is_over = AtomicBool::new(false);
    let traces: Result<Vec<Trace>, WatchError> = std::thread::scope(|scope| {
        let watch = |source: &mut Box<dyn Source>| brightness(&mut **source, || !is_over.load(Ordering::Acquire));
        let threads: Vec<_> = sources.iter_mut().map(|source| scope.spawn(move || watch(source))).collect();
        let goes_on = |began_at: Option<Instant>| match began_at {
            Some(at) => at.elapsed() < lasts,
            None => opened_at.elapsed() < PATIENCE,
        };
        while !stop.is_requested() && goes_on(began_at) && threads.iter().all(|thread| !thread.is_finished()) {
            std::thread::sleep(BETWEEN_LOOKS);
            while let Some((flash, _)) = screen.flash() {
                began_at.get_or_insert_with(Instant::now);
                let (at_ns, within_ns) = (flash.shown_at.ns(), WITHIN.as_nanos() as i64);
                steps.push(Step { at_ns, within_ns, rises: flash.is_bright });
            }
            on_progress(began_at.map_or(Duration::ZERO, |at| at.elapsed()));
        }
        is_over.store(true, Ordering::Release);
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(WatchError::Panicked))).collect()
    });
    if stop.is_requested() {
        return Err(WatchError::BrokenOff);
    }
    let traces = traces?;
    if steps.is_empty() {
        return Err(WatchError::NotOpen { url: screen.url.clone() });
    }
    Ok((traces, steps))
}
