//! Where the board's corners are in a picture, to a part of a pixel.
//!
//! Checkerboards by OpenCV's finder (A. Duda, U. Frese, "Accurate Detection and Localization of Checkerboard Corners
//! for Calibration", 2018); of a ChArUco board the markers say which corner is which, so that a
//! part of it is enough.

use nalgebra::{Matrix3, SMatrix, SVector, Vector3};
use opencv::core::{Mat, Point2f, Size, TermCriteria, TermCriteria_Type, Vector};
use opencv::prelude::{MatTraitConst, MatTraitConstManual};
use opencv::{calib3d, imgproc};

use super::board::Board;
use super::marker::{CELLS, CELLS_WITH_BORDER, read};
use super::quads::{Quad, quads};

/// A ChArUco board's corners are worth something from so many on.
const LEAST_CORNERS: usize = 6;
/// The cell of a marker that is read is the middle of this many samples a side.
const SAMPLES: usize = 3;
/// Corners are refined (the finder alone is 0.16 pixels off on rendered boards, 0.06 then) within this share of the way
/// to the next corner, of a square or of a marker.
const REFINED_WITHIN: f64 = 0.6;
/// No wider than this, pixels: a wider window sees what lies beside.
const WIDEST_WINDOW: f64 = 7.0;
/// A picture whose sharpest lines are weaker than this (of 255) is blurred.
const SHARP: f64 = 12.0;

/// A grey picture, rows without padding.
#[derive(Clone, Copy)]
pub struct Gray<'a> {
    /// Columns and rows.
    pub size: [usize; 2],
    /// A byte a pixel.
    pub pixels: &'a [u8],
}

/// The corners of a board in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The corner's number on the board, and its pixel (centres at integers).
    pub corners: Vec<(usize, [f64; 2])>,
}

/// Why a board was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// Nothing like a board.
    Nothing,
    /// It has too few pixels.
    TooSmall,
    /// The picture has no sharp line.
    Blurred,
    /// A part of it is out of sight, or hidden.
    CutOff,
    /// A board with other squares or markers.
    OtherPattern,
    /// Its mirror image.
    Mirrored,
}

impl Unseen {
    /// What one should do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Nothing => "no board in sight: bring it closer, and hold it so that all of it is lit alike",
            Self::TooSmall => "the board is too small to be read: bring it closer, or use larger squares",
            Self::Blurred => "the picture is blurred: hold the board still, or give more light",
            Self::CutOff => "a part of the board is out of sight or hidden",
            Self::OtherPattern => "this is a board of another pattern: compare it with `--board`",
            Self::Mirrored => "the picture is mirrored: turn that off in the camera's settings",
        }
    }
}

/// Finds a board's corners in one picture after another.
pub struct Finder {
    board: Board,
}

impl Finder {
    /// For this board.
    #[must_use]
    pub fn new(board: Board) -> Self {
        Self { board }
    }

    /// The corners of the board in `picture`, if it is to be seen.
    ///
    /// # Errors
    /// OpenCV's.
    pub fn step(&self, picture: Gray<'_>) -> opencv::Result<Option<Seen>> {
        match self.board.marker_m {
            None => self.checkerboard(picture),
            Some(side_m) => self.charuco(picture, side_m),
        }
    }

    /// Why there is no board in `picture`: slower than looking for one.
    ///
    /// # Errors
    /// OpenCV's.
    pub fn why(&self, picture: Gray<'_>) -> opencv::Result<Unseen> {
        let (mut large, [width, height]) = (Mat::default(), picture.size.map(|side| 2 * side as i32));
        imgproc::resize(&mat(picture)?, &mut large, Size::new(width, height), 0.0, 0.0, imgproc::INTER_CUBIC)?;
        let large = Gray { size: [width as usize, height as usize], pixels: large.data_bytes()? };
        if self.step(large)?.is_some() {
            return Ok(Unseen::TooSmall);
        }
        match self.board.marker_m {
            None => self.why_no_checkerboard(&mat(picture)?, picture),
            Some(_) => self.why_no_charuco(picture),
        }
    }

