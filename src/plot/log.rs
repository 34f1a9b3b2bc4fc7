//! Curves from a training's log: a JSON object a line, with `step` and figures by name.

use serde_json::{Map, Value};

use super::PlotError;
use super::curves::{Curve, Sample};

/// A curve has at most so many samples: of more, neighbours become one with their mean, the least and the greatest.
const MOST_SAMPLES: usize = 300;

/// The figures with these names over the steps of the log `text`; a name that does not occur gives no curve. A last line
/// that is cut off, as a killed run leaves it, is not read; figures that are no numbers (a loss that is `null`) neither.
///
/// # Errors
/// [`PlotError::Log`].
pub fn log_curves(text: &str, names: &[&str]) -> Result<Vec<Curve>, PlotError> {
    let mut series: Vec<Vec<(f64, f64)>> = vec![Vec::new(); names.len()];
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let object: Map<String, Value> = match serde_json::from_str(line) {
            Ok(object) => object,
            Err(error) if error.is_eof() && n + 1 == text.lines().count() => break,
            Err(error) => return Err(PlotError::Log { line: n + 1, reason: error.to_string() }),
        };
        let Some(step) = object.get("step").and_then(Value::as_f64) else { continue };
        for (series, name) in series.iter_mut().zip(names) {
            series.extend(object.get(*name).and_then(Value::as_f64).map(|value| (step, value)));
        }
    }
    let named = series.iter().zip(names).filter(|(series, _)| !series.is_empty());
    Ok(named.map(|(series, name)| Curve { name: (*name).to_owned(), samples: thinned(series) }).collect())
}

fn thinned(series: &[(f64, f64)]) -> Vec<Sample> {
    let sample = |part: &[(f64, f64)]| {
        let mean = |of: fn(&(f64, f64)) -> f64| part.iter().map(of).sum::<f64>() / part.len() as f64;
        let values = || part.iter().map(|(_, value)| *value);
        Sample {
            x: mean(|(step, _)| *step),
            y: mean(|(_, value)| *value),
            low: values().fold(f64::INFINITY, f64::min),
            high: values().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    series.chunks(series.len().div_ceil(MOST_SAMPLES).max(1)).map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gives_a_curve_a_figure() {
        let text = "{\"step\": 1, \"loss\": 2.0, \"rate\": 0.1}\n\n{\"step\": 2, \"loss\": null}\n\
                    {\"event\": \"resumed\"}\n{\"step\": 3, \"loss\": 1.0, \"accuracy\": 0.5}\n{\"step\": 4, \"lo";
        let curves = log_curves(text, &["loss", "accuracy", "recall"]).expect("a log");
        let told: Vec<_> = curves
            .iter()
            .map(|c| (c.name.as_str(), c.samples.iter().map(|s| (s.x, s.y)).collect::<Vec<_>>()))
            .collect();
        assert_eq!(told, [("loss", vec![(1.0, 2.0), (3.0, 1.0)]), ("accuracy", vec![(3.0, 0.5)])]);
        let message = log_curves("{\"step\": 1}\nnothing\n{}", &["loss"]).expect_err("no log").to_string();
        assert!(message.contains("line 2"), "{message}");
    }

    #[test]
    fn a_long_log_is_thinned_and_keeps_its_extremes() {
        let line = |n: u32| format!("{{\"step\": {n}, \"loss\": {}}}\n", if n == 777 { 9.0 } else { 1.0 });
        let text: String = (0..3000).map(line).collect();
        let curves = log_curves(&text, &["loss"]).expect("a log");
        let samples = &curves[0].samples;
        assert!(samples.len() <= MOST_SAMPLES, "{}", samples.len());
        assert_eq!(samples.iter().map(|sample| sample.high).fold(0.0, f64::max), 9.0);
    }
}
