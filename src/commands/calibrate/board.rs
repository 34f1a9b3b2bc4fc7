use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use vultus::calibrate::board::Board;
use vultus::calibrate::print::Sheet;

/// Draw a board to print, true to size
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate board --output board.pdf
  vultus calibrate board --board checkerboard:9x6:25mm --output board.svg
  vultus calibrate board --board charuco:14x9:20mm:15mm:4x4_50 --output large.pdf")]
pub(super) struct Args {
    /// `checkerboard:9x6:25mm` (corners at which four squares meet, and a square's side) or
    /// `charuco:9x6:25mm:18mm:4x4_50` (squares, their side, the markers' side, their dictionary), which is also read
    /// where a part of it is hidden
    #[arg(long, default_value = Board::DEFAULT)]
    board: Board,

    /// Where to: a file ending in `.pdf` or `.svg`
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sheet = Sheet::of(&args.board);
    let bytes = match args.output.extension().and_then(|ending| ending.to_str()) {
        Some("pdf") => sheet.pdf(),
        Some("svg") => sheet.svg().into_bytes(),
        _ => anyhow::bail!("{} ends neither in `.pdf` nor in `.svg`", args.output.display()),
    };
    std::fs::write(&args.output, bytes).with_context(|| format!("{} cannot be written", args.output.display()))?;
    let [width, height] = sheet.size_mm();
    tracing::info!(
        "{}: {} on {width:.0} x {height:.0} mm. Print it at 100 %, hold a ruler against the one on the sheet, and glue it \
         to something flat",
        args.output.display(),
        args.board
    );
    Ok(ExitCode::SUCCESS)
}
