//! `rig.toml`: where the cameras of a rig are, how they see, and how far their clocks are off.
//!
//! The layout is aniposelib's (one table a camera), with keys of our own beside it.

pub mod drift;
pub mod exchange;
pub mod geometry;
pub mod lens;
pub mod verdict;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a rig cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RigError {
    #[error("cannot read the rig {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", .path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("the rig cannot be written: {reason}")]
    Write { reason: String },
    #[error("{} has no camera `{camera}`; it has {known}. Give the view the name that it has in the rig (`--camera NAME=ID`)", .path.display())]
    NoCamera { path: PathBuf, camera: String, known: String },
}

/// Cameras that are nearer to each other stand in one place.
const LEAST_APART_M: f64 = 1e-3;
/// A larger offset is no camera's.
const LARGEST_OFFSET_MS: f64 = 10_000.0;

/// One calibrated camera. The camera's frame is OpenCV's: x right, y down, z forward, pixel centres at integers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct CalibratedCamera {
    /// The view's name.
    pub name: String,
    /// Width and height in pixels that the intrinsics belong to.
    pub size: [u32; 2],
    /// Intrinsics, 3x3, pixels.
    pub matrix: [[f64; 3]; 3],
    /// k1, k2, p1, p2, k3 of OpenCV's model.
    pub distortions: [f64; 5],
    /// Rotation vector (Rodrigues) of `camera_from_world`.
    pub rotation: [f64; 3],
    /// Translation of `camera_from_world`, metres.
    pub translation: [f64; 3],
    /// How much later than the truth the camera's stamps are.
    #[serde(default)]
    pub time_offset_ms: f64,
    /// The truth is not further from that than this, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_offset_error_ms: Option<f64>,
    /// Root mean square distance in pixels of the board's corners, as they were found, from where the rig says they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reprojection_error_px: Option<f64>,
    /// What other programs wrote, kept as it is.
    #[serde(flatten)]
    pub other: toml::Table,
}

impl CalibratedCamera {
    /// What of it is no camera's.
    fn flaw(&self) -> Option<&'static str> {
        let numbers = self.matrix.as_flattened().iter().chain(&self.distortions);
        let is_finite = numbers.chain(&self.rotation).chain(&self.translation).all(|value| value.is_finite());
        match () {
            () if self.size.contains(&0) => Some("`size` has a side of 0 pixels"),
            () if !is_finite => Some("a number of it is not finite"),
            () if self.matrix[0][0] <= 0.0 || self.matrix[1][1] <= 0.0 => {
                Some("`matrix` has a focal length that is not above 0")
            }
            () => None,
        }
    }
}

/// What is known of a calibration beside the cameras.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Metadata {
    /// The board that it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// When it was made: year, month, day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The program that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vultus: Option<String>,
    /// Poses of the board that it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poses: Option<usize>,
    /// Root mean square distance of the corners that were kept apart, pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_error_px: Option<f64>,
    /// By how much lengths on the board come out too long when they are measured by two cameras, per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_error_percent: Option<f64>,
    /// What other programs wrote, kept as it is.
    #[serde(flatten)]
    pub other: toml::Table,
}

/// A calibrated rig.
#[derive(Clone, Debug)]
pub struct Rig {
    /// The file that it was read from.
    pub path: PathBuf,
    /// What the file says.
    pub text: String,
    /// Its cameras.
    pub cameras: Vec<CalibratedCamera>,
}

