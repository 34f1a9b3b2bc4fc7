use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vultus::calibrate::guide::Task;
use vultus::calibrate::live::{CameraError, Outcome};
use vultus::calibrate::rig::{Calibration, calibrate};
use vultus::calibrate::stills::Pose;
use vultus::config::Config;
use vultus::rig::verdict::Verdict;
use vultus::rig::{Metadata, Rig};

use super::file::write;
use super::output::figures;
use super::source::{Looked, Source};
use crate::commands::table::lines;
use crate::commands::today::today;

/// Find lenses and places of all cameras from a board that is held before them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate rig                                   live cameras; a page says what to do
  vultus calibrate rig --camera left=0 --camera right=2 --board checkerboard:9x6:25mm
  vultus calibrate rig board.mcap --output rig.toml      a recording of the board
  vultus calibrate rig left.mkv right.mkv

Hold the board still for half a second in each place: near and far, in every corner of every
camera's picture, tilted to all sides, and where several cameras see it at once.")]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,

    /// Where the rig goes; what is there is replaced by a rig that is good or usable, and by no other
    #[arg(short, long, value_name = "FILE", default_value = "rig.toml")]
    output: PathBuf,
}

/// Find the lenses alone
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate intrinsics
  vultus calibrate extrinsics --rig lenses.toml --output rig.toml")]
pub(super) struct IntrinsicsArgs {
    #[command(flatten)]
    source: Source,

    /// Where the lenses go, as a rig that tells no places
    #[arg(short, long, value_name = "FILE", default_value = "lenses.toml")]
    output: PathBuf,
}

/// Find where the cameras are, with the lenses that a rig has
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate extrinsics --rig rig.toml                a camera was moved; its lens is what it was
  vultus calibrate extrinsics board.mcap --rig lenses.toml --output rig.toml")]
pub(super) struct ExtrinsicsArgs {
    #[command(flatten)]
    source: Source,

    /// Write the rig here instead of over the one that was read
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The rig whose lenses are taken
    #[arg(long, value_name = "FILE")]
    rig: PathBuf,
}

