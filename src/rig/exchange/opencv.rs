//! The layouts of OpenCV's samples: `calibration` (one file a camera) and `stereo_calib` (a pair of files).

use std::path::{Path, PathBuf};

use nalgebra::{Matrix3, UnitQuaternion, Vector3};
use serde::Deserialize;

use super::{ENTRY_TOLERANCE, ExchangeError, Flaw, Found, Number, Options};
use super::{finite, intrinsics, number, numbers, parse, quoted, rotation, size};
use crate::rig::CalibratedCamera;

/// Models of distortion, by ROS's names, that are OpenCV's own.
const BROWN: [&str; 4] = ["plumb_bob", "rational_polynomial", "radtan", "none"];

/// `!!opencv-matrix`, and what ROS writes for it.
#[derive(Deserialize)]
struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<Number>,
}

/// What a file may have that matters here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    camera_name: Option<String>,
    image_width: Option<u32>,
    image_height: Option<u32>,
    #[serde(alias = "cameraMatrix")]
    camera_matrix: Option<Matrix>,
    #[serde(alias = "distCoeffs", alias = "dist_coeffs")]
    distortion_coefficients: Option<Matrix>,
    distortion_model: Option<String>,
    camera_model: Option<String>,
    fisheye_model: Option<Number>,
    #[serde(rename = "M1")]
    m1: Option<Matrix>,
    #[serde(rename = "D1")]
    d1: Option<Matrix>,
    #[serde(rename = "M2")]
    m2: Option<Matrix>,
    #[serde(rename = "D2")]
    d2: Option<Matrix>,
    #[serde(rename = "R")]
    rotation: Option<Matrix>,
    #[serde(rename = "T")]
    translation: Option<Matrix>,
    time_offset_ms: Option<Number>,
    time_offset_error_ms: Option<Number>,
    reprojection_error_px: Option<Number>,
}

impl Matrix {
    /// Its numbers, row by row, if it has `rows` rows of `cols`.
    fn numbers(
        &self,
        key: &str,
        accepted: impl Fn(usize, usize) -> bool,
        expected: &'static str,
    ) -> Result<Vec<f64>, Flaw> {
        let (rows, cols, count) = (self.rows, self.cols, self.data.len());
        // Vectors may also be one entry with several channels.
        let is_whole = rows.checked_mul(cols) == Some(count) || (rows, cols) == (1, 1);
        if !is_whole || !accepted(rows, count) {
            let found = format!("{rows}x{cols} with {count} numbers");
            return Err(Flaw::Shape { key: key.to_owned(), found, expected });
        }
        finite(key, &self.data)
    }

    fn square(&self, key: &str) -> Result<Matrix3<f64>, Flaw> {
        Ok(Matrix3::from_row_slice(&self.numbers(key, |rows, count| (rows, count) == (3, 9), "3x3")?))
    }

    fn vector(&self, key: &str) -> Result<Vector3<f64>, Flaw> {
        Ok(Vector3::from_row_slice(&self.numbers(key, |_, count| count == 3, "3x1")?))
    }

    /// A rotation: a matrix, or a vector of Rodrigues.
    fn rotation(&self, key: &str) -> Result<UnitQuaternion<f64>, Flaw> {
        if self.data.len() == 3 {
            return self.vector(key).map(UnitQuaternion::from_scaled_axis);
        }
        rotation(
            key,
            &Matrix3::from_row_slice(&self.numbers(key, |rows, count| (rows, count) == (3, 9), "3x3 or 3x1")?),
        )
    }
}

