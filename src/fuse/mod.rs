//! From several views of a person to one expression, and from instants to a steady reading.

pub mod rules;
pub mod temporal;

use arrayvec::ArrayVec;

use crate::config;
use crate::scene::{Contribution, FaceView, FusedExpression, Logits};
use crate::time::Timestamp;
use rules::{Opinion, fuse, shares, softmax};
use temporal::Smoother;

/// One face of a set, read by the encoder and given to a person.
#[derive(Clone, Copy, Debug)]
pub struct ReadFace {
    /// Where, by whom and how well it was seen.
    pub face: FaceView,
    /// What the encoder says.
    pub logits: Logits,
    /// Whose it is.
    pub person: u32,
}

/// Fuses the views of each person and smooths the result over time.
pub struct Fuser {
    fusion: config::Fusion,
    smoothing: config::Smoothing,
    people: Vec<(u32, Smoother)>,
}

impl Fuser {
    /// With these settings.
    #[must_use]
    pub fn new(fusion: config::Fusion, smoothing: config::Smoothing) -> Self {
        Self { fusion, smoothing, people: Vec::new() }
    }

    /// Forgets everybody.
    pub fn reset(&mut self) {
        self.people.clear();
    }

    /// The people of the instant `at`, by id: those with a face in `faces`, and those who were seen just now.
    pub fn step(&mut self, at: Timestamp, faces: &[ReadFace], people: &mut Vec<FusedExpression>) {
        people.clear();
        for face in faces {
            if !people.iter().any(|person| person.person == face.person) {
                people.extend(self.seen(at, face.person, faces));
            }
        }
        self.people.retain_mut(|(id, smoother)| {
            if people.iter().any(|person| person.person == *id) {
                return true;
            }
            let held = smoother.unseen(at, &self.smoothing);
            people.extend(held.map(|reading| FusedExpression {
                person: *id,
                probabilities: reading.probabilities,
                expression: None,
                confidence: reading.confidence,
                views: ArrayVec::new(),
            }));
            held.is_some()
        });
        people.sort_unstable_by_key(|person| person.person);
    }

    fn seen(&mut self, at: Timestamp, id: u32, faces: &[ReadFace]) -> Option<FusedExpression> {
        let own = || faces.iter().filter(|face| face.person == id);
        let opinions: ArrayVec<Opinion, { crate::frame::MAX_CAMERAS }> =
            own().map(|face| Opinion { logits: face.logits, weight: face.face.quality }).collect();
        let fused = fuse(self.fusion.rule, &opinions, self.fusion.temperature)?;
        let weights = shares(opinions.iter().map(|opinion| opinion.weight));
        let views = own()
            .zip(weights)
            .map(|(face, weight)| {
                let probabilities = softmax(&face.logits.map(|logit| logit / self.fusion.temperature));
                Contribution { face: face.face, weight, probabilities }
            })
            .collect();

        let place = self.people.iter().position(|(known, _)| *known == id);
        let place = place.unwrap_or_else(|| {
            self.people.push((id, Smoother::new(&fused, at)));
            self.people.len() - 1
        });
        let reading = self.people[place].1.step(&fused, at, &self.smoothing);
        Some(FusedExpression {
            person: id,
            probabilities: reading.probabilities,
            expression: reading.expression,
            confidence: reading.confidence,
            views,
        })
    }
}
