//! What was taken for what.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Area, COLOURS, Drawn, INK, PALE, PlotError, picture, text};
use crate::scene::Expression;
use crate::train::metrics::Counts;

const CELL: i32 = 64;
const LEFT: i32 = 130;
const TOP: i32 = 34;

/// A row a true class, a column a named class, in per cent of the row; a last column for faces that were not found, if
/// there are any. Classes without a picture have an empty row.
///
/// # Errors
/// [`PlotError`]: without a picture.
pub fn confusion(title: &str, counts: &Counts) -> Result<String, PlotError> {
    if counts.faces() == 0 {
        return Err(PlotError::Empty { title: title.to_owned() });
    }
    let has_missed = counts.missed.iter().any(|missed| *missed > 0);
    let columns = Expression::COUNT as i32 + i32::from(has_missed);
    let size = (LEFT + columns * CELL + 26, TOP + Expression::COUNT as i32 * CELL + 40 + 46);
    picture(title, &[], (size.0 as u32, size.1 as u32), |area: &Area<'_>| -> Drawn {
        let below = TOP + Expression::COUNT as i32 * CELL + 8;
        let middle_of = |n: usize| n as i32 * CELL + CELL / 2;
        let caption = "rows: true class, columns: named class, % of the row";
        area.draw(&Text::new(caption, (LEFT, TOP - 16), text(15, INK, HPos::Left, VPos::Center)))?;
        let heads = Expression::ALL.iter().map(|class| class.name()).chain(has_missed.then_some("not found"));
        for (column, name) in heads.enumerate() {
            let place = (LEFT + middle_of(column), below);
            area.draw(&Text::new(name, place, text(14, INK, HPos::Center, VPos::Top)))?;
        }
        for (row, class) in Expression::ALL.iter().enumerate() {
            let y = TOP + row as i32 * CELL;
            let place = (LEFT - 10, y + CELL / 2);
            area.draw(&Text::new(class.name(), place, text(15, INK, HPos::Right, VPos::Center)))?;
            let named = counts.confusion[row].iter().chain(has_missed.then_some(&counts.missed[row]));
            let all = counts.confusion[row].iter().sum::<u64>() + counts.missed[row];
            for (column, count) in named.enumerate() {
                let share = if all == 0 { 0.0 } else { *count as f64 / all as f64 };
                let x = LEFT + column as i32 * CELL;
                let corners = [(x, y), (x + CELL - 1, y + CELL - 1)];
                area.draw(&Rectangle::new(corners, WHITE.filled()))?;
                area.draw(&Rectangle::new(corners, COLOURS[0].mix(share).filled()))?;
                area.draw(&Rectangle::new(corners, PALE.stroke_width(1)))?;
                if *count > 0 {
                    let ink = if share > 0.55 { WHITE } else { INK };
                    let place = (x + CELL / 2, y + CELL / 2);
                    let label = format!("{:.0}", 100.0 * share);
                    area.draw(&Text::new(label, place, text(17, ink, HPos::Center, VPos::Center)))?;
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_in_per_cent_and_misses_apart() {
        let mut counts = Counts::default();
        counts.confusion[3] = [0, 0, 0, 9, 0, 0, 2];
        let without = confusion("Confusion", &counts).expect("drawn");
        assert!(!without.contains("not found"));
        counts.missed[3] = 1;
        let svg = confusion("Confusion", &counts).expect("drawn");
        let is_label = |text: &str| svg.lines().any(|line| line.trim() == text);
        assert!(is_label("not found") && is_label("75") && is_label("17") && is_label("8"), "{svg}");
        assert!(confusion("Confusion", &Counts::default()).is_err());
    }
}
