//! How much a view of a face can tell: the weight that it brings to the fusion.

use crate::image::detail::Detail;

/// What the quality of a view rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// The detector's score, 0 to 1.
    pub score: f32,
    /// Pixels of the full frame a pixel of the cut; below 1 the cut is an enlargement.
    pub frame_per_cut: f32,
    /// Turn of the head away from the camera.
    pub yaw_deg: f32,
    /// That of the cut's first plane.
    pub detail: Detail,
}

/// Quality from 0 to 1: the product of the detector's score, size, sharpness and yaw.
#[must_use]
pub fn quality(evidence: Evidence) -> f32 {
    let score = evidence.score.clamp(0.0, 1.0);
    let size = evidence.frame_per_cut.clamp(0.0, 1.0);
    let sharpness = sharpness(evidence.detail);
    score * size * sharpness * facing(evidence.yaw_deg)
}

/// 1 for a face that looks at the camera, 0.1 for a profile: cosine squared, with a floor, because a profile
/// that is the only view must still count.
fn facing(yaw_deg: f32) -> f32 {
    let cos = yaw_deg.clamp(-90.0, 90.0).to_radians().cos();
    0.1 + 0.9 * cos * cos
}

/// 0 for a picture without detail, towards 1 for a crisp one: mean square of the Laplacian over the variance
/// (both grow alike with contrast), half way at 0.02.
fn sharpness(Detail { variance, laplacian }: Detail) -> f32 {
    const HALF_WAY: f32 = 0.02;
    if variance <= 1e-9 {
        return 0.0;
    }
    let ratio = laplacian / variance;
    ratio / (ratio + HALF_WAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(size: usize, cell: usize) -> Vec<f32> {
        (0..size * size)
            .map(|n| if (n % size / cell + n / size / cell).is_multiple_of(2) { 1.0 } else { -1.0 })
            .collect()
    }

    fn blurred(cut: &[f32], size: usize) -> Vec<f32> {
        let at = |x: usize, y: usize| cut[y.min(size - 1) * size + x.min(size - 1)];
        let mean = |n: usize| {
            (0..25).map(|k| at((n % size + k % 5).saturating_sub(2), (n / size + k / 5).saturating_sub(2))).sum::<f32>()
                / 25.0
        };
        (0..size * size).map(mean).collect()
    }

    fn of(yaw_deg: f32, frame_per_cut: f32, cut: &[f32]) -> f32 {
        quality(Evidence { score: 0.9, frame_per_cut, yaw_deg, detail: Detail::of(cut, 64) })
    }

    #[test]
    fn a_turned_small_or_blurred_face_counts_less() {
        let crisp = checks(64, 8);
        let best = of(0.0, 1.5, &crisp);
        assert!(best > 0.7 && best <= 1.0, "{best}");
        assert!(of(60.0, 1.5, &crisp) < 0.5 * best);
        assert!(of(90.0, 1.5, &crisp) > 0.0, "a lone profile still counts");
        assert!(of(0.0, 0.3, &crisp) < 0.5 * best);
        assert!(of(0.0, 1.5, &blurred(&crisp, 64)) < 0.9 * best);
        assert_eq!(of(0.0, 1.5, &[0.5; 64 * 64]), 0.0, "a plain picture tells nothing");
    }

    #[test]
    fn contrast_alone_does_not_matter() {
        let crisp = checks(64, 8);
        let pale: Vec<f32> = crisp.iter().map(|p| 0.2 * p + 0.3).collect();
        assert!((of(0.0, 1.5, &crisp) - of(0.0, 1.5, &pale)).abs() < 1e-4);
    }
}
