//! Rigs of other programs: the YAML files of OpenCV (`cv::FileStorage`, and ROS's) and Kalibr's camchains.

mod kalibr;
mod opencv;

use std::fmt;
use std::path::{Path, PathBuf};

use nalgebra::{Matrix3, Rotation3, UnitQuaternion};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::NonFiniteFloatPolicy;

use super::CalibratedCamera;

pub use kalibr::export as export_kalibr;
pub use opencv::export as export_opencv;

/// By how much an entry of R^T R may differ from the identity's.
const ROTATION_TOLERANCE: f64 = 1e-3;

/// Cameras further apart than this, metres, are not before the same people.
const FARTHEST: f64 = 20.0;

/// By how much an entry of a matrix that must be 0 or 1 may differ from that.
const ENTRY_TOLERANCE: f64 = 1e-6;

/// Whose layout a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenCV's `cv::FileStorage` as YAML: one file a camera, or the pair that `stereo_calib` writes.
    OpenCv,
    /// Kalibr's camchain: one file a rig.
    Kalibr,
}

/// What the files of a rig may leave open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Width and height in pixels that the intrinsics belong to, for files that do not say it.
    pub size: Option<[u32; 2]>,
    /// Metres that a unit of the files' translations is.
    pub scale: f64,
}

/// Why a rig cannot be imported or exported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ExchangeError {
    #[error("no file to import; give the YAML files of OpenCV, or the camchain of Kalibr")]
    NoFile,
    #[error("`--scale {scale}` is no length; give the metres of one unit, 0.001 for millimetres")]
    Scale { scale: f64 },
    #[error("{}: {flaw}", .file.display())]
    File { file: PathBuf, flaw: Flaw },
    #[error(
        "{}: a camchain of Kalibr has all cameras of its rig; import it alone, without {}",
        .file.display(), .other.display()
    )]
    NotAlone { file: PathBuf, other: PathBuf },
    #[error(
        "{}: its camera `{name}` has the name of one in {}; give each file a `camera_name` of its own",
        .file.display(), .other.display()
    )]
    SameName { name: String, file: PathBuf, other: PathBuf },
    #[error(
        "{}: cameras `{camera}` and `{other}` are {metres:.1} m apart, so its lengths look like millimetres; \
         `--scale 0.001` makes metres of them",
        .file.display()
    )]
    Far { file: PathBuf, camera: String, other: String, metres: f64 },
    #[error("a rig without cameras cannot be exported; calibrate one with `vultus calibrate rig`")]
    NoCamera,
    #[error("camera `{camera}` does not fit into Kalibr's camchain: {reason}")]
    NotForKalibr { camera: String, reason: &'static str },
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Flaw {
    #[error(
        "neither OpenCV's nor Kalibr's; accepted are OpenCV's or ROS's YAML (`camera_matrix` and \
         `distortion_coefficients`, or `M1`, `D1`, `M2`, `D2` with `R` and `T`; no XML, no JSON) and Kalibr's camchain \
         (`cam0` with `camera_model`)"
    )]
    Format,
    #[error("{reason}; correct that, or have the file written anew")]
    Syntax { reason: String },
    #[error("`{key}` is missing; {remedy}")]
    Missing { key: String, remedy: &'static str },
    #[error("it does not say how large the pictures were; give it, such as `--size 640x480`")]
    NoSize,
    #[error("its pictures were {}x{}, not {}x{}; leave `--size` away", .own[0], .own[1], .given[0], .given[1])]
    OtherSize { own: [u32; 2], given: [u32; 2] },
    #[error("pictures of {}x{} pixels have no area; correct the size", .0[0], .0[1])]
    ZeroSize([u32; 2]),
    #[error("`{key}` has {found}, but {expected} is expected; correct it")]
    Shape { key: String, found: String, expected: &'static str },
    #[error("`{key}` has numbers that are not finite; calibrate again")]
    NotFinite { key: String },
    #[error("`{key}` has the focal lengths {} and {}, which must be above 0; calibrate again", .focal[0], .focal[1])]
    Focal { key: String, focal: [f64; 2] },
    #[error("`{key}` is no rotation (orthonormal, determinant 1); calibrate again")]
    NoRotation { key: String },
    #[error(
        "`{key}` has coefficients beyond k3 that are not 0; calibrate again without the rational, thin prism and \
         tilted models"
    )]
    Distortion { key: String },
    #[error(
        "{camera} has the model `{model}`; only pinhole lenses with radial and tangential distortion are known. \
         Calibrate again with that model"
    )]
    Model { camera: String, model: String },
    #[error("it has a lens alone, without `R` and `T`; `vultus calibrate extrinsics` finds the places of cameras")]
    LensAlone,
    #[error("it has a place alone; give the file with `M1`, `D1`, `M2` and `D2` beside it")]
    PlaceAlone,
    #[error("it does not belong to the pair of {}; import a pair alone", .pair.display())]
    BesidePair { pair: PathBuf },
}

