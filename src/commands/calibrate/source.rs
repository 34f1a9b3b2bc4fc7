//! Where the board is seen: in a recording, or by live cameras, with a page that says what to do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use vultus::calibrate::board::Board;
use vultus::calibrate::guide::Task;
use vultus::calibrate::live::{Live, Outcome};
use vultus::calibrate::rig::Watched;
use vultus::calibrate::stills::{Pose, Still, glimpses, pictures, poses, stills};
use vultus::calibrate::watch::{Sightings, WatchError, boards};
use vultus::capture::recording::Recording;
use vultus::config::Config;
use vultus::rig::Rig;

use crate::commands::live;
use crate::commands::options::{loopback, seconds_within};
use crate::commands::page::show;
use crate::commands::signal::stop_on_signal;
use crate::commands::status::{message_bar, progress_bar};

/// Live cameras, and the page beside them.
#[derive(clap::Args)]
pub(super) struct Cameras {
    /// Live camera to open, as `vultus cameras` lists it, perhaps with a name: NAME=ID [default: all]
    #[arg(long, value_name = "[NAME=]ID", conflicts_with = "input")]
    camera: Vec<String>,

    /// With live cameras: serve the page here
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7880", value_parser = loopback, conflicts_with = "input")]
    pub listen: SocketAddr,

    /// With live cameras: do not open the page in a browser
    #[arg(long, conflicts_with = "input")]
    no_open: bool,
}

impl Cameras {
    /// Opens them.
    pub(super) fn open(&self, mut config: Config) -> anyhow::Result<Vec<Box<dyn vultus::capture::Source>>> {
        live::choose(&self.camera, &mut config);
        let sources = live::open(&config)?;
        for source in &sources {
            tracing::info!("camera `{}`: {}", source.stream().name, source.stream().description);
        }
        Ok(sources)
    }

    /// Has a browser show the page.
    pub(super) fn show(&self, url: &str) {
        show(url, !self.no_open);
    }
}

/// What every calibration by a board needs.
#[derive(clap::Args)]
pub(super) struct Source {
    /// A take, videos (one a camera) or a folder of them, in which the board is held before the cameras
    /// [default: live cameras]
    #[arg(value_name = "TAKE|DIR|VIDEO")]
    input: Vec<PathBuf>,

    #[command(flatten)]
    cameras: Cameras,

    /// The board: `checkerboard:9x6:25mm` or `charuco:9x6:25mm:18mm:4x4_50` (`vultus calibrate board --help`)
    #[arg(long, default_value = Board::DEFAULT)]
    pub board: Board,

