//! Kalibr's camchains: every camera's place is that from the one before it.

use std::collections::BTreeMap;
use std::path::Path;

use nalgebra::{Isometry3, Matrix3, Translation3, Vector3};
use serde::Deserialize;

use super::{ENTRY_TOLERANCE, ExchangeError, Flaw, Found, Number, Options};
use super::{finite, intrinsics, number, numbers, parse, quoted, rotation, size};
use crate::rig::CalibratedCamera;

const MS_PER_S: f64 = 1000.0;

/// What a camera of a camchain has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Link {
    camera_model: Option<String>,
    intrinsics: Vec<Number>,
    distortion_model: Option<String>,
    distortion_coeffs: Vec<Number>,
    resolution: Option<[u32; 2]>,
    rostopic: Option<String>,
    #[serde(rename = "T_cn_cnm1")]
    from_last: Option<Vec<Vec<Number>>>,
    timeshift_cam_imu: Option<Number>,
}

impl Link {
    /// The lens, by the models that are known.
    fn lens(&self, id: &str, options: Options) -> Result<CalibratedCamera, Flaw> {
        let missing = |key: &str, remedy| Flaw::Missing { key: format!("{id}.{key}"), remedy };
        let model =
            self.camera_model.as_deref().ok_or_else(|| missing("camera_model", "write `pinhole` if it is that"))?;
        let refuse = |model: &str| Err(Flaw::Model { camera: format!("`{id}`"), model: model.to_owned() });
        if model != "pinhole" {
            return refuse(model);
        }
        let count = match self.distortion_model.as_deref() {
            Some("radtan") => 4,
            Some("none") => 0,
            Some(other) => return refuse(other),
            None => return Err(missing("distortion_model", "write `radtan` or `none`, what it is")),
        };
        let key = format!("{id}.intrinsics");
        let found = |count: usize| format!("{count} numbers");
        let [fx, fy, cx, cy] = finite(&key, &self.intrinsics)?[..] else {
            return Err(Flaw::Shape { key, found: found(self.intrinsics.len()), expected: "[fu, fv, pu, pv]" });
        };
        let matrix = intrinsics(&key, [fx, fy], [cx, cy])?;
        let key = format!("{id}.distortion_coeffs");
        let coefficients = finite(&key, &self.distortion_coeffs)?;
        let distortions = match coefficients[..] {
            [k1, k2, p1, p2] if count == 4 => [k1, k2, p1, p2, 0.0],
            // Kalibr's old versions want four zeros.
            _ if count == 0 && coefficients.iter().all(|&coefficient| coefficient == 0.0) => [0.0; 5],
            _ if count == 0 => {
                return Err(Flaw::Shape { key, found: found(coefficients.len()), expected: "nothing (`none`)" });
            }
            _ => return Err(Flaw::Shape { key, found: found(coefficients.len()), expected: "[k1, k2, p1, p2]" }),
        };
        let size = size(self.resolution, options)?;
        Ok(CalibratedCamera { size, matrix, distortions, ..CalibratedCamera::default() })
    }

    /// From the frame of the camera before to this one's.
    fn pose_from_last(&self, id: &str, scale: f64) -> Result<Isometry3<f64>, Flaw> {
        let key = format!("{id}.T_cn_cnm1");
        let remedy = "let Kalibr calibrate the whole chain, or export the cameras as single OpenCV files";
        let rows = self.from_last.as_ref().ok_or_else(|| Flaw::Missing { key: key.clone(), remedy })?;
        let shape = |found: String| Flaw::Shape { key: key.clone(), found, expected: "4x4, [R, t; 0, 0, 0, 1]" };
        if rows.len() != 4 || rows.iter().any(|row| row.len() != 4) {
            let lengths: Vec<String> = rows.iter().map(|row| row.len().to_string()).collect();
            return Err(shape(format!("{} rows of {} numbers", rows.len(), lengths.join(", "))));
        }
        let all = finite(&key, rows.iter().flatten())?;
        let at = |row: usize, column: usize| all[4 * row + column];
        if (0..4).any(|column| (at(3, column) - f64::from(u8::from(column == 3))).abs() > ENTRY_TOLERANCE) {
            return Err(shape("another last row".to_owned()));
        }
        let turn = rotation(&key, &Matrix3::from_fn(&at))?;
        let shift = Translation3::from(Vector3::from_fn(|row, _| at(row, 3)) * scale);
        Ok(Isometry3::from_parts(shift, turn))
    }
}

