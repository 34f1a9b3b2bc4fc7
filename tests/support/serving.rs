//! The program with its live page, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use super::{http, rig, take};

/// The take's rig, in the program's working folder.
pub const RIG: &str = "rig.toml";

/// A replay of the bundled take without an end, watched through its page. Killed when dropped.
pub struct Serving {
    child: Child,
    /// Where it listens, as seen from this machine.
    pub address: SocketAddr,
    /// What it wants to be told by whoever is not on this machine.
    pub token: Option<String>,
    said: Arc<Mutex<String>>,
    /// Its working folder, with its configuration and its recordings.
    folder: tempfile::TempDir,
}

impl Serving {
    /// On a free port of the loopback address.
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0", &[])
    }

    /// The same, with the calibrated rig.
    pub fn with_rig() -> Self {
        Self::listen("127.0.0.1:0", &["--rig", RIG])
    }

    /// With `--listen LISTEN` and more options.
    pub fn listen(listen: &str, options: &[&str]) -> Self {
        Self::replay(&take(), listen, options)
    }

    /// The same of another take.
    pub fn replay(take: &Path, listen: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let takes = folder.path().join("takes");
        std::fs::write(folder.path().join("vultus.toml"), format!("[record]\nfolder = '{}'\n", takes.display()))
            .expect("written");
        std::fs::write(folder.path().join(RIG), rig::of_the_take()).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_vultus"))
            .args(["replay", "--config", "vultus.toml", "--loop", "--no-open", "--listen", listen])
            .args(options)
            .arg(std::path::absolute(take).expect("a path"))
            .current_dir(&folder)
            .env_remove("RUST_LOG")
            .env_remove("VULTUS_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");

        let said = Arc::new(Mutex::new(String::new()));
        let (found, url) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                log.lock().expect("not poisoned").push_str(&format!("{line}\n"));
                if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                    let _ = found.send(url.to_owned());
                }
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut serving = Self { child, address, token: None, said, folder };
        let url = url.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("it told no address"));
        let (place, token) =
            url.split_once("/#token=").map_or((url.as_str(), None), |(place, token)| (place, Some(token)));
        let port = place.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        serving.address.set_port(port.unwrap_or_else(|| panic!("no port in {url}")));
        serving.token = token.map(str::to_owned);
        serving
    }

    /// What one opens in a browser.
    pub fn url(&self) -> String {
        let token = self.token.as_ref().map(|token| format!("#token={token}")).unwrap_or_default();
        format!("http://{}/{token}", self.address)
    }

    /// `/api/state`, as one who has the token sees it.
    pub fn state(&self) -> Value {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        let answer = http::ask(self.address, "GET", "/api/state", &headers, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Sets analysed so far.
    pub fn analysed(&self) -> u64 {
        self.state()["sets"]["analysed"].as_u64().expect("`sets.analysed` is a number")
    }

    /// Waits until it has analysed so many sets more.
    pub fn wait_for_sets(&self, more: u64) {
        let until = self.analysed() + more;
        super::until(&format!("{more} sets more are analysed"), || self.analysed() >= until);
    }

    /// Where it records to.
    pub fn takes(&self) -> PathBuf {
        self.folder.path().join("takes")
    }

    /// The files that it has recorded.
    pub fn recordings(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.takes());
        entries.map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in good order.
    pub fn stop(mut self) -> ExitStatus {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
        self.child.wait().expect("it ends")
    }
}

impl Drop for Serving {
    /// What it said is shown with a test that fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        println!("vultus said:\n{}", self.said.lock().map(|said| said.clone()).unwrap_or_default());
    }
}
