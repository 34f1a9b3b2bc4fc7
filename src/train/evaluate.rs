//! An exported model on a data set, through the live pipeline's own stages: every original picture is decoded, searched and
//! cut by [`View`], and read by [`Encoder`]. Pictures that are crops already (FER2013) are read as a whole.
//!
//! What counts: pictures whose expression is known. Where no face was found in such a picture, the answer is wrong; of takes
//! only faces that were found can be told to be somebody's, so there a miss does not count. Damaged pictures, and those of
//! which nobody says how the face looks, are left out and counted apart.

use serde::{Deserialize, Serialize};

use super::datasets::DatasetSpec;
use super::faces::{Crop, Gather};
use super::metrics::{Answer, Answers, Figures};
use super::prepare::{Keep, OnProgress, Preparation, PrepareError, Unfound};
use super::report::{percent, table};
use crate::config;
use crate::encode::Encoder;
use crate::face::align::CutFormat;
use crate::face::view::View;
use crate::image::Image;
use crate::image::warp::{Border, Similarity, warp};
use crate::infer::manifest::Models;
use crate::infer::{InferError, Runtime};
use crate::scene::{Expression, Logits};

/// Why a model cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum EvaluateError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(
        "{spec} says of no picture how the face looks, so nothing can be evaluated on it ({left_out} pictures left out). \
         A take needs a truth.jsonl or a TAKE.labels.csv"
    )]
    NoLabels { spec: DatasetSpec, left_out: u64 },
}

/// What a model is evaluated with.
pub struct Evaluator<'a> {
    /// The encoder, and the detector that finds its faces.
    pub models: &'a Models,
    /// What runs both.
    pub runtime: &'a Runtime,
    /// How faces are searched for: as live.
    pub detection: config::Detection,
    /// How many pictures are looked at side by side.
    pub threads: usize,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The model's name in its manifest.
    pub model: String,
    /// Its file's hash.
    pub sha256: String,
    /// The data set, by its short name.
    pub data: String,
    /// Pictures that count nowhere: damaged ones, doubles, those without a label.
    pub left_out: u64,
    /// The order of rows and columns of the confusion.
    pub classes: Vec<String>,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Evaluator<'_> {
    /// The figures of the model on `spec`; they do not depend on the number of threads.
    ///
    /// # Errors
    /// Every [`EvaluateError`].
    pub fn evaluate(&self, spec: &DatasetSpec, on_progress: OnProgress<'_>) -> Result<Evaluation, EvaluateError> {
        let (answers, left_out) = self.answers(spec, on_progress)?;
        let figures = answers.figures().ok_or_else(|| EvaluateError::NoLabels { spec: spec.clone(), left_out })?;
        let encoder = &self.models.encoder;
        Ok(Evaluation {
            model: encoder.name.clone(),
            sha256: encoder.sha256.clone(),
            data: spec.name(),
            left_out,
            classes: Expression::ALL.map(|class| class.name().to_owned()).into(),
            figures,
        })
    }

    /// What the model says of every picture of `spec` whose expression is known, and how many were left out.
    ///
    /// # Errors
    /// [`EvaluateError::Prepare`].
    pub fn answers(&self, spec: &DatasetSpec, on_progress: OnProgress<'_>) -> Result<(Answers, u64), EvaluateError> {
        let Self { models, runtime, detection, threads } = *self;
        let with = Preparation { runtime, detector: &models.detector, detection, threads, cache: None };
        let reader = || -> Result<Reader, PrepareError> {
            let session = runtime.session(&models.encoder)?;
            Ok(Reader { encoder: Encoder::new(session, &models.encoder)?, cut: Vec::new() })
        };
        let listing = spec.list().map_err(PrepareError::from)?;
        let mut left_out = listing.skipped.len() as u64;
        let mut gather = Gather::of(spec.clone(), Vec::new());
        let mut read: Vec<Option<(Logits, Vec<f32>)>> = Vec::new();
        with.look(&listing, reader, on_progress, |looked| {
            let answer = match looked.found {
                Ok((said, _)) => Some(said),
                Err(Unfound::NoFace) => None,
                Err(Unfound::Unusable(_)) => return left_out += 1,
            };
            if looked.about.expression.is_none() {
                return left_out += 1;
            }
            read.push(answer);
            gather.add(&looked.about, Crop::default(), None, looked.time_s, looked.source);
        })?;
        let faces = gather.finish();
        let mut answers = Answers { views: faces.views, ..Answers::default() };
        for (face, said) in faces.faces.into_iter().zip(read) {
            let Some(truth) = face.expression else { continue };
            let (logits, embedding) = said.unzip();
            answers.answers.push(Answer { subject: face.subject, scene: face.scene, view: face.view, truth, logits });
            answers.embeddings.push(embedding.unwrap_or_default());
        }
        Ok((answers, left_out))
    }
}

/// Keeps what the encoder says of a face.
struct Reader {
    encoder: Encoder,
    cut: Vec<f32>,
}

