//! SSL-FER: SimCLR whose positives are other pictures of the same expression and whose negatives include the same
//! person.
//!
//! Z. Shu, X. Gu, G.-Z. Yang, B. Lo, "Revisiting Self-Supervised Contrastive Learning for Facial Expression
//! Recognition", BMVC 2022. Rules and figures are those of the released code \[C\] unless marked:
//!
//! * *TimeAug*: the positive is a moment earlier or later, 0.5 to 1.4 s, short times more often; with several cameras
//!   it may be the same instant by another one \[O\].
//! * *HardNeg*: every picture comes with one of the same person at least 3 s away, or with another expression \[O\].
//! * *FaceSwap*: the positive and the hard negative's positive get the outline of the same foreign face.
//! * *MaskFN*: the picture whose eyes and mouth look most alike is no negative, but a second positive of less weight.
//!   It is never the hard negative, which looks alike because it is the same person \[O\].

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::neighbours::{Neighbours, clips};
use super::{Loss, Method};
use crate::network::Outputs;
use crate::train::batch::{Batch, Change, Shot};
use crate::train::descriptors::{descriptor, similarity};
use crate::train::faces::Faces;
use crate::train::fault;
use crate::train::losses::contrast::Relation::{Ignored, Negative, Positive};
use crate::train::losses::contrast::contrast;

/// Where positives come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positives {
    /// Time where there is one, else another view, else another augmentation of the same picture.
    #[default]
    Any,
    /// A moment earlier or later; faces without are not drawn.
    Time,
    /// Another camera's picture of the same instant; faces without are not drawn.
    View,
}

/// How SSL-FER is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Anchors a batch; each comes with its positive, and with HardNeg with two more pictures.
    pub anchors: usize,
    /// Temperature of the loss.
    pub temperature: f32,
    /// Where positives come from (TimeAug).
    pub positives: Positives,
    /// Whether every anchor has a hard negative of the same person (HardNeg).
    pub hard_negatives: bool,
    /// Seconds between an anchor and its hard negative in a clip.
    pub apart_s: f64,
    /// Probability that a positive's face is swapped into another (FaceSwap); 0 leaves it out.
    pub swap: f64,
    /// Weight of the most similar picture as a second positive (MaskFN); 0 leaves MaskFN out.
    pub cancel: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            anchors: 32,
            temperature: 0.07,
            positives: Positives::Any,
            hard_negatives: true,
            apart_s: 3.0,
            swap: 0.8,
            cancel: 0.8,
        }
    }
}

impl Settings {
    pub(super) fn fault(&self, table: &str) -> Option<(String, String)> {
        fault::first(
            table,
            &[
                ((1..=4096).contains(&self.anchors), "anchors", "between 1 and 4096"),
                ((0.01..=10.0).contains(&self.temperature), "temperature", "between 0.01 and 10"),
                ((0.1..=3600.0).contains(&self.apart_s), "apart_s", "between 0.1 and 3600"),
                ((0.0..=1.0).contains(&self.swap), "swap", "between 0 and 1"),
                ((0.0..=10.0).contains(&self.cancel), "cancel", "between 0 and 10"),
            ],
        )
    }

    pub(super) fn prepare(self, faces: &Faces, pool: &[usize]) -> Result<SslFer, String> {
        let descriptors = if self.cancel > 0.0 { faces.faces.par_iter().map(descriptor).collect() } else { Vec::new() };
        let mut method = SslFer { settings: self, clip: clips(faces), descriptors, notes: Vec::new() };
        method.take_stock(faces, pool)?;
        Ok(method)
    }
}

/// SSL-FER on some faces.
pub(super) struct SslFer {
    settings: Settings,
    /// The clip of each face.
    clip: Vec<usize>,
    /// What eyes and mouth of each face look like; none of any without MaskFN.
    descriptors: Vec<Option<Vec<f32>>>,
    notes: Vec<String>,
}

