//! Plots as SVG texts: curves, bars, confusions, reliability. Pure; the same figures give the same text.
//!
//! All have one look: a title to the left, the legend below it, labelled axes with units, colours that colour-blind people
//! can tell apart (after Okabe and Ito, 2008), a white ground.

#[cfg(feature = "train")]
mod bars;
#[cfg(feature = "train")]
mod confusion;
mod curves;
#[cfg(feature = "train")]
mod log;
#[cfg(feature = "train")]
mod reliability;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

#[cfg(feature = "train")]
pub use bars::{Bar, BarGroup, bars};
#[cfg(feature = "train")]
pub use confusion::confusion;
pub use curves::{Curve, Sample, Scale, Titles, curves};
#[cfg(feature = "train")]
pub use log::log_curves;
#[cfg(feature = "train")]
pub use reliability::reliability;

/// Why a plot cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PlotError {
    #[error("the plot `{title}` has nothing to show")]
    Empty { title: String },
    #[error("the plot `{title}` cannot be drawn: {reason}")]
    Draw { title: String, reason: String },
    #[error("line {line} of the log is no JSON object: {reason}")]
    Log { line: usize, reason: String },
}

/// A plot to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// The name of its file.
    pub file: String,
    /// What it shows, for whoever cannot see it.
    pub about: String,
    /// The file's content.
    pub svg: String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Places, Places>>;
/// What drawing gives: an error of the back end, which writes into memory and so has none of its own.
type Drawn<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const PALE: RGBColor = RGBColor(225, 225, 225);
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(110, 110, 110),
    RGBColor(150, 130, 20),
];
const LEGEND_ROW: i32 = 22;
const TITLE_HEIGHT: i32 = 40;
const MARGIN: i32 = 14;

fn colour(n: usize) -> RGBColor {
    COLOURS[n % COLOURS.len()]
}

fn text(size: u32, colour: RGBColor, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&colour).pos(Pos::new(horizontal, vertical))
}

/// Draws on a white ground of so many pixels below `title` and a legend of `names`.
fn picture(
    title: &str,
    names: &[&str],
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    let drawn = || -> Drawn {
        let root = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let bold = (FONT, 20).into_font().style(FontStyle::Bold).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(title.to_owned(), (MARGIN, TITLE_HEIGHT / 2), bold))?;
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as i32;
        let column = 40 + 8 * longest;
        let columns = ((width as i32 - 2 * MARGIN) / column).max(1);
        for (n, name) in names.iter().enumerate() {
            let (x, y) = (MARGIN + n as i32 % columns * column, TITLE_HEIGHT + n as i32 / columns * LEGEND_ROW + 8);
            root.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour(n).filled()))?;
            root.draw(&Text::new((*name).to_owned(), (x + 19, y), text(16, INK, HPos::Left, VPos::Center)))?;
        }
        let rows = (names.len() as i32 + columns - 1) / columns;
        let (_, below) = root.split_vertically(TITLE_HEIGHT + LEGEND_ROW * rows);
        draw(&below)?;
        root.present()?;
        Ok(())
    };
    drawn().map_err(|error| PlotError::Draw { title: title.to_owned(), reason: error.to_string() })?;
    Ok(svg)
}

/// An axis: its ends, what stands at it and where.
struct Axis<'a> {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    label: &'a str,
    format: &'a dyn Fn(&f64) -> String,
}

impl Axis<'_> {
    fn places(&self) -> Places {
        Places { low: self.low, high: self.high, ticks: self.ticks.clone() }
    }
}

/// An even axis with labels at places of our own.
struct Places {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

/// An empty chart with axes and a grid; upright lines only if `grid` says so.
fn chart<'a>(area: &Area<'a>, x: Axis<'_>, y: Axis<'_>, grid: bool) -> Drawn<Chart<'a>> {
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .margin_right(2 * MARGIN)
        .x_label_area_size(if x.label.is_empty() { 28 } else { 52 })
        .y_label_area_size(64)
        .build_cartesian_2d(x.places(), y.places())?;
    let mut mesh = chart.configure_mesh();
    mesh.x_label_formatter(x.format)
        .y_label_formatter(y.format)
        .x_desc(x.label)
        .y_desc(y.label)
        .axis_style(INK)
        .axis_desc_style((FONT, 17).into_font().color(&INK))
        .label_style((FONT, 15).into_font().color(&INK))
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT);
    if !grid {
        mesh.disable_x_mesh();
    }
    mesh.draw()?;
    Ok(chart)
}

/// Round numbers (1, 2 or 5 times a power of ten apart) between `low` and `high`, four to nine.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 8.0;
    let power = 10.0_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= raw).unwrap_or(raw);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

/// A number without needless digits.
fn plain(value: &f64) -> String {
    let rounded = format!("{value:.4}");
    let short = rounded.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_ends() {
        assert_eq!(ticks(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(61.0, 74.0), [62.0, 64.0, 66.0, 68.0, 70.0, 72.0, 74.0].map(f64::from));
        let small: Vec<String> = ticks(0.0, 0.3).iter().map(plain).collect();
        assert_eq!(small, ["0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3"]);
    }
}
