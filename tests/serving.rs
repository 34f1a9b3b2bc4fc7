//! What the program serves, asked for without a browser: who may ask, what the answers are, and who can disturb it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test, also outside the test functions"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::http::{self, Answer, ask, get};
use support::serving::Serving;
use support::shape::{assert_like, of_state};
use support::watcher::Watcher;
use support::{prometheus, take, until};

const START: &str = "/api/record/start";
/// Everything that can be asked for, and how.
const PATHS: [(&str, &str); 9] = [
    ("GET", "/"),
    ("GET", "/main.js"),
    ("GET", "/page.css"),
    ("GET", "/api/state"),
    ("GET", "/api/results"),
    ("GET", "/metrics"),
    ("GET", "/ws"),
    ("POST", START),
    ("POST", "/api/record/stop"),
];

/// Every answer carries these.
fn assert_guarded(answer: &Answer) {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    assert_eq!(answer.header("content-security-policy"), Some(policy));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

/// An answer that says what is wrong, and what to do.
fn assert_refused(answer: &Answer, status: &[u16]) {
    assert!(status.contains(&answer.status), "{} instead of {status:?}: {}", answer.status, answer.text());
    assert!(answer.json()["error"].as_str().is_some_and(|error| !error.is_empty()), "{}", answer.text());
    assert_guarded(answer);
}

#[test]
fn whoever_comes_from_another_page_is_refused_everywhere() {
    let serving = Serving::start();
    let port = serving.address.port();
    for origin in
        ["http://evil.example", "null", &format!("http://127.0.0.1:{}", port ^ 1), &format!("https://127.0.0.1:{port}")]
    {
        for (method, path) in PATHS {
            assert_refused(&ask(serving.address, method, path, &[("Origin", origin)], b""), &[403]);
        }
        let protocol = ("Sec-WebSocket-Protocol", "vultus");
        assert_eq!(Watcher::connect(&serving, &[("Origin", origin), protocol]).err(), Some(403), "{origin}");
    }
    assert_eq!(serving.state()["recording"]["state"], "off");
    let own = format!("http://{}", serving.address);
    assert_eq!(ask(serving.address, "GET", "/api/state", &[("Origin", &own)], b"").status, 200);
}

#[test]
fn a_foreign_name_for_this_machine_is_refused_everywhere() {
    let serving = Serving::start();
    let port = serving.address.port();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", ""] {
        for (method, path) in PATHS {
            assert_refused(&ask(serving.address, method, path, &[("Host", host)], b""), &[400, 403, 421]);
        }
    }
    for host in ["127.0.0.1", "localhost"] {
        let host = format!("{host}:{port}");
        assert_eq!(ask(serving.address, "GET", "/api/state", &[("Host", &host)], b"").status, 200, "{host}");
    }
}

#[test]
fn from_elsewhere_one_needs_the_token() {
    let serving = Serving::listen("0.0.0.0:0", &[]);
    let token = serving.token.clone().expect("it tells a token");
    assert!(token.len() >= 32 && token.chars().all(|c| c.is_ascii_hexdigit()), "`{token}` can be guessed");
    let bearer = |token: &str| format!("Bearer {token}");
    let wrong = token.chars().rev().collect::<String>();
    let secret = ["/api/state", "/api/results", "/metrics"];
    for path in secret {
        assert_refused(&get(serving.address, path), &[401]);
        for attempt in [bearer(&wrong), bearer(&token[1..]), bearer(""), token.clone()] {
            assert_refused(&ask(serving.address, "GET", path, &[("Authorization", &attempt)], b""), &[401]);
        }
    }
    assert_refused(&ask(serving.address, "POST", START, &[], b""), &[401]);
    // A token in an address would be kept in histories and logs.
    assert_refused(&get(serving.address, &format!("/api/state?token={token}")), &[401]);
    for path in ["/api/state", "/metrics"] {
        let answer = ask(serving.address, "GET", path, &[("Authorization", &bearer(&token))], b"");
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains(&token), "{path} tells the token");
    }
    // The page itself is no secret: it is what asks for the token.
    assert_eq!(get(serving.address, "/").status, 200);

    for protocols in ["vultus".to_owned(), format!("vultus, token.{wrong}"), "vultus, token.".to_owned()] {
        let refused = Watcher::connect(&serving, &[("Sec-WebSocket-Protocol", &protocols)]).err();
        assert_eq!(refused, Some(401), "{protocols}");
    }
    Watcher::of(&serving).next();
}

