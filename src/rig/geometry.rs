//! From pixels to the world: the rays of a calibrated camera, and where several of them meet.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Unit, Vector3};

use super::CalibratedCamera;
use super::lens::Lens;

/// Of the normal matrix's determinant, which is twice the squared sine of the angle between two rays: below 1.3 degrees
/// the depth is a guess.
const LEAST_SPREAD: f64 = 1e-3;

/// A half-line in the world, metres.
#[derive(Clone, Copy, Debug)]
pub struct Ray {
    /// The camera's centre.
    pub origin: Point3<f64>,
    /// Where it looks.
    pub direction: Unit<Vector3<f64>>,
}

impl CalibratedCamera {
    /// How it draws.
    #[must_use]
    pub fn lens(&self) -> Lens {
        let [[fx, _, cx], [_, fy, cy], _] = self.matrix;
        Lens { focal: [fx, fy], principal: [cx, cy], distortions: self.distortions }
    }

    /// Where it is.
    #[must_use]
    pub fn camera_from_world(&self) -> Isometry3<f64> {
        Isometry3::new(Vector3::from(self.translation), Vector3::from(self.rotation))
    }

    /// Rotation of `camera_from_world`.
    #[must_use]
    pub fn rotation_from_world(&self) -> Rotation3<f64> {
        Rotation3::new(Vector3::from(self.rotation))
    }

    /// Where the camera stands in the world, metres: `-R^T t`.
    #[must_use]
    pub fn center_in_world(&self) -> Point3<f64> {
        Point3::from(-(self.rotation_from_world().inverse() * Vector3::from(self.translation)))
    }

    /// A pixel (x, y) of a frame of `size` (width, height), in a frame of the rig's own size.
    #[must_use]
    pub fn own_pixel(&self, pixel: (f64, f64), size: (f64, f64)) -> [f64; 2] {
        // Pixel centres are at integers, so pictures scale about their corner at (-0.5, -0.5).
        let [width, height] = self.size.map(f64::from);
        [(pixel.0 + 0.5) * width / size.0 - 0.5, (pixel.1 + 0.5) * height / size.1 - 0.5]
    }

    /// The ray of a pixel (x, y) in a frame of `size` (width, height), which may be another than the rig's own.
    #[must_use]
    pub fn ray(&self, pixel: (f64, f64), size: (f64, f64)) -> Ray {
        let direction = self.rotation_from_world().inverse() * self.lens().unproject(self.own_pixel(pixel, size));
        Ray { origin: self.center_in_world(), direction: Unit::new_normalize(direction) }
    }

    /// The pixel of a point of the world in a frame of the rig's own size; `None` for one that is not before the
    /// camera.
    #[must_use]
    pub fn project(&self, world: &Point3<f64>) -> Option<[f64; 2]> {
        self.lens().project(&(self.camera_from_world() * world))
    }
}

/// How a point in one camera's picture confines where it is in another's: to its epipolar line.
#[derive(Clone, Debug)]
pub struct Epipolar {
    lenses: [Lens; 2],
    /// Essential matrix: `b^T E a = 0` for undistorted directions of one point (R. Hartley, A. Zisserman, "Multiple View
    /// Geometry in Computer Vision", section 9.6).
    essential: Matrix3<f64>,
}

impl Epipolar {
    /// Between two cameras.
    #[must_use]
    pub fn between(a: &CalibratedCamera, b: &CalibratedCamera) -> Self {
        let b_from_a = b.camera_from_world() * a.camera_from_world().inverse();
        let essential = b_from_a.translation.vector.cross_matrix() * b_from_a.rotation.to_rotation_matrix();
        Self { lenses: [a.lens(), b.lens()], essential }
    }

    /// How far two pixels, of pictures of the rig's own sizes, are from each other's epipolar lines: the mean of both
    /// pictures, in pixels without distortion. Points of one line have one sign on one side of it.
    #[must_use]
    pub fn distance_px(&self, a: [f64; 2], b: [f64; 2]) -> f64 {
        let [of_a, of_b] = &self.lenses;
        let (at_a, at_b) = (of_a.unproject(a), of_b.unproject(b));
        let (in_b, in_a) = (self.essential * at_a, self.essential.tr_mul(&at_b));
        let off = at_b.dot(&in_b);
        // A line in pixels has the slopes of the one in directions, divided by the focal lengths.
        let distance = |line: Vector3<f64>, lens: &Lens| off / (line.x / lens.focal[0]).hypot(line.y / lens.focal[1]);
        f64::midpoint(distance(in_b, of_b), distance(in_a, of_a))
    }
}

impl Ray {
    /// How far apart two rays pass each other, and the point in the middle between them; `None` where they are nearest
    /// behind one of the cameras, or nearly parallel.
    #[must_use]
    pub fn meets(&self, other: &Self) -> Option<(f64, Point3<f64>)> {
        let middle = meeting_point(&[*self, *other])?;
        Some((2.0 * self.distance(&middle), middle))
    }

