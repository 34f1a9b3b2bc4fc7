//! Takes: every frame set looked at in turn, as the pipeline does, faces followed over time and given to people over
//! all views; some sets a second are kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rayon::prelude::*;

use super::{Keep, Looked, OnProgress, Preparation, PrepareError, Progress, Unfound};
use crate::capture::recording::Recording;
use crate::capture::{Event, Source};
use crate::config::Config;
use crate::face::align::CutFormat;
use crate::face::associate::Associator;
use crate::face::view::View;
use crate::frame::{Frame, FramePool, FrameSet};
use crate::infer::InferError;
use crate::sync::{MAX_PENDING, Matcher, Timing, sets_in_turn};
use crate::time::Timestamp;
use crate::train::datasets::Clip;
use crate::train::faces::About;

/// Frames of a camera that are in use at once: those that wait for their set, the next one, and those of the set.
const FRAMES: usize = MAX_PENDING + 4;

pub(super) fn look<K: Keep>(
    with: &Preparation<'_>,
    clips: &[Clip],
    rate: f64,
    mut keep: K,
    on_progress: OnProgress<'_>,
    each: &mut impl FnMut(Looked<K::Kept>),
) -> Result<(), PrepareError> {
    let workers = rayon::ThreadPoolBuilder::new()
        .num_threads(with.threads.max(1))
        .thread_name(|n| format!("faces {n}"))
        .build()?;
    let recordings = clips.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let total = recordings.iter().map(|recording| recording.frames).sum::<Option<u64>>();
    let mut done = 0;
    for (clip, recording) in clips.iter().zip(recordings) {
        let mut scan = Scan::of(with, clip, &recording, rate, keep.format())?;
        let mut lost = Vec::new();
        for set in sets_of(recording, &mut lost) {
            done += set.frames().count() as u64;
            workers.install(|| scan.look(&set))?;
            scan.keep(&set, &mut keep, each)?;
            on_progress(Progress { done, total });
        }
        for Lost { camera, reason } in lost {
            let source = PathBuf::from(format!("{}#{camera}", clip.name));
            each(Looked { about: About::default(), time_s: None, source, found: Err(Unfound::Unusable(reason)) });
        }
    }
    Ok(())
}

/// A frame, or all that would have come after it, that a recording has and that cannot be read.
struct Lost {
    camera: Arc<str>,
    reason: String,
}

impl Lost {
    fn of(source: &dyn Source, reason: String) -> Self {
        Self { camera: Arc::clone(&source.stream().name), reason }
    }
}

fn open(clip: &Clip) -> Result<Recording, PrepareError> {
    let recording = Recording::open(std::slice::from_ref(&clip.path), false)?;
    let is_of_stills = recording.take.as_ref().is_some_and(|take| take.is_of_stills());
    if recording.stills || is_of_stills {
        return Err(PrepareError::Stills { path: clip.path.clone() });
    }
    Ok(recording)
}

/// The frame sets that a replay as fast as possible would form; what cannot be read goes into `lost`.
fn sets_of(recording: Recording, lost: &mut Vec<Lost>) -> impl Iterator<Item = FrameSet> {
    let views = recording.take.as_ref().map(|take| &take.views[..]).unwrap_or_default();
    let offsets = views.iter().map(|view| view.camera.offset_ns).chain(std::iter::repeat(0));
    let sources = recording.sources.iter().zip(offsets);
    let timings: Vec<Timing> =
        sources.map(|(source, offset_ns)| Timing { period: source.stream().period, offset_ns }).collect();
    let allowance = Config::default().sync.transport_allowance();
    let matcher = Matcher::new(&timings, allowance, recording.starts_at);
    sets_in_turn(matcher, recording.starts_at, in_order_of_arrival(recording.sources, lost))
}

