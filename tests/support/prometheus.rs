//! Reads the text format in which Prometheus is told figures (version 0.0.4), and is strict about it.

use std::collections::{HashMap, HashSet};

/// The samples by `name{label="value",…}`.
pub fn parse(text: &str) -> HashMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line ends");
    let (mut samples, mut helped) = (HashMap::new(), HashSet::new());
    // The families in the order of their TYPE lines: samples of another than the last are out of place.
    let mut families: Vec<(&str, &str)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap_or_else(|| panic!("no help in `{line}`"));
            assert!(!words.trim().is_empty() && helped.insert(name), "`{line}`");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap_or_else(|| panic!("no type in `{line}`"));
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "`{line}`");
            assert!(helped.contains(name), "`{name}` has no help before its type");
            assert!(families.iter().all(|(other, _)| *other != name), "`{name}` is there twice");
            families.push((name, kind));
        } else {
            assert!(!line.starts_with('#'), "`{line}` is neither help nor type");
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in `{line}`"));
            let (name, labels) = series.split_once('{').map_or((series, None), |(name, labels)| (name, Some(labels)));
            let (family, kind) = *families.last().unwrap_or_else(|| panic!("`{line}` comes before every type"));
            assert_name(name);
            assert!(belongs(name, family, kind), "`{line}` stands under `{family}`");
            labels.into_iter().for_each(assert_labels);
            let value = value.parse().unwrap_or_else(|_| panic!("`{line}` has no number"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "`{series}` is there twice");
        }
    }
    samples
}

fn belongs(name: &str, family: &str, kind: &str) -> bool {
    let Some(suffix) = name.strip_prefix(family) else { return false };
    match kind {
        "counter" => suffix.is_empty() && name.ends_with("_total"),
        "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
        "summary" => ["", "_sum", "_count"].contains(&suffix),
        _ => suffix.is_empty(),
    }
}

fn assert_name(name: &str) {
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    assert!(begins_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "`{name}` is no name");
}

/// `name="value",name="value"}`, in values `\\`, `\"` and `\n`.
fn assert_labels(labels: &str) {
    let mut rest = labels;
    let mut names = HashSet::new();
    while rest != "}" {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("`{labels}`"));
        assert_name(name);
        assert!(names.insert(name), "`{name}` is there twice in `{labels}`");
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            assert!(!escaped || ['\\', '"', 'n'].contains(&c), "`\\{c}` in `{labels}`");
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = &value[end.unwrap_or_else(|| panic!("no end in `{labels}`")) + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}
