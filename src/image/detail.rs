//! How much detail a picture has, as far as two numbers tell.

/// What the sharpness of a picture rests on; both grow alike with its contrast.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Detail {
    /// Variance of the values.
    pub variance: f32,
    /// Mean square of the Laplacian, over all pixels; at the border it counts as 0.
    pub laplacian: f32,
}

impl Detail {
    /// That of a square picture of one plane, `size` values a row.
    #[must_use]
    pub fn of(plane: &[f32], size: usize) -> Self {
        if size < 3 {
            return Self::default();
        }
        let pixels = (size * size) as f32;
        let mean = plane.iter().take(size * size).sum::<f32>() / pixels;
        let variance = plane.iter().take(size * size).map(|p| (p - mean) * (p - mean)).sum::<f32>() / pixels;
        let mut energy = 0.0;
        for row in 1..size - 1 {
            for column in 1..size - 1 {
                let at = row * size + column;
                let laplacian = plane[at - 1] + plane[at + 1] + plane[at - size] + plane[at + size] - 4.0 * plane[at];
                energy += laplacian * laplacian;
            }
        }
        Self { variance, laplacian: energy / pixels }
    }
}