/// A camera, and the file that it is from.
struct Found<'a> {
    file: &'a Path,
    camera: CalibratedCamera,
}

/// Any number of a file; also one that OpenCV writes and YAML does not know, such as `.Nan`.
#[derive(Clone, Copy, Debug)]
struct Number(f64);

impl Default for Options {
    fn default() -> Self {
        Self { size: None, scale: 1.0 }
    }
}

impl Format {
    /// The format of a file that says `text`, by its outermost keys; `None` for another.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let keys: Vec<&str> = text.lines().filter_map(outermost_key).collect();
        let has = |key: &str| keys.contains(&key);
        if has("cam0") {
            return text.contains("camera_model").then_some(Self::Kalibr);
        }
        let is_opencv = text.trim_start_matches('\u{feff}').starts_with("%YAML:")
            || ["camera_matrix", "cameraMatrix", "M1"].iter().any(|key| has(key))
            || (has("R") && has("T"));
        is_opencv.then_some(Self::OpenCv)
    }
}

/// The key that a line begins with, if it is not indented.
fn outermost_key(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start_matches('\u{feff}').split_once(':')?;
    key.starts_with(char::is_alphabetic).then(|| key.trim_end())
}

/// Reads the cameras of `files` (paths, for names and messages, and what the files say), whose format is told from what
/// they say.
///
/// The world is that of the files: the first camera's frame in Kalibr's camchains and OpenCV's pairs.
///
/// # Errors
/// [`ExchangeError`], naming the file, the key and the remedy.
pub fn import(files: &[(PathBuf, String)], options: Options) -> Result<Vec<CalibratedCamera>, ExchangeError> {
    if !(options.scale.is_finite() && options.scale > 0.0) {
        return Err(ExchangeError::Scale { scale: options.scale });
    }
    let mut camchain = None;
    for (file, text) in files {
        let format = Format::of(text).ok_or_else(|| ExchangeError::File { file: file.clone(), flaw: Flaw::Format })?;
        if format == Format::Kalibr && camchain.is_none() {
            camchain = Some((file, text));
        }
    }
    let found = match (files, camchain) {
        ([], _) => return Err(ExchangeError::NoFile),
        (_, None) => opencv::read(files, options)?,
        ([_], Some((file, text))) => kalibr::read(file, text, options)?,
        (_, Some((file, _))) => {
            let other = files.iter().map(|(other, _)| other).find(|other| *other != file).unwrap_or(file);
            return Err(ExchangeError::NotAlone { file: file.clone(), other: other.clone() });
        }
    };
    check_rig(&found)?;
    Ok(found.into_iter().map(|found| found.camera).collect())
}

