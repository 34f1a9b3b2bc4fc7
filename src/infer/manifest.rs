//! `models/manifest.toml`: which files the program runs, where they come from, and how to read them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config;

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
    #[error("{} lists no encoder `{name}` (`models.encoder`); it has {}", .path.display(), .known.join(", "))]
    NoEncoder { path: PathBuf, name: String, known: Vec<String> },
    #[error(
        "{} lists no encoder with the file {file}; `vultus train export` writes such an entry beside the model",
        .path.display()
    )]
    NotListed { path: PathBuf, file: String },
    #[error(
        "model file {} is not the one in the manifest: its sha256 is {found}, {expected} was expected. \
         Restore the file, or write the new hash into the manifest if you changed it yourself", .path.display()
    )]
    Hash { path: PathBuf, expected: String, found: String },
    #[error("{} is not built into this program", .file.display())]
    NotBuiltIn { file: PathBuf },
    #[error("model `{model}`: {reason}")]
    Invalid { model: String, reason: String },
}

/// YuNet's: four kinds at three strides.
pub const DETECTOR_OUTPUTS: usize = 12;

/// What a model does in the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Finds faces and their landmarks.
    Detector,
    /// Turns an aligned face into class scores and an embedding.
    Encoder,
}

/// Order of an input's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Blue, green, red.
    Bgr,
    /// Luminance.
    Gray,
}

impl Channels {
    /// How many there are.
    #[must_use]
    pub fn planes(self) -> usize {
        match self {
            Self::Bgr => 3,
            Self::Gray => 1,
        }
    }
}

/// What an encoder's first output holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Scores before the softmax.
    #[default]
    Logits,
    /// After it.
    Probabilities,
}

/// A model's input tensor.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Order of the channels.
    pub channels: Channels,
    /// Width and height in pixels; free if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// An encoder's weights beside its ONNX file: the same network, to be run without that. Their file is read by whoever
/// needs it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The safetensors file, beside the manifest.
    pub file: PathBuf,
    /// The file's hash, hexadecimal.
    pub sha256: String,
    /// What the class scores are divided by; in the ONNX file they are already.
    pub temperature: f32,
    /// Where the manifest lies; nowhere if it is built in.
    #[serde(skip)]
    pub(crate) folder: Option<PathBuf>,
}

impl Weights {
    /// The file's content, checked.
    ///
    /// # Errors
    /// [`ManifestError::Read`], [`ManifestError::Hash`], and [`ManifestError::NotBuiltIn`] without the feature `train`.
    pub fn read(&self) -> Result<Cow<'static, [u8]>, ManifestError> {
        read(self.folder.as_deref(), &self.file, &self.sha256)
    }
}

/// A model: what the manifest says of it, and its file, checked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
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
    /// Where it comes from, how it was made.
    pub provenance: String,
    /// What it was trained on, and on what terms these data may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Its model card, beside the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<PathBuf>,
    /// The output tensors: of an encoder the class scores and, if there is a second one, the embedding.
    pub outputs: Vec<String>,
    /// What the first output holds.
    #[serde(default)]
    pub values: Values,
    /// Order of the classes in the first output, by the program's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The input tensor.
    pub input: Input,
    /// The network's weights, for the runtime `wgpu` and for training on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// How good it is: figures by name; the card says on what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The ONNX file's content.
    #[serde(skip)]
    pub(crate) bytes: Cow<'static, [u8]>,
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
        } else if self
            .weights
            .as_ref()
            .is_some_and(|weights| !(weights.temperature.is_finite() && weights.temperature > 0.0))
        {
            Some("`weights.temperature` must be a number above 0".to_owned())
        } else if self.weights.is_some() && self.values != Values::Logits {
            Some(
                "`weights` give logits: `values` must be so too, or other runtimes would say something else".to_owned(),
            )
        } else if !is_detector && !(1..=2).contains(&self.outputs.len()) {
            Some("`outputs` must name an encoder's class scores, and its embedding if it gives one".to_owned())
        } else {
            None
        }
    }

    /// Its entry in a `manifest.toml`, from `[[model]]` on.
    ///
    /// # Errors
    /// A text that TOML cannot hold.
    pub fn entry(&self) -> Result<String, toml::ser::Error> {
        #[derive(Serialize)]
        struct Entries<'a> {
            model: [&'a Model; 1],
        }
        toml::to_string(&Entries { model: [self] })
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
    #[serde(default)]
    model: Vec<Model>,
}

