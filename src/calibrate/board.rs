//! The boards that rigs are calibrated with: a checkerboard, or one with markers in its white squares (ChArUco), which is
//! also read where a part of it is hidden.
//!
//! A board's frame: origin at the outer corner of the first square, x along its columns, y along its rows, z into it.

use std::fmt;
use std::str::FromStr;

use nalgebra::Point3;

use super::marker;

/// A flat board of squares; the first one is black.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Board {
    /// Columns and rows of squares.
    pub squares: [usize; 2],
    /// A square's side, metres.
    pub square_m: f64,
    /// The side of the markers in the white squares, metres; none on a checkerboard.
    pub marker_m: Option<f64>,
}

/// What a board must have: fewer corners tell too little of a lens, more are too small to see.
const SQUARES: std::ops::RangeInclusive<usize> = 4..=30;
/// Sides of squares, millimetres.
const SIDES_MM: std::ops::RangeInclusive<f64> = 2.0..=500.0;

impl Board {
    /// The board that is meant where none is named: its sheet fits A4 and Letter.
    pub const DEFAULT: &'static str = "charuco:9x6:25mm:18mm:4x4_50";

    /// Columns and rows of corners at which four squares meet.
    #[must_use]
    pub fn corners(&self) -> [usize; 2] {
        self.squares.map(|squares| squares - 1)
    }

    /// How many corners.
    #[must_use]
    pub fn corner_count(&self) -> usize {
        let [columns, rows] = self.corners();
        columns * rows
    }

    /// Where corner `n` is, row by row, metres.
    #[must_use]
    pub fn corner(&self, n: usize) -> Point3<f64> {
        let [columns, _] = self.corners();
        let along = |square: usize| (square + 1) as f64 * self.square_m;
        Point3::new(along(n % columns), along(n / columns), 0.0)
    }

    /// Whether the square in this column and row is black.
    #[must_use]
    pub fn is_black(&self, column: usize, row: usize) -> bool {
        (column + row).is_multiple_of(2)
    }

    /// The white squares, row by row: a marker's number is its place here. Empty on a checkerboard.
    pub fn marker_squares(&self) -> impl Iterator<Item = [usize; 2]> {
        let [columns, rows] = if self.marker_m.is_some() { self.squares } else { [0, 0] };
        let all = (0..rows).flat_map(move |row| (0..columns).map(move |column| [column, row]));
        all.filter(|[column, row]| !self.is_black(*column, *row))
    }

    /// Width and height, metres.
    #[must_use]
    pub fn size_m(&self) -> [f64; 2] {
        self.squares.map(|squares| squares as f64 * self.square_m)
    }
}

/// Millimetres without a rest of rounding.
fn mm(metres: f64) -> f64 {
    (metres * 1e6).round() / 1e3
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([columns, rows], [across, down]) = (self.squares, self.corners());
        let square = mm(self.square_m);
        match self.marker_m {
            None => write!(f, "checkerboard:{across}x{down}:{square}mm"),
            Some(side) => write!(f, "charuco:{columns}x{rows}:{square}mm:{}mm:{}", mm(side), marker::DICTIONARY),
        }
    }
}

/// Why a board's description is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BoardError {
    #[error(
        "not `checkerboard:9x6:25mm` (corners at which four squares meet, and a square's side) or `charuco:10x7:25mm:18mm:4x4_50` (squares, their side, the markers' side, their dictionary)"
    )]
    Form,
    #[error("{squares} squares a side; a board has {} to {}", SQUARES.start(), SQUARES.end())]
    Squares { squares: usize },
    #[error("`{side}` is no side of a square: {} to {} millimetres, such as `25mm`", SIDES_MM.start(), SIDES_MM.end())]
    Side { side: String },
    #[error("markers must be smaller than their squares and at least half as large")]
    Marker,
    #[error("the dictionary `{name}` is not known; `{}` is", marker::DICTIONARY)]
    Dictionary { name: String },
    #[error("it has {count} white squares, and the dictionary has {} markers", marker::CODES.len())]
    Markers { count: usize },
    #[error(
        "a checkerboard of {columns}x{rows} corners looks the same when it is turned round: make one number odd and the other even"
    )]
    Symmetric { columns: usize, rows: usize },
}

