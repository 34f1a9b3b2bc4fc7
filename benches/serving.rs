//! What the live page costs the pipeline (`docs/results/live-page.md`). For Linux.
//!
//! ```text
//! cargo bench --bench serving -- watched TAKE    beside a client that reads everything and draws nothing
//! cargo bench --bench serving -- browser TAKE    beside Chromium, which draws the page
//! cargo bench --bench serving -- stalled TAKE    beside a client that stops reading for 30 s
//! cargo bench --bench serving -- soak TAKE       memory over ten minutes
//! ```
//!
//! `watched` and `browser` run in pairs, without a page and with it, and tell medians of the pairs. The take is looped.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a measurement, and its figures are its output"
)]

#[path = "../tests/support/mod.rs"]
mod support;

mod measure;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use measure::{Process, median, percentile};
use serde_json::Value;
use support::browser::Browser;
use support::serving::Serving;
use support::visit::enter;
use support::watcher::Watcher;

const PAIRS: usize = 3;
/// Sets that are left out at a run's beginning, and those that are measured.
const WARM_UP: usize = 150;
const MEASURED: usize = 600;
/// A browser takes its time to start.
const BROWSER_WARM_UP: usize = 600;
const STALL: Duration = Duration::from_secs(30);
const SOAK: Duration = Duration::from_secs(600);

fn main() {
    // cargo adds an option of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["watched", take] => pairs(Path::new(take), WARM_UP, |program, until| {
            let mut watcher = Watcher::of(&program.serving);
            program.while_fewer_than(until, || {
                let update = watcher.next();
                watcher.acknowledge(&update);
            });
        }),
        ["browser", take] => pairs(Path::new(take), BROWSER_WARM_UP, |program, until| {
            let page = Browser::open().expect("VULTUS_CHROMIUM and VULTUS_CHROMEDRIVER name the browser");
            enter(&page, &program.serving.url());
            program.while_fewer_than(until, || std::thread::sleep(Duration::from_millis(200)));
        }),
        ["stalled", take] => stalled(Path::new(take)),
        ["soak", take] => soak(Path::new(take)),
        // `cargo test --benches` and the like ask for nothing.
        _ => println!("say what to measure: watched, browser, stalled or soak, and a TAKE"),
    }
}

/// The program under measurement.
struct Program {
    serving: Serving,
    results: tempfile::NamedTempFile,
}

/// What a stretch of a run cost.
#[derive(Clone, Copy)]
struct Cost {
    /// Percentiles of the sets' `latency_ms`.
    p50_ms: f64,
    p99_ms: f64,
    /// CPU time of the whole program, percent of a core.
    cpu_percent: f64,
    /// CPU time of the server's thread alone.
    serve_percent: f64,
    sets_per_s: f64,
    pictures_per_s: f64,
    stale: f64,
}

impl Program {
    fn start(take: &Path) -> Self {
        let results = tempfile::NamedTempFile::new().expect("a file");
        let path = results.path().to_str().expect("a plain path");
        let serving = Serving::replay(take, "127.0.0.1:0", &["--results", path]);
        Self { serving, results }
    }

    /// Sets analysed so far; every one is in the results.
    fn latencies_ms(&self) -> Vec<f64> {
        let text = fs::read_to_string(self.results.path()).expect("results");
        let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut rows: Vec<(u64, f64)> =
            rows.filter_map(|row| Some((row["set"].as_u64()?, row["latency_ms"].as_f64()?))).collect();
        rows.dedup_by_key(|(set, _)| *set);
        rows.into_iter().map(|(_, latency)| latency).collect()
    }

    fn while_fewer_than(&self, sets: usize, mut work: impl FnMut()) {
        while (self.serving.analysed() as usize) < sets {
            for _ in 0..10 {
                work();
            }
        }
    }

    fn process(&self) -> Process {
        Process::of(self.serving.id())
    }

    /// CPU seconds of the program, and of its thread `serve`.
    fn cpu_s(&self) -> (f64, f64) {
        (self.process().cpu_s(), self.process().thread_cpu_s("serve"))
    }