    fn checkerboard(&self, picture: Gray<'_>) -> opencv::Result<Option<Seen>> {
        let mat = mat(picture)?;
        let [columns, rows] = self.board.corners();
        let Some(mut corners) = find(&mat, [columns, rows])? else { return Ok(None) };
        // The finder may begin at either end: the square beyond the first corner is black at one of them alone.
        let inner = |n: usize, m: usize| {
            let (a, b) = (corners[n], corners[m]);
            picture.at((a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0)
        };
        let count = corners.len();
        if inner(0, columns + 1) > inner(count - 1, count - columns - 2) {
            corners.reverse();
        }
        let refined = (0..count).map(|n| {
            let nearest = corners.iter().enumerate().filter(|(other, _)| *other != n);
            let room = nearest.map(|(_, other)| distance(*other, corners[n])).fold(f64::INFINITY, f64::min);
            Ok((n, refine(&mat, corners[n], (REFINED_WITHIN * room).clamp(2.0, WIDEST_WINDOW))?))
        });
        Ok(Some(Seen { corners: refined.collect::<opencv::Result<_>>()? }))
    }

    fn why_no_checkerboard(&self, mat: &Mat, picture: Gray<'_>) -> opencv::Result<Unseen> {
        if sharpest(picture) < SHARP {
            return Ok(Unseen::Blurred);
        }
        let [columns, rows] = self.board.corners();
        // A part of a board, or one of other squares, holds a smaller one.
        let is_part = find(mat, [columns - 2, rows - 1])?.is_some() || find(mat, [columns - 1, rows - 2])?.is_some();
        Ok(match is_part {
            true => Unseen::CutOff,
            false if find(mat, [4, 3])?.is_some() => Unseen::OtherPattern,
            false => Unseen::Nothing,
        })
    }

    fn charuco(&self, picture: Gray<'_>, side_m: f64) -> opencv::Result<Option<Seen>> {
        let mat = mat(picture)?;
        let squares: Vec<[usize; 2]> = self.board.marker_squares().collect();
        let quads = quads(&mat)?;
        let read: Vec<(usize, Quad)> = quads.iter().filter_map(|quad| marker(picture, quad)).collect();
        // One marker a number: the largest, as a picture in the room may show one too.
        let mut markers: Vec<Option<Quad>> = vec![None; squares.len()];
        for (id, quad) in &read {
            if let Some(place) = markers.get_mut(*id).filter(|place| place.is_none_or(|seen| seen.area() < quad.area()))
            {
                *place = Some(*quad);
            }
        }
        let mut corners = Vec::new();
        for (n, place) in (0..self.board.corner_count()).map(|n| (n, self.board.corner(n))) {
            let [columns, _] = self.board.corners();
            let (column, row) = (n % columns, n / columns);
            let around = [[column, row], [column + 1, row], [column, row + 1], [column + 1, row + 1]];
            let beside: Vec<usize> =
                around.iter().filter_map(|square| squares.iter().position(|other| other == square)).collect();
            let seen: Vec<(usize, Quad)> = beside.into_iter().filter_map(|id| Some((id, markers[id]?))).collect();
            if seen.is_empty() {
                continue;
            }
            let pairs: Vec<([f64; 2], [f64; 2])> = seen
                .iter()
                .flat_map(|(id, quad)| self.marker_corners(squares[*id], side_m).into_iter().zip(quad.corners))
                .collect();
            let Some(map) = homography(&pairs) else { continue };
            let at = project(&map, [place.x, place.y]);
            let nearest = seen.iter().flat_map(|(_, quad)| quad.corners).map(|corner| distance(corner, at));
            let room = nearest.fold(f64::INFINITY, f64::min);
            if picture.holds(at, 2.0) {
                corners.push((n, at, (REFINED_WITHIN * room).clamp(2.0, WIDEST_WINDOW)));
            }
        }
        if corners.len() < LEAST_CORNERS {
            return Ok(None);
        }
        let refined = corners.iter().map(|(n, at, window)| Ok((*n, refine(&mat, *at, *window)?)));
        let refined: Vec<(usize, [f64; 2], f64)> = refined
            .zip(&corners)
            .map(|(refined, (_, rough, window))| refined.map(|(n, at)| (n, at, distance(at, *rough) / window)))
            .collect::<opencv::Result<_>>()?;
        // What moved out of its window was drawn to something else.
        let corners: Vec<_> =
            refined.into_iter().filter(|(.., moved)| *moved < 1.0).map(|(n, at, _)| (n, at)).collect();
        // Corners of one row or column tell nothing of where the board is.
        let [columns, _] = self.board.corners();
        let spread =
            |of: fn(usize, usize) -> usize| corners.iter().any(|(n, _)| of(*n, columns) != of(corners[0].0, columns));
        let is_seen =
            corners.len() >= LEAST_CORNERS && spread(|n, columns| n % columns) && spread(|n, columns| n / columns);
        Ok(is_seen.then_some(Seen { corners }))
    }

    fn why_no_charuco(&self, picture: Gray<'_>) -> opencv::Result<Unseen> {
        let quads = quads(&mat(picture)?)?;
        let read: Vec<(usize, Quad)> = quads.iter().filter_map(|quad| marker(picture, quad)).collect();
        if !read.is_empty() {
            let known = self.board.marker_squares().count();
            let ours = read.iter().filter(|(id, _)| *id < known).count();
            return Ok(if 2 * ours >= read.len() { Unseen::CutOff } else { Unseen::OtherPattern });
        }
        let mirrored = quads.iter().filter(|quad| marker(picture, &quad.mirrored()).is_some()).count();
        Ok(match quads.len() {
            _ if mirrored > 1 => Unseen::Mirrored,
            _ if sharpest(picture) < SHARP => Unseen::Blurred,
            0..=3 => Unseen::Nothing,
            _ => Unseen::OtherPattern,
        })
    }

    /// Corners of the marker in this square, metres, clockwise from the upper left.
    fn marker_corners(&self, [column, row]: [usize; 2], side_m: f64) -> [[f64; 2]; 4] {
        let inset = (self.board.square_m - side_m) / 2.0;
        let (left, top) = (column as f64 * self.board.square_m + inset, row as f64 * self.board.square_m + inset);
        [[left, top], [left + side_m, top], [left + side_m, top + side_m], [left, top + side_m]]
    }
}

impl Gray<'_> {
    fn holds(&self, [x, y]: [f64; 2], margin: f64) -> bool {
        let inside = |value: f64, size: usize| (margin..size as f64 - 1.0 - margin).contains(&value);
        inside(x, self.size[0]) && inside(y, self.size[1])
    }

