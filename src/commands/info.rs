//! `vultus info TAKE`.

mod bars;
mod text;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use vultus::capture::recording::Recording;
use vultus::record::Take;
use vultus::survey::Survey;

/// Tell what a recording holds: how whole, how regular and how well in sync it is, and whom it shows
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus info take.mcap
  vultus info TAKE                                a folder with a folder a camera: what its times tell
  vultus info take.mcap --json | jq .sets.skew_ms.p99

docs/reference/info.md explains every figure and key.")]
pub(super) struct Args {
    /// A take, or something else that can be replayed
    #[arg(value_name = "TAKE|DIR|VIDEO")]
    take: PathBuf,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (text, json) = match survey(&args.take)? {
        Some(survey) => (text::of(&survey), serde_json::to_string_pretty(&survey)?),
        None => others(&args.take)?,
    };
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{json}")?
    } else {
        out.write_all(text.as_bytes())?
    }
    Ok(ExitCode::SUCCESS)
}

/// `None` of videos and stills.
fn survey(path: &Path) -> anyhow::Result<Option<Survey>> {
    if path.is_dir() {
        return Ok(Survey::of_folder(path)?);
    }
    if Take::is_named_so(path) { Ok(Some(Survey::of_take(&Take::open(path)?)?)) } else { Ok(None) }
}

/// What little can be told of videos and stills without looking at every picture.
fn others(path: &Path) -> anyhow::Result<(String, String)> {
    let recording = Recording::open(&[path.to_owned()], false)?;
    let duration_s = recording.duration.filter(|_| !recording.stills).map(|duration| duration.as_secs_f64());
    let cameras: Vec<&str> = recording.sources.iter().map(|source| &*source.stream().description).collect();
    let (kind, why) = match recording.stills {
        true => ("stills", "They have no times: there is nothing to match."),
        false => ("video", "More is known of takes; `vultus replay` with `--record FILE` makes one of it."),
    };
    let json = json!({"path": path.to_string_lossy(), "kind": kind, "duration_s": duration_s, "cameras": cameras});
    let duration = duration_s.map(|seconds| format!("{seconds:.1} s\n")).unwrap_or_default();
    Ok((format!("{}\n{duration}{why}\n", cameras.join("\n")), format!("{json:#}")))
}
