//! What a person reads: the most important first, one subject a paragraph.

use std::fmt::Write as _;

use vultus::record::{as_argument, time_left};
use vultus::survey::{CameraSurvey, Count, PeopleSurvey, RunSurvey, SetsSurvey, Spread, Survey};

use super::bars;
use crate::commands::table;

/// No line is longer, in characters.
const WIDTH: usize = 100;
/// Where values begin.
const INDENT: usize = 12;
/// More people are only counted: in hours many come and go.
const MOST_PEOPLE: usize = 10;
/// A usual disk, or a part of one.
const DISK_BYTES: f64 = 100e9;

/// All of it.
pub(super) fn of(survey: &Survey) -> String {
    let mut text = format!("{}\n", survey.path.display());
    whole(&mut text, survey);
    if let Some(run) = &survey.run {
        about_run(&mut text, run);
    }
    text.push('\n');
    cameras(&mut text, &survey.cameras, survey.duration_s);
    if let Some(sets) = &survey.sets {
        text.push('\n');
        about_sets(&mut text, sets, survey.people.as_ref().and_then(|people| people.latency_ms));
    }
    if let Some(people) = &survey.people {
        text.push('\n');
        about_people(&mut text, people);
    }
    text
}

/// A line that begins with a name; what is too long goes on below.
fn line(text: &mut String, name: &str, value: &str) {
    let mut column = INDENT;
    let _ = write!(text, "{name:<0$} ", INDENT - 1);
    for (n, word) in value.split(' ').enumerate() {
        let length = word.chars().count() + usize::from(n > 0);
        if n > 0 && column + length > WIDTH {
            let _ = write!(text, "\n{:INDENT$}{word}", "");
            column = INDENT + length - 1;
        } else {
            let _ = write!(text, "{}{word}", if n > 0 { " " } else { "" });
            column += length;
        }
    }
    text.push('\n');
}

/// Lines of a table, the first of which begins with a name.
fn block(text: &mut String, name: &str, lines: &[String]) {
    for (n, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "{:<INDENT$}{line}", if n == 0 { name } else { "" });
    }
}

/// Whether all that came is there and can be read.
fn lacks_nothing(survey: &Survey) -> bool {
    let unreadable = survey.people.as_ref().map_or(0, |people| people.unreadable);
    survey.damaged_notes == 0 && unreadable == 0 && survey.cameras.iter().all(|camera| camera.not_recorded == 0)
}

fn whole(text: &mut String, survey: &Survey) {
    let state = match (survey.kind, survey.whole, survey.dropped) {
        ("folder", ..) => "pictures with their times, in folders".to_owned(),
        (_, false, _) if survey.growing => {
            "is being recorded or repaired at this moment; this is what is there by now".to_owned()
        }
        (_, false, _) => match (&survey.damage, survey.unreadable_bytes) {
            (Some(damage), _) => format!("DAMAGED: it is {damage}; all else is there"),
            (None, 0) => "BREAKS OFF: its index is missing; all before it is there".to_owned(),
            (None, bytes) => format!("BREAKS OFF: {} at its end cannot be read; all before it is there", size(bytes)),
        },
        (_, true, None) => "whole; it was cut short once, and repaired".to_owned(),
        (_, true, Some(0)) if lacks_nothing(survey) => "whole; all that came is in it".to_owned(),
        (_, true, Some(0)) => "whole, but not all of it is there or can be read: see below".to_owned(),
        (_, true, Some(dropped)) => format!("whole, but {dropped} frames or result records could not be recorded"),
    };
    line(text, "state", &state);
    if survey.damaged_notes > 0 {
        line(text, "damage", &format!("{} sets or gaps cannot be read and are left out", survey.damaged_notes));
    }
    if !survey.whole && !survey.growing {
        let _ = writeln!(text, "{:<INDENT$}vultus export {} --repair", "to mend it", as_argument(&survey.path));
    }
    line(text, "length", &clock(survey.duration_s));
    let lasts = survey.bytes_per_s.map(|rate| {
        let left = time_left((DISK_BYTES / rate.max(1.0)) as u64);
        format!(", {}/s: 100 GB last {left}", size(rate as u64))
    });
    line(text, "size", &format!("{}{}", size(survey.bytes), lasts.unwrap_or_default()));
}