impl SslFer {
    /// Notes what these faces do not allow.
    fn take_stock(&mut self, faces: &Faces, indices: &[usize]) -> Result<(), String> {
        let pool = Neighbours::of(faces, &self.clip, indices);
        let (has_time, has_views) = (pool.have_time(), pool.have_views());
        let mut notes = Vec::new();
        match self.settings.positives {
            Positives::Time if !has_time => {
                return Err(
                    "none of them has a neighbour in time, as stills have none. Name a take in `data.pretrain`, or \
                            set `positives` to \"view\" or \"any\""
                        .to_owned(),
                );
            }
            Positives::View if !has_views => {
                return Err(
                    "no scene has two views. Name a set of several cameras in `data.pretrain` (kdef, a take, ddcf \
                            with a mapping file), or set `positives` to \"any\""
                        .to_owned(),
                );
            }
            Positives::Any if !has_time && has_views => {
                notes.push(
                    "TimeAug: stills have no neighbours in time; positives are other views of the instant".to_owned(),
                );
            }
            Positives::Any if !has_time => {
                notes.push(
                    "TimeAug: neither time nor other views; positives are augmentations, as SimCLR's are".to_owned(),
                );
            }
            _ => {}
        }
        if self.settings.hard_negatives && !pool.have_hard_negatives(self.settings.apart_s) {
            return Err(
                "HardNeg needs pictures of the same person at another time or with another expression, and there are \
                        none. Set `hard_negatives` to false"
                    .to_owned(),
            );
        }
        if self.settings.swap > 0.0 && !pool.have_outers() {
            notes.push("FaceSwap: no two people with landmarks of frontal faces; nothing is swapped".to_owned());
        }
        if self.settings.cancel > 0.0 && self.descriptors.iter().all(Option::is_none) {
            notes.push("MaskFN: no frontal face with landmarks; no false negative is found".to_owned());
        }
        self.notes = notes;
        Ok(())
    }

    /// Pairs an anchor: its own, and its hard negative's.
    fn pairs(&self) -> usize {
        1 + usize::from(self.settings.hard_negatives)
    }

    fn positive(&self, pool: &Neighbours<'_>, face: usize, rng: &mut StdRng) -> Option<usize> {
        match self.settings.positives {
            Positives::Time => pool.moment(face, rng),
            Positives::View => pool.other_view(face, rng),
            Positives::Any => {
                let moment = pool.moment(face, rng);
                moment.or_else(|| pool.other_view(face, rng)).or(Some(face))
            }
        }
    }

    /// Of every row the one that looks most alike and is neither its positive nor its hard negative.
    fn look_alikes(&self, batch: &Batch) -> Vec<Option<usize>> {
        let of = |row: usize| self.descriptors.get(batch.shots[row].face)?.as_ref();
        let rows = 0..batch.shots.len();
        let look_alike = |i: usize| {
            let own = of(i)?;
            let others = rows.clone().filter(|&j| batch.group[i] / 2 != batch.group[j] / 2);
            let alike = others.filter_map(|j| Some((j, similarity(own, of(j)?))));
            alike.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(j, _)| j)
        };
        rows.clone().map(look_alike).collect()
    }
}

impl Method for SslFer {
    fn pictures(&self) -> usize {
        self.settings.anchors * 2 * self.pairs()
    }