/// Names of the cameras: the first segments of their topics in which no two are the same (`/rig/left/image_raw`:
/// `left`), or else `cam0`, `cam1`…
fn names(links: &[&Link]) -> Vec<String> {
    let topics: Vec<Vec<&str>> = links
        .iter()
        .map(|link| link.rostopic.iter().flat_map(|topic| topic.split('/')).filter(|part| !part.is_empty()).collect())
        .collect();
    for place in 0..topics.iter().map(Vec::len).min().unwrap_or_default() {
        let segments: Vec<&str> = topics.iter().map(|topic| topic[place]).collect();
        if segments.iter().enumerate().all(|(n, segment)| !segments[..n].contains(segment)) {
            return segments.into_iter().map(str::to_owned).collect();
        }
    }
    (0..links.len()).map(|n| format!("cam{n}")).collect()
}

/// Reads a camchain. The world is the frame of its first camera, and offsets are to that camera's clock.
pub(super) fn read<'a>(file: &'a Path, text: &str, options: Options) -> Result<Vec<Found<'a>>, ExchangeError> {
    cameras(text, options)
        .map(|cameras| cameras.into_iter().map(|camera| Found { file, camera }).collect())
        .map_err(|flaw| ExchangeError::File { file: file.to_owned(), flaw })
}

fn cameras(text: &str, options: Options) -> Result<Vec<CalibratedCamera>, Flaw> {
    let chain: BTreeMap<String, Link> = parse(text)?;
    let ids: Vec<String> = (0..chain.len()).map(|n| format!("cam{n}")).collect();
    let mut links = Vec::with_capacity(ids.len());
    for id in &ids {
        let remedy = "a camchain has `cam0`, `cam1`… and nothing else";
        links.push(chain.get(id).ok_or_else(|| Flaw::Missing { key: id.clone(), remedy })?);
    }
    let shifts = links.iter().filter_map(|link| link.timeshift_cam_imu).count();
    let mut cameras = Vec::with_capacity(links.len());
    let mut first_shift = None;
    let mut pose = Isometry3::identity();
    for (((n, id), link), name) in ids.iter().enumerate().zip(&links).zip(names(&links)) {
        let mut camera = link.lens(id, options)?;
        camera.name = name;
        if n > 0 {
            pose = link.pose_from_last(id, options.scale)? * pose;
        }
        camera.rotation = pose.rotation.scaled_axis().into();
        camera.translation = pose.translation.vector.into();
        let key = format!("{id}.timeshift_cam_imu");
        match finite(&key, &link.timeshift_cam_imu)?.first() {
            Some(&shift) => camera.time_offset_ms = (*first_shift.get_or_insert(shift) - shift) * MS_PER_S,
            None if shifts > 0 => return Err(Flaw::Missing { key, remedy: "give it to all cameras, or to none" }),
            None => {}
        }
        cameras.push(camera);
    }
    Ok(cameras)
}