fn about_run(text: &mut String, run: &RunSurvey) {
    let begun = run.started_utc.replace('T', " ").replace('Z', " UTC");
    line(text, "begun", &format!("{begun} on {} ({})", run.host, run.system));
    let models: Vec<String> =
        run.models.iter().map(|(name, sha)| format!("{name} {}", &sha[..sha.len().min(8)])).collect();
    let program = format!("vultus {}, {} on {}, {}", run.vultus, run.runtime, run.device, models.join(", "));
    line(text, "made by", &program);
    line(text, "source", &format!("{}; times are {}", run.source, run.timeline));
    let content = match &*run.content {
        "video" => "whole pictures (video)",
        "faces" => "aligned faces, no whole pictures (faces)",
        "features" => "no pictures (features)",
        other => other,
    };
    line(text, "content", content);
    line(text, "consent", &run.consent);
    line(text, "rig", &run.rig.as_ref().map_or("none".to_owned(), |cameras| format!("of {}", cameras.join(", "))));
    let setting = |setting: &vultus::survey::Setting| {
        format!("{} = {} (default {})", setting.key, value(&setting.value), value(&setting.default))
    };
    let settings: Vec<String> = run.settings.iter().map(setting).collect();
    line(text, "settings", &if settings.is_empty() { "all by default".to_owned() } else { settings.join(", ") });
}

fn cameras(text: &mut String, cameras: &[CameraSurvey], duration_s: f64) {
    let table = |first: [&str; 9], second: [&str; 9], row: &dyn Fn(&CameraSurvey) -> [String; 9]| {
        let headings = [first, second].map(|heading| heading.map(str::to_owned));
        let rows: Vec<[String; 9]> = headings.into_iter().chain(cameras.iter().map(row)).collect();
        let mut left = [false; 9];
        (left[0], left[1]) = (true, true);
        table::lines(&rows, left)
    };
    let count = |count: u64| if count == 0 { "·".to_owned() } else { count.to_string() };
    let format = |camera: &CameraSurvey| camera.format.clone().unwrap_or_else(|| "-".to_owned());
    let rows = table(
        ["camera", "format", "frames", "frames/s", "nominal", "interval", "interval", "interval", "size"],
        ["", "", "", "mean", "", "p50 ms", "p99 ms", "max ms", "a second"],
        &|camera| {
            let [p50, p99, max] = spread(camera.interval_ms, |s| [s.p50, s.p99, s.max]);
            let rate = size((camera.bytes as f64 / duration_s.max(1e-3)) as u64);
            let nominal = format!("{:.2}", camera.nominal_fps);
            let mean = camera.mean_fps.map_or("-".to_owned(), |fps| format!("{fps:.2}"));
            let frames = camera.frames.to_string();
            [camera.name.clone(), format(camera), frames, mean, nominal, p50, p99, max, rate]
        },
    );
    rows.iter().for_each(|row| {
        let _ = writeln!(text, "{row}");
    });
    text.push('\n');
    let rows = table(
        ["camera", "stamps", "offset", "transport", "transport", "never", "not", "clock", "arrivals"],
        ["", "", "ms", "p50 ms", "p99 ms", "came", "recorded", "back", "back"],
        &|camera| {
            let [p50, p99] = spread(camera.transport_ms, |s| [s.p50, s.p99]);
            let [never, not, back, arrivals] =
                [camera.never_came, camera.not_recorded, camera.clock_back, camera.arrivals_back].map(count);
            let stamps = format!("{:?}", camera.stamps).to_lowercase();
            let offset = format!("{:.1}", camera.offset_ms);
            [camera.name.clone(), stamps, offset, p50, p99, never, not, back, arrivals]
        },
    );
    rows.iter().for_each(|row| {
        let _ = writeln!(text, "{row}");
    });
    text.push('\n');
    let headings = [["camera", "gaps", "longest ms", "in no set"].map(str::to_owned)];
    let rows = cameras.iter().map(|camera| {
        let longest = camera.longest_gap_ms.map_or("·".to_owned(), |ms| format!("{ms:.1}"));
        [camera.name.clone(), count(camera.gaps), longest, count(camera.in_no_set)]
    });
    let rows: Vec<[String; 4]> = headings.into_iter().chain(rows).collect();
    table::lines(&rows, [true, false, false, false]).iter().for_each(|row| {
        let _ = writeln!(text, "{row}");
    });
    text.push('\n');
    for camera in cameras {
        line(text, &camera.name, &camera.description);
    }
}