pub(super) fn run(args: &Args, config: Config) -> anyhow::Result<ExitCode> {
    args.source.run(config, Task::Rig, None, |Looked { cameras, poses }| {
        let mut calibration = calibrate(&args.source.board, cameras, poses)?;
        let before = Rig::load(&args.output).ok();
        if let Some(before) = &before {
            keep_offsets(before, &mut calibration);
        }
        let metadata = before.map(|before| before.metadata()).unwrap_or_default();
        finish(&args.source, &args.output, &calibration, metadata)
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_intrinsics(args: &IntrinsicsArgs, config: Config) -> anyhow::Result<ExitCode> {
    args.source.run(config, Task::Intrinsics, None, |Looked { cameras, poses }| {
        // Each by itself: no pose has to be seen by two.
        let mut each = Vec::new();
        for (n, camera) in cameras.iter().enumerate() {
            let alone = |pose: &Pose| Pose { views: vec![pose.views[n].clone()] };
            let alone: Vec<Pose> = poses.iter().map(alone).filter(|pose| pose.views[0].is_some()).collect();
            each.push(calibrate(&args.source.board, std::slice::from_ref(camera), &alone)?);
        }
        let worst = each.iter().max_by(|a, b| a.figures.error_px().total_cmp(&b.figures.error_px()));
        let figures = worst.map(|worst| worst.figures.clone()).unwrap_or_default();
        let cameras = each.iter().flat_map(|calibration| calibration.cameras.clone()).collect();
        let outliers = each.iter().flat_map(|calibration| calibration.outliers.clone()).collect();
        let lenses = Calibration { cameras, outliers, figures };
        finish(&args.source, &args.output, &lenses, Metadata::default())
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_extrinsics(args: &ExtrinsicsArgs, config: Config) -> anyhow::Result<ExitCode> {
    let rig = Rig::load(&args.rig)?;
    args.source.run(config, Task::Extrinsics, Some(&rig), |Looked { cameras, poses }| {
        let mut calibration = calibrate(&args.source.board, cameras, poses)?;
        keep_offsets(&rig, &mut calibration);
        finish(&args.source, args.output.as_deref().unwrap_or(&args.rig), &calibration, rig.metadata())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The clocks of a rig's cameras go on, and what other programs say of them.
fn keep_offsets(before: &Rig, calibration: &mut Calibration) {
    for camera in &mut calibration.cameras {
        let Ok(known) = before.camera(&camera.name) else {
            tracing::warn!(
                "camera `{}` is new in {}: `vultus calibrate offsets` finds its clock",
                camera.name,
                before.path.display()
            );
            continue;
        };
        camera.time_offset_ms = known.time_offset_ms;
        camera.time_offset_error_ms = known.time_offset_error_ms;
        camera.other.clone_from(&known.other);
    }
}

/// Prints and writes what was found; `before` is what a rig that goes on says beside its cameras.
fn finish(source: &Source, output: &Path, calibration: &Calibration, before: Metadata) -> anyhow::Result<Outcome> {
    let found = &calibration.figures;
    let verdict = found.verdict();
    let left_out = |(camera, seconds, error_px): &(String, f64, f64)| {
        format!("what camera `{camera}` saw at {seconds:.1} s is {error_px:.1} pixels off")
    };
    let left_out: Vec<String> = calibration.outliers.iter().map(left_out).collect();
    for view in &left_out {
        tracing::warn!("left out: {view}");
    }
    let file = output.display();
    if verdict == Verdict::CalibrateAgain {
        anyhow::bail!(
            "calibrate again: corners are {:.2} pixels off{}. Nothing was written to {file}. Is the board flat, and \
             does `--board` describe it? More poses, held still, in good light help",
            found.error_px(),
            found.scale_error_percent.map_or_else(String::new, |percent| format!(", lengths {percent:.1} %"))
        );
    }
    if source.json {
        let errors = calibration.cameras.iter().map(|camera| (camera.name.as_str(), camera.reprojection_error_px));
        super::output::json(found, errors)?;
    } else {
        super::output::print(&format!("{}\n{}", table(calibration), figures(found)))?;
    }
    let metadata = Metadata {
        board: Some(source.board.to_string()),
        date: Some(today()),
        vultus: Some(env!("CARGO_PKG_VERSION").to_owned()),
        poses: Some(found.poses),
        held_out_error_px: found.held_out_error_px,
        scale_error_percent: found.scale_error_percent,
        other: before.other,
    };
    write(output, &calibration.cameras, &metadata)?;
    tracing::info!("{file}: {}", verdict.name());
    tracing::info!("use it: vultus live --rig {file}");
    Ok(Outcome {
        verdict: verdict.name(),
        file: Some(file.to_string()),
        was_written: true,
        figures: found.clone(),
        cameras: calibration
            .cameras
            .iter()
            .map(|camera| CameraError { name: camera.name.clone(), error_px: camera.reprojection_error_px })
            .collect(),
        left_out,
    })
}

fn table(calibration: &Calibration) -> String {
    let header = ["camera", "focal length px", "", "principal point", "", "position m", "", "", "error px"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(calibration.cameras.iter().map(|camera| {
        let ([fx, fy], [cx, cy]) = (camera.lens().focal, camera.lens().principal);
        let at = camera.center_in_world();
        [
            camera.name.clone(),
            format!("{fx:.1}"),
            format!("{fy:.1}"),
            format!("{cx:.1}"),
            format!("{cy:.1}"),
            format!("{:.3}", at.x),
            format!("{:.3}", at.y),
            format!("{:.3}", at.z),
            camera.reprojection_error_px.map_or_else(String::new, |error| format!("{error:.3}")),
        ]
    }));
    format!("{}\n", lines(&rows, [true, false, false, false, false, false, false, false, false]).join("\n"))
}
