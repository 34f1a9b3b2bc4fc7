//! Takes of boards, drawn as known cameras see them.

use std::path::Path;

use nalgebra::{Isometry3, Point3, Vector3};
use vultus::calibrate::board::Board;
use vultus::calibrate::marker::{CELLS_WITH_BORDER, is_white};
use vultus::image::Image;
use vultus::image::encode::JpegEncoder;
use vultus::rig::lens::Lens;

pub const SIZE: [u32; 2] = [640, 360];
pub const CHARUCO: &str = "charuco:10x7:25mm:18mm:4x4_50";
pub const CHECKERBOARD: &str = "checkerboard:9x6:25mm";

/// A camera as it is.
pub struct Truth {
    pub lens: Lens,
    pub camera_from_world: Isometry3<f64>,
}

/// Three cameras, of which the outer ones never see the board at the same time.
pub fn rig() -> Vec<Truth> {
    let camera = |focal: f64, k1: f64, x: f64, turn: f64| Truth {
        lens: Lens {
            focal: [focal, focal + 1.5],
            principal: [322.0, 176.0],
            distortions: [k1, 0.03, 0.0003, -0.0005, 0.0],
        },
        camera_from_world: Isometry3::new(Vector3::zeros(), Vector3::new(0.0, turn, 0.0))
            * Isometry3::translation(-x, 0.0, 0.0),
    };
    vec![camera(610.0, -0.08, 0.0, 0.0), camera(640.0, -0.05, 0.35, 0.45), camera(590.0, -0.1, 0.7, 0.9)]
}

/// Places of the board's centre before the first two cameras, and before the last two.
pub fn poses(board: &Board) -> Vec<Isometry3<f64>> {
    let [width, height] = board.size_m();
    let centred = Isometry3::translation(-width / 2.0, -height / 2.0, 0.0);
    (0..24)
        .map(|n| {
            let k = f64::from(n);
            let between = if n % 2 == 0 { Vector3::new(0.15, 0.0, 0.0) } else { Vector3::new(0.45, 0.0, 0.12) };
            let aside = Vector3::new(0.07 * (k * 1.3).sin(), 0.06 * (k * 2.1).cos(), 0.55 + 0.12 * (k * 0.7).sin());
            let turn = if n % 2 == 0 { -0.2 } else { -0.65 };
            let tilt = Vector3::new(0.5 * (k * 1.7).sin(), turn + 0.45 * (k * 0.9).cos(), 0.3 * (k * 0.5).sin());
            Isometry3::new(between + aside, tilt) * centred
        })
        .collect()
}

/// A board as it is printed: its white squares' markers, by place.
struct Print {
    board: Board,
    markers: Vec<Option<usize>>,
}

impl Print {
    fn new(board: Board) -> Self {
        let [columns, rows] = board.squares;
        let all: Vec<[usize; 2]> = board.marker_squares().collect();
        let marker = |n: usize| all.iter().position(|square| *square == [n % columns, n / columns]);
        Self { board, markers: (0..columns * rows).map(marker).collect() }
    }

    /// The board's shade at a place on it: black, white, or nothing of it.
    fn shade(&self, x: f64, y: f64) -> Option<u8> {
        let Self { board, markers } = self;
        let (column, row) = ((x / board.square_m).floor(), (y / board.square_m).floor());
        let [columns, rows] = board.squares.map(|squares| squares as f64);
        if column < -1.0 || row < -1.0 || column > columns || row > rows {
            return None;
        }
        if column < 0.0 || row < 0.0 || column >= columns || row >= rows {
            return Some(235);
        }
        let (column, row) = (column as usize, row as usize);
        let is_black = board.is_black(column, row)
            || board.marker_m.is_some_and(|side| {
                let id = markers[row * board.squares[0] + column].expect("a white square");
                let inset = (board.square_m - side) / 2.0;
                let cell = |at: f64, square: usize| {
                    ((at - square as f64 * board.square_m - inset) / side * CELLS_WITH_BORDER as f64).floor()
                };
                let (u, v) = (cell(x, column), cell(y, row));
                let inside = |cell: f64| (0.0..CELLS_WITH_BORDER as f64).contains(&cell);
                inside(u) && inside(v) && !is_white(id, u as usize, v as usize)
            });
        Some(if is_black { 25 } else { 235 })
    }

    /// What a camera sees of it: the mean of three by three rays a pixel.
    fn picture(&self, camera: &Truth, world_from_board: &Isometry3<f64>) -> Image {
        let board_from_camera = world_from_board.inverse() * camera.camera_from_world.inverse();
        let origin = board_from_camera * Point3::origin();
        let [width, height] = SIZE;
        let shade = |pixel: [f64; 2]| {
            let way = board_from_camera * camera.lens.unproject(pixel);
            let along = -origin.z / way.z;
            let at = origin + way * along;
            (along > 0.0).then(|| self.shade(at.x, at.y)).flatten()
        };
        let pixels = (0..width * height).flat_map(|n| {
            let (u, v) = (f64::from(n % width), f64::from(n / width));
            let around = (0..9).map(|n: u32| {
                let aside = |k: u32| (f64::from(k) - 1.0) / 3.0;
                u32::from(shade([u + aside(n % 3), v + aside(n / 3)]).unwrap_or(BESIDE))
            });
            // Where there is nothing of the board in its middle, a pixel's border is not looked at.
            let level = if shade([u, v]).is_some() { around.sum::<u32>() / 9 } else { u32::from(BESIDE) };
            [level as u8; 3]
        });
        Image { width: width as usize, height: height as usize, scale: 1.0, rgb: pixels.collect() }
    }
}

/// The shade of the room.
const BESIDE: u8 = 120;

/// A take's folder: each pose for two frames of each camera.
pub fn film(folder: &Path, board: &Board, cameras: &[Truth], poses: &[Isometry3<f64>]) {
    let print = Print::new(*board);
    let mut encoder = JpegEncoder::new(95).expect("an encoder");
    for (n, camera) in cameras.iter().enumerate() {
        let of_camera = folder.join(format!("cam{n}"));
        std::fs::create_dir_all(&of_camera).expect("made");
        let mut times = "seq,captured_ns,received_ns\n".to_owned();
        for (pose, place) in poses.iter().enumerate() {
            let jpeg = encoder.picture(&print.picture(camera, place)).expect("encoded").to_vec();
            for seq in [2 * pose, 2 * pose + 1] {
                std::fs::write(of_camera.join(format!("{seq:06}.jpg")), &jpeg).expect("written");
                let at = 1_000_000_000 + seq as i64 * 100_000_000 + n as i64 * 7_000_000;
                times += &format!("{seq},{at},{}\n", at + 20_000_000);
            }
        }
        std::fs::write(of_camera.join("timestamps.csv"), times).expect("written");
    }
}
