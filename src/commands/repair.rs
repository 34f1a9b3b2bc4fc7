//! What `vultus export TAKE --repair` does: a take that was cut short becomes whole.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use vultus::record::{Repaired, TakenView, repair};

use super::signal::stop_on_signal;
use super::status;

/// Repairs `take`, in its place or into `output`, and gives an account of it.
pub(super) fn run(take: &Path, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signal()?;
    let bar = status::bytes_bar();
    let repaired = repair(take, output, |done, of| {
        bar.set_length(of);
        bar.set_position(done);
        !stop.is_requested()
    });
    bar.finish_and_clear();
    match repaired? {
        None => tracing::info!("{} is whole: nothing to repair", take.display()),
        Some(repaired) if tracing::enabled!(tracing::Level::INFO) => {
            status::log_writer().write_all(account(&repaired).as_bytes())?;
        }
        Some(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn account(Repaired { take, messages, unreadable_bytes }: &Repaired) -> String {
    let frames = |view: &TakenView| format!("{} {}", view.camera.name, view.frames.len());
    let frames: Vec<String> = take.views.iter().map(frames).collect();
    let lost = match unreadable_bytes {
        0 => "nothing but the index was missing".to_owned(),
        bytes => format!("{bytes} bytes could not be read"),
    };
    let mut text = String::new();
    let _ = writeln!(text, "repaired  {}", take.path.display());
    let _ = writeln!(
        text,
        "holds     {:.1} s, {:.1} MB, {messages} messages",
        take.duration().as_secs_f64(),
        take.bytes as f64 / 1e6
    );
    let _ = writeln!(text, "frames    {}", frames.join("  "));
    let _ = writeln!(text, "lost      {lost}");
    text
}
