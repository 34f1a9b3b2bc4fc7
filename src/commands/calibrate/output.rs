//! Figures for people and programs.

use std::io::Write;

use vultus::calibrate::figures::Figures;

/// On standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// The same, of figures and of each camera's error in pixels.
pub(super) fn json<'a>(figures: &Figures, errors: impl Iterator<Item = (&'a str, Option<f64>)>) -> anyhow::Result<()> {
    let errors: serde_json::Map<_, _> = errors.map(|(name, error)| (name.to_owned(), error.into())).collect();
    let all = serde_json::json!({
        "verdict": figures.verdict(), "figures": figures, "reprojection_error_px": errors,
    });
    print(&format!("{}\n", serde_json::to_string_pretty(&all)?))
}

/// In words.
pub(super) fn figures(figures: &Figures) -> String {
    let or_unknown = |value: Option<f64>, unit: &str| {
        value.map_or_else(
            || "not known: too few poses that several cameras saw".to_owned(),
            |value| format!("{value:.3} {unit}"),
        )
    };
    format!(
        "poses            {} of the board, {} seen by several cameras\nheld-out error   {}\nscale error      {}\nverdict          {}\n",
        figures.poses,
        figures.poses_shared,
        or_unknown(figures.held_out_error_px, "pixels"),
        or_unknown(figures.scale_error_percent, "%"),
        figures.verdict().name(),
    )
}