    /// With live cameras: watch for so many seconds [default: until the page's button is pressed]
    #[arg(long, value_name = "N", value_parser = seconds, conflicts_with = "input")]
    seconds: Option<Duration>,

    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

/// What the cameras saw of the board.
pub(super) struct Looked {
    pub cameras: Vec<Watched>,
    pub poses: Vec<Pose>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_within(text, 1.0)
}

impl Source {
    /// Looks for the board, and has `attempt` make something of it. While live cameras are watched without an end, what
    /// does not come off may be tried again with more poses.
    pub(super) fn run(
        &self,
        config: Config,
        task: Task,
        rig: Option<&Rig>,
        mut attempt: impl FnMut(&Looked) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<()> {
        if self.input.is_empty() {
            return self.watch(config, task, rig, attempt);
        }
        let recording = Recording::open(&self.input, false)?;
        let is_stills = recording.stills;
        fits(task, rig, &recording.sources)?;
        let seen = in_parallel(recording, |source, goes_on| {
            let mut sightings = Sightings::default();
            boards(source, self.board, &mut sightings, |_| goes_on())?;
            Ok(sightings)
        })?;
        attempt(&looked(seen, is_stills, rig)?).map(|_| ())
    }

    fn watch(
        &self,
        config: Config,
        task: Task,
        rig: Option<&Rig>,
        mut attempt: impl FnMut(&Looked) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<()> {
        let sources = self.cameras.open(config)?;
        // Said before somebody has held a board for minutes.
        fits(task, rig, &sources)?;
        let mut live = Live::new(sources, self.board, task, self.cameras.listen)?;
        tracing::info!("what to do: {}", live.url);
        self.cameras.show(&live.url);
        let (stop, bar) = (stop_on_signal()?, message_bar());
        loop {
            let seen = live.watch(self.seconds, &stop, |advice| bar.set_message(advice.next.clone()));
            bar.set_message("calibrating");
            if stop.is_requested() {
                bar.finish_and_clear();
                return Err(WatchError::BrokenOff.into());
            }
            match looked(seen?, false, rig).and_then(|looked| attempt(&looked)) {
                Ok(outcome) => {
                    bar.finish_and_clear();
                    live.done(outcome);
                    return Ok(());
                }
                Err(error) if self.seconds.is_some() => return Err(error),
                Err(error) => {
                    tracing::warn!("{error:#}");
                    live.failed(format!("{error:#}"));
                }
            }
        }
    }
}

/// Looks at all cameras of a recording at once; `watch` gets each with what says whether to go on.
pub(super) fn in_parallel<T: Send>(
    recording: Recording,
    watch: impl Fn(&mut dyn vultus::capture::Source, &dyn Fn() -> bool) -> Result<T, WatchError> + Sync,
) -> anyhow::Result<Vec<T>> {
    let (stop, bar) = (stop_on_signal()?, progress_bar(recording.frames.unwrap_or(0), "pictures"));
    let goes_on = || {
        bar.inc(1);
        !stop.is_requested()
    };
    let seen: Result<Vec<T>, WatchError> =
        recording.sources.into_par_iter().map(|mut camera| watch(&mut *camera, &goes_on)).collect();
    bar.finish_and_clear();
    if stop.is_requested() {
        return Err(WatchError::BrokenOff.into());
    }
    Ok(seen?)
}

/// Whether a rig has what is needed of it.
fn fits(task: Task, rig: Option<&Rig>, sources: &[Box<dyn vultus::capture::Source>]) -> anyhow::Result<()> {
    let Some(rig) = rig else { return Ok(()) };
    let names: Vec<&str> = sources.iter().map(|source| &*source.stream().name).collect();
    let placed = rig.placed(&names)?;
    if task == Task::Check && placed.is_none() {
        anyhow::bail!(
            "{} tells nothing of where the cameras are: `vultus calibrate extrinsics` finds it",
            rig.path.display()
        );
    }
    if task == Task::Extrinsics
        && let Some(missing) = rig.cameras.iter().find(|camera| !names.contains(&camera.name.as_str()))
    {
        anyhow::bail!(
            "camera `{}` of {} is not among those that are looked at, and where it is would be lost: add it, or take it \
             out of the rig",
            missing.name,
            rig.path.display()
        );
    }
    Ok(())
}

/// Finds the poses in which the board was held still.
fn looked(seen: Vec<Sightings>, is_stills: bool, rig: Option<&Rig>) -> anyhow::Result<Looked> {
    let mut cameras = Vec::new();
    let (mut held, mut moving): (Vec<Vec<Still>>, Vec<Vec<Still>>) = Default::default();
    for Sightings { watched: mut camera, seen } in seen {
        if camera.frames == 0 {
            return Err(WatchError::NoPictures { camera: camera.name }.into());
        }
        if let Some(rig) = rig {
            let known = rig.camera(&camera.name)?;
            if known.size != camera.size {
                let ([w, h], [of_w, of_h]) = (camera.size, known.size);
                anyhow::bail!(
                    "camera `{}` has pictures of {w}x{h} pixels, and its lens in {} is for {of_w}x{of_h}",
                    camera.name,
                    rig.path.display()
                );
            }
            camera.lens = Some(known.lens());
        }
        held.push(if is_stills { pictures(&seen) } else { stills(&seen, camera.size[0]) });
        moving.push(pictures(&seen));
        cameras.push(camera);
    }
    for (camera, held) in cameras.iter().zip(&held) {
        let (seen, of) = (camera.with_board, camera.frames);
        tracing::info!(
            "camera `{}` saw the board in {seen} of {of} pictures, held still in {} poses",
            camera.name,
            held.len()
        );
        let why = camera.unseen.iter().max_by_key(|(_, count)| **count);
        if let Some((why, _)) = why.filter(|_| 2 * seen < of) {
            tracing::info!("camera `{}`, most of the others: {}", camera.name, why.advice());
        }
    }
    let mut poses = poses(&held);
    if !is_stills {
        poses.extend(glimpses(&held, &moving));
    }
    Ok(Looked { cameras, poses })
}