/// A camera of which no more is known than the lens that the file has under these keys; not even the size.
fn lens_of(
    name: &str,
    [matrix_key, distortions_key]: [&str; 2],
    matrix: Option<&Matrix>,
    distortions: Option<&Matrix>,
) -> Result<CalibratedCamera, Flaw> {
    let missing = |key: &str, remedy| Flaw::Missing { key: key.to_owned(), remedy };
    let matrix = matrix.ok_or_else(|| missing(matrix_key, "calibrate the lens, or give the file that has it"))?;
    let matrix = matrix.square(matrix_key)?;
    let rest = Matrix3::new(0.0, matrix[(0, 1)], 0.0, matrix[(1, 0)], 0.0, 0.0, matrix[(2, 0)], matrix[(2, 1)], 0.0);
    if rest.amax() > ENTRY_TOLERANCE || (matrix[(2, 2)] - 1.0).abs() > ENTRY_TOLERANCE {
        let expected = "[fx, 0, cx; 0, fy, cy; 0, 0, 1]";
        return Err(Flaw::Shape {
            key: matrix_key.to_owned(),
            found: "other entries, such as a skew".to_owned(),
            expected,
        });
    }
    let matrix = intrinsics(matrix_key, [matrix[(0, 0)], matrix[(1, 1)]], [matrix[(0, 2)], matrix[(1, 2)]])?;
    let distortions = distortions.ok_or_else(|| missing(distortions_key, "write five zeros if the lens has none"))?;
    let expected = "k1, k2, p1, p2 and k3 (4, 5, 8, 12 or 14 coefficients)";
    let mut coefficients =
        distortions.numbers(distortions_key, |_, count| [4, 5, 8, 12, 14].contains(&count), expected)?;
    if coefficients.iter().skip(5).any(|&further| further != 0.0) {
        return Err(Flaw::Distortion { key: distortions_key.to_owned() });
    }
    coefficients.resize(5, 0.0);
    let mut distortions = [0.0; 5];
    distortions.copy_from_slice(&coefficients);
    Ok(CalibratedCamera { name: name.to_owned(), matrix, distortions, ..CalibratedCamera::default() })
}

impl Document {
    fn own_size(&self) -> Option<[u32; 2]> {
        self.image_width.zip(self.image_height).map(Into::into)
    }

    /// That no key tells of a lens that is none of OpenCV's pinhole model.
    fn check_model(&self) -> Result<(), Flaw> {
        let refuse = |model: &str| Err(Flaw::Model { camera: "the camera".to_owned(), model: model.to_owned() });
        if self.fisheye_model.is_some_and(|fisheye| fisheye.0 != 0.0) {
            return refuse("fisheye");
        }
        match (self.camera_model.as_deref(), self.distortion_model.as_deref()) {
            (Some(model), _) if !model.eq_ignore_ascii_case("pinhole") => refuse(model),
            (_, Some(model)) if !BROWN.contains(&model) => refuse(model),
            _ => Ok(()),
        }
    }

    /// Puts the camera where `R` and `T` say; `false` if they are not there.
    fn place(&self, camera: &mut CalibratedCamera, scale: f64) -> Result<bool, Flaw> {
        let missing = |key: &str| Flaw::Missing { key: key.to_owned(), remedy: "a place has both `R` and `T`" };
        match (&self.rotation, &self.translation) {
            (Some(rotation), Some(translation)) => {
                camera.rotation = rotation.rotation("R")?.scaled_axis().into();
                camera.translation = (translation.vector("T")? * scale).into();
                Ok(true)
            }
            (None, None) => Ok(false),
            (None, Some(_)) => Err(missing("R")),
            (Some(_), None) => Err(missing("T")),
        }
    }

    /// The one camera of the file; `alone` if there is no other, which therefore may be anywhere.
    fn camera(&self, file: &Path, alone: bool, options: Options) -> Result<CalibratedCamera, Flaw> {
        self.check_model()?;
        if self.camera_matrix.is_none() && self.rotation.is_some() {
            return Err(Flaw::PlaceAlone);
        }
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = self.camera_name.clone().filter(|name| !name.is_empty()).unwrap_or(stem);
        let keys = ["camera_matrix", "distortion_coefficients"];
        let (matrix, distortions) = (self.camera_matrix.as_ref(), self.distortion_coefficients.as_ref());
        let mut camera = lens_of(&name, keys, matrix, distortions)?;
        camera.size = size(self.own_size(), options)?;
        if !self.place(&mut camera, options.scale)? && !alone {
            return Err(Flaw::LensAlone);
        }
        let of = |key, value: &Option<Number>| Ok(finite(key, value)?.first().copied());
        camera.time_offset_ms = of("time_offset_ms", &self.time_offset_ms)?.unwrap_or_default();
        camera.time_offset_error_ms = of("time_offset_error_ms", &self.time_offset_error_ms)?;
        camera.reprojection_error_px = of("reprojection_error_px", &self.reprojection_error_px)?;
        Ok(camera)
    }
}