const BUILT_IN_MANIFEST: &str = include_str!("../../models/manifest.toml");
const BUILT_IN_FILES: [(&str, &[u8]); 4] = [
    ("yunet_2023mar.onnx", include_bytes!("../../models/yunet_2023mar.onnx")),
    ("vultus-slim.onnx", include_bytes!("../../models/vultus-slim.onnx")),
    ("vultus-slim-rendered.onnx", include_bytes!("../../models/vultus-slim-rendered.onnx")),
    ("vultus-slim-int8.onnx", include_bytes!("../../models/vultus-slim-int8.onnx")),
];
/// Of use to nobody else.
#[cfg(feature = "train")]
const BUILT_IN_WEIGHTS: &[(&str, &[u8])] = &[
    ("vultus-slim.safetensors", include_bytes!("../../models/vultus-slim.safetensors")),
    ("vultus-slim-rendered.safetensors", include_bytes!("../../models/vultus-slim-rendered.safetensors")),
];
#[cfg(not(feature = "train"))]
const BUILT_IN_WEIGHTS: &[(&str, &[u8])] = &[];

/// The entries of a `manifest.toml`, in its order; their files are not read. None without entries.
///
/// # Errors
/// [`ManifestError::Parse`]; `path` is what it names.
pub fn entries(text: &str, path: &Path) -> Result<Vec<Model>, ManifestError> {
    let parsed: Result<Manifest, _> = toml::from_str(text);
    let parse = |error: toml::de::Error| ManifestError::Parse { path: path.to_owned(), reason: error.to_string() };
    Ok(parsed.map_err(parse)?.model)
}

/// The models of a folder, or the built-in ones.
struct Listing<'a> {
    folder: Option<&'a Path>,
    path: PathBuf,
    models: Vec<Model>,
}

impl<'a> Listing<'a> {
    fn read(folder: Option<&'a Path>) -> Result<Self, ManifestError> {
        let path = folder.unwrap_or(Path::new("models")).join("manifest.toml");
        let models = match folder {
            None => entries(BUILT_IN_MANIFEST, &path)?,
            Some(_) => {
                let text = std::fs::read_to_string(&path);
                entries(&text.map_err(|source| ManifestError::Read { path: path.clone(), source })?, &path)?
            }
        };
        Ok(Self { folder, path, models })
    }

    /// The first model of `role` that `suits`, with its file, both checked.
    fn pick(&self, role: Role, suits: impl Fn(&Model) -> bool) -> Result<Option<Model>, ManifestError> {
        self.models.iter().find(|model| model.role == role && suits(model)).map(|model| self.whole(model)).transpose()
    }

    /// `model` with its files, all checked.
    fn whole(&self, model: &Model) -> Result<Model, ManifestError> {
        if let Some(reason) = model.fault() {
            return Err(ManifestError::Invalid { model: model.name.clone(), reason });
        }
        let mut whole = Model { bytes: read(self.folder, &model.file, &model.sha256)?, ..model.clone() };
        if let Some(weights) = &mut whole.weights {
            weights.folder = self.folder.map(Path::to_owned);
        }
        Ok(whole)
    }

    fn detector(&self) -> Result<Model, ManifestError> {
        self.pick(Role::Detector, |_| true)?
            .ok_or_else(|| ManifestError::NoModel { path: self.path.clone(), role: Role::Detector })
    }

    fn encoder(&self, name: Option<&str>) -> Result<Model, ManifestError> {
        let found = self.pick(Role::Encoder, |model| name.is_none_or(|name| model.name == name))?;
        found.ok_or_else(|| {
            let path = self.path.clone();
            let encoders = self.models.iter().filter(|model| model.role == Role::Encoder);
            let known: Vec<String> = encoders.map(|model| format!("`{}`", model.name)).collect();
            match name {
                Some(name) if !known.is_empty() => ManifestError::NoEncoder { path, name: name.to_owned(), known },
                _ => ManifestError::NoModel { path, role: Role::Encoder },
            }
        })
    }
}

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
        let listing = Listing::read(folder)?;
        Ok(Self { detector: listing.detector()?, encoder: listing.encoder(None)? })
    }

    /// The models that the configuration chooses.
    ///
    /// # Errors
    /// Every [`ManifestError`]; the file and the remedy are named.
    pub fn chosen(config: &config::Models) -> Result<Self, ManifestError> {
        let listing = Listing::read(config.folder.as_deref())?;
        Ok(Self { detector: listing.detector()?, encoder: listing.encoder(config.encoder.as_deref())? })
    }

    /// The encoder in the file `onnx`, as the `manifest.toml` beside it says how to read it, and the detector of that
    /// manifest; the built-in one if it lists none.
    ///
    /// # Errors
    /// Every [`ManifestError`]; the file and the remedy are named.
    pub fn of_file(onnx: &Path) -> Result<Self, ManifestError> {
        let folder = onnx.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = onnx.file_name().unwrap_or_default();
        let listing = Listing::read(Some(folder))?;
        let encoder = listing.pick(Role::Encoder, |model| model.file.as_os_str() == file)?;
        let not_listed =
            || ManifestError::NotListed { path: listing.path.clone(), file: file.to_string_lossy().into_owned() };
        let detector = match listing.pick(Role::Detector, |_| true)? {
            Some(detector) => detector,
            None => Listing::read(None)?.detector()?,
        };
        Ok(Self { detector, encoder: encoder.ok_or_else(not_listed)? })
    }
}