/// Checks what only shows of all cameras together.
fn check_rig(found: &[Found<'_>]) -> Result<(), ExchangeError> {
    for (n, one) in found.iter().enumerate() {
        for before in &found[..n] {
            if before.camera.name == one.camera.name {
                let (file, other) = (one.file.to_owned(), before.file.to_owned());
                return Err(ExchangeError::SameName { name: one.camera.name.clone(), file, other });
            }
            let metres = (one.camera.center_in_world() - before.camera.center_in_world()).norm();
            if metres > FARTHEST {
                let (camera, other) = (before.camera.name.clone(), one.camera.name.clone());
                return Err(ExchangeError::Far { file: one.file.to_owned(), camera, other, metres });
            }
        }
    }
    Ok(())
}

/// Reads YAML, also with the first line of OpenCV (`%YAML:1.0`), which is no YAML.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Flaw> {
    let text = text.trim_start_matches('\u{feff}');
    // The end of the line stays, for the numbers of lines in messages.
    let yaml = if text.starts_with('%') { text.find('\n').map_or("", |end| &text[end..]) } else { text };
    let options = serde_saphyr::options! {
        with_snippet: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| Flaw::Syntax { reason: error.to_string() })
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "no camera has such numbers")]
    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "no camera has such numbers")]
    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
        let invalid = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
        let plain = text.trim_start_matches(['+', '-']).trim_start_matches('.').to_lowercase();
        match plain.as_str() {
            "nan" => Ok(Number(f64::NAN)),
            "inf" => Ok(Number(f64::INFINITY)),
            _ => text.parse().map(Number).map_err(|_| invalid()),
        }
    }
}

/// The numbers of `key`, if all of them are finite.
fn finite<'a>(key: &str, numbers: impl IntoIterator<Item = &'a Number>) -> Result<Vec<f64>, Flaw> {
    let numbers: Vec<f64> = numbers.into_iter().map(|number| number.0).collect();
    if numbers.iter().all(|number| number.is_finite()) {
        Ok(numbers)
    } else {
        Err(Flaw::NotFinite { key: key.to_owned() })
    }
}

/// The size that the intrinsics belong to.
fn size(own: Option<[u32; 2]>, options: Options) -> Result<[u32; 2], Flaw> {
    let size = match (own, options.size) {
        (Some(own), Some(given)) if own != given => return Err(Flaw::OtherSize { own, given }),
        (own, given) => own.or(given).ok_or(Flaw::NoSize)?,
    };
    if size.contains(&0) { Err(Flaw::ZeroSize(size)) } else { Ok(size) }
}

