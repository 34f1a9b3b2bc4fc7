//! `vultus bench end-to-end`: a page changes, a camera sees it, and what lies between is told.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "this is a test, also outside the test functions")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use support::browser::Browser;
use support::screen::{BRIGHT, DARK, READOUT, Watcher, connect, draw};
use support::{until, vultus};
use tungstenite::WebSocket;
use vultus::bench::end_to_end::{GAPS, run};
use vultus::bench::flash::LEARNT_FROM;
use vultus::config::{Config, RuntimeChoice};
use vultus::infer::Runtime;
use vultus::infer::manifest::Models;
use vultus::pipeline::stop::Stop;
use vultus::serve::screen::Screen;

fn screen() -> Screen {
    Screen::serve(SocketAddr::from(([127, 0, 0, 1], 0)), GAPS).expect("a free port")
}

#[test]
fn from_the_screen_to_the_result_is_told() {
    let screen = screen();
    let is_bright = Arc::new(AtomicBool::new(false));
    let draws = draw(&screen, is_bright.clone());
    let config = Config::default();
    let models = Models::load(None).expect("the built-in models");
    let runtime = Runtime::start(RuntimeChoice::Tract).expect("tract is always there");
    let sources = vec![Watcher::boxed("watcher", is_bright, Duration::ZERO)];
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