fn about_sets(text: &mut String, sets: &SetsSurvey, latency: Option<Spread>) {
    let what = match (sets.analysed, sets.stale) {
        (Some(analysed), Some(stale)) => format!("{} formed, {analysed} analysed, {stale} stale", sets.formed),
        _ => format!("{}, as a replay as fast as possible would form them", sets.formed),
    };
    line(text, "sets", &what);
    let all = sets.by_views.len() - 1;
    let rows: Vec<(String, u64)> = (1..=all).rev().map(|n| (format!("{n} of {all}"), sets.by_views[n])).collect();
    block(text, "views", &table::lines(&bars::rows(&rows, sets.formed), [true, false, false, true]));
    if all > 1 {
        line(text, "skew", &quantiles(sets.skew_ms));
    }
    if let Some(bins) = sets.skew_bins.as_ref().filter(|_| all > 1) {
        let edges = |n: usize| {
            let (from, to) = (n as f64 * bins.width_ms, (n + 1) as f64 * bins.width_ms);
            if bins.width_ms < 1.0 { format!("{from:.1} – {to:.1} ms") } else { format!("{from:.0} – {to:.0} ms") }
        };
        let rows: Vec<(String, u64)> = bins.counts.iter().enumerate().map(|(n, count)| (edges(n), *count)).collect();
        let lines = table::lines(&bars::rows(&rows, bins.counts.iter().sum()), [false, false, false, true]);
        block(text, "", &lines);
    }
    line(text, "wait", &quantiles(sets.wait_ms));
    if latency.is_some() {
        line(text, "latency", &quantiles(latency));
    }
}

fn about_people(text: &mut String, people: &PeopleSurvey) {
    let (records, unreadable) = (people.records, people.unreadable);
    let damaged = if unreadable > 0 { format!(", {unreadable} of which cannot be read") } else { String::new() };
    let seen = format!("{records}, of {} sets, {} with a face{damaged}", people.sets, people.sets_with_face);
    line(text, "records", &seen);
    let counts = |counts: &[Count], what: &str| {
        let rows: Vec<(String, u64)> = counts.iter().map(|c| (format!("{what}{}", c.name), c.count)).collect();
        rows
    };
    let columns = [true, false, false, true];
    let mut persons = counts(&people.people, "person ");
    persons.sort_by_key(|(_, sets)| std::cmp::Reverse(*sets));
    let others = persons.len().saturating_sub(MOST_PEOPLE);
    persons.truncate(MOST_PEOPLE);
    block(text, "people", &table::lines(&bars::rows(&persons, people.sets), columns));
    if others > 0 {
        line(text, "", &format!("and {others} in fewer sets"));
    }
    block(text, "seen by", &table::lines(&bars::rows(&counts(&people.faces, ""), records), columns));
    let expressions = counts(&people.expressions, "");
    let read = expressions.iter().map(|(_, count)| count).sum();
    block(text, "expressions", &table::lines(&bars::rows(&expressions, read), columns));
}

fn spread<const N: usize>(spread: Option<Spread>, of: impl Fn(Spread) -> [f64; N]) -> [String; N] {
    spread.map_or_else(|| [(); N].map(|()| "-".to_owned()), |spread| of(spread).map(|ms| format!("{ms:.1}")))
}

fn quantiles(of: Option<Spread>) -> String {
    let [p50, p95, p99, max] = spread(of, |s| [s.p50, s.p95, s.p99, s.max]);
    format!("p50 {p50}  p95 {p95}  p99 {p99}  max {max} ms")
}

/// A setting as it was written: most numbers have the precision of `f32`.
fn value(value: &serde_json::Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| (number as f32).to_string())
}

/// Minutes and hours where there are any.
fn clock(seconds: f64) -> String {
    let (whole, rest) = (seconds as u64, seconds % 60.0);
    match (whole / 3600, whole / 60 % 60) {
        (0, 0) => format!("{seconds:.1} s"),
        (0, minutes) => format!("{minutes} min {rest:.1} s"),
        (hours, minutes) => format!("{hours} h {minutes} min {rest:.1} s"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