/// What the camchain of a rig says. The first camera's frame becomes the world, and its clock the true one. Topics are
/// `/NAME/image_raw`. The errors that `rig.toml` knows have no place in it.
///
/// # Errors
/// [`ExchangeError::NoCamera`], and [`ExchangeError::NotForKalibr`] for what the layout has no place for: `k3`, numbers
/// that are not finite, and names that are no segment of a topic.
pub fn export(cameras: &[CalibratedCamera]) -> Result<String, ExchangeError> {
    let first = cameras.first().ok_or(ExchangeError::NoCamera)?;
    let has_offsets = cameras.iter().any(|camera| camera.time_offset_ms != 0.0);
    let mut text = String::new();
    let mut last: Option<&CalibratedCamera> = None;
    for (n, camera) in cameras.iter().enumerate() {
        check(camera)?;
        let lens = camera.lens();
        let [k1, k2, p1, p2, _] = lens.distortions;
        text += &format!("cam{n}:\n");
        let mut line = |key: &str, value: &str| text += &format!("  {key}:{value}\n");
        if let Some(last) = last {
            let from_last = (camera.camera_from_world() * last.camera_from_world().inverse()).to_homogeneous();
            let rows: Vec<String> =
                from_last.row_iter().map(|row| format!("\n  - [{}]", numbers(row.iter().copied()))).collect();
            line("T_cn_cnm1", &rows.concat());
        }
        line("camera_model", " pinhole");
        line("distortion_coeffs", &format!(" [{}]", numbers([k1, k2, p1, p2])));
        line("distortion_model", " radtan");
        line("intrinsics", &format!(" [{}]", numbers(lens.focal.into_iter().chain(lens.principal))));
        line("resolution", &format!(" [{}, {}]", camera.size[0], camera.size[1]));
        line("rostopic", &format!(" {}", quoted(&format!("/{}/image_raw", camera.name))));
        if has_offsets {
            line(
                "timeshift_cam_imu",
                &format!(" {}", number((first.time_offset_ms - camera.time_offset_ms) / MS_PER_S)),
            );
        }
        last = Some(camera);
    }
    Ok(text)
}

/// That a camchain can say all of a camera that it has.
fn check(camera: &CalibratedCamera) -> Result<(), ExchangeError> {
    let vectors = camera.rotation.iter().chain(&camera.translation).chain(&camera.distortions);
    let mut all = vectors.chain(camera.matrix.iter().flatten()).chain([&camera.time_offset_ms]);
    let reason = if camera.distortions[4] != 0.0 {
        "Kalibr's lenses have no k3. Calibrate it with `vultus calibrate`, which leaves k3 at 0, or export for OpenCV"
    } else if !all.all(|number| number.is_finite()) {
        "it has numbers that are not finite. Calibrate again"
    } else if camera.name.is_empty() || camera.name.contains('/') {
        "its name must be a segment of a topic, without `/`. Give it another in the rig"
    } else {
        return Ok(());
    };
    Err(ExchangeError::NotForKalibr { camera: camera.name.clone(), reason })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_same, import_one, refusal, rigs};
    use super::super::{Format, import};
    use super::*;
    use proptest::prelude::*;

    /// As `kalibr_calibrate_cameras` and `kalibr_calibrate_imu_camera` write it, by `PyYAML`.
    const CHAIN: &str = "cam0:
  T_cam_imu:
  - [0.01, 0.99, -0.01, 0.07]
  - [-0.99, 0.01, 0.01, -0.01]
  - [0.01, 0.01, 0.99, 0.01]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.27695497, 0.06712482, 8.7538e-05, 0.00011556]
  distortion_model: radtan
  intrinsics: [461.629, 460.152, 362.68, 246.049]
  resolution: [752, 480]
  rostopic: /rig/left/image_raw
  timeshift_cam_imu: -8.121e-05
cam1:
  T_cn_cnm1:
  - [0.0, -1.0, 0.0, -0.11]
  - [1.0, 0.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [0]
  camera_model: pinhole
  distortion_coeffs: []
  distortion_model: none
  intrinsics: [461.5, 460.5, 362.5, 246.5]
  resolution: [752, 480]
  rostopic: /rig/right/image_raw
  timeshift_cam_imu: 0.00191879
cam2:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.2]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  distortion_coeffs: [0.0, 0.0, 0.0, 0.0]
  distortion_model: radtan
  intrinsics: [461.5, 460.5, 362.5, 246.5]
  resolution: [752, 480]
  rostopic: /rig/top/image_raw
  timeshift_cam_imu: -8.121e-05
