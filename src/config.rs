//! `vultus.toml`: every setting, its default, and what may be said. `docs/reference/config.md` explains each key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ConfigError {
    #[error("cannot read the configuration {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}\nThe keys are listed in docs/reference/config.md", .path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("{}: `{key}` must be {wanted}", .path.display())]
    Value { path: PathBuf, key: &'static str, wanted: &'static str },
}

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Cameras to open; all that are attached if empty.
    pub camera: Vec<Camera>,
    /// What is asked of cameras.
    pub capture: Capture,
    /// Matching in time.
    pub sync: Sync,
    /// Finding and following faces.
    pub detection: Detection,
    /// Fusing views.
    pub fusion: Fusion,
    /// Smoothing over time.
    pub smoothing: Smoothing,
    /// Where models come from.
    pub models: Models,
    /// What runs them.
    pub inference: Inference,
    /// Recordings.
    pub record: Record,
    /// The live page.
    pub serve: Serve,
}

/// One camera.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// As `vultus cameras` lists it.
    pub id: String,
    /// The view's name in results; `cam0`, `cam1`… by default.
    pub name: Option<String>,
}

/// What is asked of cameras; each gives the nearest it can.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
}

impl Default for Capture {
    fn default() -> Self {
        Self { width: 1280, height: 720, fps: 30 }
    }
}

/// Matching in time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// By how much the time that frames take to arrive may scatter.
    pub transport_allowance_ms: f64,
}

impl Default for Sync {
    fn default() -> Self {
        Self { transport_allowance_ms: 10.0 }
    }
}

impl Sync {
    /// By how much the time that frames take to arrive may scatter.
    #[must_use]
    pub fn transport_allowance(&self) -> Duration {
        Duration::from_secs_f64(self.transport_allowance_ms / 1e3)
    }
}

/// Finding and following faces.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Detection {
    /// Frames are decoded at the smallest scale that is at least this wide, in pixels.
    pub decode_width: usize,
    /// Detector score from which something is a face, 0 to 1.
    pub threshold: f32,
    /// A search of the whole picture every so many frames; known faces are measured in every frame.
    pub search_every: u32,
    /// Longer side of the picture that is searched, in detector pixels.
    pub search_side: usize,
    /// Side of the region around a known face, in detector pixels.
    pub region_side: usize,
    /// Side of that region in units of the face's longer side.
    pub region_scale: f32,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            decode_width: 640,
            threshold: 0.6,
            search_every: 10,
            search_side: 320,
            region_side: 96,
            region_scale: 1.8,
        }
    }
}

/// Fusing the views of a person.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fusion {
    /// The rule.
    pub rule: Rule,
    /// Divides every view's logits: above 1 it makes them less sure.
    pub temperature: f32,
}

impl Default for Fusion {
    fn default() -> Self {
        Self { rule: Rule::default(), temperature: 1.0 }
    }
}

/// How the views of a person become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// `softmax(sum of w * logits / T)`, the weights summing to 1: the geometric mean of the views' distributions.
    #[default]
    LogLinear,
    /// The plain mean of the views' distributions.
    Mean,
    /// Their weighted mean.
    WeightedMean,
    /// Their product, divided by a uniform prior: right for independent views, overconfident for like ones.
    ProductOfExperts,
    /// The view whose best class is the most probable.
    MaxConfidence,
    /// Dempster's rule on singletons, each view discounted by its weight (Shafer 1976), read out pignistically.
    DempsterShafer,
}

/// Smoothing over time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smoothing {
    /// Time constant of the exponential smoothing; 0 turns it off.
    pub time_constant_ms: f32,
    /// By how much another class must lead before it is shown.
    pub switch_margin: f32,
    /// Below this confidence the reading is *unsure*.
    pub unsure_below: f32,
    /// How long somebody whom no view sees is kept, *unsure*.
    pub hold_ms: f32,
}

impl Default for Smoothing {
    fn default() -> Self {
        Self { time_constant_ms: 150.0, switch_margin: 0.05, unsure_below: 0.25, hold_ms: 500.0 }
    }
}

/// Where models come from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// A folder with a `manifest.toml`; the built-in models if absent.
    pub folder: Option<PathBuf>,
    /// The name of the encoder in the manifest; the first one if absent.
    pub encoder: Option<String>,
}

impl Models {
    /// Where they come from, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        self.folder.as_ref().map_or_else(|| "built in".to_owned(), |folder| folder.display().to_string())
    }
}

/// Which runtime to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeChoice {
    /// ONNX Runtime where its library is found, else tract.
    #[default]
    Auto,
    /// ONNX Runtime, or fail.
    Ort,
    /// The built-in pure Rust runtime; CPU only.
    Tract,
    /// Our own network on any GPU, in pure Rust, or fail; the detector as with `auto`.
    Wgpu,
}

/// Where the encoder may run. The detector always runs on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The fastest of the CPU and what the machine's GPU can be reached by, measured at the start.
    #[default]
    Auto,
    /// A GPU (also an emulated one), or fail.
    Gpu,
    /// The CPU.
    Cpu,
}

/// What runs the models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inference {
    /// Which runtime.
    pub runtime: RuntimeChoice,
    /// Where the encoder runs.
    pub device: DeviceChoice,
    /// Cores to use; all if absent.
    pub threads: Option<usize>,
}

