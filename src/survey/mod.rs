//! What a recording says of itself: how whole it is, how regular its cameras are, how well its sets are in sync, and
//! whom it shows. Nothing is decoded. `docs/reference/info.md` lists every key of its JSON.

mod cameras;
mod people;
mod run;
mod sets;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

pub use cameras::CameraSurvey;
pub use people::{Count, PeopleSurvey};
pub use run::{RunSurvey, Setting};
pub use sets::{Bins, SetsSurvey};

use crate::capture::CaptureError;
use crate::capture::folder::{self, Folder, FolderSource};
use crate::record::{Damage, Take, TakeError, TakenView};

/// All that is told of a take.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// The file or folder.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// `take` (what vultus records) or `folder`.
    pub kind: &'static str,
    /// What it takes on the disk.
    pub bytes: u64,
    /// From the first frame to the end of the last.
    pub duration_s: f64,
    /// What a second of it takes on the disk.
    pub bytes_per_s: Option<f64>,
    /// Whether it ends as it should, and all of it can be read. A folder always is.
    pub whole: bool,
    /// Whether it is being recorded at this moment.
    pub growing: bool,
    /// Sets and gaps that cannot be read, and are left out.
    pub damaged_notes: u64,
    /// Bytes that cannot be read.
    pub unreadable_bytes: u64,
    /// What cannot be read before its end; none if nothing is damaged.
    pub damage: Option<Damage>,
    /// Frames and result records that it lacks; unknown if it was never closed.
    pub dropped: Option<u64>,
    /// The run that it was made in; unknown of a folder.
    pub run: Option<RunSurvey>,
    /// In the order of configuration.
    pub cameras: Vec<CameraSurvey>,
    /// Those that were formed, or would be.
    pub sets: Option<SetsSurvey>,
    /// From the result records; none if there are none.
    pub people: Option<PeopleSurvey>,
}

impl Survey {
    /// Of a take that vultus recorded.
    ///
    /// # Errors
    /// [`TakeError`] when the result records cannot be read.
    pub fn of_take(take: &Take) -> Result<Self, TakeError> {
        let bytes = |view: &TakenView| {
            let frames = view.frames.iter().filter_map(|frame| frame.picture);
            frames.chain(view.faces.iter().map(|face| face.picture)).map(|place| place.bytes).sum()
        };
        let are_recorded = !take.sets.is_empty();
        let sets = if are_recorded { Cow::Borrowed(&take.sets) } else { Cow::Owned(sets::would_be(&take.views)) };
        let camera = |(n, view): (usize, &TakenView)| CameraSurvey::of(view, n, &sets, bytes(view));
        Ok(Self {
            path: take.path.clone(),
            kind: "take",
            bytes: take.bytes,
            duration_s: rounded(take.duration().as_secs_f64()),
            bytes_per_s: per_s(take.bytes, take.duration()),
            whole: take.is_whole(),
            growing: take.is_growing,
            damaged_notes: take.damaged_notes,
            unreadable_bytes: take.unreadable_bytes(),
            damage: take.damage,
            dropped: take.dropped,
            run: Some(RunSurvey::of(take)),
            cameras: take.views.iter().enumerate().map(camera).collect(),
            sets: SetsSurvey::of(&sets, take.views.len(), are_recorded),
            people: PeopleSurvey::of(take)?,
        })
    }

    /// Of a folder with a folder a camera, or of one camera's folder. `None` if it is neither.
    ///
    /// # Errors
    /// [`CaptureError`] when its times cannot be read.
    pub fn of_folder(path: &Path) -> Result<Option<Self>, CaptureError> {
        let folder = Folder::Disk(path.to_owned());
        let sources = if folder::is_camera(path) {
            vec![folder::open_camera_folder(path)?]
        } else if folder::is_take(&folder) {
            folder::open_take(&folder)?
        } else {
            return Ok(None);
        };
        let views: Vec<TakenView> = sources.iter().map(FolderSource::view).collect();
        let bytes: Vec<u64> = sources.iter().map(FolderSource::bytes).collect();
        let sets = sets::would_be(&views);
        let camera = |(n, (view, bytes)): (usize, (&TakenView, &u64))| CameraSurvey::of(view, n, &sets, *bytes);
        let starts_at = sources.iter().filter_map(FolderSource::starts_at).min();
        let ends_at = sources.iter().filter_map(FolderSource::ends_at).max();
        let duration = starts_at.zip(ends_at).map(|(start, end)| end.since(start)).unwrap_or_default();
        Ok(Some(Self {
            path: path.to_owned(),
            kind: "folder",
            bytes: bytes.iter().sum(),
            duration_s: rounded(duration.as_secs_f64()),
            bytes_per_s: per_s(bytes.iter().sum(), duration),
            whole: true,
            growing: false,
            damaged_notes: 0,
            unreadable_bytes: 0,
            damage: None,
            dropped: None,
            run: None,
            cameras: views.iter().zip(&bytes).enumerate().map(camera).collect(),
            sets: SetsSurvey::of(&sets, views.len(), false),
            people: None,
        }))
    }
}

/// A path that is no Unicode is told as far as it can be.
fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// How much a second takes.
fn per_s(bytes: u64, duration: Duration) -> Option<f64> {
    (!duration.is_zero()).then(|| (bytes as f64 / duration.as_secs_f64()).round())
}

/// How values are spread, in milliseconds: nearest ranks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Spread {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    /// Of so many nanoseconds each; `None` without any.
    fn of_ns(mut values: Vec<i64>) -> Option<Self> {
        values.sort_unstable();
        let last = values.len().checked_sub(1)?;
        let ms = |quantile: f64| rounded(values[(quantile * last as f64).round() as usize] as f64 / 1e6);
        Some(Self { p50: ms(0.5), p95: ms(0.95), p99: ms(0.99), max: ms(1.0) })
    }
}

/// To three digits behind the point: more says nothing.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_nearest_ranks() {
        assert_eq!(Spread::of_ns(Vec::new()), None);
        let spread = Spread::of_ns((0..=1000).rev().map(|ms| ms * 1_000_000).collect());
        assert_eq!(spread, Some(Spread { p50: 500.0, p95: 950.0, p99: 990.0, max: 1000.0 }));
    }

    #[test]
    fn a_folder_is_surveyed_by_its_times_alone() {
        let take = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/take");
        let survey = Survey::of_folder(&take).expect("its times are read").expect("it is a take");
        let frames: u64 = survey.cameras.iter().map(|camera| camera.frames).sum();
        let sets = survey.sets.expect("there are frames");
        assert!(frames > 200 && survey.cameras.len() == 4 && survey.bytes > 1_000_000);
        assert!(!sets.recorded && sets.formed > 70 && sets.skew_ms.is_some_and(|skew| skew.max < 34.0));
        assert_eq!(sets.by_views.iter().sum::<u64>(), sets.formed);
        assert!(Survey::of_folder(&take.join("cam0")).expect("read").is_some_and(|one| one.cameras.len() == 1));
        assert!(Survey::of_folder(take.parent().expect("a folder")).expect("read").is_none());
    }
}