impl Reader {
    fn read(&mut self) -> Result<(Logits, Vec<f32>), InferError> {
        self.encoder.push(&self.cut);
        let readings = self.encoder.step()?;
        let embedding = readings.embeddings().next().unwrap_or_default().to_vec();
        Ok((readings.logits.first().copied().unwrap_or_default(), embedding))
    }
}

impl Keep for Reader {
    type Kept = (Logits, Vec<f32>);

    fn format(&self) -> CutFormat {
        self.encoder.cut()
    }

    fn face(&mut self, view: &View, n: usize) -> Result<Self::Kept, InferError> {
        let cuts = view.seen().cuts.chunks_exact(self.encoder.cut().values());
        self.cut.clear();
        self.cut.extend(cuts.skip(n).take(1).flatten());
        self.read()
    }

    fn whole(&mut self, image: &Image) -> Result<Self::Kept, InferError> {
        let CutFormat { size, layout } = self.encoder.cut();
        let scale = image.width.max(image.height) as f32 / size as f32;
        let shift = |length: usize| (length as f32 - 1.0) / 2.0 - scale * (size as f32 - 1.0) / 2.0;
        let picture_from_cut = Similarity { a: scale, b: 0.0, tx: shift(image.width), ty: shift(image.height) };
        self.cut.resize(self.encoder.cut().values(), 0.0);
        warp(image, picture_from_cut, (size, size), Border::Nearest, layout, &mut self.cut);
        self.read()
    }
}