    /// Anchor, positive, hard negative, its positive; the groups of the two pairs are 2n and 2n + 1.
    fn draw(&self, faces: &Faces, indices: &[usize], rng: &mut StdRng) -> Batch {
        let pool = Neighbours::of(faces, &self.clip, indices);
        let mut order = indices.to_vec();
        order.shuffle(rng);
        let mut batch = Batch::default();
        let mut drawn = BTreeSet::new();
        for anchor in order {
            if drawn.len() == self.settings.anchors {
                break;
            }
            let Some(face) = faces.faces.get(anchor) else { continue };
            let instant = (face.subject, face.scene);
            if drawn.contains(&instant) {
                continue;
            }
            let hard_negative = match self.settings.hard_negatives {
                true => pool.hard_negative(anchor, self.settings.apart_s, rng),
                false => None,
            };
            let mut pairs = Vec::new();
            for first in [Some(anchor), hard_negative].into_iter().flatten() {
                pairs.extend(self.positive(&pool, first, rng).map(|positive| (first, positive)));
            }
            if pairs.len() < self.pairs() {
                continue;
            }
            // The same foreign face for both positives, so that it does not tell the pairs apart.
            let outer = pool.outer(pairs[0].1, rng);
            for (place, (first, positive)) in pairs.into_iter().enumerate() {
                let group = 2 * drawn.len() + place;
                batch.push(faces, Shot { face: first, seed: rng.next_u64(), change: Change::None }, group);
                let is_swapped = rng.random_bool(self.settings.swap);
                let change = outer.filter(|_| is_swapped).map_or(Change::None, Change::SwapInto);
                batch.push(faces, Shot { face: positive, seed: rng.next_u64(), change }, group);
            }
            drawn.insert(instant);
        }
        batch
    }

