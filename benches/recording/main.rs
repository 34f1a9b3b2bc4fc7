//! What recording costs the pipeline beside which it runs. For Linux.
//!
//! ```text
//! cargo bench --bench recording -- [TAKE] [--seconds 20] [--size 1280x720] [--pairs 3]
//! ```
//!
//! The take is looped at its own pace, its pictures enlarged to those of a usual webcam. Runs go in pairs, alone and with
//! a recording, each in a process of its own; which comes first changes from pair to pair. Recordings go to the temporary
//! folder (`TMPDIR`) and are read back: every frame of every camera must be there, byte for byte.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a measurement, and its figures are its output"
)]

mod enlarged;
#[path = "../measure/mod.rs"]
mod measure;
mod readback;
mod run;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;
use measure::median;
use run::Cost;

/// What recording may cost: of a core, and of the latency's 99th percentile.
const MOST_CPU_PERCENT: f64 = 5.0;
const MOST_P99_RATIO: f64 = 1.10;

/// What recording costs the pipeline beside which it runs
#[derive(Parser)]
struct Args {
    /// The take that is played [default: the bundled one]
    take: Option<PathBuf>,

    /// What is measured of each run
    #[arg(long, default_value_t = 20)]
    seconds: u64,

    /// Of the pictures
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = size)]
    size: (u32, u32),

    /// Runs alone, and with a recording
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,

    /// cargo adds it to what is asked of it, but `cargo test --benches` does not
    #[arg(long, hide = true)]
    bench: bool,

    /// One run of TAKE as it is, in this process; its cost goes to standard output
    #[arg(long, hide = true)]
    once: bool,

    /// That run is recorded to this folder
    #[arg(long, hide = true)]
    into: Option<PathBuf>,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    parsed.ok_or_else(|| "a size is, say, 1280x720".to_owned())
}

fn main() {
    let args = Args::parse();
    let take = args.take.clone().unwrap_or_else(support::take);
    if !cfg!(target_os = "linux") {
        println!("only Linux tells the CPU time of a thread: measure there");
    } else if args.once {
        let cost = run::measure(&take, Duration::from_secs(args.seconds), args.into.as_deref());
        println!("{}", serde_json::to_string(&cost).expect("plain data"));
    } else if args.bench {
        pairs(&take, &args);
    } else {
        println!("say `cargo bench --bench recording -- [TAKE]`");
    }
}

fn pairs(take: &Path, args: &Args) {
    let folder = tempfile::tempdir().expect("a folder");
    let enlarged = folder.path().join("take");
    let sizes = enlarged::make(take, args.size, &enlarged);
    let (width, height) = args.size;
    println!(
        "{} cameras, pictures of {width}x{height} and {:.0} KB on average; models on {}; {} s a run",
        sizes.cameras,
        sizes.mean_bytes / 1e3,
        if support::onnxruntime().is_some() { "ONNX Runtime" } else { "tract" },
        args.seconds
    );
    println!(
        "               p50 ms  p99 ms   CPU %  record %  memory MB  sets/s  stale  written MB/s  frames  in file  dropped  bytes"
    );
    let (mut alone, mut recorded) = (Vec::new(), Vec::new());
    let mut lost = 0;
    for pair in 1..=args.pairs {
        for is_recorded in if pair % 2 == 1 { [false, true] } else { [true, false] } {
            let into = folder.path().join("recordings");
            let cost = once(&enlarged, args.seconds, is_recorded.then_some(&*into));
            print!("{:<10} {pair:2} {cost}", if is_recorded { "recording" } else { "alone" });
            if let Some(recording) = &cost.recording {
                let read = readback::compare(&enlarged, &recording.file);
                let is_same = if read.is_same { "the same" } else { "DIFFERENT" };
                println!("  {:>7}  {:>7}  {is_same}", read.frames, recording.dropped);
                lost += cost.frames.abs_diff(read.frames).max(recording.dropped);
                std::fs::remove_file(&recording.file).expect("it is there");
                recorded.push(cost);
            } else {
                println!();
                alone.push(cost);
            }
        }
    }
    let both = || alone.iter().zip(&recorded);
    let ratio = |of: fn(&Cost) -> f64| median(both().map(|(alone, recorded)| of(recorded) / of(alone)));
    let more = |of: fn(&Cost) -> f64| median(both().map(|(alone, recorded)| of(recorded) - of(alone)));
    println!("frames and records lost: {lost} (limit 0)");
    println!(
        "CPU of the thread `record`: {:.1} % of a core (limit {MOST_CPU_PERCENT:.0}), median of the runs",
        median(recorded.iter().map(|cost| cost.record_percent))
    );
    println!(
        "p99 x {:.2} (limit {MOST_P99_RATIO:.2}), p50 x {:.2}, medians of the pairs",
        ratio(|c| c.p99_ms),
        ratio(|c| c.p50_ms)
    );
    println!(
        "CPU of the process + {:.1} % of a core, memory + {:.1} MB",
        more(|c| c.cpu_percent),
        more(|c| c.memory_mb)
    );
}

/// One run in a process of its own, so that none inherits another's memory.
fn once(take: &Path, seconds: u64, into: Option<&Path>) -> Cost {
    let mut program = Command::new(std::env::current_exe().expect("this program"));
    program.arg(take).args(["--once", "--seconds", &seconds.to_string()]).stderr(Stdio::inherit());
    program.envs(support::onnxruntime().map(|library| ("VULTUS_ONNXRUNTIME", library)));
    if let Some(folder) = into {
        program.arg("--into").arg(folder);
    }
    let output = program.output().expect("it starts");
    assert!(output.status.success(), "the run ended with {}", output.status);
    serde_json::from_slice(&output.stdout).expect("a cost")
}
