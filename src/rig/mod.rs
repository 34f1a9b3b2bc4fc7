//! `rig.toml`: where the cameras of a rig are, how they see, and how far their clocks are off.
//!
//! The layout is aniposelib's (one table a camera), with keys of our own beside it.

pub mod geometry;

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Why a rig cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RigError {
    #[error("cannot read the rig {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {reason}", .path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("{} has no camera `{camera}`; it has {known}. Give the view the name that it has in the rig (`--camera NAME=ID`)", .path.display())]
    NoCamera { path: PathBuf, camera: String, known: String },
}

/// A larger offset is no camera's.
const LARGEST_OFFSET_MS: f64 = 10_000.0;

/// One calibrated camera. The camera's frame is OpenCV's: x right, y down, z forward, pixel centres at integers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
        let possible = -LARGEST_OFFSET_MS..=LARGEST_OFFSET_MS;
        if let Some(camera) = cameras.iter().find(|camera| !possible.contains(&camera.time_offset_ms)) {
            let (name, offset) = (&camera.name, camera.time_offset_ms);
            return Err(parse_error(format!(
                "camera `{name}` has `time_offset_ms` {offset}; at most {LARGEST_OFFSET_MS}"
            )));
        }
        if cameras.is_empty() {
            return Err(parse_error("no camera in it; one table a camera is expected".to_owned()));
        }
        Ok(Self { path: path.to_owned(), text: text.to_owned(), cameras })
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
    fn a_missing_key_is_named_with_its_camera() {
        let message = load("[cam_0]\nname = \"left\"\nsize = [640, 360]\n").expect_err("no matrix").to_string();
        assert!(message.contains("cam_0") && message.contains("matrix"), "{message}");
    }
}