#[test]
fn the_page_is_served_by_name_and_nothing_else_is() {
    let serving = Serving::start();
    for (path, kind) in [("/", "text/html"), ("/main.js", "text/javascript"), ("/page.css", "text/css")] {
        let answer = get(serving.address, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").is_some_and(|it| it.starts_with(kind)), "{path}");
        assert_guarded(&answer);
    }
    for path in [
        "/nothing",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/..%2fCargo.toml",
        "/page/",
        "/page/main.js",
        "//main.js",
        "/main.js/",
        "/api",
        "/api/",
    ] {
        assert_refused(&get(serving.address, path), &[404]);
    }
    for (method, path) in [("POST", "/api/state"), ("GET", START), ("DELETE", "/"), ("PUT", "/main.js")] {
        assert_refused(&ask(serving.address, method, path, &[], b""), &[405]);
    }
    for path in ["/api/state", "/metrics"] {
        assert_guarded(&get(serving.address, path));
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let serving = Serving::start();
    let body = vec![b'x'; 1_000_000];
    assert_refused(&ask(serving.address, "POST", START, &[], &body), &[400, 413]);
    assert_eq!(serving.state()["recording"]["state"], "off");

    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n", serving.address, "x".repeat(100_000));
    let answer = http::raw(serving.address, head.as_bytes());
    assert!(answer.is_none_or(|answer| [400, 413, 431].contains(&answer.status)));
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
    ] {
        assert!(http::raw(serving.address, garbage).is_none_or(|answer| answer.status == 400));
    }
    assert_eq!(get(serving.address, "/").status, 200);
}

#[test]
fn a_request_that_comes_too_slowly_is_cut_off() {
    let serving = Serving::start();
    let mut stream = http::connect(serving.address);
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").expect("sent");
    // A letter every half second: something always happens, and it never ends.
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    let begun = Instant::now();
    let cut_off = loop {
        match stream.read(&mut [0; 1024]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(1..) => continue,
            Ok(0) | Err(_) => break true,
        }
        if stream.write_all(b"x").is_err() {
            break true;
        }
        if begun.elapsed() > Duration::from_secs(60) {
            break false;
        }
    };
    assert!(cut_off, "it waits without an end");
    assert_eq!(get(serving.address, "/").status, 200);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let serving = Serving::start();
    let mut stream = http::connect(serving.address);
    let head = format!("POST {START} HTTP/1.1\r\nHost: {}\r\nContent-Length: 900\r\n\r\n...", serving.address);
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).expect("an answer");
    assert!(answer[..length].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..length]));
    assert!(serving.recordings().is_empty());
}

#[test]
fn the_token_is_told_to_those_too_who_want_to_hear_little() {
    assert!(Serving::listen("0.0.0.0:0", &["--quiet"]).token.is_some());
}