/// Reads files of one camera each, or the pair of `stereo_calib`, of which both may be in one file.
pub(super) fn read(files: &[(PathBuf, String)], options: Options) -> Result<Vec<Found<'_>>, ExchangeError> {
    let mut documents: Vec<(&Path, Document)> = Vec::with_capacity(files.len());
    for (file, text) in files {
        documents.push((file, parse(text).map_err(|flaw| ExchangeError::File { file: file.clone(), flaw })?));
    }
    if let Some(lenses) = documents.iter().position(|(_, document)| document.m1.is_some() || document.m2.is_some()) {
        return read_pair(&documents, lenses, options);
    }
    let alone = documents.len() == 1;
    documents
        .iter()
        .map(|(file, document)| match document.camera(file, alone, options) {
            Ok(camera) => Ok(Found { file, camera }),
            Err(flaw) => Err(ExchangeError::File { file: (*file).to_owned(), flaw }),
        })
        .collect()
}

/// Reads the pair of which the document `lenses` has the lenses. The world is the frame of the left camera, the first.
fn read_pair<'a>(
    documents: &[(&'a Path, Document)],
    lenses: usize,
    options: Options,
) -> Result<Vec<Found<'a>>, ExchangeError> {
    let (file, document) = &documents[lenses];
    let in_file = |flaw| ExchangeError::File { file: (*file).to_owned(), flaw };
    let is_place = |document: &Document| {
        document.camera_matrix.is_none() && (document.rotation.is_some() || document.translation.is_some())
    };
    let place = if is_place(document) {
        lenses
    } else {
        let has_place = documents.iter().position(|(_, document)| is_place(document));
        has_place.ok_or_else(|| in_file(Flaw::LensAlone))?
    };
    if let Some((_, (other, _))) = documents.iter().enumerate().find(|(n, _)| *n != lenses && *n != place) {
        let flaw = Flaw::BesidePair { pair: (*file).to_owned() };
        return Err(ExchangeError::File { file: (*other).to_owned(), flaw });
    }
    let (place_file, place) = &documents[place];
    document.check_model().map_err(in_file)?;
    let mut left = lens_of("left", ["M1", "D1"], document.m1.as_ref(), document.d1.as_ref()).map_err(in_file)?;
    let mut right = lens_of("right", ["M2", "D2"], document.m2.as_ref(), document.d2.as_ref()).map_err(in_file)?;
    left.size = size(document.own_size().or(place.own_size()), options).map_err(in_file)?;
    right.size = left.size;
    place
        .place(&mut right, options.scale)
        .map_err(|flaw| ExchangeError::File { file: (*place_file).to_owned(), flaw })?;
    Ok(vec![Found { file, camera: left }, Found { file: place_file, camera: right }])
}

