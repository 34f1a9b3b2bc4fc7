//! The page of `vultus calibrate`: it says what to do, and what came of it.

#![cfg(feature = "opencv")]
#![allow(clippy::expect_used, clippy::print_stdout, reason = "this is a test, also outside the test functions")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use support::boards::{CHARUCO, film, poses, rig};
use support::browser::Browser;
use support::http::{ask, get};
use support::screen::{Watcher, draw};
use support::until;
use vultus::calibrate::board::Board;
use vultus::calibrate::guide::Task;
use vultus::calibrate::light;
use vultus::calibrate::live::{CameraError, Live, Outcome};
use vultus::calibrate::offsets::offsets;
use vultus::calibrate::rig::calibrate;
use vultus::calibrate::stills::{poses as held, stills};
use vultus::calibrate::watch::Sightings;
use vultus::capture::recording::Recording;
use vultus::pipeline::stop::Stop;
use vultus::rig::verdict::Verdict;
use vultus::serve::screen::Screen;

/// Cameras that see a board, with the page: calibrates whenever the page says so, until it comes off.
struct Watching {
    url: String,
    address: SocketAddr,
    stop: Stop,
    thread: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Watching {
    fn start(poses_of: &[usize]) -> Self {
        let (folder, board) = (tempfile::tempdir().expect("a folder"), CHARUCO.parse::<Board>().expect("a board"));
        let (all, take) = (poses(&board), folder.path().join("take"));
        let chosen: Vec<_> = poses_of.iter().map(|n| all[*n]).collect();
        film(&take, &board, &rig()[..2], &chosen);
        let sources = Recording::open(&[PathBuf::from(&take)], false).expect("it opens").sources;
        let live = Live::new(sources, board, Task::Rig, (Ipv4Addr::LOCALHOST, 0).into()).expect("served");
        let url = live.url.clone();
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
        let stop = Stop::default();
        let ends = stop.clone();
        let thread = std::thread::spawn(move || watch(live, board, &ends));
        Self { url, address, stop, thread, _folder: folder }
    }

    fn state(&self) -> Value {
        get(self.address, "/api/state").json()
    }

    fn finish(self) {
        self.stop.request();
        self.thread.join().expect("it ends");
    }
}

fn watch(mut live: Live, board: Board, stop: &Stop) {
    loop {
        let seen = live.watch(None, stop, |_| {}).expect("it is watched");
        if stop.is_requested() {
            return;
        }
        let still = |Sightings { watched, seen }: &Sightings| stills(seen, watched.size[0]);
        let poses = held(&seen.iter().map(still).collect::<Vec<_>>());
        let cameras: Vec<_> = seen.into_iter().map(|seen| seen.watched).collect();
        match calibrate(&board, &cameras, &poses) {
            Ok(found) => {
                let error = |n: usize| CameraError { name: cameras[n].name.clone(), error_px: Some(0.1) };
                live.done(Outcome {
                    verdict: Verdict::Good.name(),
                    file: Some("rig.toml".to_owned()),
                    was_written: true,
                    cameras: (0..cameras.len()).map(error).collect(),
                    left_out: Vec::new(),
                    figures: found.figures,
                });
                return;
            }
            Err(error) => live.failed(error.to_string()),
        }
    }
}

#[test]
fn what_does_not_come_off_is_said_and_nothing_seen_is_lost() {
    // Four poses before both cameras are too few.
    let watching = Watching::start(&[0, 2, 4, 6]);
    let poses = |state: &Value| state["cameras"][0]["poses"].as_u64().unwrap_or_default();
    until("both cameras have seen all", || watching.state()["links"][0]["poses"] == 4);
    let state = watching.state();
    assert_eq!(
        (&state["phase"], &state["is_ready"], state["links"][0]["poses"].as_u64()),
        (&"watching".into(), &false.into(), Some(4))
    );
    let coverage = state["cameras"][0]["coverage"].as_array().expect("a map");
    let touched = coverage.iter().filter(|cell| **cell != 0).count();
    assert!(coverage.len() == 40 && touched > 5, "{state:#}");
    let picture = get(watching.address, "/camera/0.jpg?1");
    assert!(picture.status == 200 && picture.body.starts_with(&[0xff, 0xd8]));
    assert_eq!(get(watching.address, "/camera/9.jpg").status, 404);

    assert_eq!(ask(watching.address, "POST", "/api/finish", &[], b"").status, 204);
    until("it is said", || watching.state()["problem"].as_str().is_some_and(|problem| problem.contains("at least 8")));
    assert_eq!((poses(&watching.state()), &watching.state()["phase"]), (4, &"watching".into()));

    assert_eq!(ask(watching.address, "POST", "/api/forget", &[], b"").status, 204);
    until("all is forgotten", || poses(&watching.state()) == 0 && watching.state()["problem"].is_null());

    // Somebody else's page, in the same browser, does not reach it.
    let foreign = ask(watching.address, "POST", "/api/finish", &[("Origin", "http://elsewhere.example")], b"");
    assert_eq!(foreign.status, 403);
    watching.finish();
}

#[test]
fn the_page_leads_to_a_rig() {
    let Some(page) = Browser::open() else { return };
    let watching = Watching::start(&(0..24).step_by(2).collect::<Vec<_>>());
    page.resize(1280, 720);
    page.goto(&watching.url);
    page.wait_for("it says what to do", "document.getElementById('next').innerText.length > 5");
    page.until("both cameras have seen all", || watching.state()["links"][0]["poses"] == 12);
    page.wait_for("and it is shown", "document.body.innerText.split('12/12').length === 3");
    support::visit::keep("calibrate-page.png", &page.screenshot());
    page.click("#finish");
    page.wait_for("the verdict", "document.getElementById('verdict').innerText.includes('Good')");
    page.wait_for("what to do with it", "document.body.innerText.includes('vultus live --rig rig.toml')");
    support::visit::keep("calibrate-result.png", &page.screenshot());
    // That it has ended is no fault of the page.
    let complaints: Vec<_> =
        page.console().into_iter().filter(|said| said.is_complaint() && !said.text.contains("ERR_")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    watching.finish();
}

#[test]
fn clocks_that_are_apart_are_found_while_a_page_flashes() {
    let screen = Screen::serve((Ipv4Addr::LOCALHOST, 0).into(), light::GAPS).expect("a free port");
    let is_bright = Arc::new(AtomicBool::new(false));
    let ahead = |ms| Watcher::boxed(&format!("ahead by {ms}"), is_bright.clone(), Duration::from_millis(ms));
    let mut cameras = [ahead(0), ahead(45), ahead(12)];
    let draws = draw(&screen, is_bright.clone());
    let lasts = Duration::from_secs(6);
    let (traces, steps) = light::watch(&mut cameras, &screen, lasts, &Stop::default(), |_| {}).expect("it is watched");
    drop(screen);
    draws.join().expect("the page is told that it is over");
    for light in [Some(&steps[..]), None] {
        let found = offsets(&traces, light).expect("all see it");
        for (found, truth) in found.iter().zip([0.0, 45.0, 12.0]) {
            let off = (found.offset_ms - truth).abs();
            // The machine may be busy when an exposure is due: the cameras here are no clocks.
            assert!(off <= found.error_ms + 2.0 && off < 10.0, "{found:?}, truly {truth}");
        }
    }
}
