//! From pixels to the world: the rays of a calibrated camera, and where several of them meet.

use nalgebra::{Matrix3, Point3, Rotation3, Unit, Vector3};

use super::CalibratedCamera;

/// Steps of the fixed-point iteration that takes the distortion off, as many as OpenCV's `undistortPoints` takes
/// at least; webcams need fewer.
const UNDISTORT_STEPS: usize = 10;

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

    /// The ray of a pixel (x, y) in a frame of `size` (width, height), which may be another than the rig's own.
    #[must_use]
    pub fn ray(&self, pixel: (f64, f64), size: (f64, f64)) -> Ray {
        // Pixel centres are at integers, so pictures scale about their corner at (-0.5, -0.5).
        let [width, height] = self.size.map(f64::from);
        let u = (pixel.0 + 0.5) * width / size.0 - 0.5;
        let v = (pixel.1 + 0.5) * height / size.1 - 0.5;
        let [[fx, _, cx], [_, fy, cy], _] = self.matrix;
        let (x, y) = self.undistort((u - cx) / fx, (v - cy) / fy);
        let direction = self.rotation_from_world().inverse() * Vector3::new(x, y, 1.0);
        Ray { origin: self.center_in_world(), direction: Unit::new_normalize(direction) }
    }

    /// Takes the lens distortion off normalised coordinates (Brown's model in OpenCV's form, inverted by iteration).
    fn undistort(&self, distorted_x: f64, distorted_y: f64) -> (f64, f64) {
        let [k1, k2, p1, p2, k3] = self.distortions;
        let (mut x, mut y) = (distorted_x, distorted_y);
        for _ in 0..UNDISTORT_STEPS {
            let r2 = x * x + y * y;
            let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
            let dx = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x);
            let dy = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y;
            (x, y) = ((distorted_x - dx) / radial, (distorted_y - dy) / radial);
        }
        (x, y)
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
            time_offset_ms: 0.0,
        }
    }

    /// OpenCV's `projectPoints`.
    fn project(camera: &CalibratedCamera, world: Point3<f64>) -> (f64, f64) {
        let here = camera.rotation_from_world() * world.coords + Vector3::from(camera.translation);
        let (x, y) = (here.x / here.z, here.y / here.z);
        let [k1, k2, p1, p2, k3] = camera.distortions;
        let r2 = x * x + y * y;
        let radial = 1.0 + k1 * r2 + k2 * r2 * r2 + k3 * r2 * r2 * r2;
        let [[fx, _, cx], [_, fy, cy], _] = camera.matrix;
        (
            fx * (x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)) + cx,
            fy * (y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y) + cy,
        )
    }

    proptest! {
        #[test]
        fn rays_through_the_pictures_of_a_point_meet_in_it(
            x in -0.5..0.5, y in -0.3..0.3, z in 0.8..3.0, scale in prop::sample::select(vec![0.5, 1.0, 2.0]),
        ) {
            let truth = Point3::new(x, y, z);
            let cameras = [camera([0.0, 0.0, 0.0], [0.0; 3]), camera([0.0, 0.4, 0.1], [-0.5, 0.1, 0.2])];
            let rays = cameras.each_ref().map(|camera| {
                let (u, v) = project(camera, truth);
                let pixel = ((u + 0.5) * scale - 0.5, (v + 0.5) * scale - 0.5);
                camera.ray(pixel, (640.0 * scale, 360.0 * scale))
            });
            let met = meeting_point(&rays).expect("they are not parallel");
            prop_assert!((met - truth).norm() < 1e-6, "{met} is not {truth}");
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
}