/// What OpenCV's file of a camera says: the keys of the calibration sample, and beside them `camera_name`, `R` and `T`
/// (`camera_from_world`, metres) and what `rig.toml` knows more.
#[must_use]
pub fn export(camera: &CalibratedCamera) -> String {
    let mut text = "%YAML:1.0\n---\n".to_owned();
    let mut line = |key: &str, value: String| text += &format!("{key}: {value}\n");
    let matrix = |rows: usize, cols: usize, values: String| {
        format!("!!opencv-matrix\n   rows: {rows}\n   cols: {cols}\n   dt: d\n   data: [ {values} ]")
    };
    let rotation = camera.rotation_from_world();
    line("camera_name", quoted(&camera.name));
    line("image_width", camera.size[0].to_string());
    line("image_height", camera.size[1].to_string());
    line("camera_matrix", matrix(3, 3, numbers(camera.matrix.into_iter().flatten())));
    line("distortion_coefficients", matrix(5, 1, numbers(camera.distortions)));
    line("R", matrix(3, 3, numbers(rotation.matrix().transpose().iter().copied())));
    line("T", matrix(3, 1, numbers(camera.translation)));
    line("time_offset_ms", number(camera.time_offset_ms));
    for (key, value) in
        [("time_offset_error_ms", camera.time_offset_error_ms), ("reprojection_error_px", camera.reprojection_error_px)]
    {
        if let Some(value) = value {
            line(key, number(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_same, import_one, refusal, rigs};
    use super::super::{Format, import};
    use super::*;
    use proptest::prelude::*;

    /// By OpenCV 4.10, with the keys of its calibration sample.
    const SAMPLE: &str = r#"%YAML:1.0
---
calibration_time: "Thu 26 Nov 2026 10:44:07 AM UTC"
image_width: 640
image_height: 360
square_size: 25.
# flags: +fix_aspect_ratio
flags: 2
fisheye_model: 0
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 610.25, 0., 318.5, 0., 612.125, 181., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.059999999999999998, 0.040000000000000001,
       -0.00020000000000000001, -0.00050000000000000001,
       0.0060000000000000001 ]
per_view_reprojection_errors: !!opencv-matrix
   rows: 2
   cols: 1
   dt: f
   data: [ .Nan, .Inf ]
image_points: !!opencv-matrix
   rows: 1
   cols: 2
   dt: "2f"
   data: [ 0., 0., 0., 0. ]
"#;

    /// By OpenCV 4.10, with the keys of its sample of stereo calibration.
    const INTRINSICS: &str = r"%YAML:1.0
---
M1: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 610.25, 0., 318.5, 0., 612.125, 181., 0., 0., 1. ]
D1: !!opencv-matrix
   rows: 1
   cols: 14
   dt: d
   data: [ -0.10000000000000001, 0.20000000000000001, 0., 0.,
       0.029999999999999999, 0., 0., 0., 0., 0., 0., 0., 0., 0. ]
M2: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 620.25, 0., 318.5, 0., 612.125, 181., 0., 0., 1. ]
D2: !!opencv-matrix
   rows: 1
   cols: 8
   dt: d
   data: [ -0.10000000000000001, 0.20000000000000001, 0., 0., 0., 0., 0.,
       0. ]
";
    const EXTRINSICS: &str = r"%YAML:1.0
---
R: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 0.91619736373101213, -0.097190652749647458,
       0.38876261099858983, 0.097190652749647458, 0.9950704331606478,
       0.019718267357408913, -0.38876261099858983, 0.019718267357408913,
       0.92112693057036432 ]
T: !!opencv-matrix
   rows: 3
   cols: 1
   dt: d
   data: [ -60.5, 0.10000000000000001, 0.20000000000000001 ]
Q: !!opencv-matrix
   rows: 1
   cols: 1
   dt: d
   data: [ 1. ]
";

    /// By ROS's `camera_calibration`.
    const ROS: &str = r"image_width: 640