/// The content of `file` in `folder`, or of the built-in one, which must have the hash `expected`.
fn read(folder: Option<&Path>, file: &Path, expected: &str) -> Result<Cow<'static, [u8]>, ManifestError> {
    let path = folder.unwrap_or(Path::new("models")).join(file);
    let bytes: Cow<'static, [u8]> = match folder {
        Some(_) => std::fs::read(&path).map_err(|source| ManifestError::Read { path: path.clone(), source })?.into(),
        None => {
            let built_in = BUILT_IN_FILES.iter().chain(BUILT_IN_WEIGHTS).find(|(name, _)| Path::new(name) == file);
            let (_, bytes) = built_in.ok_or_else(|| ManifestError::NotBuiltIn { file: file.to_owned() })?;
            Cow::Borrowed(*bytes)
        }
    };
    let found = sha256(&bytes);
    if found != expected.to_lowercase() {
        return Err(ManifestError::Hash { path, expected: expected.to_owned(), found });
    }
    Ok(bytes)
}

/// All models of `folder/manifest.toml`, or the built-in ones; their files are not read.
///
/// # Errors
/// [`ManifestError::Read`] and [`ManifestError::Parse`].
pub fn listed(folder: Option<&Path>) -> Result<Vec<Model>, ManifestError> {
    Ok(Listing::read(folder)?.models)
}

/// A model with its files, all checked, or what is wrong with it.
pub type Verified = Result<Model, ManifestError>;

/// The same, each with its files, all checked; or what is wrong with it, behind its name.
///
/// # Errors
/// As [`listed`].
pub fn verified(folder: Option<&Path>) -> Result<Vec<(String, Verified)>, ManifestError> {
    let listing = Listing::read(folder)?;
    Ok(listing.models.iter().map(|model| (model.name.clone(), listing.whole(model))).collect())
}

/// The sha256 of `bytes`, hexadecimal, as a manifest has it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_models_are_the_ones_in_the_manifest() {
        let models = Models::load(None).expect("built-in models load");
        assert_eq!(models.detector.outputs.len(), 12);
        assert_eq!(models.encoder.labels.len(), 7);
        let weights = models.encoder.weights.expect("the default encoder runs on every runtime");
        assert_eq!(weights.read().is_ok(), cfg!(feature = "train"));
    }

    #[test]
    fn a_changed_file_is_named_with_both_hashes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("manifest.toml"), BUILT_IN_MANIFEST).expect("written");
        for (name, bytes) in BUILT_IN_FILES.iter().chain(BUILT_IN_WEIGHTS) {
            let mut bytes = bytes.to_vec();
            bytes[1000] ^= 1;
            std::fs::write(folder.path().join(name), bytes).expect("written");
        }
        let message = Models::load(Some(folder.path())).expect_err("the hash differs").to_string();
        assert!(message.contains("yunet_2023mar.onnx") && message.contains("e9a42f02"), "{message}");
    }

    /// A folder with the built-in models.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("manifest.toml"), BUILT_IN_MANIFEST).expect("written");
        for (name, bytes) in BUILT_IN_FILES.iter().chain(BUILT_IN_WEIGHTS) {
            std::fs::write(folder.path().join(name), bytes).expect("written");
        }
        folder
    }

    #[test]
    fn an_encoder_is_chosen_by_name_or_by_file() {
        let folder = folder();
        let choose = |name: Option<&str>| {
            let (folder, encoder) = (Some(folder.path().to_owned()), name.map(str::to_owned));
            Models::chosen(&config::Models { folder, encoder })
        };
        assert_eq!(choose(None).expect("the first").encoder.name, "vultus-slim");
        let other = "vultus-slim-rendered";
        assert_eq!(choose(Some(other)).expect("the second").encoder.name, other);
        let of_file = Models::of_file(&folder.path().join(other).with_added_extension("onnx")).expect("the second");
        assert_eq!(of_file.encoder.name, other);

        let message = choose(Some("third")).expect_err("there is none").to_string();
        assert!(message.contains("`third`") && message.contains("`vultus-slim`, `vultus-slim-rendered`"), "{message}");
        let message = Models::of_file(&folder.path().join("third.onnx")).expect_err("not listed").to_string();
        assert!(message.contains("third.onnx") && message.contains("manifest.toml"), "{message}");
    }

    #[test]
    fn what_is_written_is_read_again_the_same() {
        for model in entries(BUILT_IN_MANIFEST, Path::new("")).expect("it parses") {
            let metrics = BTreeMap::from([("accuracy".to_owned(), 0.5)]);
            let model = Model { data: Some("faces".to_owned()), card: Some("card.md".into()), metrics, ..model };
            let text = model.entry().expect("it can be written");
            assert_eq!(entries(&text, Path::new("")).expect("it parses"), [model], "{text}");
        }
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