/// The matrix of focal lengths and principal point.
fn intrinsics(key: &str, focal: [f64; 2], principal: [f64; 2]) -> Result<[[f64; 3]; 3], Flaw> {
    if focal.iter().any(|&focal| focal <= 0.0) {
        return Err(Flaw::Focal { key: key.to_owned(), focal });
    }
    let ([fx, fy], [cx, cy]) = (focal, principal);
    Ok([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
}

/// The rotation that is nearest to a matrix, which must be one but for rounding.
fn rotation(key: &str, matrix: &Matrix3<f64>) -> Result<UnitQuaternion<f64>, Flaw> {
    let no_rotation = || Flaw::NoRotation { key: key.to_owned() };
    let off = (matrix.transpose() * matrix - Matrix3::identity()).amax();
    if off > ROTATION_TOLERANCE || matrix.determinant() < 0.0 {
        return Err(no_rotation());
    }
    let decomposed = matrix.svd(true, true);
    let nearest = decomposed.u.zip(decomposed.v_t).map(|(u, v_t)| u * v_t).ok_or_else(no_rotation)?;
    // By the quaternion, as the angle of a matrix is not exact near 0 and 180 degrees.
    Ok(UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(nearest)))
}

/// A number that reads back exactly, in every dialect: `PyYAML` wants a point in it, and a sign before the exponent.
fn number(value: f64) -> String {
    if value.is_nan() {
        return ".Nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".Inf" } else { "-.Inf" }.to_owned();
    }
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// Numbers with commas between.
fn numbers(values: impl IntoIterator<Item = f64>) -> String {
    values.into_iter().map(number).collect::<Vec<_>>().join(", ")
}

/// A text in double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\x{:02x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cameras within a room, the first of which is the world's frame if `chained`, as in Kalibr's camchains.
    pub(super) fn rigs(chained: bool) -> impl Strategy<Value = Vec<CalibratedCamera>> {
        prop::collection::vec(cameras(chained), 1..5).prop_map(move |mut cameras| {
            for (n, camera) in cameras.iter_mut().enumerate() {
                camera.name += &n.to_string();
            }
            if chained {
                let first = &mut cameras[0];
                (first.rotation, first.translation, first.time_offset_ms) = ([0.0; 3], [0.0; 3], 0.0);
            }
            cameras
        })
    }

    fn cameras(chained: bool) -> impl Strategy<Value = CalibratedCamera> {
        let name = if chained { "[a-zA-Z_]{1,6}|[é \"#.-]{1,3}" } else { "[a-z]{0,6}|[é \"\\\\/#:.\t-]{1,5}" };
        let thirds = if chained { 0.0..f64::MIN_POSITIVE } else { -1.0..1.0 };
        let lens = (100.0..3000.0, 100.0..3000.0, 0.0..2000.0, 0.0..2000.0);
        let distortions = (-1.0..1.0, -1e-6..1e-6, -1e-2..1e-2, -1e-9..1e-9, thirds);
        let axis = prop_oneof![
            [-1.0..1.0, -1.0..1.0, -1.0..1.0],
            Just([0.0; 3]),
            Just([0.0, 0.0, std::f64::consts::PI]),
            [-1e-9..1e-9, -1e-9..1e-9, -1e-9..1e-9],
        ];
        let turn = 0.1..3.0;
        (
            name,
            1_u32..5000,
            1_u32..5000,
            lens,
            distortions,
            axis,
            turn,
            [-3.0..3.0, -3.0..3.0, -3.0..3.0],
            -500.0..500.0,
        )
            .prop_map(
                |(name, width, height, (fx, fy, cx, cy), (k1, k2, p1, p2, k3), axis, turn, translation, offset)| {
                    CalibratedCamera {
                        name,
                        size: [width, height],
                        matrix: [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]],
                        distortions: [k1, k2, p1, p2, if k3.abs() < f64::MIN_POSITIVE { 0.0 } else { k3 }],
                        rotation: axis.map(|part| if part.abs() < 3.0 { part * turn } else { part }),
                        translation,
                        time_offset_ms: offset,
                        ..CalibratedCamera::default()
                    }
                },
            )
    }

    /// What `import` says to one file.
    pub(super) fn import_one(name: &str, text: &str) -> Result<Vec<CalibratedCamera>, ExchangeError> {
        import(&[(name.into(), text.to_owned())], Options::default())
    }

    /// Why `import` does not take these files.
    pub(super) fn refusal(files: &[(&str, &str)]) -> String {
        let files: Vec<_> = files.iter().map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect();
        import(&files, Options::default()).expect_err("it must be refused").to_string()
    }

    /// The lens exactly, the pose within 1e-9, the offset within a picosecond.
    pub(super) fn check_same(left: &CalibratedCamera, right: &CalibratedCamera) {
        assert_eq!((&left.name, left.size, left.matrix), (&right.name, right.size, right.matrix));
        assert_eq!(left.distortions, right.distortions);
        let (a, b) = (left.camera_from_world().to_homogeneous(), right.camera_from_world().to_homogeneous());
        assert!((a - b).amax() < 1e-9, "{a} {b}");
        assert!((left.time_offset_ms - right.time_offset_ms).abs() < 1e-9);
    }

    #[test]
    fn what_is_neither_format_is_told_what_is_accepted() {
        let rig = "[cam_0]\nname = \"left\"\n";
        for text in
            ["", rig, "<?xml version=\"1.0\"?>\n<opencv_storage>\n", "{\"camera_matrix\": 1}", "cam0:\n  a: 1\n"]
        {
            let message = refusal(&[("some.txt", text)]);
            assert!(["some.txt", "camera_matrix", "M1", "cam0"].iter().all(|part| message.contains(part)), "{message}");
        }
        assert!(import(&[], Options::default()).is_err());
    }

    #[test]
    fn a_scale_that_is_no_length_is_refused() {
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = import(&[], Options { scale, ..Options::default() });
            assert!(matches!(error, Err(ExchangeError::Scale { .. })));
        }
    }

    #[test]
    fn numbers_have_a_point_and_a_sign_for_pyyaml() {
        assert_eq!(numbers([1e-5, 1.5e-7, 1e16, 610.0, 0.1]), "1.0e-5, 1.5e-7, 1.0e+16, 610.0, 0.1");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(%YAML:1.0\n---\n)?(cam0:\n|M1: |camera_matrix: |R: |T: )*[\\PC\n]{0,60}") {
            let _ = import_one("some.yml", &text);
        }
    }
}