    /// NT-Xent without the look-alikes, and 0.8 times the same with the look-alike as the positive.
    fn loss(&self, outputs: &Outputs, batch: &Batch) -> Loss {
        let look_alike =
            if self.settings.cancel > 0.0 { self.look_alikes(batch) } else { vec![None; batch.shots.len()] };
        let relation = |of_pair, of_look_alike| {
            let (look_alike, group) = (&look_alike, &batch.group);
            move |i: usize, j: usize| match () {
                () if group[i] == group[j] => of_pair,
                () if look_alike[i] == Some(j) => of_look_alike,
                () => Negative,
            }
        };
        let projection = || outputs.projection.clone();
        let tau = self.settings.temperature;
        let pairs = contrast(projection(), tau, |_| 1.0, relation(Positive, Ignored));
        if self.settings.cancel == 0.0 {
            return Loss::single(pairs);
        }
        let look_alikes = contrast(projection(), tau, |_| 1.0, relation(Ignored, Positive));
        Loss::sum(vec![("pairs", 1.0, pairs), ("look-alikes", self.settings.cancel, look_alikes)])
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::neighbours::FRAME_S;
    use super::super::tests::{outputs, rng};
    use super::*;
    use crate::scene::Expression;
    use crate::train::losses::contrast::contrast_groups;
    use crate::train::losses::gradient::random;
    use crate::train::sample;

    fn method(settings: Settings, faces: &Faces) -> SslFer {
        settings.prepare(faces, &faces.all()).unwrap()
    }

    fn quads(method: &SslFer, faces: &Faces, draws: u64) -> Vec<[Shot; 4]> {
        let batches = (0..draws).map(|seed| method.draw(faces, &faces.all(), &mut rng(seed)).shots);
        batches
            .flat_map(|shots| shots.chunks_exact(4).map(|quad| quad.to_vec().try_into().unwrap()).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn clips_too_short_for_a_hard_negative_are_refused() {
        let faces = sample::clips(2, 2, 12);
        let settings = Settings { swap: 0.0, apart_s: 3.0, ..Settings::default() };
        let message = settings.prepare(&faces, &faces.all()).err().expect("no two frames are 3 s apart");
        assert!(message.contains("HardNeg"), "{message}");
    }

    #[test]
    fn a_hard_negative_is_as_likely_before_as_after() {
        // Of an anchor 4 s from the beginning of 12 s, five times as many frames are far after it as before it.
        let faces = sample::clips(1, 12, 12);
        let method = method(Settings { swap: 0.0, ..Settings::default() }, &faces);
        let time = |shot: &Shot| faces.faces[shot.face].time_s.unwrap();
        let mut counts = [0_u32; 2];
        for [anchor, _, hard, _] in quads(&method, &faces, 200) {
            if (3.5..4.5).contains(&time(&anchor)) {
                counts[usize::from(time(&hard) > time(&anchor))] += 1;
            }
        }
        let [before, after] = counts.map(f64::from);
        assert!(before + after > 100.0 && (before / (before + after) - 0.5).abs() < 0.12, "{counts:?}");
    }

    #[test]
    fn positives_in_time_follow_the_codes_law_at_any_rate_of_the_clip() {
        for rate in [30, 12] {
            let faces = sample::clips(2, 12, rate);
            let method = method(Settings { swap: 0.0, ..Settings::default() }, &faces);
            let mut counts = [0_usize; 5];
            for [anchor, positive, ..] in quads(&method, &faces, 20) {
                let [one, other] = [anchor, positive].map(|shot| &faces.faces[shot.face]);
                assert_eq!(one.view, other.view, "the same camera");
                let apart = (one.time_s.unwrap() - other.time_s.unwrap()).abs();
                let frames = apart / FRAME_S;
                assert!((1.5..=6.5).contains(&frames), "{apart} s");
                counts[frames.round() as usize - 2] += 1;
            }
            let total: usize = counts.iter().sum();
            let shares = counts.map(|count| count as f64 / total as f64);
            for (share, fifteenths) in shares.iter().zip([5.0, 4.0, 3.0, 2.0, 1.0]) {
                assert!((share - fifteenths / 15.0).abs() < 0.06, "at {rate} per second: {shares:?}");
            }
        }
    }

    #[test]
    fn hard_negatives_of_a_clip_are_the_same_person_and_camera_three_seconds_away() {
        let faces = sample::clips(2, 12, 10);
        for [anchor, _, negative, _] in quads(&method(Settings::default(), &faces), &faces, 4) {
            let [one, other] = [anchor, negative].map(|shot| &faces.faces[shot.face]);
            assert!((one.time_s.unwrap() - other.time_s.unwrap()).abs() >= 3.0);
            assert_eq!((one.subject, one.view), (other.subject, other.view));
        }
    }

    #[test]
    fn stills_take_another_view_as_positive_and_another_expression_of_the_person_as_hard_negative() {
        let faces = sample::stills(6, 3);
        let method = method(Settings::default(), &faces);
        for [anchor, positive, negative, its_positive] in quads(&method, &faces, 4) {
            let [anchor, positive, negative, its_positive] =
                [anchor, positive, negative, its_positive].map(|shot| &faces.faces[shot.face]);
            assert_eq!((anchor.scene, negative.scene), (positive.scene, its_positive.scene));
            assert!(anchor.view != positive.view && negative.view != its_positive.view);
            assert_eq!((anchor.subject, anchor.view), (negative.subject, negative.view));
            assert_ne!(anchor.expression, negative.expression);
        }
        assert!(method.notes().iter().any(|note| note.contains("stills")), "{:?}", method.notes());
    }

    #[test]
    fn both_positives_of_an_anchor_are_swapped_into_the_same_stranger() {
        let faces = sample::stills(6, 2);
        let outer = |shot: &Shot| match shot.change {
            Change::SwapInto(outer) => Some(outer),
            _ => None,
        };
        let quads = quads(&method(Settings::default(), &faces), &faces, 10);
        let (mut swapped, mut both) = (0, 0);
        for [anchor, positive, negative, its_positive] in &quads {
            assert_eq!((outer(anchor), outer(negative)), (None, None), "anchors stay as they are");
            for outer in [positive, its_positive].into_iter().filter_map(outer) {
                swapped += 1;
                assert_ne!(faces.faces[outer].subject, faces.faces[anchor.face].subject);
            }
            if let (Some(one), Some(other)) = (outer(positive), outer(its_positive)) {
                both += 1;
                assert_eq!(one, other);
            }
        }
        let share = |count: usize, of: usize| count as f64 / of as f64;
        assert!((share(swapped, 2 * quads.len()) - 0.8).abs() < 0.06, "{}", share(swapped, 2 * quads.len()));
        assert!((share(both, quads.len()) - 0.64).abs() < 0.1, "swapped independently");
    }

    #[test]
    fn a_look_alike_has_the_same_expression_and_is_of_another_anchor() {
        let faces = sample::stills(8, 2);
        let method = method(Settings { swap: 0.0, ..Settings::default() }, &faces);
        let batch = method.draw(&faces, &faces.all(), &mut rng(3));
        let look_alikes = method.look_alikes(&batch);
        let mut right = 0;
        for (row, look_alike) in look_alikes.iter().enumerate() {
            let look_alike = look_alike.unwrap();
            assert_ne!(row / 4, look_alike / 4, "neither its positive nor its hard negative");
            right += usize::from(batch.label[row] == batch.label[look_alike]);
        }
        assert!(right > look_alikes.len() * 9 / 10, "{right} of {}", look_alikes.len());
    }

    #[test]
    fn the_hard_negative_is_no_look_alike_however_alike_it_looks() {
        let mut faces = sample::stills(8, 2);
        // Nobody moves a muscle.
        for face in &mut faces.faces {
            face.crop = sample::crop(10 * face.subject.unwrap() as u8, 3.0 + 2.0 * face.subject.unwrap() as f32);
        }
        let method = method(Settings::default(), &faces);
        let batch = method.draw(&faces, &faces.all(), &mut rng(3));
        for (row, look_alike) in method.look_alikes(&batch).into_iter().enumerate() {
            assert_ne!(Some(row / 4), look_alike.map(|other| other / 4));
        }
    }

    #[test]
    fn the_loss_leaves_the_look_alike_out_and_then_takes_it_as_a_positive() {
        let faces = sample::stills(8, 2);
        let settings = Settings { anchors: 2, temperature: 0.5, ..Settings::default() };
        let method = method(settings.clone(), &faces);
        let batch = method.draw(&faces, &faces.all(), &mut rng(3));
        let look_alikes = method.look_alikes(&batch);
        let rows = random(8, 4, 2);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let cosine = |i: usize, j: usize| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
            dot(rows[i], rows[j]) / (dot(rows[i], rows[i]) * dot(rows[j], rows[j])).sqrt() / 0.5
        };
        let term = |i: usize, positive: usize| {
            let negatives = (0..8).filter(|&j| batch.group[i] != batch.group[j] && Some(j) != look_alikes[i]);
            let sum: f32 = negatives.map(|j| cosine(i, j).exp()).sum();
            (cosine(i, positive).exp() + sum).ln() - cosine(i, positive)
        };
        let pairs = (0..8).map(|i| term(i, i ^ 1)).sum::<f32>() / 8.0;
        let promoted = (0..8).map(|i| term(i, look_alikes[i].unwrap())).sum::<f32>() / 8.0;
        let found: f32 = method.loss(&outputs(&rows), &batch).total.into_scalar();
        assert!((found - pairs - 0.8 * promoted).abs() < 1e-4, "{found} {pairs} {promoted}");

        let without = Settings { cancel: 0.0, ..settings }.prepare(&faces, &faces.all()).unwrap();
        let found: f32 = without.loss(&outputs(&rows), &batch).total.into_scalar();
        let nt_xent: f32 = contrast_groups(outputs(&rows).projection, 0.5, &batch.group).into_scalar();
        assert!((found - nt_xent).abs() < 1e-5, "without MaskFN it is NT-Xent");
    }

    #[test]
    fn profiles_have_no_look_alike_and_are_none() {
        let mut faces = sample::stills(8, 2);
        faces
            .faces
            .iter_mut()
            .filter(|face| face.expression != Some(Expression::Happy))
            .for_each(|face| face.yaw_deg = Some(80.0));
        let method = method(Settings::default(), &faces);
        let batch = method.draw(&faces, &faces.all(), &mut rng(3));
        for (row, look_alike) in method.look_alikes(&batch).into_iter().enumerate() {
            let is_happy = |row: usize| batch.label[row] == Some(Expression::Happy);
            assert!(look_alike.is_none_or(|other| is_happy(row) && is_happy(other)));
        }
    }
}
