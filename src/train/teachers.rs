//! Trained networks that teach another one: what they say of its faces.

use std::path::PathBuf;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::augment;
use super::datasets::DatasetSpec;
use super::faces::Faces;
use super::fault::{self, Check};
use super::trainer::look;
use crate::fuse::rules::softmax;
use crate::infer::manifest::sha256;
use crate::network::{Network, WeightsError, architecture_of};
use crate::scene::{Expression, PerClass};

/// The table `[finetune.teachers]` of a recipe.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Teachers {
    /// Weights that `vultus train` wrote (safetensors), relative to the folder that it is run in.
    pub networks: Vec<PathBuf>,
    /// The sets of which they are asked; all of the second stage if there are none. Where labels are exact, teachers add
    /// their own mistakes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<DatasetSpec>,
    /// How much of a picture's target is theirs, 0 to 1; the rest is the label's.
    #[serde(default = "half")]
    pub share: f32,
}

fn half() -> f32 {
    0.5
}

impl Teachers {
    /// The first value that makes no sense, and what it must be.
    pub(super) fn fault(&self, table: &str) -> Option<(String, String)> {
        let checks: [Check; 2] = [
            (!self.networks.is_empty(), "networks", "at least one file of weights"),
            ((0.0..=1.0).contains(&self.share), "share", "between 0 and 1"),
        ];
        fault::first(table, &checks)
    }

    /// By what they are recognised, hexadecimal: their files' contents.
    ///
    /// # Errors
    /// [`WeightsError::Read`].
    pub fn fingerprint(&self) -> Result<String, WeightsError> {
        let mut known = Vec::new();
        for path in &self.networks {
            let read = |error: std::io::Error| WeightsError::Read { path: path.clone(), reason: error.to_string() };
            known.extend(sha256(&std::fs::read(path).map_err(read)?).into_bytes());
        }
        Ok(sha256(&known))
    }

    /// Whether they are asked about the faces of `set`.
    #[must_use]
    pub fn are_asked_of(&self, set: &DatasetSpec) -> bool {
        self.sets.is_empty() || self.sets.contains(set)
    }

    /// What they say of each of `faces`: the mean of their probabilities for the picture and for its mirror image. Nothing
    /// is said of faces that are not in `of`: their probabilities are all 0.
    ///
    /// # Errors
    /// Every [`WeightsError`] of reading.
    pub fn say(&self, faces: &Faces, of: &[usize], device: &Device) -> Result<Vec<PerClass>, WeightsError> {
        let mut said = vec![[0.0; Expression::COUNT]; faces.faces.len()];
        let mirrored = augment::Settings { flip: 1.0, ..augment::Settings::none() };
        let share = 0.5 / self.networks.len() as f32;
        for path in &self.networks {
            tracing::info!("{} looks at {} pictures, to teach", path.display(), of.len());
            let network = Network::new(&architecture_of(path)?, 0, device).load(path)?;
            for augment in [&augment::Settings::none(), &mirrored] {
                for (&face, reading) in of.iter().zip(look(&network, faces, of, augment)) {
                    let probabilities = softmax(&reading.logits);
                    said[face].iter_mut().zip(probabilities).for_each(|(sum, value)| *sum += share * value);
                }
            }
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Architecture, device};
    use crate::train::sample;

    fn saved(folder: &tempfile::TempDir, seed: u64) -> PathBuf {
        let architecture = Architecture { widths: Some([32; 4]), side: 48, ..Architecture::default() };
        let path = folder.path().join(format!("{seed}.safetensors"));
        Network::new(&architecture, seed, &device::cpu()).save(&path).expect("saved");
        path
    }

    #[test]
    fn several_say_their_mean_and_left_and_right_are_the_same_to_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, other] = [saved(&folder, 1), saved(&folder, 2)];
        let mut faces = sample::stills(2, 1);
        let say = |networks: &[&PathBuf], faces: &Faces| {
            let networks = networks.iter().copied().cloned().collect();
            let teachers = Teachers { networks, sets: Vec::new(), share: 0.5 };
            teachers.say(faces, &[3, 5], &device::cpu()).expect("they can be read")
        };
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} is not {b}");
        let (first, second, both) = (say(&[&one], &faces), say(&[&other], &faces), say(&[&one, &other], &faces));
        near(both[3].iter().sum(), 1.0);
        assert_eq!(both[4], [0.0; 7]);
        assert_ne!(first[3], second[3]);
        (0..7).for_each(|class| near(both[3][class], (first[3][class] + second[3][class]) / 2.0));

        let crop = &mut faces.faces[3].crop;
        let width = crop.width;
        crop.gray.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        crop.middle.0 = width as f32 - 1.0 - crop.middle.0;
        let mirrored = say(&[&one], &faces);
        (0..7).for_each(|class| near(mirrored[3][class], first[3][class]));
    }

    #[test]
    fn another_file_is_another_teacher_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |path: PathBuf| Teachers { networks: vec![path], sets: Vec::new(), share: 0.5 }.fingerprint();
        let [one, other] = [1, 2].map(|seed| of(saved(&folder, seed)).expect("read"));
        assert_ne!(one, other);
        let message = of(folder.path().join("nobody.safetensors")).expect_err("there is none").to_string();
        assert!(message.contains("nobody.safetensors"), "{message}");
    }
}
