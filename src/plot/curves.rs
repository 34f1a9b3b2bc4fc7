//! Lines with what they spread over: losses over steps, accuracy over the share of labels.

use plotters::prelude::*;

use super::{Area, Axis, Drawn, PlotError, chart, colour, picture, plain, ticks};

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Where.
    pub x: f64,
    /// The value there.
    pub y: f64,
    /// The lower end of its spread; `y` if it has none.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub samples: Vec<Sample>,
}

/// What a plot says beside its lines.
#[derive(Clone, Copy, Debug)]
pub struct Titles<'a> {
    /// Above it.
    pub title: &'a str,
    /// At the lower axis, with the unit.
    pub x: &'a str,
    /// At the left axis, with the unit.
    pub y: &'a str,
}

/// How the lower axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By powers; every place of a sample is labelled.
    Logarithmic,
}

/// Lines with their spread as a band; each sample is dotted if there are few.
///
/// # Errors
/// [`PlotError`]: without a finite sample.
pub fn curves(titles: Titles<'_>, scale: Scale, curves: &[Curve]) -> Result<String, PlotError> {
    let is_drawn = |sample: &&Sample| {
        let Sample { x, y, low, high } = **sample;
        [x, y, low, high].iter().all(|value| value.is_finite()) && (scale == Scale::Linear || x > 0.0)
    };
    let place = |x: f64| if scale == Scale::Linear { x } else { x.log10() };
    let lines: Vec<Vec<Sample>> = curves
        .iter()
        .map(|curve| curve.samples.iter().filter(is_drawn).map(|s| Sample { x: place(s.x), ..*s }).collect())
        .collect();
    let all = || lines.iter().flatten();
    if all().next().is_none() {
        return Err(PlotError::Empty { title: titles.title.to_owned() });
    }
    let x = range(all().map(|s| s.x), 0.02);
    let y = range(all().flat_map(|s| [s.low, s.high]), 0.06);
    let x_ticks = match scale {
        Scale::Linear => ticks(x.0, x.1),
        Scale::Logarithmic => {
            let mut places: Vec<f64> = all().map(|s| s.x).collect();
            places.sort_by(f64::total_cmp);
            places.dedup();
            places
        }
    };
    let x_format = |x: &f64| if scale == Scale::Linear { plain(x) } else { plain(&10.0_f64.powf(*x)) };
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
    picture(titles.title, &names, (760, 460), |area: &Area<'_>| -> Drawn {
        let x = Axis { low: x.0, high: x.1, ticks: x_ticks, label: titles.x, format: &x_format };
        let y = Axis { low: y.0, high: y.1, ticks: ticks(y.0, y.1), label: titles.y, format: &plain };
        let mut chart = chart(area, x, y, true)?;
        for (n, samples) in lines.iter().enumerate().filter(|(_, samples)| !samples.is_empty()) {
            if samples.iter().any(|s| s.low < s.high) {
                let upper = samples.iter().map(|s| (s.x, s.high));
                let lower = samples.iter().rev().map(|s| (s.x, s.low));
                let band = Polygon::new(upper.chain(lower).collect::<Vec<_>>(), colour(n).mix(0.15));
                chart.draw_series([band])?;
            }
            let points = || samples.iter().map(|s| (s.x, s.y));
            chart.draw_series(LineSeries::new(points(), colour(n).stroke_width(2)))?;
            if samples.len() <= 30 {
                chart.draw_series(points().map(|point| Circle::new(point, 4, colour(n).filled())))?;
            }
        }
        Ok(())
    })
}

/// From the least to the greatest value and so much more on both sides.
fn range(values: impl Iterator<Item = f64>, more: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let margin = if high > low { more * (high - low) } else { 0.5 * high.abs().max(1.0) };
    (low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, samples: &[(f64, f64, f64)]) -> Curve {
        let sample = |&(x, y, spread): &(f64, f64, f64)| Sample { x, y, low: y - spread, high: y + spread };
        Curve { name: name.to_owned(), samples: samples.iter().map(sample).collect() }
    }

    #[test]
    fn a_plot_names_its_lines_and_axes_and_marks_the_shares() {
        let shares = [(1.0, 40.0, 6.0), (10.0, 70.0, 3.0), (100.0, 90.0, 1.0)];
        let titles = Titles { title: "Fewer labels", x: "labelled people, %", y: "accuracy, %" };
        let lines = [curve("CL-MEx-style", &shares), curve("supervised only", &shares)];
        let svg = curves(titles, Scale::Logarithmic, &lines).expect("drawn");
        for wanted in ["Fewer labels", "labelled people, %", "accuracy, %", "CL-MEx-style", "supervised only"] {
            assert!(svg.contains(wanted), "{wanted}");
        }
        let is_label = |text: &str| svg.lines().any(|line| line.trim() == text);
        assert!(is_label("1") && is_label("10") && is_label("100") && !is_label("2"), "{svg}");
        assert_eq!(svg, curves(titles, Scale::Logarithmic, &lines).expect("drawn"), "the same again");
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_nothing_else_is_no_plot() {
        let titles = Titles { title: "Loss", x: "steps", y: "loss" };
        let broken = curve("loss", &[(0.0, 1.0, 0.0), (1.0, f64::NAN, 0.0), (2.0, 0.5, 0.0)]);
        let svg = curves(titles, Scale::Linear, &[broken]).expect("drawn");
        assert!(!svg.contains("NaN"), "{svg}");
        let message = curves(titles, Scale::Linear, &[curve("loss", &[])]).expect_err("nothing").to_string();
        assert!(message.contains("`Loss`"), "{message}");
        assert!(curves(titles, Scale::Linear, &[curve("loss", &[(3.0, 2.0, 0.0)])]).is_ok(), "a single sample");
    }
}