impl Evaluation {
    /// The figures as tables for people, Markdown too: all, then what was taken for what.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { model, data, left_out, classes, figures, .. } = self;
        let counts = &figures.metrics.counts;
        let mut header = vec!["true \\ named"];
        header.extend(classes.iter().map(String::as_str));
        header.extend(["not found", "recall, %"]);
        let row = |(class, name): (usize, &String)| {
            let named = &counts.confusion[class];
            let all = named.iter().sum::<u64>() + counts.missed[class];
            let recall = if all == 0 { "–".to_owned() } else { percent(named[class] as f64 / all as f64) };
            let numbers = named.iter().chain([&counts.missed[class]]).map(u64::to_string);
            std::iter::once(name.clone()).chain(numbers).chain([recall]).collect()
        };
        let rows: Vec<Vec<String>> = classes.iter().enumerate().map(row).collect();
        let left_out = match left_out {
            0 => String::new(),
            n => format!(" {n} pictures are left out: damaged, doubles, or nobody says how the face looks."),
        };
        format!(
            "{model} on {data}. A face that was not found is wrong.{left_out}\n\n{}\n{}",
            self.to_markdown(),
            table(&header, &rows)
        )
    }

    /// The figures as one table.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let Figures { metrics, fused, retrieval } = &self.figures;
        let figure = |name: &str, value: String| vec![name.to_owned(), value];
        let mut rows = vec![
            figure("pictures", metrics.faces.to_string()),
            figure("faces found", metrics.found.to_string()),
            figure("accuracy, %", percent(metrics.accuracy)),
            figure("accuracy of found faces, %", percent(metrics.accuracy_found)),
            figure("macro-F1, %", percent(metrics.macro_f1)),
            figure("expected calibration error, %", percent(metrics.ece)),
            figure("negative log-likelihood", format!("{:.3}", metrics.nll)),
        ];
        if metrics.per_angle.0.len() > 1 {
            let angles = metrics.per_angle.0.iter();
            rows.extend(angles.map(|(view, accuracy)| figure(&format!("accuracy from {view}, %"), percent(*accuracy))));
        }
        if let Some(fused) = fused {
            let of = format!("accuracy of scenes, {:.1} views each fused, %", fused.views);
            rows.push(figure("scenes", fused.scenes.to_string()));
            rows.push(figure(&of, percent(fused.accuracy)));
        }
        if let Some(retrieval) = retrieval {
            rows.push(figure("cross-view retrieval, mAP", format!("{:.3}", retrieval.mean_average_precision)));
        }
        table(&[&self.data, "value"], &rows)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::capture::folder::read_still;
    use crate::config::Config;
    use crate::frame::FrameSet;
    use crate::fuse::rules::softmax;
    use crate::pipeline::vision::Vision;
    use crate::scene::Scene;
    use crate::train::metrics::tests::answer;
    use Expression::{Angry, Happy, Sad, Surprised};
    use std::path::Path;
    use std::time::Duration;

    /// Three pictures, one of them without a found face.
    pub(in crate::train) fn evaluation() -> Evaluation {
        let seen = |view, truth, named| Answer { view, ..answer(truth, named, 0.9) };
        let answers = Answers {
            answers: vec![seen(0, Angry, Angry), seen(1, Angry, Sad), Answer { logits: None, ..seen(1, Happy, Sad) }],
            embeddings: vec![vec![1.0], vec![1.0], Vec::new()],
            views: ["S", "FL"].map(str::to_owned).into(),
        };
        Evaluation {
            model: "slim".to_owned(),
            sha256: "0".to_owned(),
            data: "kdef:people".to_owned(),
            left_out: 2,
            classes: Expression::ALL.map(|class| class.name().to_owned()).into(),
            figures: answers.figures().expect("there are answers"),
        }
    }

    fn evaluate(spec: &str, threads: usize) -> Result<Evaluation, EvaluateError> {
        let models = Models::load(None).expect("built-in models");
        let detection = Config::default().detection;
        let evaluator = Evaluator { models: &models, runtime: &Runtime::Tract, detection, threads };
        evaluator.evaluate(&spec.parse().expect("a data set's name"), &|_| ())
    }

    fn take() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/take")
    }

    #[test]
    fn the_keys_of_the_documentation_are_there() {
        let json = serde_json::to_value(evaluation()).expect("written");
        for key in ["accuracy", "macro_f1", "per_angle", "confusion", "ece", "faces", "found", "fused", "retrieval"] {
            assert!(json.get(key).is_some_and(|value| !value.is_null()), "{key} in {json}");
        }
        assert_eq!(json["per_angle"]["FL"], 0.0);
        let text = json.to_string();
        let read: Evaluation = serde_json::from_str(&text).expect("read");
        assert_eq!(read.figures.metrics.counts, evaluation().figures.metrics.counts);
    }

    #[test]
    fn the_text_tells_what_was_taken_for_what() {
        let text = evaluation().to_text();
        for wanted in [
            "slim on kdef:people",
            "2 pictures are left out",
            "| accuracy, %                                 |  33.3 |",
            "| happy        |     0 |         0 |      0 |     0 |   0 |         0 |       0 |         1 |       0.0 |",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in\n{text}");
        }
    }

    #[test]
    fn a_picture_without_a_face_is_wrong_and_a_damaged_one_is_left_out() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("surprise");
        std::fs::create_dir(&folder).expect("made");
        for camera in 0..2 {
            let name = format!("cam{camera}/000060.jpg");
            std::fs::copy(take().join(name), folder.join(format!("{camera}.jpg"))).expect("copied");
        }
        image::GrayImage::from_pixel(200, 200, image::Luma([90])).save(folder.join("wall.png")).expect("saved");
        std::fs::write(folder.join("empty.jpg"), "").expect("written");
        let spec = format!("classes:{}", root.path().display());
        let evaluation = evaluate(&spec, 1).expect("evaluates");
        let metrics = &evaluation.figures.metrics;
        assert_eq!((metrics.faces, metrics.found, evaluation.left_out), (3, 2, 1));
        assert_eq!(metrics.counts.missed[Surprised as usize], 1);
        assert_eq!(evaluation, evaluate(&spec, 3).expect("evaluates"), "whatever the number of threads");
    }

    #[test]
    fn the_model_sees_what_it_sees_live() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (folder, picture) = (root.path().join("neutral"), take().join("cam1/000060.jpg"));
        std::fs::create_dir(&folder).expect("made");
        std::fs::copy(&picture, folder.join("1.jpg")).expect("copied");
        let models = Models::load(None).expect("built-in models");
        let config = Config::default();
        let evaluator =
            Evaluator { models: &models, runtime: &Runtime::Tract, detection: config.detection, threads: 1 };
        let spec = format!("classes:{}", root.path().display()).parse().expect("a data set's name");
        let (answers, _) = evaluator.answers(&spec, &|_| ()).expect("answers");
        let said = softmax(&answers.answers[0].logits.expect("a found face"));

        let mut live = Vision::new(&config, &models, &Runtime::Tract, 1, true).expect("the live stages");
        let mut scene = Scene::default();
        let frame = read_still(&picture).expect("reads");
        let set = FrameSet {
            number: 0,
            at: frame.captured_at,
            reference: frame.camera,
            views: [Some(frame)].into_iter().collect(),
            skew: Duration::ZERO,
            waited: Duration::ZERO,
        };
        live.step(&set, &mut scene).expect("runs");
        let seen = scene.people[0].views[0].probabilities;
        assert!(said.iter().zip(seen).all(|(a, b)| (a - b).abs() < 1e-6), "{said:?} {seen:?}");
    }

    #[test]
    fn a_set_without_labels_is_refused() {
        let root = tempfile::tempdir().expect("a temporary folder");
        for camera in ["cam0", "cam1"] {
            let folder = root.path().join("take").join(camera);
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::copy(take().join(camera).join("000060.jpg"), folder.join("000060.jpg")).expect("copied");
            let text = std::fs::read_to_string(take().join(camera).join("timestamps.csv")).expect("times");
            let kept = text.lines().enumerate().filter(|(n, line)| *n == 0 || line.starts_with("60,"));
            let kept: String = kept.map(|(_, line)| format!("{line}\n")).collect();
            std::fs::write(folder.join("timestamps.csv"), kept).expect("written");
        }
        let spec = format!("take:{}", root.path().join("take").display());
        let message = evaluate(&spec, 1).expect_err("nobody says how they look").to_string();
        assert!(message.contains("truth.jsonl") && message.contains("left out"), "{message}");
    }
}