image_height: 480
camera_name: narrow_stereo/left
camera_matrix:
  rows: 3
  cols: 3
  data: [438.78361, 0.     , 305.59336,
           0.     , 437.30271, 243.73883,
           0.     ,   0.     ,   1.     ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.361976, 1.1051e-01, 0.001014, 0.000505, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
";

    fn pair() -> Vec<(PathBuf, String)> {
        [("intrinsics.yml", INTRINSICS), ("extrinsics.yml", EXTRINSICS)]
            .map(|(file, text)| (file.into(), text.into()))
            .into()
    }

    fn exported() -> String {
        let mut camera = import_one("front.yml", SAMPLE).expect("it is valid").remove(0);
        (camera.rotation, camera.translation) = ([0.0, 0.4, 0.1], [-0.5, 0.1, 0.2]);
        export(&camera)
    }

    #[test]
    fn the_calibration_samples_file_is_read() {
        let cameras = import_one("calib/front.yml", SAMPLE).expect("it is valid");
        assert_eq!((cameras[0].name.as_str(), cameras[0].size), ("front", [640, 360]));
        assert_eq!(cameras[0].matrix, [[610.25, 0.0, 318.5], [0.0, 612.125, 181.0], [0.0, 0.0, 1.0]]);
        assert_eq!(cameras[0].distortions, [-0.06, 0.04, -0.0002, -0.0005, 0.006]);
        assert_eq!((cameras[0].rotation, cameras[0].translation), ([0.0; 3], [0.0; 3]));
    }

    #[test]
    fn other_headers_and_keys_are_read() {
        let five = SAMPLE.replace("%YAML:1.0", "%YAML 1.2");
        let old = SAMPLE.replace("camera_matrix", "cameraMatrix").replace("distortion_coefficients", "dist_coeffs");
        let bare = SAMPLE.replace("%YAML:1.0\n---\n", "\u{feff}");
        let windows = SAMPLE.replace('\n', "\r\n");
        let first = import_one("front.yml", SAMPLE).expect("it is valid");
        for text in [five, old, bare, windows] {
            assert_eq!(import_one("front.yml", &text).expect("it is valid"), first, "{text}");
        }
    }

    #[test]
    fn a_file_of_ros_is_read() {
        let cameras = import_one("ost.yaml", ROS).expect("it is valid");
        assert_eq!((cameras[0].name.as_str(), cameras[0].size), ("narrow_stereo/left", [640, 480]));
        assert_eq!(cameras[0].distortions, [-0.361_976, 0.110_51, 0.001_014, 0.000_505, 0.0]);
        for (from, to) in [("plumb_bob", "equidistant"), ("distortion_model: plumb_bob", "fisheye_model: 1")] {
            let message = refusal(&[("ost.yaml", &ROS.replace(from, to))]);
            assert!(message.contains("ost.yaml") && message.contains("pinhole"), "{message}");
        }
    }

    #[test]
    fn a_stereo_pair_is_read_with_its_size_and_unit() {
        let options = Options { size: Some([640, 360]), scale: 0.001 };
        let cameras = import(&pair(), options).expect("it is valid");
        assert_eq!((cameras[0].name.as_str(), cameras[1].name.as_str()), ("left", "right"));
        assert_eq!((cameras[0].matrix[0][0], cameras[1].matrix[0][0]), (610.25, 620.25));
        assert_eq!((cameras[0].distortions[4], cameras[1].distortions[4]), (0.03, 0.0));
        assert!((Vector3::from(cameras[1].rotation) - Vector3::new(0.0, 0.4, 0.1)).norm() < 1e-12);
        assert!((Vector3::from(cameras[1].translation) - Vector3::new(-0.0605, 0.0001, 0.0002)).norm() < 1e-12);
        let together = format!("{INTRINSICS}{}", EXTRINSICS.replace("%YAML:1.0\n---\n", ""));
        assert_eq!(import(&[("stereo.yml".into(), together)], options).expect("it is valid"), cameras);
    }

    #[test]
    fn what_a_stereo_pair_lacks_is_named() {
        let message = refusal(&[("intrinsics.yml", INTRINSICS), ("extrinsics.yml", EXTRINSICS)]);
        assert!(message.contains("intrinsics.yml") && message.contains("--size 640x480"), "{message}");
        let options = Options { size: Some([640, 360]), ..Options::default() };
        let message = import(&pair(), options).expect_err("60 m").to_string();
        assert!(message.contains("extrinsics.yml") && message.contains("--scale 0.001"), "{message}");
        let message = refusal(&[("intrinsics.yml", INTRINSICS)]);
        assert!(message.contains("vultus calibrate extrinsics"), "{message}");
        let message = refusal(&[("extrinsics.yml", EXTRINSICS)]);
        assert!(message.contains("extrinsics.yml") && message.contains("M1"), "{message}");
        let message = refusal(&[("in.yml", INTRINSICS), ("ex.yml", EXTRINSICS), ("front.yml", SAMPLE)]);
        assert!(message.contains("front.yml") && message.contains("in.yml"), "{message}");
        let placed = format!("{SAMPLE}{}", EXTRINSICS.replace("%YAML:1.0\n---\n", ""));
        let message = refusal(&[("in.yml", INTRINSICS), ("front.yml", &placed)]);
        assert!(message.contains("vultus calibrate extrinsics"), "{message}");
        let rational = INTRINSICS.replace("0., 0. ]", "0., 0.25 ]");
        let pair = [("in.yml".into(), rational), ("ex.yml".into(), EXTRINSICS.to_owned())];
        let message = import(&pair, options).expect_err("a rational model").to_string();
        assert!(message.contains("in.yml") && message.contains("D1"), "{message}");
    }

    #[test]
    fn several_cameras_need_places() {
        let placed = exported();
        let message = refusal(&[("left.yml", &placed), ("right.yml", SAMPLE)]);
        assert!(message.contains("right.yml") && message.contains("vultus calibrate extrinsics"), "{message}");
        let message = refusal(&[("left.yml", &placed), ("right.yml", &placed)]);
        assert!(message.contains("right.yml") && message.contains("camera_name"), "{message}");
        let message = refusal(&[("left.yml", &placed.replace("\nT:", "\nS:"))]);
        assert!(message.contains("`T`"), "{message}");
    }

    #[test]
    fn rotation_vectors_are_read_and_mirrors_are_refused() {
        let read = |rows: usize, cols: usize, data: &str| {
            let (_, after) = EXTRINSICS.split_once("T:").expect("it has one");
            let matrix = format!("   rows: {rows}\n   cols: {cols}\n   dt: d\n   data: [ {data} ]");
            let text = format!("%YAML:1.0\n---\nR: !!opencv-matrix\n{matrix}\nT:{after}");
            let files = [("in.yml".into(), INTRINSICS.to_owned()), ("ex.yml".into(), text)];
            import(&files, Options { size: Some([640, 360]), scale: 0.001 })
        };
        for (rows, cols) in [(3, 1), (1, 3)] {
            let cameras = read(rows, cols, "0., 0.4, 0.1").expect("it is valid");
            assert!((Vector3::from(cameras[1].rotation) - Vector3::new(0.0, 0.4, 0.1)).norm() < 1e-12);
        }
        let error = read(3, 3, "-1., 0., 0., 0., 1., 0., 0., 0., 1.").expect_err("a mirror");
        assert!(matches!(error, ExchangeError::File { flaw: Flaw::NoRotation { .. }, .. }), "{error}");
    }

    #[test]
    fn bad_numbers_are_named() {
        let text = format!("{SAMPLE}{}", EXTRINSICS.replace("%YAML:1.0\n---\n", ""));
        for (from, to, expected) in [
            ("image_width: 640", "image_width: 0", "0x360"),
            ("image_width: 640\n", "", "--size"),
            ("image_width: 640", "image_width: wide", "line 4"),
            ("[ 610.25,", "[ -610.25,", "focal"),
            ("[ 610.25,", "[ .Nan,", "`camera_matrix`"),
            ("[ 610.25,", "[ wide,", "wide"),
            ("[ 610.25,", "[", "8 numbers"),
            ("[ 610.25, 0.,", "[ 610.25, 2.5,", "skew"),
            ("rows: 5", "rows: 6", "6x1"),
            ("0.0060000000000000001", ".Inf", "`distortion_coefficients`"),
            ("distortion_coefficients", "distortion", "`distortion_coefficients` is missing"),
            ("0.91619736373101213", "0.9", "`R`"),
            ("R: !!opencv-matrix\n   rows: 3\n", "R: !!opencv-matrix\n   rows: 1\n", "`R`"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(text, changed, "{from} is not in it");
            let message = refusal(&[("front.yml", &changed)]);
            assert!(message.contains("front.yml") && message.contains(expected), "{message}");
        }
        let message = refusal(&[("front.yml", "%YAML:1.0\n---\nnr_of_frames: 25\n")]);
        assert!(message.contains("`camera_matrix` is missing"), "{message}");
    }

    #[test]
    fn a_size_that_contradicts_the_file_is_refused() {
        let files = [("front.yml".into(), SAMPLE.to_owned())];
        let message = import(&files, Options { size: Some([640, 480]), scale: 1.0 }).expect_err("360").to_string();
        assert!(message.contains("640x360") && message.contains("640x480"), "{message}");
    }

    proptest! {
        #[test]
        fn exported_cameras_read_back(rig in rigs(false), error in prop::option::of(0.0..9.0)) {
            let rig: Vec<_> = rig
                .into_iter()
                .map(|camera| CalibratedCamera { time_offset_error_ms: error, reprojection_error_px: error, ..camera })
                .collect();
            let files: Vec<_> = rig.iter().map(|camera| (PathBuf::from("some.yml"), export(camera))).collect();
            prop_assert!(files.iter().all(|(_, text)| Format::of(text) == Some(Format::OpenCv)));
            let read = import(&files, Options::default()).expect("it is valid");
            prop_assert_eq!(read.len(), rig.len());
            for (read, camera) in read.iter().zip(&rig) {
                check_same(read, camera);
                prop_assert_eq!(read.time_offset_ms, camera.time_offset_ms);
                prop_assert_eq!(read.translation, camera.translation);
                prop_assert_eq!((read.time_offset_error_ms, read.reprojection_error_px), (error, error));
            }
        }
    }
}