impl Inference {
    /// How many cores to use.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// The same with what a command line says instead.
    #[must_use]
    pub fn with(self, runtime: Option<RuntimeChoice>, device: Option<DeviceChoice>) -> Self {
        Self { runtime: runtime.unwrap_or(self.runtime), device: device.unwrap_or(self.device), ..self }
    }
}

/// What a recording keeps of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RecordContent {
    /// The whole picture.
    #[default]
    Video,
    /// Aligned faces, cut out, and nothing around them.
    Faces,
    /// No pixel: times, sets, landmarks and results alone.
    Features,
}

impl RecordContent {
    /// The name on the command line, in the configuration and in takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Faces => "faces",
            Self::Features => "features",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Video, Self::Faces, Self::Features].into_iter().find(|content| content.name() == name)
    }
}

/// Recordings: where they go and what they hold.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// The folder, made when it is needed.
    pub folder: PathBuf,
    /// A recording ends when its disk has less room than this left.
    pub keep_free_mb: u64,
    /// What is kept of a frame.
    pub content: RecordContent,
    /// Who agreed to what, in the user's words; it stands in every take.
    pub consent: String,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("takes"),
            keep_free_mb: 500,
            content: RecordContent::default(),
            consent: String::new(),
        }
    }
}

/// The live page and the API beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Where `vultus live` serves; other than loopback addresses are asked for on the command line alone.
    pub listen: SocketAddr,
    /// Whether the page is opened in a browser where there is a desktop.
    pub open: bool,
}

impl Default for Serve {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7878)), open: true }
    }
}

impl Config {
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// Every [`ConfigError`]: the file, the key and the line are named.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), reason: error.to_string() })?;
        match config.fault() {
            Some((key, wanted)) => Err(ConfigError::Value { path: path.to_owned(), key, wanted }),
            None => Ok(config),
        }
    }

    /// What results depend on, beside the models: two runs that agree in it and in their input agree in their results.
    #[must_use]
    pub fn analysis(&self) -> serde_json::Value {
        let Self { sync, detection, fusion, smoothing, .. } = self;
        serde_json::json!({"sync": sync, "detection": detection, "fusion": fusion, "smoothing": smoothing})
    }

    /// The first value that makes no sense, and what it must be.
    fn fault(&self) -> Option<(&'static str, &'static str)> {
        let Self { capture, sync, detection, fusion, smoothing, inference, record, serve, .. } = self;
        let share = |value: f32| (0.0..=1.0).contains(&value);
        let side = |value: usize| (32..=2048).contains(&value) && value.is_multiple_of(32);
        let not_negative = |value: f32| value >= 0.0 && value.is_finite();
        let checks = [
            (capture.width > 0 && capture.height > 0 && capture.fps > 0, "capture", "positive numbers"),
            (
                (0.0..=1000.0).contains(&sync.transport_allowance_ms),
                "sync.transport_allowance_ms",
                "between 0 and 1000",
            ),
            ((32..=8192).contains(&detection.decode_width), "detection.decode_width", "between 32 and 8192"),
            ((0.05..=1.0).contains(&detection.threshold), "detection.threshold", "between 0.05 and 1"),
            (detection.search_every > 0, "detection.search_every", "at least 1"),
            (side(detection.search_side), "detection.search_side", "a multiple of 32, at most 2048"),
            (side(detection.region_side), "detection.region_side", "a multiple of 32, at most 2048"),
            ((1.0..=10.0).contains(&detection.region_scale), "detection.region_scale", "between 1 and 10"),
            ((0.01..=100.0).contains(&fusion.temperature), "fusion.temperature", "between 0.01 and 100"),
            (not_negative(smoothing.time_constant_ms), "smoothing.time_constant_ms", "0 or more"),
            (share(smoothing.switch_margin), "smoothing.switch_margin", "between 0 and 1"),
            (share(smoothing.unsure_below), "smoothing.unsure_below", "between 0 and 1"),
            (
                (0.0..=500.0).contains(&smoothing.hold_ms),
                "smoothing.hold_ms",
                "between 0 and 500: an older reading says nothing of now",
            ),
            (inference.threads.is_none_or(|n| (1..=256).contains(&n)), "inference.threads", "between 1 and 256"),
            (!record.folder.as_os_str().is_empty(), "record.folder", "the path of a folder"),
            ((10..=1_000_000).contains(&record.keep_free_mb), "record.keep_free_mb", "between 10 and 1000000"),
            (
                serve.listen.ip().is_loopback(),
                "serve.listen",
                "a loopback address; any other is asked for on the command line (`--listen`)",
            ),
        ];
        checks.into_iter().find(|(holds, ..)| !holds).map(|(_, key, wanted)| (key, wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        Config::load(file.path())
    }

    #[test]
    fn the_documented_file_holds_exactly_the_defaults() {
        let documented = load(include_str!("../docs/reference/vultus.toml")).expect("the documented file is valid");
        assert_eq!(documented, Config::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = load("[sync]\ntransport_alowance_ms = 5\n").expect_err("a misspelt key").to_string();
        assert!(message.contains("transport_alowance_ms") && message.contains("line 2"), "{message}");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_the_range() {
        let message = load("[detection]\nthreshold = 1.5\n").expect_err("out of range").to_string();
        assert!(message.contains("detection.threshold") && message.contains("between 0.05 and 1"), "{message}");
    }
}
