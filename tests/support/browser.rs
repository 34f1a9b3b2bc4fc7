//! Chromium without a window, steered through its driver (WebDriver, W3C).
//!
//! `cargo xtask test` installs both and names them; without them the tests that need a browser are skipped and say so.
//! WebDriver is JSON over HTTP, and ten of its commands are all that is used here: no client of its own is compiled.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use serde_json::{Value, json};

use super::http;

/// A browser takes all of a small machine: one at a time.
static ONE: Mutex<()> = Mutex::new(());

const ARGUMENTS: [&str; 14] = [
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--no-first-run",
    // A name that is not this machine's, and leads to it.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
    "--disable-features=HttpsUpgrades",
    // Ends with the driver, however that ends.
    "--remote-debugging-pipe",
];

/// A browser with one tab and a profile that nobody used before.
pub struct Browser {
    driver: Driver,
    session: String,
    console: RefCell<Vec<Message>>,
    _profile: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// What a page, or the browser about a page, wrote to the console.
#[derive(Clone, Debug)]
pub struct Message {
    pub level: String,
    pub text: String,
}

impl Message {
    pub fn is_complaint(&self) -> bool {
        matches!(self.level.as_str(), "SEVERE" | "WARNING")
    }
}

/// Keys that have no letter, as WebDriver calls them.
pub const ESCAPE: &str = "\u{e00c}";

impl Browser {
    /// A new browser, or `None`, said aloud, where there is none.
    pub fn open() -> Option<Self> {
        let (Some(chromium), Some(driver)) =
            (std::env::var_os("VULTUS_CHROMIUM"), std::env::var_os("VULTUS_CHROMEDRIVER"))
        else {
            println!("skipped: VULTUS_CHROMIUM and VULTUS_CHROMEDRIVER are not set; `cargo xtask test` sets them");
            return None;
        };
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let driver = Driver::start(Command::new(driver));
        let profile = tempfile::tempdir().expect("a folder");
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        if cfg!(unix) && is_root() {
            // Chromium does not build its sandbox for root.
            arguments.push("--no-sandbox".to_owned());
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": chromium.to_str().expect("a path in UTF-8"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = driver.post("/session", &wanted);
        let session = format!("/session/{}", session["sessionId"].as_str().expect("a session has a name"));
        let browser = Self { driver, session, console: RefCell::default(), _profile: profile, _turn: turn };
        browser.resize(1440, 900);
        Some(browser)
    }

    pub fn goto(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// The value of a JavaScript expression; of a promise, what it resolves to.
    pub fn eval(&self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_eval(&self, expression: &str) -> Result<Value, Value> {
        let script = format!("return ({expression});");
        self.driver.call("POST", &format!("{}/execute/sync", self.session), &json!({"script": script, "args": []}))
    }

    /// Waits until a JavaScript expression is true.
    pub fn wait_for(&self, what: &str, condition: &str) {
        self.until(what, || self.try_eval(&format!("!!({condition})")).is_ok_and(|value| value == true));
    }

    /// Waits until something holds in the page; what is on the page and in the console is told if it never does.
    pub fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        if !super::holds_in_time(holds) {
            let page =
                self.try_eval("document.body.cloneNode().outerHTML + document.body.innerText").unwrap_or_default();
            let page = page.as_str().unwrap_or("none");
            panic!("in vain: {what}\nconsole: {:#?}\npage: {page}", self.console());
        }
    }

    /// Clicks into the middle of an element, as a hand does: it must be in sight.
    pub fn click(&self, css: &str) {
        let element = self.post("/element", &json!({"using": "css selector", "value": css}));
        let id = element.as_object().and_then(|object| object.values().next()?.as_str()).expect("an element has an id");
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Presses and releases a key.
    pub fn press(&self, key: &str) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}));
    }

    /// Does something while another tab is in front of the page.
    pub fn in_another_tab(&self, work: impl FnOnce()) {
        let page = self.driver.call("GET", &format!("{}/window", self.session), &Value::Null).expect("a tab");
        let other = self.post("/window/new", &json!({"type": "tab"}));
        self.post("/window", &json!({"handle": other["handle"]}));
        work();
        self.driver.call("DELETE", &format!("{}/window", self.session), &Value::Null).expect("closed");
        self.post("/window", &json!({"handle": page}));
    }

    /// The page as a PNG file.
    pub fn screenshot(&self) -> Vec<u8> {
        let png = self.driver.call("GET", &format!("{}/screenshot", self.session), &Value::Null).expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(png.as_str().expect("text")).expect("base64")
    }

    /// Size of the page in a window.
    pub fn resize(&self, width: u32, height: u32) {
        self.screen(width, height, false);
    }

    /// Size of the page on a phone, which lays out and scrolls in its own way.
    pub fn phone(&self, width: u32, height: u32) {
        self.screen(width, height, true);
    }

    fn screen(&self, width: u32, height: u32, mobile: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the system prefers: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": [feature]}));
    }

    /// Everything in the console so far.
    pub fn console(&self) -> Vec<Message> {
        let new = self.post("/se/log", &json!({"type": "browser"}));
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let new = new.as_array().expect("an array").iter();
        let mut all = self.console.borrow_mut();
        all.extend(new.map(|entry| Message { level: text(entry, "level"), text: text(entry, "message") }));
        all.clone()
    }

    /// A command of Chromium's own protocol.
    fn cdp(&self, command: &str, parameters: &Value) {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        self.driver.post(&format!("{}{command}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.call("DELETE", &self.session, &Value::Null);
    }
}

/// The process that steers the browser. Killed when dropped, and the browser with it.
struct Driver {
    process: Child,
    address: SocketAddr,
}

impl Driver {
    /// On a port that it chooses and tells.
    fn start(mut command: Command) -> Self {
        let mut process =
            command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the driver starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut driver = Self { process, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let port =
            lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        driver.address.set_port(port.expect("the driver tells its port"));
        std::thread::spawn(move || lines.for_each(drop));
        super::until("the driver is ready", || {
            driver.call("GET", "/status", &Value::Null).is_ok_and(|status| status["ready"] == true)
        });
        driver
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", path, body).unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    /// One command; the error is the driver's.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let answer = http::ask(self.address, method, path, &[], body.as_bytes());
        let value = answer.json()["value"].take();
        if answer.status == 200 { Ok(value) } else { Err(value["message"].clone()) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
