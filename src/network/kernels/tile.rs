//! The two sums that convolutions consist of, held in registers while they grow: a tile of [`TILE`] pixels (or of [`TILE`]
//! rows of a weight) by [`WIDTH`] channels.

use pulp::{Arch, Simd, WithSimd};

/// Channels of a tile: two registers of AVX-512. Numbers of output channels are multiples of it.
pub const WIDTH: usize = 32;
/// Pixels of a tile. AVX-512 holds its 16 sums in registers at once (with 12 pixels, 24 sums, the compiler spills them, at
/// 40 % of the speed); narrower registers take it in parts.
pub const TILE: usize = 8;
/// An offset that lies in no slice.
pub const OUTSIDE: usize = usize::MAX / 2;

/// Work on tiles, for registers of every width.
pub trait Tiled: Sized {
    /// Does it with `N` registers for [`WIDTH`] channels, and `P` pixels of a tile at once.
    fn run<S: Simd, const N: usize, const P: usize>(self, simd: S);

    /// Does it with as many pixels at once as the registers hold sums for.
    #[inline(always)]
    fn run_tiled<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 2, 8>(simd),
            8 => self.run::<S, 4, 2>(simd),
            4 => self.run::<S, 8, 2>(simd),
            _ => self.run::<S, 32, 1>(simd),
        }
    }

    /// Does it with the widest registers that the processor has.
    fn dispatch(self) {
        Arch::new().dispatch(Dispatched(self));
    }
}

struct Dispatched<T>(T);

impl<T: Tiled> WithSimd for Dispatched<T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run_tiled(simd);
    }
}

/// What [`Sums`] does for some of the target's pixels: `target[pixel] = Σ source[pixel's tap] · weights[tap]`.
pub struct Pass {
    taps: usize,
    /// For each tile and tap, where in the source its pixels begin.
    sources: Vec<[usize; TILE]>,
    /// For each tile, where in the target its pixels begin.
    targets: Vec<[usize; TILE]>,
    /// Where its weights begin, (tap, channel of the source, [`WIDTH`])…
    weights: usize,
    /// … and how far on those for the next [`WIDTH`] channels of the target do.
    step: usize,
}

impl Pass {
    /// `source` tells where the tap of a pixel begins, if inside; `target`, where a pixel does.
    pub fn new(
        pixels: usize,
        taps: usize,
        source: impl Fn(usize, usize) -> Option<usize>,
        target: impl Fn(usize) -> usize,
        (weights, step): (usize, usize),
    ) -> Self {
        let tiles = pixels.div_ceil(TILE);
        let (mut sources, mut targets) = (Vec::with_capacity(tiles * taps), Vec::with_capacity(tiles));
        for tile in 0..tiles {
            let pixel = |j: usize| Some(tile * TILE + j).filter(|&pixel| pixel < pixels);
            for tap in 0..taps {
                sources.push(std::array::from_fn(|j| pixel(j).and_then(|pixel| source(pixel, tap)).unwrap_or(OUTSIDE)));
            }
            targets.push(std::array::from_fn(|j| pixel(j).map_or(OUTSIDE, &target)));
        }
        Self { taps, sources, targets, weights, step }
    }
}

/// Runs passes. What lies beyond the slices' ends counts as outside.
pub struct Sums<'a> {
    pub passes: &'a [Pass],
    /// (block of [`WIDTH`] channels of the target, tap, channel of the source, [`WIDTH`]) of each pass.
    pub weights: &'a [f32],
    pub source: &'a [f32],
    /// Channels of the source.
    pub depth: usize,
    pub target: &'a mut [f32],
    /// Channels of the target.
    pub width: usize,
    /// No more pixels than these of each pass.
    pub pixels: usize,
}

impl Tiled for Sums<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize, const P: usize>(self, simd: S) {
        let nothing = vec![0.0; self.depth];
        for pass in self.passes {
            for block in 0..self.width / WIDTH {
                let weights = &self.weights[pass.weights + block * pass.step..][..pass.taps * self.depth * WIDTH];
                let tiles = pass.sources.chunks_exact(pass.taps).zip(&pass.targets);
                for (sources, targets) in tiles.take(self.pixels.div_ceil(TILE)) {
                    if targets[0] >= self.target.len() {
                        break;
                    }
                    for (part, targets) in targets.chunks_exact(P).enumerate() {
                        let sums = tile::<S, N, P>(simd, self.source, &nothing, sources, part * P, weights);
                        for (sums, &at) in sums.iter().zip(targets) {
                            if let Some(out) = self.target.get_mut(at + block * WIDTH..at + (block + 1) * WIDTH) {
                                S::as_mut_simd_f32s(out).0.copy_from_slice(sums);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The sums over all taps for `P` pixels of a tile, from `first` on, and [`WIDTH`] channels.
#[inline(always)]
fn tile<S: Simd, const N: usize, const P: usize>(
    simd: S,
    source: &[f32],
    nothing: &[f32],
    sources: &[[usize; TILE]],
    first: usize,
    weights: &[f32],
) -> [[S::f32s; N]; P] {
    let depth = nothing.len();
    let mut sums = [[simd.splat_f32s(0.0); N]; P];
    for (at, weights) in sources.iter().zip(weights.chunks_exact(depth * WIDTH)) {
        let weights = &S::as_simd_f32s(weights).0.as_chunks::<N>().0[..depth];
        let mut pixels = [nothing; P];
        for j in 0..P {
            pixels[j] = source.get(at[first + j]..at[first + j] + depth).unwrap_or(nothing);
        }
        for k in 0..depth {
            for j in 0..P {
                let value = simd.splat_f32s(pixels[j][k]);
                for n in 0..N {
                    sums[j][n] = simd.mul_add_e_f32s(value, weights[k][n], sums[j][n]);
                }
            }
        }
    }
    sums
}

/// Adds `x * dy` to the sums, for each of `P` values of the one and [`WIDTH`] of the other.
#[inline(always)]
pub fn add_product<S: Simd, const N: usize, const P: usize>(
    simd: S,
    x: &[f32; P],
    dy: &[f32; WIDTH],
    sums: &mut [[S::f32s; N]; P],
) {
    let Some(dy) = S::as_simd_f32s(dy).0.first_chunk::<N>() else { return };
    for j in 0..P {
        let x = simd.splat_f32s(x[j]);
        for n in 0..N {
            sums[j][n] = simd.mul_add_e_f32s(x, dy[n], sums[j][n]);
        }
    }
}
