//! `vultus bench end-to-end`: a page changes, a camera sees it, and what lies between is told.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "this is a test, also outside the test functions")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::browser::Browser;
use support::{until, vultus};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};
use vultus::bench::end_to_end::run;
use vultus::bench::flash::LEARNT_FROM;
use vultus::bench::screen::Screen;
use vultus::capture::{CaptureError, Event, Source, Stream};
use vultus::config::{Config, RuntimeChoice};
use vultus::frame::{CameraId, Frame, FramePool, PixelFormat, StampKind};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::pipeline::stop::Stop;
use vultus::time::{Timestamp, monotonic_now};

const PERIOD: Duration = Duration::from_millis(10);
/// From the exposure to the frame's arrival.
const READOUT: Duration = Duration::from_millis(5);
const SIDE: u32 = 64;
const DARK: u8 = 40;
const BRIGHT: u8 = 200;

/// A camera that sees nothing but the screen.
struct Watcher {
    stream: Stream,
    is_bright: Arc<AtomicBool>,
    due: Timestamp,
    seq: u64,
}

impl Watcher {
    fn boxed(is_bright: Arc<AtomicBool>) -> Box<dyn Source> {
        let stream = Stream {
            camera: CameraId(0),
            name: "watcher".into(),
            description: String::new(),
            period: PERIOD,
            stamp: StampKind::Device,
            frame_bytes: (SIDE * SIDE) as usize,
        };
        Box::new(Self { stream, is_bright, due: monotonic_now(), seq: 0 })
    }
}

fn wait_until(due: Timestamp) {
    std::thread::sleep(due.since(monotonic_now()));
}

impl Source for Watcher {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        self.due = self.due + PERIOD;
        wait_until(self.due);
        let captured_at = monotonic_now();
        let level = if self.is_bright.load(Ordering::SeqCst) { BRIGHT } else { DARK };
        wait_until(captured_at + READOUT);
        let Some(bytes) = pool.copy(&[level; (SIDE * SIDE) as usize]) else { return Ok(Event::NoBuffer) };
        self.seq += 1;
        Ok(Event::Frame(Frame {
            camera: self.stream.camera,
            seq: self.seq,
            captured_at,
            received_at: monotonic_now(),
            bytes,
            ..Frame::of_bytes(PixelFormat::Gray, SIDE, SIDE, Vec::new())
        }))
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        Ok(())
    }
}

fn screen() -> Screen {
    Screen::serve(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port")
}

/// Opens the page's socket as a page of `origin` would.
fn connect(screen: &Screen, origin: &str) -> tungstenite::Result<WebSocket<std::net::TcpStream>> {
    let address = screen.url.trim_start_matches("http://").trim_end_matches('/');
    let mut request = format!("ws://{address}/flashes").into_client_request().expect("an address");
    request.headers_mut().insert("Origin", HeaderValue::from_str(origin).expect("a header"));
    let stream = std::net::TcpStream::connect(address).expect("it listens");
    tungstenite::client(request, stream).map(|(socket, _)| socket).map_err(|error| match error {
        tungstenite::HandshakeError::Failure(error) => error,
        tungstenite::HandshakeError::Interrupted(_) => unreachable!("the stream blocks"),
    })
}

#[test]
fn from_the_screen_to_the_result_is_told() {
    let screen = screen();
    let is_bright = Arc::new(AtomicBool::new(false));
    let mut page = connect(&screen, screen.url.trim_end_matches('/')).expect("the page's own");
    let shown = is_bright.clone();
    let draws = std::thread::spawn(move || {
        while let Ok(Message::Text(word)) = page.read() {
            shown.store(word.as_str() == "bright", Ordering::SeqCst);
            if page.send(Message::text("16.7")).is_err() {
                break;
            }
        }
    });
    let config = Config::default();
    let models = Models::load(None).expect("the built-in models");
    let runtime = Runtime::start(RuntimeChoice::Tract).expect("tract is always there");
    let sources = vec![Watcher::boxed(is_bright)];
    let lasts = Duration::from_secs(6);
    let parts = (&config, &models, &runtime);
    let figures = run(sources, parts, &screen, lasts, &Stop::default(), |_, _| {}).expect("it runs");
    drop(screen);
    draws.join().expect("the page is told that it is over");

    let seen = figures.cameras["watcher"];
    assert!(figures.changes > LEARNT_FROM + 1 && seen.changes > 0, "{figures:?}");
    assert!(seen.changes <= figures.changes - LEARNT_FROM, "{figures:?}");
    assert!((figures.screen_ms - 16.7).abs() < 0.1, "{figures:?}");
    assert!(seen.contrast.is_some_and(|levels| (levels - f32::from(BRIGHT - DARK)).abs() < 2.0), "{figures:?}");
    let (exposure, result) = (seen.to_capture_ms.expect("seen"), seen.to_result_ms.expect("seen"));
    // The change falls anywhere between two exposures; what comes after the exposure takes at least the readout.
    assert!((0.0..200.0).contains(&exposure.p50), "{figures:?}");
    assert!(result.p50 >= exposure.p50 + READOUT.as_secs_f64() * 1e3, "{figures:?}");
}

#[test]
fn one_page_changes_at_a_time_and_none_of_another_origin() {
    let screen = screen();
    let own = screen.url.trim_end_matches('/').to_owned();
    let status = |tried: tungstenite::Result<WebSocket<std::net::TcpStream>>| match tried {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(connect(&screen, "http://elsewhere.example")), 403);
    let first = connect(&screen, &own).expect("the first");
    assert_eq!(status(connect(&screen, &own)), 409);
    drop(first);
    until("the page can be opened again once it is closed", || connect(&screen, &own).is_ok());
}

#[test]
fn the_page_turns_bright_and_dark_in_a_browser() {
    let Some(page) = Browser::open() else { return };
    let screen = screen();
    page.goto(&screen.url);
    let background = "getComputedStyle(document.documentElement).backgroundColor";
    let mut changes = Vec::new();
    page.until("it changes four times", || {
        while let Some((flash, frame_ms)) = screen.flash() {
            assert!(frame_ms > 0.0, "{frame_ms}");
            changes.push(flash);
        }
        changes.len() >= 4
    });
    assert!(changes.windows(2).all(|pair| pair[0].is_bright != pair[1].is_bright), "{changes:?}");
    let seen = |color: &str| page.until(color, || page.eval(background) == color);
    seen("rgb(255, 255, 255)");
    seen("rgb(0, 0, 0)");
    drop(screen);
    page.wait_for("the page says that it is over", "document.body.innerText.includes('is over')");
    assert!(!page.console().iter().any(support::browser::Message::is_complaint), "{:#?}", page.console());
}

#[test]
fn a_camera_that_is_not_there_and_an_address_for_others_are_refused() {
    let run = |args: &[&str]| {
        let output = vultus().args(["bench", "end-to-end", "--no-open"]).args(args).output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, errors) = run(&["--listen", "0.0.0.0:7879"]);
    assert!(code == Some(2) && errors.contains("loopback"), "{errors}");
    if !cfg!(feature = "webcam") {
        return;
    }
    let (code, errors) = run(&["--camera", "no-such-camera"]);
    assert!(
        code.is_some_and(|code| code != 0 && code != 101) && errors.contains("no-such-camera"),
        "{code:?} {errors}"
    );
}