/// The frames of all sources; what cannot be read goes into `lost`.
fn in_order_of_arrival(sources: Vec<Box<dyn Source>>, lost: &mut Vec<Lost>) -> impl Iterator<Item = Frame> {
    let mut next_of = |source: &mut dyn Source, pool: &FramePool| loop {
        match source.next(pool) {
            Ok(Event::Frame(frame)) => return Some(frame),
            Ok(Event::Corrupt(reason)) => lost.push(Lost::of(source, reason)),
            Ok(Event::NoBuffer | Event::Stalled) => {}
            Ok(Event::End) => return None,
            Err(error) => {
                lost.push(Lost::of(source, error.to_string()));
                return None;
            }
        }
    };
    let mut heads: Vec<_> = sources
        .into_iter()
        .map(|mut source| {
            let pool = FramePool::new(FRAMES, source.stream().frame_bytes);
            let head = next_of(&mut *source, &pool);
            (source, pool, head)
        })
        .collect();
    std::iter::from_fn(move || {
        let waiting = heads.iter_mut().filter(|(.., head)| head.is_some());
        let first = waiting.min_by_key(|(.., head)| head.as_ref().map(|frame| (frame.received_at, frame.camera)));
        let (source, pool, head) = first?;
        std::mem::replace(head, next_of(&mut **source, pool))
    })
}

/// The stages of one take.
struct Scan<'a> {
    clip: &'a Clip,
    cameras: Vec<String>,
    views: Vec<View>,
    associator: Associator,
    starts_at: Timestamp,
    /// The set nearest to this instant is kept next.
    next_at: Option<Timestamp>,
    /// Between sets that are kept.
    period: Duration,
    /// Half of the time between two sets.
    reach: Duration,
    /// Who each of the views' faces is, view after view.
    people: Vec<u32>,
}

impl<'a> Scan<'a> {
    fn of(
        with: &Preparation<'_>,
        clip: &'a Clip,
        recording: &Recording,
        rate: f64,
        format: CutFormat,
    ) -> Result<Self, PrepareError> {
        let view = |n| View::new(with.runtime, with.detector, with.detection, format, n as u32);
        Ok(Self {
            clip,
            cameras: recording.sources.iter().map(|source| source.stream().name.to_string()).collect(),
            views: (0..recording.sources.len()).map(view).collect::<Result<_, _>>()?,
            associator: Associator::default(),
            starts_at: recording.starts_at,
            next_at: None,
            period: Duration::from_secs_f64(1.0 / rate),
            reach: recording.sources.iter().map(|source| source.stream().period / 2).max().unwrap_or_default(),
            people: Vec::new(),
        })
    }

    /// Looks at `set`.
    fn look(&mut self, set: &FrameSet) -> Result<(), InferError> {
        let pairs = self.views.par_iter_mut().zip(&set.views[..]);
        pairs.try_for_each(|(view, frame)| view.step(frame.as_ref()))?;
        let candidates: Vec<_> = self.views.iter().flat_map(|view| view.seen().candidates(|_| None)).collect();
        self.people.clear();
        self.people.extend_from_slice(self.associator.step(set.at, set.skew, &candidates));
        Ok(())
    }