    /// Between its four pixels; the nearest one beyond the border.
    fn at(&self, x: f64, y: f64) -> f64 {
        let [width, height] = self.size;
        let (x, y) = (x.clamp(0.0, width as f64 - 1.0), y.clamp(0.0, height as f64 - 1.0));
        let (left, top) = (x.floor() as usize, y.floor() as usize);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (fx, fy) = (x - left as f64, y - top as f64);
        let pixel = |column: usize, row: usize| f64::from(self.pixels[row * width + column]);
        let along = |row: usize| pixel(left, row) * (1.0 - fx) + pixel(right, row) * fx;
        along(top) * (1.0 - fy) + along(bottom) * fy
    }
}

fn mat(picture: Gray<'_>) -> opencv::Result<Mat> {
    Mat::new_rows_cols_with_data(picture.size[1] as i32, picture.size[0] as i32, picture.pixels)?.try_clone()
}

/// The corners of a checkerboard with so many, row by row.
fn find(mat: &Mat, [columns, rows]: [usize; 2]) -> opencv::Result<Option<Vec<[f64; 2]>>> {
    if columns < 3 || rows < 3 {
        return Ok(None);
    }
    let mut corners = Vector::<Point2f>::new();
    let size = Size::new(columns as i32, rows as i32);
    let found = calib3d::find_chessboard_corners_sb(mat, size, &mut corners, calib3d::CALIB_CB_NORMALIZE_IMAGE)?;
    Ok(found.then(|| corners.iter().map(|corner| [f64::from(corner.x), f64::from(corner.y)]).collect()))
}

