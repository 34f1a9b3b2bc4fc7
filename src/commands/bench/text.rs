//! Figures as people read them.

use std::fmt::Write;

use vultus::bench::limits::Change;
use vultus::bench::pipeline::Figures;
use vultus::pipeline::health::Quantiles;

use crate::commands::table::lines;

/// The order of the pipeline.
const STAGES: [(&str, &str); 6] = [
    ("decode", "camera bytes to pictures"),
    ("detect", "searches of whole pictures"),
    ("track", "following known faces"),
    ("align", "aligning and judging them"),
    ("encode", "the encoder's batch"),
    ("fuse", "associating, fusing, smoothing"),
];

/// All of them.
pub(super) fn figures(figures: &Figures) -> String {
    let Figures { cameras, size: [width, height], fps, seconds, runtime, device, .. } = figures;
    let mut text = format!(
        "{}, {width}x{height}, {} frames a second, {seconds} s; models on {runtime}, encoder on {device}\n\
         {} sets with {:.1} faces each; {}\n\n",
        counted(*cameras, "camera"),
        number(*fps),
        figures.sets,
        figures.faces_per_set,
        dropped(figures),
    );
    let mut rows = vec![["ms", "p50", "p95", "p99", "max", "CPU a set", ""].map(str::to_owned)];
    let mut row = |name: &str, of: &Quantiles, cpu_ms: Option<f64>, about: &str| {
        let cpu_ms = cpu_ms.map_or_else(String::new, |ms| format!("{ms:.2}"));
        let [p50, p95, p99, max] = [of.p50, of.p95, of.p99, of.max].map(|ms| format!("{ms:.1}"));
        rows.push([name.to_owned(), p50, p95, p99, max, cpu_ms, about.to_owned()]);
    };
    row(
        "latency",
        &figures.latency_ms,
        figures.cpu_ms_per_set,
        "from the set being complete to its result; CPU: all of it",
    );
    for (name, about) in STAGES {
        if let Some(stage) = figures.stages.get(name) {
            row(&format!("  {name}"), &stage.wall_ms, stage.cpu_ms_per_set, about);
        }
    }
    row("wait", &figures.wait_ms, None, "for the other cameras");
    row("age", &figures.age_ms, None, "from exposure to result");
    for line in lines(&rows, [true, false, false, false, false, false, true]) {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    let mut told = |what: &str, value: Option<f64>, unit: &str| {
        let value =
            value.map_or_else(|| "not told by this machine".to_owned(), |value| format!("{} {unit}", number(value)));
        let _ = writeln!(text, "{what:<12} {value}");
    };
    told("overhead", figures.overhead_ms_per_set, "ms of CPU a set outside of decode, detect, track, align and encode");
    told("allocations", figures.allocations_per_set, "a set, of the program's own code");
    if figures.device != "cpu" {
        told("GPU", Some(figures.gpu_bytes_per_set / 1e3), "kB a set copied to it and back");
        told("", Some(figures.gpu_waits_per_set), "times a set waited for");
    }
    told("energy", figures.energy_j_per_set, "J a set, of the processors");
    text
}

fn dropped(figures: &Figures) -> String {
    let drops = figures.drops.iter().filter(|(_, count)| **count > 0);
    let drops: Vec<String> = drops.map(|(reason, count)| format!("{reason} {count}")).collect();
    match (figures.stale_drops, drops.is_empty()) {
        (0, true) => "nothing dropped".to_owned(),
        (sets, _) => format!("dropped: {sets} sets; frames: {}", drops.join(", ")),
    }
}

/// Then and now.
pub(super) fn changes(changes: &[Change]) -> String {
    let mut rows = vec![["figure", "before", "now", "ratio"].map(str::to_owned)];
    rows.extend(changes.iter().map(|Change { figure, before, now }| {
        let ratio = if *before == 0.0 { String::new() } else { format!("{:.2}", now / before) };
        [figure.clone(), number(*before), number(*now), ratio]
    }));
    lines(&rows, [true, false, false, false]).join("\n")
}

/// At most three digits behind the point.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// "1 camera", "2 cameras".
pub(super) fn counted(count: usize, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}
