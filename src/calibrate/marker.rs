//! The markers in a ChArUco board's white squares: ArUco's dictionary `4x4_50` (S. Garrido-Jurado et al., "Automatic
//! generation and detection of highly reliable fiducial markers under occlusion", 2014; the codes are OpenCV's).

/// The name of the dictionary.
pub const DICTIONARY: &str = "4x4_50";
/// Cells a side of a marker's code; a black cell more is around it.
pub const CELLS: usize = 4;
/// Cells a side with that border.
pub const CELLS_WITH_BORDER: usize = CELLS + 2;

/// The codes, row by row from the highest bit; 1 is white.
pub const CODES: [u16; 50] = [
    0xb532, 0x0f9a, 0x332d, 0x9946, 0x549e, 0x79cd, 0x9e2e, 0xc4f2, 0xfeda, 0xcf56, 0xf991, 0x11a7, 0x0eb7, 0x2a0f,
    0x24b1, 0x263e, 0x4665, 0x6600, 0x6c5e, 0x76af, 0x868b, 0xb02b, 0xccd5, 0xdd82, 0xfe47, 0x9471, 0xace4, 0xa554,
    0x2123, 0x346f, 0x4415, 0x57b2, 0x9ecf, 0xf0cb, 0x08ae, 0x0929, 0x1875, 0x04ff, 0x0df6, 0x1c5a, 0x1718, 0x2a28,
    0x328c, 0x38b2, 0x24e8, 0x2eeb, 0x2d3f, 0x4b64, 0x502e, 0x5013,
];

/// Whether the cell in this column and row of marker `id`, its border counted, is white.
#[must_use]
pub fn is_white(id: usize, column: usize, row: usize) -> bool {
    let inside = 1..=CELLS;
    inside.contains(&column)
        && inside.contains(&row)
        && CODES[id] >> (CELLS * CELLS - 1 - ((row - 1) * CELLS + column - 1)) & 1 == 1
}

/// A code turned by a quarter to the right.
fn turned(code: u16) -> u16 {
    let mut turned = 0;
    for row in 0..CELLS {
        for column in 0..CELLS {
            // What comes to this place was a quarter to the left.
            let from = (CELLS - 1 - column) * CELLS + row;
            turned = turned << 1 | (code >> (CELLS * CELLS - 1 - from) & 1);
        }
    }
    turned
}

/// The marker of a code that was read, and by how many quarters to the right it was turned; `None` for one that is
/// nobody's. Nothing is corrected: a board
/// has more markers than it needs.
#[must_use]
pub fn read(code: u16) -> Option<(usize, usize)> {
    CODES.iter().enumerate().find_map(|(id, of_marker)| {
        let mut seen = *of_marker;
        (0..4).find_map(|quarters| {
            let is_it = (seen == code).then_some((id, quarters));
            seen = turned(seen);
            is_it
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_whichever_way_it_is_turned() {
        for (id, code) in CODES.into_iter().enumerate() {
            let mut seen = code;
            for quarters in 0..4 {
                assert_eq!(read(seen), Some((id, quarters)));
                seen = turned(seen);
            }
            assert_eq!(seen, code);
        }
        assert_eq!(read(0x0000), None);
        assert_eq!(read(0xffff), None);
    }

    #[test]
    fn a_border_is_black_and_the_first_code_is_its_own() {
        let row = |row: usize| (0..CELLS_WITH_BORDER).map(|column| is_white(0, column, row)).collect::<Vec<_>>();
        assert_eq!(row(0), [false; 6]);
        // 0xb is 1011.
        assert_eq!(row(1), [false, true, false, true, true, false]);
    }
}
