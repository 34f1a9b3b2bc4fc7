//! How a camera draws what is before it: OpenCV's pinhole model with Brown's distortion.

use nalgebra::{Matrix2x3, Point3, SMatrix, Vector3};

/// Steps of the fixed-point iteration that takes the distortion off, as many as OpenCV's `undistortPoints` takes
/// at least; webcams need fewer.
const UNDISTORT_STEPS: usize = 10;

/// Focal lengths and principal point in pixels (pixel centres at integers), and k1, k2, p1, p2, k3 of OpenCV's model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lens {
    /// Horizontal and vertical focal length.
    pub focal: [f64; 2],
    /// Where the optical axis meets the picture.
    pub principal: [f64; 2],
    /// k1, k2, p1, p2, k3.
    pub distortions: [f64; 5],
}

/// A projection with its derivatives.
pub struct Projection {
    /// Pixels.
    pub pixel: [f64; 2],
    /// By the point in the camera's frame.
    pub by_point: Matrix2x3<f64>,
    /// By [`Lens::to_array`].
    pub by_lens: SMatrix<f64, 2, { Lens::PARAMETERS }>,
}

impl Lens {
    /// Numbers that a lens has.
    pub const PARAMETERS: usize = 9;

    /// fx, fy, cx, cy, k1, k2, p1, p2, k3.
    #[must_use]
    pub fn to_array(self) -> [f64; Self::PARAMETERS] {
        let ([fx, fy], [cx, cy], [k1, k2, p1, p2, k3]) = (self.focal, self.principal, self.distortions);
        [fx, fy, cx, cy, k1, k2, p1, p2, k3]
    }

    /// The lens with these numbers.
    #[must_use]
    pub fn from_array([fx, fy, cx, cy, k1, k2, p1, p2, k3]: [f64; Self::PARAMETERS]) -> Self {
        Self { focal: [fx, fy], principal: [cx, cy], distortions: [k1, k2, p1, p2, k3] }
    }

    /// Puts the distortion on normalised coordinates (x / z, y / z).
    fn distort(&self, x: f64, y: f64) -> [f64; 2] {
        let [k1, k2, p1, p2, k3] = self.distortions;
        let r2 = x * x + y * y;
        let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
        [
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        ]
    }

    /// Takes the distortion off normalised coordinates, by iteration.
    fn undistort(&self, distorted: [f64; 2]) -> [f64; 2] {
        let [k1, k2, p1, p2, k3] = self.distortions;
        let [mut x, mut y] = distorted;
        for _ in 0..UNDISTORT_STEPS {
            let r2 = x * x + y * y;
            let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
            let dx = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x);
            let dy = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y;
            (x, y) = ((distorted[0] - dx) / radial, (distorted[1] - dy) / radial);
        }
        [x, y]
    }

    /// The pixel of a point in the camera's frame (x right, y down, z forward); `None` for one that is not before it.
    #[must_use]
    pub fn project(&self, point: &Point3<f64>) -> Option<[f64; 2]> {
        if point.z <= 0.0 {
            return None;
        }
        let [x, y] = self.distort(point.x / point.z, point.y / point.z);
        Some([self.focal[0] * x + self.principal[0], self.focal[1] * y + self.principal[1]])
    }

    /// The direction that a pixel looks in, z = 1.
    #[must_use]
    pub fn unproject(&self, pixel: [f64; 2]) -> Vector3<f64> {
        let centred = [0, 1].map(|n| (pixel[n] - self.principal[n]) / self.focal[n]);
        let [x, y] = self.undistort(centred);
        Vector3::new(x, y, 1.0)
    }

    /// [`Lens::project`] with derivatives.
    #[must_use]
    pub fn project_with_slopes(&self, point: &Point3<f64>) -> Option<Projection> {
        let pixel = self.project(point)?;
        let ([fx, fy], [k1, k2, p1, p2, k3]) = (self.focal, self.distortions);
        let (z, x, y) = (point.z, point.x / point.z, point.y / point.z);
        let r2 = x * x + y * y;
        let (r4, r6) = (r2 * r2, r2 * r2 * r2);
        let radial = 1.0 + k1 * r2 + k2 * r4 + k3 * r6;
        // Of the radial factor by r2.
        let slope = k1 + 2.0 * k2 * r2 + 3.0 * k3 * r4;
        // Of the distorted coordinates by the normalised ones.
        let (xx, xy, yy) = (
            radial + 2.0 * x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x,
            2.0 * x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y,
            radial + 2.0 * y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x,
        );
        let by_point = Matrix2x3::new(
            fx * xx / z,
            fx * xy / z,
            -fx * (xx * x + xy * y) / z,
            fy * xy / z,
            fy * yy / z,
            -fy * (xy * x + yy * y) / z,
        );
        let [dx, dy] = self.distort(x, y);
        let by_lens = SMatrix::<f64, 2, 9>::from_row_slice(&[
            dx,
            0.0,
            1.0,
            0.0,
            fx * x * r2,
            fx * x * r4,
            fx * 2.0 * x * y,
            fx * (r2 + 2.0 * x * x),
            fx * x * r6,
            0.0,
            dy,
            0.0,
            1.0,
            fy * y * r2,
            fy * y * r4,
            fy * (r2 + 2.0 * y * y),
            fy * 2.0 * x * y,
            fy * y * r6,
        ]);
        Some(Projection { pixel, by_point, by_lens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slopes_are_those_of_the_projection(
            x in -0.5..0.5, y in -0.4..0.4, z in 0.6..2.0, k1 in -0.2..0.2, k2 in -0.1..0.1, p in -0.002..0.002,
        ) {
            let lens = Lens { focal: [600.0, 610.0], principal: [320.0, 180.0], distortions: [k1, k2, p, -p, 0.01] };
            let point = Point3::new(x, y, z);
            let slopes = lens.project_with_slopes(&point).expect("before the camera");
            let step = 1e-6;
            let by = |lens: &Lens, point: &Point3<f64>| lens.project(point).expect("before the camera");
            for n in 0..3 {
                let mut moved = point;
                moved[n] += step;
                for (row, (after, before)) in by(&lens, &moved).into_iter().zip(slopes.pixel).enumerate() {
                    let (slope, found) = ((after - before) / step, slopes.by_point[(row, n)]);
                    prop_assert!((slope - found).abs() < 1e-2 * slope.abs().max(1.0), "{n}: {found} is not {slope}");
                }
            }
            for n in 0..Lens::PARAMETERS {
                let mut moved = lens.to_array();
                moved[n] += step;
                let after = by(&Lens::from_array(moved), &point);
                for (row, (after, before)) in after.into_iter().zip(slopes.pixel).enumerate() {
                    let (slope, found) = ((after - before) / step, slopes.by_lens[(row, n)]);
                    prop_assert!((slope - found).abs() < 1e-2 * slope.abs().max(1.0), "{n}: {found} is not {slope}");
                }
            }
        }
    }
}