impl Rig {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`RigError::Read`] and those of [`Rig::parse`].
    pub fn load(path: &Path) -> Result<Self, RigError> {
        let text = std::fs::read_to_string(path).map_err(|source| RigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a rig's file, which stands in `path`.
    ///
    /// # Errors
    /// [`RigError::Parse`], naming the camera and the key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, RigError> {
        let parse_error = |reason: String| RigError::Parse { path: path.to_owned(), reason };
        let tables: toml::Table = toml::from_str(text).map_err(|error| parse_error(error.to_string()))?;
        let cameras = tables
            .into_iter()
            .filter(|(table, _)| table != "metadata")
            .map(|(table, value)| value.try_into().map_err(|error| parse_error(format!("[{table}]: {error}"))))
            .collect::<Result<Vec<CalibratedCamera>, _>>()?;
        if let Some((camera, flaw)) = cameras.iter().find_map(|camera| Some((camera, camera.flaw()?))) {
            return Err(parse_error(format!("camera `{}`: {flaw}", camera.name)));
        }
        let possible = -LARGEST_OFFSET_MS..=LARGEST_OFFSET_MS;
        if let Some(camera) = cameras.iter().find(|camera| !possible.contains(&camera.time_offset_ms)) {
            let (name, offset) = (&camera.name, camera.time_offset_ms);
            return Err(parse_error(format!(
                "camera `{name}` has `time_offset_ms` {offset}; at most {LARGEST_OFFSET_MS}"
            )));
        }
        let is_fisheye = |camera: &&CalibratedCamera| camera.other.get("fisheye") == Some(&toml::Value::Boolean(true));
        if let Some(camera) = cameras.iter().find(is_fisheye) {
            return Err(parse_error(format!(
                "camera `{}` has a fisheye's lens (`fisheye = true`), whose distortion is another than the one known \
                 here: calibrate it with `vultus calibrate rig`",
                camera.name
            )));
        }
        if cameras.is_empty() {
            return Err(parse_error("no camera in it; one table a camera is expected".to_owned()));
        }
        Ok(Self { path: path.to_owned(), text: text.to_owned(), cameras })
    }

    /// What the file of a rig of `cameras` says, in aniposelib's layout.
    ///
    /// # Errors
    /// [`RigError::Write`]: none for plain numbers.
    pub fn text_of(cameras: &[CalibratedCamera], metadata: &Metadata) -> Result<String, RigError> {
        let mut tables = toml::Table::new();
        let write = |error: toml::ser::Error| RigError::Write { reason: error.to_string() };
        for (n, camera) in cameras.iter().enumerate() {
            tables.insert(format!("cam_{n}"), toml::Value::try_from(camera).map_err(write)?);
        }
        tables.insert("metadata".to_owned(), toml::Value::try_from(metadata).map_err(write)?);
        toml::to_string(&tables).map_err(write)
    }

    /// What the file says beside the cameras.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        let tables: Option<toml::Table> = toml::from_str(&self.text).ok();
        let Some(toml::Value::Table(table)) = tables.and_then(|mut tables| tables.remove("metadata")) else {
            return Metadata::default();
        };
        // What has our keys and means something else is kept all the same.
        toml::Value::Table(table.clone()).try_into().unwrap_or(Metadata { other: table, ..Metadata::default() })
    }

    /// The cameras of these names, in this order; `None` if the rig does not tell where they are: all stand in one place,
    /// as in a rig of lenses alone.
    ///
    /// # Errors
    /// [`RigError::NoCamera`].
    pub fn placed(&self, names: &[impl AsRef<str>]) -> Result<Option<Vec<CalibratedCamera>>, RigError> {
        let cameras = names.iter().map(|name| self.camera(name.as_ref()).cloned()).collect::<Result<Vec<_>, _>>()?;
        let apart = |pair: &[CalibratedCamera]| (pair[0].center_in_world() - pair[1].center_in_world()).norm();
        let are_placed = cameras.len() < 2 || cameras.windows(2).any(|pair| apart(pair) > LEAST_APART_M);
        Ok(Some(cameras).filter(|_| are_placed))
    }

    /// The camera of that name.
    ///
    /// # Errors
    /// [`RigError::NoCamera`].
    pub fn camera(&self, name: &str) -> Result<&CalibratedCamera, RigError> {
        self.cameras.iter().find(|camera| camera.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.cameras.iter().map(|camera| camera.name.as_str()).collect();
            RigError::NoCamera { path: self.path.clone(), camera: name.to_owned(), known: known.join(", ") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Rig, RigError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        Rig::load(file.path())
    }

    #[test]
    fn the_example_rig_is_read() {
        let rig = load(include_str!("../../calibration/example-rig.toml")).expect("the example is valid");
        assert_eq!(rig.cameras.len(), 2);
        assert!((rig.camera("right").expect("it is there").time_offset_ms - 1.8).abs() < 1e-9);
        let message = rig.camera("top").expect_err("it is not").to_string();
        assert!(message.contains("left, right"), "{message}");
    }

    #[test]
    fn numbers_that_are_no_cameras_are_refused() {
        let example = include_str!("../../calibration/example-rig.toml");
        let rig = load(example).expect("the example is valid");
        let refused = |change: fn(&mut CalibratedCamera)| {
            let mut cameras = rig.cameras.clone();
            change(&mut cameras[1]);
            load(&Rig::text_of(&cameras, &rig.metadata()).expect("written")).expect_err("it is no rig").to_string()
        };
        assert!(refused(|camera| camera.size[0] = 0).contains("`right`: `size`"));
        assert!(refused(|camera| camera.matrix[1][1] = 0.0).contains("focal length"));
        assert!(refused(|camera| camera.translation[2] = f64::NAN).contains("not finite"));
    }

    #[test]
    fn what_other_programs_wrote_is_kept() {
        let text = include_str!("../../calibration/example-rig.toml").to_owned();
        let i = text.find("[metadata]").unwrap_or(text.len());
        let text = text[..i].to_owned() + "[metadata]\nposes = \"many\"\nadjusted = true\n";
        let rig = load(&text).expect("valid");
        let again = load(&Rig::text_of(&rig.cameras, &rig.metadata()).expect("written")).expect("valid");
        let told: toml::Table = toml::from_str(&again.text).expect("TOML");
        assert_eq!(told["metadata"]["adjusted"].as_bool(), Some(true));
        assert_eq!(told["metadata"]["poses"].as_str(), Some("many"));
    }

    #[test]
    fn a_missing_key_is_named_with_its_camera() {
        let message = load("[cam_0]\nname = \"left\"\nsize = [640, 360]\n").expect_err("no matrix").to_string();
        assert!(message.contains("cam_0") && message.contains("matrix"), "{message}");
    }
}
