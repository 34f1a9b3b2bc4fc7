use std::io::Write;
use std::process::ExitCode;

/// List the attached cameras
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus cameras             names to use with --camera, and the best modes
  vultus cameras --modes     every size and rate
  vultus cameras --json | jq -r '.[].id'")]
pub(super) struct Args {
    /// Show every mode: format, size, frames a second
    #[arg(long)]
    modes: bool,

    /// Print a JSON array, with every mode
    #[arg(long)]
    json: bool,
}

#[cfg(not(feature = "webcam"))]
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let _ = args.modes;
    if args.json {
        writeln!(std::io::stdout(), "[]")?;
        return Ok(ExitCode::SUCCESS);
    }
    tracing::error!("this program was built without cameras; build it with the feature `webcam`");
    Ok(ExitCode::from(3))
}

#[cfg(feature = "webcam")]
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let devices = vultus::capture::devices::attached()?;
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&devices)?)?;
    } else if devices.is_empty() {
        return Err(vultus::capture::CaptureError::NoCamera.into());
    } else {
        write!(std::io::stdout(), "{}", table::of(&devices, args.modes))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "webcam")]
mod table {
    use std::fmt::Write as _;

    use vultus::capture::devices::{Device, Mode};

    /// Frames a second from which a mode counts as video.
    const SMOOTH: u32 = 24;

    /// A line a camera; with `all` each is followed by its modes.
    pub(super) fn of(devices: &[Device], all: bool) -> String {
        let headings = ["ID", "PATH", "NAME", if all { "" } else { "BEST MODES" }].map(str::to_owned);
        let row = |device: &Device| {
            let last = match &device.error {
                Some(error) => error.clone(),
                None if all => String::new(),
                None => list(&best(&device.modes)),
            };
            [device.id.clone(), device.path.clone(), device.name.clone(), last]
        };
        let rows: Vec<[String; 4]> = std::iter::once(headings).chain(devices.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        let mut text = String::new();
        for (n, [id, path, name, last]) in rows.iter().enumerate() {
            let line = format!("{id:0$}  {path:1$}  {name:2$}  {last}", widths[0], widths[1], widths[2]);
            let _ = writeln!(text, "{}", line.trim_end());
            if let Some(device) = n.checked_sub(1).map(|n| &devices[n]).filter(|_| all) {
                text += &every(&device.modes);
            }
        }
        text
    }

    fn list(modes: &[Mode]) -> String {
        modes.iter().map(Mode::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Of each format the largest size that is video, or if none is, the fastest.
    fn best(modes: &[Mode]) -> Vec<Mode> {
        let rank = |mode: &Mode| {
            let (size, smooth) = (mode.width * mode.height, mode.fps >= SMOOTH);
            if smooth { (smooth, size, mode.fps) } else { (smooth, mode.fps, size) }
        };
        let of_format = |some: &[Mode]| some.iter().copied().max_by_key(rank);
        modes.chunk_by(|a, b| a.format == b.format).filter_map(of_format).collect()
    }

    /// A line a format and size, with its rates.
    fn every(modes: &[Mode]) -> String {
        let mut text = String::new();
        for group in modes.chunk_by(|a, b| (a.format, a.width, a.height) == (b.format, b.width, b.height)) {
            let (first, rates) = (group[0], group.iter().map(|mode| mode.fps.to_string()).collect::<Vec<_>>());
            let size = format!("{}x{}", first.width, first.height);
            let _ = writeln!(text, "    {:<5}  {size:<9}  {} fps", first.format, rates.join(" "));
        }
        text
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use vultus::frame::PixelFormat::{Mjpeg, Yuyv};

        const fn mode(format: vultus::frame::PixelFormat, width: u32, height: u32, fps: u32) -> Mode {
            Mode { format, width, height, fps }
        }

        const MODES: [Mode; 6] = [
            mode(Mjpeg, 640, 480, 60),
            mode(Mjpeg, 1920, 1080, 30),
            mode(Mjpeg, 1920, 1080, 15),
            mode(Yuyv, 640, 480, 30),
            mode(Yuyv, 1280, 720, 10),
            mode(Yuyv, 1920, 1080, 5),
        ];

        #[test]
        fn the_best_modes_are_the_largest_that_are_video() {
            assert_eq!(list(&best(&MODES)), "MJPEG 1920x1080@30, YUYV 640x480@30");
            assert_eq!(list(&best(&MODES[4..])), "YUYV 1280x720@10");
            assert_eq!(list(&best(&[])), "");
        }

        #[test]
        fn rates_of_a_size_stand_in_one_line() {
            assert!(every(&MODES).contains("    MJPEG  1920x1080  30 15 fps\n"), "{}", every(&MODES));
            assert_eq!(every(&MODES).lines().count(), 5);
        }
    }
}