impl FromStr for Board {
    type Err = BoardError;

    fn from_str(text: &str) -> Result<Self, BoardError> {
        let parts: Vec<&str> = text.split(':').collect();
        let counts = |text: &str| {
            let (columns, rows) = text.split_once('x').ok_or(BoardError::Form)?;
            // More than can be is refused below.
            let count = |text: &str| text.parse::<u16>().map(usize::from).map_err(|_| BoardError::Form);
            Ok([count(columns)?, count(rows)?])
        };
        let side = |text: &str| {
            let side = text.strip_suffix("mm").and_then(|number| number.parse().ok());
            let side = side.filter(|mm| SIDES_MM.contains(mm)).map(|mm: f64| mm / 1e3);
            side.ok_or_else(|| BoardError::Side { side: text.to_owned() })
        };
        let board = match parts[..] {
            ["checkerboard", corners, square] => {
                let [columns, rows] = counts(corners)?;
                if columns % 2 == rows % 2 {
                    return Err(BoardError::Symmetric { columns, rows });
                }
                Self { squares: [columns + 1, rows + 1], square_m: side(square)?, marker_m: None }
            }
            ["charuco", squares, square, marker, dictionary] => {
                if dictionary != marker::DICTIONARY {
                    return Err(BoardError::Dictionary { name: dictionary.to_owned() });
                }
                Self { squares: counts(squares)?, square_m: side(square)?, marker_m: Some(side(marker)?) }
            }
            _ => return Err(BoardError::Form),
        };
        if let Some(squares) = board.squares.into_iter().find(|squares| !SQUARES.contains(squares)) {
            return Err(BoardError::Squares { squares });
        }
        if board.marker_m.is_some_and(|side| side >= board.square_m || side < board.square_m / 2.0) {
            return Err(BoardError::Marker);
        }
        let count = board.marker_squares().count();
        if count > marker::CODES.len() {
            return Err(BoardError::Markers { count });
        }
        Ok(board)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_written_as_it_is_read() {
        for text in ["checkerboard:9x6:25mm", "charuco:10x7:25mm:18mm:4x4_50", "checkerboard:8x5:30.5mm"] {
            let board: Board = text.parse().expect(text);
            assert_eq!(board.to_string(), text);
        }
        let board: Board = "charuco:10x7:25mm:18mm:4x4_50".parse().expect("a board");
        assert_eq!((board.corners(), board.corner_count()), ([9, 6], 54));
        let last = board.corner(53);
        assert!((last - Point3::new(0.225, 0.15, 0.0)).norm() < 1e-12, "{last}");
        assert_eq!(
            board.marker_squares().take(6).collect::<Vec<_>>(),
            [[1, 0], [3, 0], [5, 0], [7, 0], [9, 0], [0, 1]]
        );
    }

    #[test]
    fn what_is_no_board_is_said() {
        let error = |text: &str| text.parse::<Board>().expect_err(text).to_string();
        assert!(error("chessboard:9x6:25mm").contains("checkerboard:9x6:25mm"));
        assert!(error("checkerboard:9x6:25").contains("`25`"));
        assert!(error("checkerboard:9x7:25mm").contains("turned round"));
        assert!(error("checkerboard:2x5:25mm").contains("3 squares"));
        assert!(error("charuco:10x7:25mm:26mm:4x4_50").contains("smaller"));
        assert!(error("charuco:10x7:25mm:18mm:5x5_100").contains("`5x5_100`"));
        assert!(error("charuco:20x20:25mm:18mm:4x4_50").contains("200 white squares"));
    }
}