#[test]
fn a_crowd_does_not_stop_the_run() {
    let serving = Serving::start();
    let mut watcher = Watcher::of(&serving);
    watcher.say(&json!({"pictures": false}));
    let crowd: Vec<_> = (0..150).map(|_| http::connect(serving.address)).collect();
    let mut sets = BTreeSet::new();
    while sets.len() < 30 {
        let update = watcher.next();
        sets.extend(update.records().iter().map(|record| record["set"].as_u64().expect("`set` is a number")));
        watcher.acknowledge(&update);
    }
    drop(crowd);
    until("there is room again", || {
        let mut stream = http::connect(serving.address);
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", serving.address);
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn the_state_has_all_that_the_page_shows() {
    let serving = Serving::start();
    serving.wait_for_sets(10);
    // The first seconds have nothing to compare with.
    until("the server's own work is told", || serving.state()["page"]["cpu_percent"].is_f64());
    let state = serving.state();
    assert_like(&state, &of_state(), "state");
    assert_eq!(state["source"], "replay");
    assert_eq!(state["rig"], Value::Null);
    let cameras = state["cameras"].as_array().expect("an array").iter().map(|camera| camera["name"].clone());
    assert_eq!(cameras.collect::<Vec<_>>(), ["cam0", "cam1", "cam2", "cam3"]);

    let with_rig = Serving::with_rig();
    with_rig.wait_for_sets(10);
    let rig = with_rig.state()["rig"].take();
    let row = json!([1.0, 1.0, 1.0]);
    let matrix = json!([row, row, row]);
    let camera = json!({"name": "", "size": [1, 1], "matrix": matrix, "rotation": matrix, "translation": row});
    assert_like(&rig, &json!({"path": "", "cameras": [camera, camera, camera, camera]}), "rig");
    assert_eq!(with_rig.state()["identity"], "geometry");
    until("faces are compared with the rig", || with_rig.state()["drift"].is_object());
    let drift = with_rig.state()["drift"].take();
    assert_like(&drift, &json!({"cameras": ["", ""], "epipolar_px": 1.0, "verdict": ""}), "drift");
}

#[test]
fn results_are_streamed_as_they_are_written() {
    let serving = Serving::start();
    let (answer, lines) = http::stream(serving.address, "/api/results");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    assert_guarded(&answer);
    let mut events = lines
        .filter_map(|line| Some(serde_json::from_str::<Value>(line.strip_prefix("data:")?).expect("an event is JSON")));
    let written = support::replay([take().as_os_str(), "--as-fast-as-possible".as_ref()]);
    assert_eq!(events.next(), Some(written.header));
    let mut last = None;
    for event in events.take(60) {
        let set = event["set"].as_u64();
        assert!(set > last, "sets are told in their order");
        last = set;
        let is_alike = |row: &&Value| row["person"].is_null() == event["person"].is_null();
        assert_like(&event, written.rows.iter().find(is_alike).expect("a row"), "record");
    }
}

#[test]
fn figures_are_told_to_prometheus() {
    let serving = Serving::start();
    serving.wait_for_sets(10);
    let answer = get(serving.address, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let samples = prometheus::parse(&answer.text());
    assert!(samples.keys().all(|name| name.starts_with("vultus_")));
    for camera in ["cam0", "cam1", "cam2", "cam3"] {
        let of_camera = |name: &&String| name.contains(&format!("camera=\"{camera}\""));
        assert!(samples.keys().any(|name| of_camera(&name)), "nothing of {camera}");
    }
    serving.wait_for_sets(10);
    let later = prometheus::parse(&get(serving.address, "/metrics").text());
    let counters =
        samples.iter().filter(|(name, _)| name.split('{').next().is_some_and(|name| name.ends_with("_total")));
    let (fell, rose) = counters.fold((0, 0), |(fell, rose), (name, value)| {
        (fell + usize::from(later[name] < *value), rose + usize::from(later[name] > *value))
    });
    assert!(fell == 0 && rose >= 5, "of all counters {rose} rose and {fell} fell");
}

#[test]
fn recording_is_started_and_stopped_once() {
    let serving = Serving::start();
    let post = |path| ask(serving.address, "POST", path, &[], b"");
    assert_refused(&post("/api/record/stop"), &[409]);
    let started = post(START);
    assert_eq!((started.status, &started.json()["state"]), (200, &json!("on")));
    assert_refused(&post(START), &[409]);
    until("something is recorded", || serving.state()["recording"]["bytes"].as_u64() > Some(0));
    let stopped = post("/api/record/stop");
    assert_eq!((stopped.status, &stopped.json()["state"]), (200, &json!("off")));
    assert_refused(&post("/api/record/stop"), &[409]);
    assert_eq!(serving.recordings().len(), 1);
}

#[test]
fn a_recording_that_cannot_be_written_is_refused_with_the_reason() {
    let serving = Serving::start();
    std::fs::write(serving.takes(), "not a folder").expect("written");
    let refused = ask(serving.address, "POST", START, &[], b"");
    assert_refused(&refused, &[500]);
    assert!(refused.text().contains("takes"), "{}", refused.text());
    assert_eq!(get(serving.address, "/").status, 200);
}
