//! Rigs of other programs, and for them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use vultus::rig::exchange::{Options, export_kalibr, export_opencv, import};
use vultus::rig::{Metadata, Rig};

use super::file::write;

/// Make a rig of what OpenCV or Kalibr calibrated
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate import camchain.yaml --output rig.toml          Kalibr
  vultus calibrate import left.yml right.yml --output rig.toml     OpenCV, one file a camera, with R and T
  vultus calibrate import intrinsics.yml extrinsics.yml --size 640x480 --scale 0.001
                                                                   OpenCV's stereo_calib, squares in millimetres

aniposelib's, caliscope's and freemocap's TOML files are rigs as they are, if their lengths are metres.")]
pub(super) struct ImportArgs {
    /// OpenCV's YAML files (cv::FileStorage), or Kalibr's camchain
    #[arg(value_name = "FILE", required = true)]
    input: Vec<PathBuf>,

    /// Where the rig goes; a file that is there stays
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Width and height of the pictures, where the files do not tell
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<[u32; 2]>,

    /// What a unit of the files' lengths is in metres: 0.001 for millimetres
    #[arg(long, value_name = "M", default_value = "1")]
    scale: f64,
}

/// Write a rig as OpenCV or Kalibr have it
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus calibrate export rig.toml --to kalibr --output camchain.yaml
  vultus calibrate export rig.toml --to opencv --output folder       one NAME.yml a camera")]
pub(super) struct ExportArgs {
    /// The rig
    #[arg(value_name = "RIG")]
    rig: PathBuf,

    /// Whose format
    #[arg(long, value_enum)]
    to: Format,

    /// Where to: a file for Kalibr, a folder for OpenCV; files that are there stay
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// cv::FileStorage's YAML, one file a camera: the names of OpenCV's calibration sample, and R and T of
    /// `camera_from_world` beside them
    Opencv,
    /// A camchain
    Kalibr,
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some([w.parse().ok()?, h.parse().ok()?]));
    sides.ok_or_else(|| "width and height, such as 640x480".to_owned())
}

pub(super) fn run_import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    refuse_existing(&args.output)?;
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok((path.clone(), text))
    };
    let files = args.input.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let cameras = import(&files, Options { size: args.size, scale: args.scale })?;
    write(&args.output, &cameras, &Metadata::default())?;
    let names: Vec<&str> = cameras.iter().map(|camera| camera.name.as_str()).collect();
    tracing::info!("{}: {}", args.output.display(), names.join(", "));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let rig = Rig::load(&args.rig)?;
    let files = match args.to {
        Format::Kalibr => vec![(args.output.clone(), export_kalibr(&rig.cameras)?)],
        Format::Opencv => {
            vultus::capture::check_names(rig.cameras.iter().map(|camera| camera.name.as_str()))?;
            let file = |name: &str| args.output.join(format!("{name}.yml"));
            rig.cameras.iter().map(|camera| (file(&camera.name), export_opencv(camera))).collect()
        }
    };
    // All or none.
    files.iter().try_for_each(|(file, _)| refuse_existing(file))?;
    if let Format::Opencv = args.to {
        std::fs::create_dir_all(&args.output).with_context(|| format!("{} cannot be made", args.output.display()))?;
    }
    for (file, text) in files {
        std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        tracing::info!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(!path.exists(), "{} is there already: name another file, or remove it", path.display());
    Ok(())
}