    /// Keeps the faces of `set`, which it looked at last, if it is time to.
    fn keep<K: Keep>(
        &mut self,
        set: &FrameSet,
        keep: &mut K,
        each: &mut impl FnMut(Looked<K::Kept>),
    ) -> Result<(), InferError> {
        let is_kept = self.next_at.is_none_or(|next| set.at + self.reach >= next);
        if is_kept {
            let next = self.next_at.unwrap_or(set.at) + self.period;
            self.next_at = Some(if next > set.at { next } else { set.at + self.period });
        }
        let time_s = set.at.since(self.starts_at).as_nanos() as f64 / 1e9;
        let mut people = self.people.iter();
        for ((camera, view), frame) in self.cameras.iter().zip(&self.views).zip(&set.views) {
            let Some(frame) = frame.as_ref().filter(|_| is_kept) else { continue };
            let seen = view.seen();
            let source = PathBuf::from(format!("{}#{camera}/{}", self.clip.name, frame.seq));
            let mut tell = |about, found| each(Looked { about, time_s: Some(time_s), source: source.clone(), found });
            if let Some(error) = &seen.unreadable {
                tell(About::default(), Err(Unfound::Unusable(error.to_string())));
            } else if seen.faces.is_empty() {
                tell(About::default(), Err(Unfound::NoFace));
            }
            for ((n, face), number) in seen.faces.iter().enumerate().zip(people.by_ref()) {
                let labels = &self.clip.labels;
                let Some(person) = labels.person(camera, frame.seq, face.rect, *number) else {
                    let reason = "a face where the truth knows of nobody".to_owned();
                    tell(About::default(), Err(Unfound::Unusable(reason)));
                    continue;
                };
                let about = About {
                    expression: labels.expression(camera, frame.seq, face.rect, &person, time_s),
                    subject: Some(format!("{} {person}", self.clip.name)),
                    sex: None,
                    scene: Some(format!("{} {person} {}", self.clip.name, set.number)),
                    view: Some(camera.clone()),
                };
                tell(about, Ok((keep.face(view, n)?, Some(face.pose.yaw_deg))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{prepare, take};
    use crate::train::faces::{ANY_VIEW, Faces};
    use std::fs;
    use std::path::Path;

    /// The first half second of the take in the repository.
    fn short_take(has_truth: bool) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("visit");
        for camera in (0..4).map(|n| format!("cam{n}")) {
            fs::create_dir_all(folder.join(&camera)).expect("made");
            let times = fs::read_to_string(take().join(&camera).join("timestamps.csv")).expect("reads");
            let rows: Vec<&str> = times.lines().take(16).collect();
            fs::write(folder.join(&camera).join("timestamps.csv"), rows.join("\n")).expect("written");
            for row in &rows[1..] {
                let seq: u64 = row.split(',').next().and_then(|seq| seq.parse().ok()).expect("a number");
                let file = Path::new(&camera).join(format!("{seq:06}.jpg"));
                fs::copy(take().join(&file), folder.join(&file)).expect("copied");
            }
        }
        for file in ["rig.json", "truth.jsonl"].into_iter().filter(|file| has_truth || !file.starts_with("truth")) {
            fs::copy(take().join(file), folder.join(file)).expect("copied");
        }
        root
    }

    fn faces_of(root: &Path, choice: &str, threads: usize) -> Faces {
        prepare(&format!("take:{}{choice}", root.join("visit").display()), threads, None).0.expect("prepares")
    }

    #[test]
    fn the_views_of_one_instant_are_one_scene_of_one_person() {
        let root = short_take(true);
        let faces = faces_of(root.path(), "", 1);
        assert_eq!(faces, faces_of(root.path(), "", 3), "whatever the threads do");
        let [person] = &faces.subjects[..] else { panic!("{}", faces.report()) };
        assert_eq!(person.name, "take:visit/visit p0", "as the truth names them");
        assert_eq!(faces.scenes, 3, "five sets a second");
        for scene in 0..faces.scenes {
            let mut views: Vec<_> =
                faces.faces.iter().filter(|face| face.scene == scene).map(|face| face.view).collect();
            let count = views.len();
            views.dedup();
            assert!(views.len() == count && count >= 3, "scene {scene} has {count} pictures of {views:?}");
        }
        assert!(!faces.views.iter().any(|view| view == ANY_VIEW));
        let times: Vec<f64> = faces.faces.iter().filter_map(|face| face.time_s).collect();
        assert!(times.len() == faces.faces.len() && times.is_sorted() && times.iter().all(|t| (0.0..0.6).contains(t)));
        assert!(faces.faces.iter().all(|face| face.expression.is_some()), "{}", faces.report());
        assert!(faces_of(root.path(), "#30fps", 1).faces.len() > 4 * faces.faces.len());

        // A frame that is gone is told, and takes nothing else with it.
        fs::remove_file(root.path().join("visit/cam1/000049.jpg")).expect("removed");
        let report = faces_of(root.path(), "", 1).report();
        assert!(report.contains("left out 1:") && report.contains("000049.jpg"), "{report}");
    }

    #[test]
    fn a_take_without_truth_has_the_people_that_the_pipeline_sees_and_the_labels_beside_it() {
        let root = short_take(false);
        let faces = faces_of(root.path(), "", 2);
        let names: Vec<&str> = faces.subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["take:visit/visit 1"]);
        assert!(faces.faces.iter().all(|face| face.expression.is_none()));

        let table = "from_s,to_s,expression\n0,0.1,surprise\n";
        fs::write(root.path().join("visit.labels.csv"), table).expect("written");
        let labelled = faces_of(root.path(), "", 2);
        assert!(labelled.faces.iter().all(|face| face.expression.is_some() == face.time_s.is_some_and(|t| t < 0.1)));
        assert!(labelled.faces.iter().any(|face| face.expression.is_some()));
    }
}