    /// How far a point is from the ray's line, metres.
    #[must_use]
    pub fn distance(&self, point: &Point3<f64>) -> f64 {
        (point - self.origin).cross(&self.direction).norm()
    }
}

/// The point whose squared distances to the rays sum to the least (midpoint triangulation for any number of rays);
/// `None` for fewer than two rays, nearly parallel ones, and where it lies behind a camera.
#[must_use]
pub fn meeting_point(rays: &[Ray]) -> Option<Point3<f64>> {
    if rays.len() < 2 {
        return None;
    }
    let mut normal = Matrix3::zeros();
    let mut right = Vector3::zeros();
    for ray in rays {
        let across = Matrix3::identity() - *ray.direction * ray.direction.transpose();
        normal += across;
        right += across * ray.origin.coords;
    }
    if normal.determinant() < LEAST_SPREAD {
        return None;
    }
    let point = Point3::from(normal.try_inverse()? * right);
    rays.iter().all(|ray| ray.direction.dot(&(point - ray.origin)) > 0.0).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn camera(rotation: [f64; 3], translation: [f64; 3]) -> CalibratedCamera {
        CalibratedCamera {
            name: "cam".to_owned(),
            size: [640, 360],
            matrix: [[610.0, 0.0, 318.0], [0.0, 612.0, 181.0], [0.0, 0.0, 1.0]],
            distortions: [-0.06, 0.04, -0.0002, -0.0005, 0.006],
            rotation,
            translation,
            ..CalibratedCamera::default()
        }
    }

    proptest! {
        #[test]
        fn rays_through_the_pictures_of_a_point_meet_in_it(
            x in -0.5..0.5, y in -0.3..0.3, z in 0.8..3.0, scale in prop::sample::select(vec![0.5, 1.0, 2.0]),
        ) {
            let truth = Point3::new(x, y, z);
            let cameras = [camera([0.0, 0.0, 0.0], [0.0; 3]), camera([0.0, 0.4, 0.1], [-0.5, 0.1, 0.2])];
            let rays = cameras.each_ref().map(|camera| {
                let [u, v] = camera.project(&truth).expect("it is before the camera");
                let pixel = ((u + 0.5) * scale - 0.5, (v + 0.5) * scale - 0.5);
                camera.ray(pixel, (640.0 * scale, 360.0 * scale))
            });
            let met = meeting_point(&rays).expect("they are not parallel");
            prop_assert!((met - truth).norm() < 1e-6, "{met} is not {truth}");
            let (apart, middle) = rays[0].meets(&rays[1]).expect("they are not parallel");
            prop_assert!(apart < 1e-6 && (middle - truth).norm() < 1e-6, "{apart}, {middle}");
        }
    }

    #[test]
    fn one_ray_and_parallel_rays_meet_nowhere() {
        let [a, b] = [0.0, 0.2].map(|x| Ray { origin: Point3::new(x, 0.0, 0.0), direction: Vector3::z_axis() });
        assert!(meeting_point(&[a]).is_none());
        assert!(meeting_point(&[a, b]).is_none());
        let apart = Ray { origin: b.origin, direction: Unit::new_normalize(Vector3::new(0.5, 0.0, 1.0)) };
        assert!(meeting_point(&[a, apart]).is_none(), "they meet behind the cameras");
    }

    /// OpenCV's functions for the same, on the same points.
    #[cfg(feature = "opencv")]
    mod as_opencv {
        use opencv::calib3d;
        use opencv::core::{Mat, Point2d, Point3d, TermCriteria, Vector};
        use opencv::prelude::{MatTrait, MatTraitConst};

        use super::*;

        fn matrix(camera: &CalibratedCamera) -> Mat {
            Mat::from_slice_2d(&camera.matrix).expect("a matrix")
        }

        fn vector(values: &[f64]) -> Vector<f64> {
            Vector::from_slice(values)
        }

        fn points() -> Vec<Point3<f64>> {
            (0..40)
                .map(|n| {
                    let k = f64::from(n);
                    Point3::new(0.5 * (k * 1.3).sin(), 0.3 * (k * 2.1).cos(), 1.6 + 0.7 * (k * 0.7).sin())
                })
                .collect()
        }

        fn cameras() -> [CalibratedCamera; 2] {
            [camera([0.02, -0.1, 0.03], [0.05, 0.01, 0.1]), camera([0.0, 0.4, 0.1], [-0.5, 0.1, 0.2])]
        }

        fn pixels(camera: &CalibratedCamera) -> Vec<[f64; 2]> {
            points().iter().map(|point| camera.project(point).expect("before the camera")).collect()
        }

        /// OpenCV's pixels without distortion, on the plane at z = 1.
        fn undistorted(camera: &CalibratedCamera, pixels: &[[f64; 2]]) -> Vector<Point2d> {
            let distorted: Vector<Point2d> = pixels.iter().map(|[x, y]| Point2d::new(*x, *y)).collect();
            let mut directions = Vector::<Point2d>::new();
            let until = TermCriteria::new(3, 100, 1e-12).expect("criteria");
            let none = Mat::default();
            let distortions = vector(&camera.distortions);
            let (matrix, out) = (matrix(camera), &mut directions);
            calib3d::undistort_points_iter(&distorted, out, &matrix, &distortions, &none, &none, until)
                .expect("undistorted");
            directions
        }

        #[test]
        fn points_are_projected_and_undistorted_as_by_it() {
            for camera in cameras() {
                let world: Vector<Point3d> = points().iter().map(|p| Point3d::new(p.x, p.y, p.z)).collect();
                let mut projected = Vector::<Point2d>::new();
                calib3d::project_points(
                    &world,
                    &vector(&camera.rotation),
                    &vector(&camera.translation),
                    &matrix(&camera),
                    &vector(&camera.distortions),
                    &mut projected,
                    &mut opencv::core::no_array(),
                    0.0,
                )
                .expect("projected");
                let ours = pixels(&camera);
                for ([x, y], theirs) in ours.iter().zip(&projected) {
                    assert!((x - theirs.x).hypot(y - theirs.y) < 1e-9, "{x} {y} {theirs:?}");
                }
                for (pixel, theirs) in ours.iter().zip(&undistorted(&camera, &ours)) {
                    let ours = camera.lens().unproject(*pixel);
                    assert!((ours.x - theirs.x).hypot(ours.y - theirs.y) < 1e-6, "{ours} {theirs:?}");
                }
            }
        }

        #[test]
        fn points_are_triangulated_as_by_it() {
            let [a, b] = cameras();
            let pose = |camera: &CalibratedCamera| {
                let pose = camera.camera_from_world().to_homogeneous();
                let row = |n: usize| [pose[(n, 0)], pose[(n, 1)], pose[(n, 2)], pose[(n, 3)]];
                Mat::from_slice_2d(&[row(0), row(1), row(2)]).expect("a matrix")
            };
            let directions = [&a, &b].map(|camera| undistorted(camera, &pixels(camera)));
            let mut met = Mat::default();
            calib3d::triangulate_points(&pose(&a), &pose(&b), &directions[0], &directions[1], &mut met)
                .expect("triangulated");
            for (n, (at_a, at_b)) in pixels(&a).into_iter().zip(pixels(&b)).enumerate() {
                let size = (640.0, 360.0);
                let rays = [a.ray(at_a.into(), size), b.ray(at_b.into(), size)];
                let ours = meeting_point(&rays).expect("they meet");
                let entry = |row: i32| *met.at_2d::<f64>(row, n as i32).expect("an entry");
                let theirs = Point3::new(entry(0), entry(1), entry(2)) / entry(3);
                assert!((ours - theirs).norm() < 1e-5, "{ours} {theirs}");
            }
        }

        #[test]
        fn points_are_as_far_from_epipolar_lines_as_from_its() {
            let [a, b] = cameras().map(|mut camera| {
                camera.distortions = [0.0; 5];
                camera
            });
            let epipolar = Epipolar::between(&a, &b);
            let inverse = |camera: &CalibratedCamera| {
                Matrix3::from_fn(|row, column| camera.matrix[row][column]).try_inverse().expect("it has one")
            };
            let fundamental = inverse(&b).transpose() * epipolar.essential * inverse(&a);
            let mut matrix = Mat::new_rows_cols_with_default(3, 3, opencv::core::CV_64F, 0.0.into()).expect("a matrix");
            for (row, column) in (0..3).flat_map(|row| (0..3).map(move |column| (row, column))) {
                *matrix.at_2d_mut::<f64>(row as i32, column as i32).expect("an entry") = fundamental[(row, column)];
            }
            // What is seen by b is not quite the same points.
            let at_a = pixels(&a);
            let at_b: Vec<[f64; 2]> = pixels(&b).into_iter().map(|[x, y]| [x + 3.0, y - 4.0]).collect();
            let lines = |pixels: &[[f64; 2]], which: i32| {
                let points: Vector<Point2d> = pixels.iter().map(|[x, y]| Point2d::new(*x, *y)).collect();
                let mut lines = Vector::<Point3d>::new();
                calib3d::compute_correspond_epilines(&points, which, &matrix, &mut lines).expect("lines");
                lines
            };
            let off = |line: Point3d, [x, y]: [f64; 2]| (line.x * x + line.y * y + line.z).abs();
            let (in_b, in_a) = (lines(&at_a, 1), lines(&at_b, 2));
            for n in 0..at_a.len() {
                let theirs = f64::midpoint(
                    off(in_b.get(n).expect("a line"), at_b[n]),
                    off(in_a.get(n).expect("a line"), at_a[n]),
                );
                let ours = epipolar.distance_px(at_a[n], at_b[n]).abs();
                assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
            }
        }
    }
}
