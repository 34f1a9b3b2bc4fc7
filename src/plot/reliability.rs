//! Whether a model is right as often as it says.

use plotters::prelude::*;

use super::{Area, Axis, COLOURS, Drawn, INK, PlotError, chart, picture, plain, ticks};
use crate::train::metrics::{Bin, ece};

/// Accuracy over confidence, a bar a bin; the line is where a calibrated model's bars end. Below it, how many of the faces
/// each bin has.
///
/// # Errors
/// [`PlotError`]: without a face.
pub fn reliability(title: &str, bins: &[Bin]) -> Result<String, PlotError> {
    let faces: u64 = bins.iter().map(|bin| bin.faces).sum();
    if faces == 0 {
        return Err(PlotError::Empty { title: title.to_owned() });
    }
    let title = format!("{title} (ECE {:.1} %)", 100.0 * ece(bins));
    let width = 100.0 / bins.len() as f64;
    let bar = |n: usize, height: f64| {
        let (from, to) = ((n as f64 + 0.04) * width, (n as f64 + 0.96) * width);
        [(from, 0.0), (to, height)]
    };
    picture(&title, &[], (520, 600), |area: &Area<'_>| -> Drawn {
        let axis = |label, high: f64| Axis { low: 0.0, high, ticks: ticks(0.0, high), label, format: &plain };
        let (upper, lower) = area.split_vertically(380);
        let mut top = chart(&upper, axis("", 100.0), axis("accuracy, %", 100.0), true)?;
        let filled = || bins.iter().enumerate().filter(|(_, bin)| bin.faces > 0);
        let bars = filled().map(|(n, bin)| Rectangle::new(bar(n, 100.0 * bin.accuracy), COLOURS[0].mix(0.75).filled()));
        top.draw_series(bars)?;
        let diagonal = vec![(0.0, 0.0), (100.0, 100.0)];
        top.draw_series([PathElement::new(diagonal, INK.stroke_width(1))])?;
        let points = filled().map(|(_, bin)| (100.0 * bin.confidence, 100.0 * bin.accuracy));
        top.draw_series(points.map(|point| Circle::new(point, 4, COLOURS[1].filled())))?;

        let share = |bin: &Bin| 100.0 * bin.faces as f64 / faces as f64;
        let most = bins.iter().map(share).fold(0.0, f64::max);
        let mut bottom = chart(&lower, axis("confidence, %", 100.0), axis("faces, %", 1.08 * most), true)?;
        let bars = filled().map(|(n, bin)| Rectangle::new(bar(n, share(bin)), INK.mix(0.5).filled()));
        bottom.draw_series(bars)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calibration_error_stands_in_the_title() {
        let mut bins = vec![Bin::default(); 15];
        bins[14] = Bin { faces: 3, accuracy: 0.9, confidence: 0.97 };
        let svg = reliability("Reliability", &bins).expect("drawn");
        assert!(svg.contains("Reliability (ECE 7.0 %)") && svg.contains("confidence, %"), "{svg}");
        assert!(reliability("Reliability", &[Bin::default()]).is_err());
    }
}