";

    #[test]
    fn a_camchain_is_read() {
        assert_eq!(Format::of(CHAIN), Some(Format::Kalibr));
        let cameras = import_one("camchain.yaml", CHAIN).expect("it is valid");
        assert_eq!(cameras.iter().map(|camera| camera.name.as_str()).collect::<Vec<_>>(), ["left", "right", "top"]);
        assert_eq!((cameras[0].size, cameras[0].matrix[1]), ([752, 480], [0.0, 460.152, 246.049]));
        assert_eq!(cameras[0].distortions, [-0.276_954_97, 0.067_124_82, 8.7538e-05, 0.000_115_56, 0.0]);
        assert_eq!(cameras[1].distortions, [0.0; 5]);
        assert_eq!((cameras[0].rotation, cameras[0].translation), ([0.0; 3], [0.0; 3]));
        // The second is turned about z by 90 degrees, and the third stands from it in its own frame.
        let places = cameras.iter().map(|camera| camera.center_in_world().coords).collect::<Vec<_>>();
        assert!((places[1] - Vector3::new(0.0, -0.11, 0.0)).norm() < 1e-12, "{places:?}");
        assert!((places[2] - Vector3::new(0.0, -0.31, 0.0)).norm() < 1e-12, "{places:?}");
        // 2 ms more must be added to its stamps: they are earlier.
        assert!((cameras[1].time_offset_ms + 2.0).abs() < 1e-9 && cameras[2].time_offset_ms == 0.0);
    }

    #[test]
    fn a_header_of_opencv_does_not_make_it_opencvs() {
        let text = format!("%YAML:1.0 # OpenVINS wants it\n\n{CHAIN}");
        assert_eq!(import_one("camchain.yaml", &text).expect("it is valid").len(), 3);
    }

    #[test]
    fn names_are_where_topics_differ_or_numbers() {
        for (left, right, expected) in [
            ("/left/image_raw", "/right/image_raw", ["left", "right"]),
            ("camera/infra1/image", "camera/infra2/image", ["infra1", "infra2"]),
            ("/same", "/same", ["cam0", "cam1"]),
            ("", "/right/image_raw", ["cam0", "cam1"]),
        ] {
            let links = [left, right].map(|topic| Link { rostopic: Some(topic.to_owned()), ..Link::default() });
            assert_eq!(names(&links.iter().collect::<Vec<_>>()), expected);
        }
    }

    #[test]
    fn bad_chains_are_named() {
        for (from, to, expected) in [
            ("camera_model: pinhole", "camera_model: omni", "`cam0` has the model `omni`"),
            ("camera_model: pinhole\n", "x: y\n", "`cam0.camera_model` is missing"),
            ("distortion_model: radtan", "distortion_model: equidistant", "`equidistant`"),
            ("distortion_model: none", "distortion_model: fov", "`cam1` has the model `fov`"),
            ("distortion_model: radtan", "distortion_model: none", "`cam0.distortion_coeffs`"),
            ("distortion_model: none", "distortion_model: radtan", "`cam1.distortion_coeffs` has 0 numbers"),
            ("[461.629, 460.152,", "[461.629,", "`cam0.intrinsics` has 3 numbers"),
            ("[461.629,", "[0.0,", "focal"),
            ("[461.629,", "[.nan,", "`cam0.intrinsics`"),
            ("[461.629,", "[wide,", "wide"),
            ("resolution: [752, 480]", "resolution: [752, 0]", "752x0"),
            ("  resolution: [752, 480]\n", "", "--size"),
            ("- [1.0, 0.0, 0.0, 0.0]", "- [1.1, 0.0, 0.0, 0.0]", "`cam1.T_cn_cnm1` is no rotation"),
            ("- [1.0, 0.0, 0.0, 0.0]", "- [-1.0, 0.0, 0.0, 0.0]", "`cam1.T_cn_cnm1` is no rotation"),
            ("- [1.0, 0.0, 0.0, 0.0]", "- [1.0, 0.0, 0.0]", "4, 3, 4, 4"),
            ("0.0, 0.0, -0.2]\n", "0.0, 0.0, -200.0]\n", "--scale 0.001"),
            (
                "  - [0.0, 0.0, 1.0, 0.0]\n  - [0.0, 0.0, 0.0, 1.0]",
                "  - [0.0, 0.0, 1.0, 0.0]\n  - [0.0, 0.0, 0.0, 2.0]",
                "last row",
            ),
            ("  T_cn_cnm1:", "  T_other:", "`cam1.T_cn_cnm1` is missing"),
            ("  timeshift_cam_imu: 0.00191879\n", "", "`cam1.timeshift_cam_imu` is missing"),
            ("cam1:", "cam7:", "`cam1` is missing"),
            ("cam2:", "cam1:", "line"),
        ] {
            let changed = CHAIN.replacen(from, to, 1);
            assert_ne!(CHAIN, changed, "{from} is not in it");
            let message = refusal(&[("camchain.yaml", &changed)]);
            assert!(message.contains("camchain.yaml") && message.contains(expected), "{message}");
        }
        let message = refusal(&[("camchain.yaml", CHAIN), ("other.yaml", CHAIN)]);
        assert!(message.contains("camchain.yaml") && message.contains("other.yaml"), "{message}");
    }

    #[test]
    fn a_scale_makes_metres() {
        let files = [("chain.yaml".into(), CHAIN.replace("-0.11]", "-110.0]").replace("-0.2]", "-200.0]"))];
        let cameras = import(&files, Options { scale: 0.001, size: None }).expect("it is valid");
        assert!((cameras[2].center_in_world().coords - Vector3::new(0.0, -0.31, 0.0)).norm() < 1e-12);
    }

    #[test]
    fn what_a_camchain_cannot_say_is_refused() {
        let cameras = import_one("camchain.yaml", CHAIN).expect("it is valid");
        let message_of = |change: fn(&mut CalibratedCamera)| {
            let mut cameras = cameras.clone();
            change(&mut cameras[1]);
            export(&cameras).expect_err("it must be refused").to_string()
        };
        let message = message_of(|camera| camera.distortions[4] = 0.1);
        assert!(message.contains("`right`") && message.contains("k3"), "{message}");
        assert!(message_of(|camera| camera.translation[0] = f64::NAN).contains("`right`"));
        assert!(message_of(|camera| camera.name = "a/b".to_owned()).contains("`a/b`"));
        assert!(matches!(export(&[]), Err(ExchangeError::NoCamera)));
    }

    #[test]
    fn the_world_of_an_export_is_its_first_camera() {
        let mut cameras = import_one("camchain.yaml", CHAIN).expect("it is valid");
        cameras.remove(0);
        let read = import_one("camchain.yaml", &export(&cameras).expect("it fits")).expect("it is valid");
        assert_eq!((read[0].translation, read[0].time_offset_ms), ([0.0; 3], 0.0));
        let apart = |cameras: &[CalibratedCamera]| (cameras[0].center_in_world() - cameras[1].center_in_world()).norm();
        assert!((apart(&read) - 0.2).abs() < 1e-12 && (read[1].time_offset_ms - 2.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn exported_chains_read_back(rig in rigs(true)) {
            let text = export(&rig).expect("it fits");
            let read = import_one("camchain.yaml", &text).expect("it is valid");
            prop_assert_eq!(read.len(), rig.len());
            read.iter().zip(&rig).for_each(|(read, camera)| check_same(read, camera));
        }
    }
}
