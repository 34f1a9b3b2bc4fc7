//! A board to print, true to size: SVG and PDF, with a ruler to hold against the print.

use std::fmt::Write;

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

use super::board::Board;
use super::marker::{CELLS_WITH_BORDER, is_white};

/// White around the board, or half of a square's side: the corners lie a square further in.
const LEAST_MARGIN_MM: f64 = 10.0;
/// Below the board, for the ruler and what the board is.
const FOOT_MM: f64 = 20.0;
/// The ruler's length.
const RULER_MM: f64 = 100.0;
const TEXT_MM: f64 = 3.5;
const POINTS_PER_MM: f64 = 72.0 / 25.4;

/// A black rectangle, millimetres from the sheet's upper left corner.
#[derive(Clone, Copy, Debug)]
struct Black {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// A sheet of paper with a board on it.
pub struct Sheet {
    size_mm: [f64; 2],
    black: Vec<Black>,
    /// Left end of the line, millimetres, and what it says.
    texts: Vec<([f64; 2], String)>,
}

impl Sheet {
    /// The smallest sheet that shows `board` and the ruler with white around them.
    #[must_use]
    pub fn of(board: &Board) -> Self {
        let square = board.square_m * 1e3;
        let margin = (square / 2.0).max(LEAST_MARGIN_MM);
        let [width, height] = board.size_m().map(|side| side * 1e3);
        let size_mm = [width.max(RULER_MM) + 2.0 * margin, height + 2.0 * margin + FOOT_MM];
        let mut sheet = Self { size_mm, black: Vec::new(), texts: Vec::new() };
        let at = |square_place: usize| margin + square_place as f64 * square;
        let [columns, rows] = board.squares;
        for (column, row) in (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row))) {
            if board.is_black(column, row) {
                sheet.black.push(Black { x: at(column), y: at(row), w: square, h: square });
            }
        }
        if let Some(side) = board.marker_m.map(|metres| metres * 1e3) {
            let (inset, cell) = ((square - side) / 2.0, side / CELLS_WITH_BORDER as f64);
            for (id, [column, row]) in board.marker_squares().enumerate() {
                sheet.marker(id, at(column) + inset, at(row) + inset, cell);
            }
        }
        sheet.foot(board, margin, height + margin + 5.0);
        sheet
    }

    /// Runs of black cells as one rectangle each: printers draw fine lines between cells that touch.
    fn marker(&mut self, id: usize, x: f64, y: f64, cell: f64) {
        for row in 0..CELLS_WITH_BORDER {
            let mut column = 0;
            while column < CELLS_WITH_BORDER {
                let run = (column..CELLS_WITH_BORDER).take_while(|&place| !is_white(id, place, row)).count();
                if run > 0 {
                    let (x, y) = (x + column as f64 * cell, y + row as f64 * cell);
                    self.black.push(Black { x, y, w: run as f64 * cell, h: cell });
                }
                column += run.max(1);
            }
        }
    }

    fn foot(&mut self, board: &Board, left: f64, top: f64) {
        self.black.push(Black { x: left, y: top + 4.0, w: RULER_MM, h: 0.2 });
        for mm in 0..=RULER_MM as usize {
            let long = if mm.is_multiple_of(10) { 4.0 } else { 2.0 };
            self.black.push(Black { x: left + mm as f64 - 0.1, y: top + 4.0 - long, w: 0.2, h: long });
        }
        let says = [
            board.to_string(),
            format!("This ruler is {RULER_MM} mm long: print at 100 %, measure it,"),
            "and glue the sheet to something flat.".to_owned(),
        ];
        let lines = says.into_iter().enumerate();
        self.texts.extend(lines.map(|(n, line)| ([left, top + 5.0 + TEXT_MM * (1.0 + 1.2 * n as f64)], line)));
    }

    /// Width and height of the sheet, millimetres.
    #[must_use]
    pub fn size_mm(&self) -> [f64; 2] {
        self.size_mm
    }

    /// As SVG, a millimetre a unit.
    #[must_use]
    pub fn svg(&self) -> String {
        let [width, height] = self.size_mm;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" \
             viewBox=\"0 0 {width} {height}\" shape-rendering=\"crispEdges\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        for Black { x, y, w, h } in &self.black {
            let _ = writeln!(svg, "<rect x=\"{x:.4}\" y=\"{y:.4}\" width=\"{w:.4}\" height=\"{h:.4}\"/>");
        }
        for ([x, y], text) in &self.texts {
            let _ = writeln!(
                svg,
                "<text x=\"{x:.4}\" y=\"{y:.4}\" font-family=\"sans-serif\" font-size=\"{TEXT_MM}\">{text}</text>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// As PDF, one page as large as the sheet.
    #[must_use]
    pub fn pdf(&self) -> Vec<u8> {
        let [catalog, pages, page, content, font] = [1, 2, 3, 4, 5].map(Ref::new);
        let points = |mm: f64| (mm * POINTS_PER_MM) as f32;
        let [width, height] = self.size_mm;
        let mut drawn = Content::new();
        // PDF counts from the lower left corner.
        for Black { x, y, w, h } in &self.black {
            drawn.rect(points(*x), points(height - y - h), points(*w), points(*h));
        }
        drawn.fill_nonzero();
        for ([x, y], text) in &self.texts {
            drawn.begin_text().set_font(Name(b"F"), points(TEXT_MM)).next_line(points(*x), points(height - y));
            drawn.show(Str(text.as_bytes())).end_text();
        }
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(pages);
        pdf.pages(pages).kids([page]).count(1);
        let mut sheet = pdf.page(page);
        sheet.media_box(Rect::new(0.0, 0.0, points(width), points(height))).parent(pages).contents(content);
        sheet.resources().fonts().pair(Name(b"F"), font);
        sheet.finish();
        pdf.type1_font(font).base_font(Name(b"Helvetica"));
        pdf.stream(content, &drawn.finish());
        pdf.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_board_fits_a4_and_letter_with_what_printers_leave_white() {
        let [width, height] = Sheet::of(&Board::DEFAULT.parse().expect("a board")).size_mm();
        let (a4, letter, white) = ([297.0, 210.0], [279.4, 215.9], 10.0);
        assert!([a4, letter].iter().all(|[w, h]| width <= w - white && height <= h - white), "{width} x {height}");
    }
}
