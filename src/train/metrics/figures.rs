//! All figures of a model on some faces: picture by picture, the views of a scene together, and cross-view retrieval.

use serde::{Deserialize, Serialize};

use super::{Answer, Metrics, Pictured, Retrieval, fused, retrieval};

/// What a model said of many pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// What it said of each.
    pub answers: Vec<Answer>,
    /// The embedding of each; empty where there is none.
    pub embeddings: Vec<Vec<f32>>,
    /// Names of the views.
    pub views: Vec<String>,
}

/// How good the views of a scene are together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fused {
    /// Scenes, each an instant of one person.
    pub scenes: u64,
    /// How many views a scene has, on average.
    pub views: f64,
    /// Share of right scenes; one in which no view found the face is wrong.
    pub accuracy: f64,
    /// Mean F1 over the classes with a scene.
    pub macro_f1: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error.
    pub ece: f64,
}

/// The figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Those of single pictures.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Those of the views of a scene together, where there are scenes with several views.
    pub fused: Option<Fused>,
    /// Cross-view retrieval, where there are people in several views and embeddings.
    pub retrieval: Option<Retrieval>,
}

impl Answers {
    /// Their figures; `None` without an answer.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        let metrics = Metrics::of(&self.answers, &self.views)?;
        Some(Figures { metrics, fused: self.fused(), retrieval: self.retrieval() })
    }

    fn fused(&self) -> Option<Fused> {
        let together = fused(&self.answers);
        if together.len() == self.answers.len() {
            return None;
        }
        let Metrics { faces, accuracy, macro_f1, nll, ece, .. } = Metrics::of(&together, &[])?;
        Some(Fused { scenes: faces, views: self.answers.len() as f64 / faces as f64, accuracy, macro_f1, nll, ece })
    }

    /// How well people with their expression are found again from another angle.
    #[must_use]
    pub fn retrieval<'a>(&'a self) -> Option<Retrieval> {
        let pictured = |(answer, embedding): (&Answer, &'a Vec<f32>)| {
            let subject = answer.subject.filter(|_| !embedding.is_empty())?;
            Some(Pictured { subject, view: answer.view, expression: answer.truth, embedding })
        };
        let faces: Vec<Pictured<'a>> = self.answers.iter().zip(&self.embeddings).filter_map(pictured).collect();
        retrieval(&faces)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, near};
    use super::*;
    use crate::scene::Expression::{Happy, Sad};

    #[test]
    fn views_of_a_scene_are_fused_and_faces_found_from_elsewhere() {
        let seen = |scene, view, named| Answer { scene, view, ..answer(Happy, named, 0.9) };
        let mut all = Answers {
            answers: vec![
                seen(0, 0, Happy),
                seen(0, 1, Happy),
                seen(0, 2, Sad),
                Answer { logits: None, ..seen(1, 0, Sad) },
            ],
            embeddings: vec![vec![1.0, 0.0], vec![1.0, 0.1], vec![0.9, 0.0], Vec::new()],
            views: ["S", "HL", "HR"].map(str::to_owned).into(),
        };
        let figures = all.figures().expect("there are answers");
        near(figures.metrics.accuracy, 0.5);
        let fused = figures.fused.expect("a scene with three views");
        assert_eq!((fused.scenes, fused.views, fused.accuracy), (2, 2.0, 0.5));
        assert_eq!(figures.retrieval.expect("three queries").queries, 3);

        let json = serde_json::to_string(&figures).expect("written");
        assert_eq!(serde_json::from_str::<Figures>(&json).expect("read"), figures, "{json}");

        all.answers.retain(|answer| answer.view == 0);
        all.embeddings.clear();
        let figures = all.figures().expect("there are answers");
        assert_eq!((figures.fused, figures.retrieval), (None, None));
    }
}
