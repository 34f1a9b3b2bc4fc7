use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use vultus::capture::recording::Recording;
use vultus::config::Config;
use vultus::infer::manifest::Models;
use vultus::parity::{COSINE, CUT, EMBEDDING, ParityError, Report, SCORE, compare};
use vultus::pipeline::vision::VisionError;

use crate::commands::status::message_bar;
use crate::commands::table::lines;

/// Run the encoder with every runtime and on every device that is here, on the same faces, and compare
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus models parity                 faces of the built-in take (rendered)
  vultus models parity photos          of your own pictures
  vultus models parity take.mcap --json

Exit codes: 0 all agree, 1 one does not")]
pub(super) struct Args {
    /// A take, a folder of pictures, a picture, or videos (one a camera) [default: the built-in take]
    #[arg(value_name = "TAKE|DIR|VIDEO")]
    input: Vec<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What went wrong itself, by which the exit code is told.
fn cause(error: ParityError) -> anyhow::Error {
    match error {
        ParityError::Capture(error) => error.into(),
        ParityError::View(error) => VisionError::from(error).into(),
        ParityError::Manifest(error) => error.into(),
        ParityError::Infer(error) => error.into(),
        ParityError::NoFaces | ParityError::NoRuntime(_) => error.into(),
    }
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    let recording = Recording::open_or_bundled(&args.input)?;
    let models = Models::chosen(&config.models)?;
    let bar = message_bar();
    bar.set_message("asking all runtimes and devices; GPUs compile first");
    let report = compare(recording, &models, &config);
    bar.finish_and_clear();
    let report = report.map_err(cause)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", text(&report))?;
    }
    Ok(if report.all_agree() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> String {
    let mut rows = vec![["", "batch, ms", "embeddings apart", "least cosine", "scores apart", ""].map(str::to_owned)];
    rows.extend(report.runs.iter().map(|run| {
        let says = match (run.name == report.reference, run.agrees) {
            (true, _) => "what all are compared with",
            (false, true) => "agrees",
            (false, false) => "DIFFERS",
        };
        let [embedding, score] = [run.embedding_apart, run.score_apart].map(|apart| format!("{apart:.1e}"));
        let (ms, cosine) = (format!("{:.1}", run.batch_ms), format!("{:.6}", run.cosine));
        [run.name.clone(), ms, embedding, cosine, score, says.to_owned()]
    }));
    let mut text = format!("`{}` on {} faces\n\n", report.model, report.faces);
    for line in lines(&rows, [true, false, false, false, false, true]) {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&format!(
        "\nallowed: embeddings {EMBEDDING:.0e} apart along an axis, cosine at least {COSINE}, scores {SCORE:.0e}\n"
    ));
    if let Some(cut) = &report.cut {
        let says = if cut.agrees { "agrees" } else { "DIFFERS" };
        text.push_str(&format!(
            "cut on {}: pixels at most {:.2} of 255 from the CPU's ({CUT} allowed): {says}\n",
            cut.gpu, cut.apart_of_255
        ));
    }
    for absent in &report.absent {
        text.push_str(&format!("not here: {}: {}\n", absent.name, absent.reason));
    }
    text
}