    /// Runs `beside` from the start, and measures when `warm_up` sets are through.
    fn measure(self, warm_up: usize, beside: impl Fn(&Self, usize) + Sync) -> Cost {
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| beside(&self, warm_up + MEASURED + 30));
            self.wait_for(warm_up);
            let (cpu, began) = (self.cpu_s(), Instant::now());
            let stale = self.stale();
            let mut pictures = Vec::new();
            while (self.serving.analysed() as usize) < warm_up + MEASURED {
                std::thread::sleep(Duration::from_millis(500));
                pictures.push(self.serving.state()["page"]["pictures_per_s"].as_f64().expect("a rate"));
            }
            let (seconds, now) = (began.elapsed().as_secs_f64(), self.cpu_s());
            let stale = self.stale() - stale;
            beside.join().expect("the client goes on");
            let latencies = &self.latencies_ms()[warm_up..warm_up + MEASURED];
            Cost {
                p50_ms: percentile(latencies, 50),
                p99_ms: percentile(latencies, 99),
                cpu_percent: (now.0 - cpu.0) / seconds * 100.0,
                serve_percent: (now.1 - cpu.1) / seconds * 100.0,
                sets_per_s: MEASURED as f64 / seconds,
                pictures_per_s: pictures.iter().sum::<f64>() / pictures.len() as f64,
                stale,
            }
        })
    }

    fn wait_for(&self, sets: usize) {
        while (self.serving.analysed() as usize) < sets {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stale(&self) -> f64 {
        self.serving.state()["sets"]["stale"].as_f64().expect("a number")
    }
}

/// Runs without anybody watching, and with `beside`, in turn.
fn pairs(take: &Path, warm_up: usize, beside: impl Fn(&Program, usize) + Sync) {
    println!("            p50 ms   p99 ms    CPU %  serve %   sets/s  pictures/s  stale   ({MEASURED} sets)");
    let mut all = [Vec::new(), Vec::new()];
    for pair in 1..=PAIRS {
        for (n, name) in ["alone", "watched"].into_iter().enumerate() {
            let program = Program::start(take);
            let cost = if n == 0 { program.measure(warm_up, |_, _| {}) } else { program.measure(warm_up, &beside) };
            print(&format!("{name} {pair}"), cost);
            all[n].push(cost);
        }
    }
    let [alone, watched] = all.each_ref();
    let rise = |of: fn(&Cost) -> f64| median(alone.iter().zip(watched).map(|(a, b)| of(b) / of(a)));
    let more = median(alone.iter().zip(watched).map(|(a, b)| b.cpu_percent - a.cpu_percent));
    println!(
        "medians of the pairs: p50 x {:.2}, p99 x {:.2}, CPU + {more:.1} % of a core",
        rise(|c| c.p50_ms),
        rise(|c| c.p99_ms)
    );
}

fn print(name: &str, cost: Cost) {
    println!(
        "{name:<10} {:8.1} {:8.1} {:8.1} {:8.2} {:8.1} {:11.1} {:6.0}",
        cost.p50_ms,
        cost.p99_ms,
        cost.cpu_percent,
        cost.serve_percent,
        cost.sets_per_s,
        cost.pictures_per_s,
        cost.stale
    );
}

/// A client that takes nothing for a while, and then goes on.
fn stalled(take: &Path) {
    let program = Program::start(take);
    let mut watcher = Watcher::of(&program.serving);
    program.while_fewer_than(WARM_UP, || {
        let update = watcher.next();
        watcher.acknowledge(&update);
    });
    let (from, memory, stale) = (program.latencies_ms().len(), program.process().memory_mb(), program.stale());
    std::thread::sleep(STALL);
    let latencies = program.latencies_ms();
    println!(
        "p99 {:.1} ms before, {:.1} ms while the client stalled",
        percentile(&latencies[30..from], 99),
        percentile(&latencies[from..], 99)
    );
    println!("memory {memory:.1} MB before, {:.1} MB after", program.process().memory_mb());
    println!("{} sets stale meanwhile", program.stale() - stale);
    let began = Instant::now();
    let mut messages = 0;
    loop {
        let update = watcher.next();
        watcher.acknowledge(&update);
        messages += 1;
        let behind = update.set().map(|set| program.serving.analysed().saturating_sub(set));
        if behind.is_some_and(|behind| behind <= 3) {
            break println!("at the newest set again after {messages} messages, {} ms", began.elapsed().as_millis());
        }
    }
}

/// Memory while a client watches, comes and goes.
fn soak(take: &Path) {
    let program = Program::start(take);
    let began = Instant::now();
    let mut next = Duration::ZERO;
    while began.elapsed() < SOAK + Duration::from_secs(1) {
        if began.elapsed() >= next {
            let analysed = program.serving.analysed();
            let memory_mb = program.process().memory_mb();
            println!("{:4.0} s: {memory_mb:.1} MB, {analysed} sets", began.elapsed().as_secs_f64());
            next += Duration::from_secs(30);
        }
        let mut watcher = Watcher::of(&program.serving);
        for _ in 0..300 {
            let update = watcher.next();
            watcher.acknowledge(&update);
        }
    }
}
