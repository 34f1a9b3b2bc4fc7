//! What more cameras cost, and how many are too many.

use serde::Serialize;

use super::pipeline::Figures;
use crate::plot::{Curve, PlotError, Sample, Scale, Titles, curves};

/// With a larger share of its sets dropped a machine is saturated.
const SATURATED_SHARE: f64 = 0.01;

/// Figures for one number of cameras after another.
#[derive(Clone, Debug, Default)]
pub struct Scaling {
    /// One a number of cameras, rising.
    pub points: Vec<Figures>,
}

/// The same with what follows from them.
#[derive(Clone, Debug, Serialize)]
pub struct Report<'a> {
    /// One a number of cameras, rising.
    pub points: &'a [Figures],
    /// The most cameras that the machine keeps up with.
    pub keeps_up_with: usize,
    /// What a camera more costs.
    pub line: Option<Line>,
}

/// A straight line through the cost of a set, by the number of cameras.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What a camera more costs.
    pub cpu_ms_per_camera: f64,
    /// What a set would cost without a camera.
    pub cpu_ms: f64,
    /// The share of the variance that the line explains.
    pub r_squared: f64,
}

impl Figures {
    /// Whether the machine was too slow for the load.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.stale_drops as f64 > SATURATED_SHARE * (self.sets + self.stale_drops) as f64
    }
}

impl Scaling {
    /// All that can be said.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        Report { points: &self.points, keeps_up_with: self.keeps_up_with(), line: self.line() }
    }

    /// The most cameras that this machine keeps up with: all fewer are too. 0 if one is too many.
    #[must_use]
    pub fn keeps_up_with(&self) -> usize {
        self.kept_up().last().map_or(0, |point| point.cameras)
    }

    fn kept_up(&self) -> impl Iterator<Item = &Figures> {
        self.points.iter().take_while(|point| !point.is_saturated())
    }

    /// The line through the CPU times of those, by least squares; `None` for fewer than three or where the system does
    /// not tell.
    #[must_use]
    pub fn line(&self) -> Option<Line> {
        let places = self.kept_up().map(|point| Some((point.cameras as f64, point.cpu_ms_per_set?)));
        let places: Vec<(f64, f64)> = places.collect::<Option<_>>()?;
        if places.len() < 3 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| places.iter().map(of).sum::<f64>() / places.len() as f64;
        let (x, y) = (mean(|place| place.0), mean(|place| place.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| places.iter().map(|place| of(place.0 - x, place.1 - y)).sum::<f64>();
        let slope = sum(&|dx, dy| dx * dy) / sum(&|dx, _| dx * dx);
        let (unexplained, total) = (sum(&|dx, dy| (dy - slope * dx).powi(2)), sum(&|_, dy| dy * dy));
        let r_squared = if total > 0.0 { 1.0 - unexplained / total } else { 1.0 };
        Some(Line { cpu_ms_per_camera: slope, cpu_ms: y - slope * x, r_squared })
    }

    /// A plot of latency, and one of CPU time and drops, by the number of cameras.
    ///
    /// # Errors
    /// [`PlotError`]: without a point.
    pub fn plots(&self) -> Result<[(&'static str, String); 2], PlotError> {
        let curve = |name: &str, of: &dyn Fn(&Figures) -> Option<f64>| {
            let sample = |point: &Figures| {
                let y = of(point)?;
                Some(Sample { x: point.cameras as f64, y, low: y, high: y })
            };
            Curve { name: name.to_owned(), samples: self.points.iter().filter_map(sample).collect() }
        };
        let latency = [
            curve("p50", &|point| Some(point.latency_ms.p50)),
            curve("p95", &|point| Some(point.latency_ms.p95)),
            curve("p99", &|point| Some(point.latency_ms.p99)),
        ];
        let cost = [
            curve("CPU time of a set, ms", &|point| point.cpu_ms_per_set),
            curve("sets dropped, %", &|point| {
                Some(100.0 * point.stale_drops as f64 / (point.sets + point.stale_drops) as f64)
            }),
        ];
        let title = |title, y| Titles { title, x: "cameras", y };
        let of_latency = curves(title("Latency by the number of cameras", "latency, ms"), Scale::Linear, &latency)?;
        let of_cost = curves(title("Cost of a set by the number of cameras", "ms, %"), Scale::Linear, &cost)?;
        Ok([("latency", of_latency), ("cost", of_cost)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::health::Quantiles;

    fn point(cameras: usize, cpu_ms: f64, stale_drops: u64) -> Figures {
        Figures {
            cameras,
            sets: 150 - stale_drops,
            stale_drops,
            latency_ms: Quantiles { p50: cpu_ms / 2.0, p95: cpu_ms, p99: cpu_ms, max: cpu_ms },
            cpu_ms_per_set: Some(cpu_ms),
            ..Figures::blank()
        }
    }

    #[test]
    fn the_line_goes_through_what_the_machine_keeps_up_with() {
        let costs = [(1, 3.5, 0), (2, 5.5, 0), (3, 7.5, 1), (4, 9.5, 0), (5, 30.0, 60), (6, 20.0, 0)];
        let points = costs.into_iter().map(|(cameras, cpu_ms, stale)| point(cameras, cpu_ms, stale)).collect();
        let scaling = Scaling { points };
        assert_eq!(scaling.keeps_up_with(), 4);
        let line = scaling.line().expect("four points");
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(line.cpu_ms_per_camera, 2.0) && near(line.cpu_ms, 1.5) && near(line.r_squared, 1.0), "{line:?}");
        let [(_, latency), (_, cost)] = scaling.plots().expect("drawn");
        assert!(latency.contains("latency, ms") && cost.contains("sets dropped, %"));
    }

    #[test]
    fn two_points_are_no_line() {
        assert_eq!(Scaling { points: vec![point(1, 3.0, 0), point(2, 5.0, 0)] }.line(), None);
        assert_eq!(Scaling { points: vec![point(1, 3.0, 80)] }.keeps_up_with(), 0);
    }
}
