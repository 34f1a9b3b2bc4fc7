//! Bars side by side in groups: accuracy from every angle, a bar a method.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{Area, Axis, Drawn, INK, PlotError, chart, colour, picture, plain, text, ticks};

/// A bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Its height.
    pub value: f64,
    /// The standard deviation, drawn up and down; 0 if there is none.
    pub sd: f64,
}

/// Bars that stand together.
#[derive(Clone, Debug, PartialEq)]
pub struct BarGroup {
    /// What stands below them.
    pub name: String,
    /// One a name of the legend; a gap where there is no value.
    pub bars: Vec<Option<Bar>>,
}

/// Groups of bars from 0 to 100 (per cent), one bar a name in `names`.
///
/// # Errors
/// [`PlotError`]: without a bar.
pub fn bars(title: &str, y_label: &str, names: &[&str], groups: &[BarGroup]) -> Result<String, PlotError> {
    if groups.iter().all(|group| group.bars.iter().all(Option::is_none)) {
        return Err(PlotError::Empty { title: title.to_owned() });
    }
    let name_of = |x: &f64| groups.get(*x as usize).map_or(String::new(), |group| group.name.clone());
    let middles = (0..groups.len()).map(|n| n as f64 + 0.5).collect();
    let width = (140 + groups.len() * (26 + 30 * names.len())).clamp(480, 1400) as u32;
    picture(title, names, (width, 440), |area: &Area<'_>| -> Drawn {
        let x = Axis { low: 0.0, high: groups.len() as f64, ticks: middles, label: "", format: &name_of };
        let y = Axis { low: 0.0, high: 104.0, ticks: ticks(0.0, 100.0), label: y_label, format: &plain };
        let mut chart = chart(area, x, y, false)?;
        let (room, wide) = (0.12, 0.76 / names.len().max(1) as f64);
        for (g, group) in groups.iter().enumerate() {
            for (n, bar) in group.bars.iter().enumerate() {
                let Some(Bar { value, sd }) = *bar else { continue };
                let left = g as f64 + room + n as f64 * wide;
                let (from, to) = (left + 0.04 * wide, left + 0.96 * wide);
                chart.draw_series([Rectangle::new([(from, 0.0), (to, value)], colour(n).filled())])?;
                let middle = f64::midpoint(from, to);
                if sd > 0.0 {
                    let ends = [(middle, (value - sd).max(0.0)), (middle, (value + sd).min(104.0))];
                    chart.draw_series([PathElement::new(ends.to_vec(), INK.stroke_width(1))])?;
                }
                let label = format!("{value:.0}");
                chart.draw_series([Text::new(label, (middle, 1.0), text(13, WHITE, HPos::Center, VPos::Bottom))])?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_and_bar_is_named() {
        let bar = |value| Some(Bar { value, sd: 2.0 });
        let groups = [("FL", [bar(71.0), bar(64.0)]), ("S", [bar(93.0), None])]
            .map(|(name, bars)| BarGroup { name: name.to_owned(), bars: bars.into() });
        let svg = bars("Angles", "accuracy, %", &["CL-MEx-style", "supervised only"], &groups).expect("drawn");
        for wanted in ["Angles", "accuracy, %", "CL-MEx-style", "supervised only", "FL", "93"] {
            assert!(svg.contains(wanted), "{wanted}");
        }
        let none = [BarGroup { name: "FL".to_owned(), bars: vec![None] }];
        assert!(bars("Angles", "", &["one"], &none).is_err());
    }
}
