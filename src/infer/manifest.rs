//! `models/manifest.toml`: which files the program runs, where they come from, and how to read them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ManifestError {
    #[error("cannot read {}. Name a folder that has a manifest.toml and its model files", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", .path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("{} lists no {role:?} model; add one, or leave `models.folder` out to use the built-in models", .path.display())]
    NoModel { path: PathBuf, role: Role },
    #[error(
        "model file {} is not the one in the manifest: its sha256 is {found}, {expected} was expected. \
         Restore the file, or write the new hash into the manifest if you changed it yourself", .path.display()
    )]
    Hash { path: PathBuf, expected: String, found: String },
    #[error("model `{model}`: {reason}")]
    Invalid { model: String, reason: String },
}

/// YuNet's: four kinds at three strides.
pub const DETECTOR_OUTPUTS: usize = 12;

/// What a model does in the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Finds faces and their landmarks.
    Detector,
    /// Turns an aligned face into class scores and an embedding.
    Encoder,
}

/// Order of an input's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Blue, green, red.
    Bgr,
    /// Luminance.
    Gray,
}

/// What an encoder's first output holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Scores before the softmax.
    #[default]
    Logits,
    /// After it.
    Probabilities,
}

/// A model's input tensor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Order of the channels.
    pub channels: Channels,
    /// Width and height in pixels; free if absent.
    pub size: Option<[usize; 2]>,
    /// Subtracted from each pixel value (0 to 255).
    #[serde(default)]
    pub mean: f32,
    /// What the difference is divided by.
    #[serde(default = "one")]
    pub std: f32,
}

fn one() -> f32 {
    1.0
}

/// A model: what the manifest says of it, and its file, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in records.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// The ONNX file, beside the manifest.
    pub file: PathBuf,
    /// The file's hash, hexadecimal.
    pub sha256: String,
    /// The terms on which it may be used.
    pub licence: String,
    /// Where it comes from, what it was trained on, how good it is.
    pub provenance: String,
    /// The input tensor.
    pub input: Input,
    /// The output tensors.
    pub outputs: Vec<String>,
    /// What the first output holds.
    #[serde(default)]
    pub values: Values,
    /// Order of the classes in the first output, by the program's names.
    #[serde(default)]
    pub labels: Vec<String>,
    #[serde(skip)]
    bytes: Cow<'static, [u8]>,
}

impl Model {
    /// What in the manifest makes no sense.
    fn fault(&self) -> Option<String> {
        let Input { channels, mean, std, .. } = self.input;
        let is_detector = self.role == Role::Detector;
        if !(std.is_finite() && std > 0.0 && mean.is_finite()) {
            Some("`input.std` must be above 0, and `input.mean` a number".to_owned())
        } else if is_detector && channels != Channels::Bgr {
            Some("a detector's `input.channels` must be `bgr`".to_owned())
        } else if is_detector && self.outputs.len() != DETECTOR_OUTPUTS {
            Some(format!("a detector has {DETECTOR_OUTPUTS} outputs, YuNet's, in the order of the built-in manifest"))
        } else if self.outputs.is_empty() {
            Some("`outputs` must name the class scores".to_owned())
        } else {
            None
        }
    }

    /// The ONNX file's content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    model: Vec<Model>,
}

const BUILT_IN_MANIFEST: &str = include_str!("../../models/manifest.toml");
const BUILT_IN_FILES: [(&str, &[u8]); 2] = [
    ("yunet_2023mar.onnx", include_bytes!("../../models/yunet_2023mar.onnx")),
    ("mini_xception.onnx", include_bytes!("../../models/mini_xception.onnx")),
];

/// The models that a run uses.
#[derive(Clone, Debug)]
pub struct Models {
    /// Finds faces.
    pub detector: Model,
    /// Reads them.
    pub encoder: Model,
}

impl Models {
    /// The models of `folder/manifest.toml`, or the built-in ones; the first of each role.
    ///
    /// # Errors
    /// Every [`ManifestError`]; the file and the remedy are named.
    pub fn load(folder: Option<&Path>) -> Result<Self, ManifestError> {
        let path = folder.map_or_else(|| PathBuf::from("models/manifest.toml"), |folder| folder.join("manifest.toml"));
        let text = match folder {
            Some(_) => Cow::Owned(
                std::fs::read_to_string(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?,
            ),
            None => Cow::Borrowed(BUILT_IN_MANIFEST),
        };
        let manifest: Manifest = toml::from_str(&text)
            .map_err(|error| ManifestError::Parse { path: path.clone(), reason: error.to_string() })?;
        let pick = |role| -> Result<Model, ManifestError> {
            let mut model = manifest
                .model
                .iter()
                .find(|model| model.role == role)
                .cloned()
                .ok_or_else(|| ManifestError::NoModel { path: path.clone(), role })?;
            if let Some(reason) = model.fault() {
                return Err(ManifestError::Invalid { model: model.name, reason });
            }
            model.bytes = read_checked(&model, folder)?;
            Ok(model)
        };
        Ok(Self { detector: pick(Role::Detector)?, encoder: pick(Role::Encoder)? })
    }
}

fn read_checked(model: &Model, folder: Option<&Path>) -> Result<Cow<'static, [u8]>, ManifestError> {
    let path = folder.unwrap_or(Path::new("models")).join(&model.file);
    let bytes: Cow<'static, [u8]> = match folder {
        Some(_) => std::fs::read(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?.into(),
        None => BUILT_IN_FILES
            .iter()
            .find(|(name, _)| Path::new(name) == model.file)
            .map(|(_, bytes)| Cow::Borrowed(*bytes))
            .ok_or_else(|| ManifestError::Invalid {
                model: model.name.clone(),
                reason: format!("{} is not built in", model.file.display()),
            })?,
    };
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found != model.sha256.to_lowercase() {
        return Err(ManifestError::Hash { path, expected: model.sha256.clone(), found });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_models_are_the_ones_in_the_manifest() {
        let models = Models::load(None).expect("built-in models load");
        assert_eq!(models.detector.outputs.len(), 12);
        assert_eq!(models.encoder.labels.len(), 7);
    }

    #[test]
    fn a_changed_file_is_named_with_both_hashes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("manifest.toml"), BUILT_IN_MANIFEST).expect("written");
        for (name, bytes) in BUILT_IN_FILES {
            let mut bytes = bytes.to_vec();
            bytes[1000] ^= 1;
            std::fs::write(folder.path().join(name), bytes).expect("written");
        }
        let message = Models::load(Some(folder.path())).expect_err("the hash differs").to_string();
        assert!(message.contains("yunet_2023mar.onnx") && message.contains("e9a42f02"), "{message}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = BUILT_IN_MANIFEST.replacen("licence", "license", 1);
        std::fs::write(folder.path().join("manifest.toml"), text).expect("written");
        let message = Models::load(Some(folder.path())).expect_err("the key is unknown").to_string();
        assert!(message.contains("license"), "{message}");
    }
}
