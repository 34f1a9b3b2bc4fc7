//! What a person sees while a network is trained: how far it is, how the loss went, what the validations said.

use std::time::Duration;

use indicatif::ProgressBar;
use vultus::pipeline::stop::Stop;
use vultus::train::journal::Entry;
use vultus::train::trainer::{Progress, Watch};

use crate::commands::status::message_bar;

/// Losses that are drawn, one a column.
const COLUMNS: usize = 48;

/// Draws a run on the terminal, or tells of its validations in the log where there is none.
pub(super) struct Dashboard {
    title: String,
    bar: ProgressBar,
    stop: Stop,
    stage: &'static str,
    losses: Vec<f64>,
    validation: String,
}

impl Dashboard {
    /// For a run that is called `title`, until `stop` is asked for.
    pub(super) fn new(title: &str, stop: Stop) -> Self {
        Self {
            title: title.to_owned(),
            bar: message_bar(),
            stop,
            stage: "",
            losses: Vec::new(),
            validation: String::new(),
        }
    }

    fn lines(&self, progress: &Progress<'_>) -> String {
        let Progress { stage, steps, entry, .. } = progress;
        let share = entry.step as f64 / *steps as f64;
        let filled = (share * 30.0).round() as usize;
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(30_usize.saturating_sub(filled)));
        let left_s = (steps - entry.step) as f64 * (entry.images as f64 / entry.step as f64) / entry.images_per_s;
        let left = humantime::format_duration(Duration::from_secs(left_s as u64));
        let parts: Vec<String> = entry.parts.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        format!(
            "{stage:<9} {title}  {bar} {percent:.0} %  step {step} of {steps}  {speed:.0} pictures/s  {left} left\n\
             loss      {curve}  {loss:.4}  {parts}\n\
             validated {validation}  learning rate {rate:.1e}",
            title = self.title,
            percent = share * 100.0,
            step = entry.step,
            speed = entry.images_per_s,
            curve = curve(&self.losses),
            loss = entry.loss,
            parts = parts.join("  "),
            validation = if self.validation.is_empty() { "not yet" } else { &self.validation },
            rate = entry.learning_rate,
        )
    }
}

impl Watch for Dashboard {
    fn update(&mut self, progress: &Progress<'_>) {
        if self.stage != progress.stage {
            self.stage = progress.stage;
            self.losses.clear();
            self.validation.clear();
        }
        self.losses.push(progress.entry.loss);
        if let Some(told) = validated(progress) {
            if self.bar.is_hidden() {
                let Entry { step, images_per_s, loss, .. } = progress.entry;
                tracing::info!(
                    "{} step {step} of {}: loss {loss:.4}, {images_per_s:.0} pictures/s; validated: {told}",
                    progress.stage,
                    progress.steps
                );
            }
            self.validation = told;
        }
        self.bar.set_message(self.lines(progress));
        if progress.entry.step == progress.steps {
            self.bar.set_message("");
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.is_requested()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What the validation at this line of the log says, if it has one.
fn validated(progress: &Progress<'_>) -> Option<String> {
    let validation = progress.entry.validation?;
    let now = match validation.accuracy {
        Some(accuracy) => format!("{:.1} % right", accuracy * 100.0),
        None => format!("loss {:.4}", validation.loss),
    };
    let best = progress.best.map(|(step, score)| match validation.accuracy {
        Some(_) => format!(" (best {:.1} % at step {step})", score * 100.0),
        None => format!(" (best {:.4} at step {step})", -score),
    });
    Some(format!("{now}{}", best.unwrap_or_default()))
}

/// Values as a row of bars, the newest at the right; each column is the mean of its share of them.
fn curve(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let per_column = values.len().div_ceil(COLUMNS).max(1);
    let means: Vec<f64> = values.chunks(per_column).map(|some| some.iter().sum::<f64>() / some.len() as f64).collect();
    let lowest = means.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let height = |value: f64| (value - lowest) / (highest - lowest).max(1e-12) * (BARS.len() - 1) as f64;
    means.iter().map(|value| BARS[(height(*value).round() as usize).min(BARS.len() - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::curve;

    #[test]
    fn a_falling_loss_is_drawn_falling_in_at_most_so_many_columns() {
        let falling: Vec<f64> = (0..1000).map(|n| 1.0 / f64::from(n + 100)).collect();
        let drawn = curve(&falling);
        assert!(drawn.chars().count() <= super::COLUMNS);
        assert!(drawn.starts_with('█') && drawn.ends_with('▁'), "{drawn}");
    }
}