fn refine(mat: &Mat, [x, y]: [f64; 2], window: f64) -> opencv::Result<[f64; 2]> {
    let mut corners = Vector::<Point2f>::from_iter([Point2f::new(x as f32, y as f32)]);
    let half = Size::new(window as i32, window as i32);
    let until = TermCriteria::new(TermCriteria_Type::COUNT as i32 | TermCriteria_Type::EPS as i32, 40, 0.001)?;
    imgproc::corner_sub_pix(mat, &mut corners, half, Size::new(-1, -1), until)?;
    let refined = corners.get(0)?;
    Ok([f64::from(refined.x), f64::from(refined.y)])
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The marker in a quadrilateral, its corners clockwise from the marker's own upper left.
fn marker(picture: Gray<'_>, quad: &Quad) -> Option<(usize, Quad)> {
    let side = CELLS_WITH_BORDER as f64;
    let square = [[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]];
    let pairs: Vec<_> = square.into_iter().zip(quad.corners).collect();
    let map = homography(&pairs)?;
    let level = |column: usize, row: usize| {
        let offset = |n: usize| 0.3 + 0.4 * n as f64 / (SAMPLES - 1) as f64;
        let samples = (0..SAMPLES * SAMPLES).map(|n| {
            let [x, y] = project(&map, [column as f64 + offset(n % SAMPLES), row as f64 + offset(n / SAMPLES)]);
            picture.at(x, y)
        });
        samples.sum::<f64>() / (SAMPLES * SAMPLES) as f64
    };
    let cells: Vec<f64> = (0..CELLS_WITH_BORDER * CELLS_WITH_BORDER)
        .map(|n| level(n % CELLS_WITH_BORDER, n / CELLS_WITH_BORDER))
        .collect();
    let darkest = cells.iter().copied().fold(f64::INFINITY, f64::min);
    let lightest = cells.iter().copied().fold(0.0, f64::max);
    let is_white = |column: usize, row: usize| cells[row * CELLS_WITH_BORDER + column] > (darkest + lightest) / 2.0;
    let edge = CELLS_WITH_BORDER - 1;
    let has_border =
        (0..CELLS_WITH_BORDER).all(|n| !(is_white(n, 0) || is_white(n, edge) || is_white(0, n) || is_white(edge, n)));
    if !has_border || lightest - darkest < 20.0 {
        return None;
    }
    let bits = (0..CELLS * CELLS).map(|n| u16::from(is_white(1 + n % CELLS, 1 + n / CELLS)));
    let (id, quarters) = read(bits.fold(0, |code, bit| code << 1 | bit))?;
    let mut quad = *quad;
    quad.corners.rotate_left(quarters);
    Some((id, quad))
}

/// The projective map of the first points onto the second ones, by least squares with the last entry 1.
fn homography(pairs: &[([f64; 2], [f64; 2])]) -> Option<Matrix3<f64>> {
    let mut normal = SMatrix::<f64, 8, 8>::zeros();
    let mut right = SVector::<f64, 8>::zeros();
    // About their centre and size, so that the equations are of one size.
    let count = pairs.len() as f64;
    let mean = |of: fn(&([f64; 2], [f64; 2])) -> f64| pairs.iter().map(of).sum::<f64>() / count;
    let from = [mean(|pair| pair.0[0]), mean(|pair| pair.0[1])];
    let to = [mean(|pair| pair.1[0]), mean(|pair| pair.1[1])];
    let size = |sum: f64| (sum / count).max(1e-12);
    let from_size = size(pairs.iter().map(|pair| distance(pair.0, from)).sum());
    let to_size = size(pairs.iter().map(|pair| distance(pair.1, to)).sum());
    for (a, b) in pairs {
        let [x, y] = [0, 1].map(|n| (a[n] - from[n]) / from_size);
        let [u, v] = [0, 1].map(|n| (b[n] - to[n]) / to_size);
        for (row, value) in [
            (SVector::from([x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y]), u),
            (SVector::from([0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y]), v),
        ] {
            normal += row * row.transpose();
            right += row * value;
        }
    }
    let h = normal.lu().solve(&right)?;
    let inner = Matrix3::new(h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], 1.0);
    let before = Matrix3::new(
        1.0 / from_size,
        0.0,
        -from[0] / from_size,
        0.0,
        1.0 / from_size,
        -from[1] / from_size,
        0.0,
        0.0,
        1.0,
    );
    let after = Matrix3::new(to_size, 0.0, to[0], 0.0, to_size, to[1], 0.0, 0.0, 1.0);
    Some(after * inner * before)
}

fn project(map: &Matrix3<f64>, [x, y]: [f64; 2]) -> [f64; 2] {
    let at = map * Vector3::new(x, y, 1.0);
    [at.x / at.z, at.y / at.z]
}

/// The 99th percentile of the differences of neighbours in a row.
fn sharpest(picture: Gray<'_>) -> f64 {
    let mut counts = [0_usize; 256];
    for row in picture.pixels.chunks_exact(picture.size[0]) {
        for pair in row.windows(2) {
            counts[usize::from(pair[0].abs_diff(pair[1]))] += 1;
        }
    }
    let all: usize = counts.iter().sum();
    let mut above = 0;
    let level = (0..256).rev().find(|level| {
        above += counts[*level];
        above * 100 > all
    });
    level.unwrap_or(0) as f64
}
