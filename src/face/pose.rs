//! Where a head points, from five landmarks.

use crate::scene::{HeadPose, Landmarks, middle};

/// The landmarks on a mean head, in its own frame: x to the subject's left, y up, z out of the face; in units of the
/// distance between the eyes. The nose tip of a mean head stands out by 0.66; YuNet draws it nearer to the face, and
/// 0.5 reads its landmarks best (median yaw error 7.7 against 9.2 degrees on rendered heads, `docs/design/vision.md`).
const MODEL: [[f32; 3]; 5] =
    [[-0.5, 0.55, 0.0], [0.5, 0.55, 0.0], [0.0, 0.06, 0.5], [-0.4, -0.5, 0.11], [0.4, -0.5, 0.11]];

/// The head pose under weak perspective: the scale, turn and shift of the mean head that put its landmarks nearest
/// to the given ones (Gauss-Newton over the three angles; scale and shift have closed forms).
#[must_use]
pub fn head_pose(landmarks: &Landmarks) -> HeadPose {
    let centre = middle(landmarks);
    // Image y points down, the head's up.
    let seen: [[f32; 2]; 5] = landmarks.map(|p| [p.x - centre.x, centre.y - p.y]);

    // Profiles on either side and the front are three basins; the best of three starts is taken.
    let fits = [0.0_f32, 60.0, -60.0].map(|yaw| fit(&seen, [yaw.to_radians(), 0.0, start_roll(&seen)]));
    let best = fits.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or([0.0; 3], |(angles, _)| angles);
    let degrees = best.map(|angle| normalised(angle.to_degrees()));
    HeadPose { yaw_deg: degrees[0], pitch_deg: degrees[1], roll_deg: degrees[2] }
}

/// The turn of the line from the mouth's middle to the eyes' middle, clockwise as the image shows it.
fn start_roll(seen: &[[f32; 2]; 5]) -> f32 {
    let up = [0, 1].map(|axis| (seen[0][axis] + seen[1][axis] - seen[3][axis] - seen[4][axis]) / 2.0);
    up[0].atan2(up[1])
}

fn normalised(degrees: f32) -> f32 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

/// The model turned by yaw, pitch and roll, without depth, about its mean.
fn projected([yaw, pitch, roll]: [f32; 3]) -> [[f32; 2]; 5] {
    let ((sy, cy), (sp, cp), (sr, cr)) = (yaw.sin_cos(), pitch.sin_cos(), roll.sin_cos());
    let turned = MODEL.map(|[x, y, z]| {
        // The head's x points to the image's right when it faces the camera (the subject's left).
        let (x, z) = (cy * x + sy * z, cy * z - sy * x);
        let y = cp * y + sp * z;
        [cr * x + sr * y, cr * y - sr * x]
    });
    let mean = [0, 1].map(|axis| turned.iter().map(|p| p[axis]).sum::<f32>() / 5.0);
    turned.map(|p| [p[0] - mean[0], p[1] - mean[1]])
}

/// The residuals at the best scale, and the sum of their squares over that of the landmarks.
fn residuals(seen: &[[f32; 2]; 5], angles: [f32; 3]) -> ([f32; 10], f32) {
    let model = projected(angles);
    let dot =
        |a: &[[f32; 2]; 5], b: &[[f32; 2]; 5]| -> f32 { a.iter().zip(b).map(|(a, b)| a[0] * b[0] + a[1] * b[1]).sum() };
    let scale = dot(seen, &model) / dot(&model, &model).max(1e-9);
    let size = dot(seen, seen).max(1e-9).sqrt();
    let residual = std::array::from_fn(|n| (seen[n / 2][n % 2] - scale * model[n / 2][n % 2]) / size);
    let cost = if scale > 0.0 { residual.iter().map(|r: &f32| r * r).sum() } else { f32::INFINITY };
    (residual, cost)
}

/// Gauss-Newton with numeric derivatives and a little damping.
fn fit(seen: &[[f32; 2]; 5], mut angles: [f32; 3]) -> ([f32; 3], f32) {
    const STEP: f32 = 1e-2;
    let (mut residual, mut cost) = residuals(seen, angles);
    for _ in 0..8 {
        let columns: [[f32; 10]; 3] = std::array::from_fn(|n| {
            let mut moved = angles;
            moved[n] += STEP;
            let (shifted, _) = residuals(seen, moved);
            std::array::from_fn(|k| (shifted[k] - residual[k]) / STEP)
        });
        let dot = |a: &[f32; 10], b: &[f32; 10]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let mut normal = [[0.0; 4]; 3];
        for (row, column) in normal.iter_mut().zip(&columns) {
            for (entry, other) in row.iter_mut().zip(&columns) {
                *entry = dot(column, other);
            }
            row[3] = -dot(column, &residual);
        }
        for (n, row) in normal.iter_mut().enumerate() {
            row[n] += 1e-3;
        }
        let delta = solve(normal);
        let next = std::array::from_fn(|n| angles[n] + delta[n].clamp(-0.5, 0.5));
        let (next_residual, next_cost) = residuals(seen, next);
        if next_cost >= cost {
            break;
        }
        (angles, residual, cost) = (next, next_residual, next_cost);
    }
    (angles, cost)
}

/// Solves three equations by elimination; the damping keeps them regular.
fn solve(mut m: [[f32; 4]; 3]) -> [f32; 3] {
    for n in 0..3 {
        let pivot = m[n];
        for (k, row) in m.iter_mut().enumerate() {
            if k != n {
                let factor = row[n] / pivot[n];
                for (entry, of_pivot) in row.iter_mut().zip(pivot) {
                    *entry -= factor * of_pivot;
                }
            }
        }
    }
    std::array::from_fn(|n| m[n][3] / m[n][n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Point;
    use proptest::prelude::*;

    fn landmarks(yaw: f32, pitch: f32, roll: f32) -> Landmarks {
        projected([yaw, pitch, roll].map(f32::to_radians))
            .map(|[x, y]| Point { x: 300.0 + 40.0 * x, y: 200.0 - 40.0 * y })
    }

    proptest! {
        #[test]
        fn a_turned_head_is_read_back(yaw in -85.0_f32..85.0, pitch in -25.0_f32..25.0, roll in -40.0_f32..40.0) {
            let pose = head_pose(&landmarks(yaw, pitch, roll));
            prop_assert!((pose.yaw_deg - yaw).abs() < 2.0, "{pose:?}");
            prop_assert!((pose.pitch_deg - pitch).abs() < 3.0, "{pose:?}");
            prop_assert!((pose.roll_deg - roll).abs() < 3.0, "{pose:?}");
        }
    }

    #[test]
    fn landmarks_on_one_point_give_numbers() {
        let pose = head_pose(&[Point { x: 5.0, y: 5.0 }; 5]);
        assert!(pose.yaw_deg.is_finite() && pose.pitch_deg.is_finite() && pose.roll_deg.is_finite());
    }
}
