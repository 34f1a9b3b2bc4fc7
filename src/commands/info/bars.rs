//! Bars that make numbers visible.

/// The longest bar, in characters.
const LONGEST: f64 = 40.0;
/// Parts of a character.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// A bar for `value`, of which the longest is for `largest`.
pub(super) fn bar(value: u64, largest: u64) -> String {
    let eighths = (value as f64 / largest.max(1) as f64 * LONGEST * 8.0).round() as usize;
    // What is there at all is seen.
    let eighths = eighths.max(usize::from(value > 0));
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// Rows of a name, a count, its share of `whole`, and a bar.
pub(super) fn rows(rows: &[(String, u64)], whole: u64) -> Vec<[String; 4]> {
    let largest = rows.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let share = |count: u64| format!("{:.1} %", 100.0 * count as f64 / whole.max(1) as f64);
    rows.iter().map(|(name, count)| [name.clone(), count.to_string(), share(*count), bar(*count, largest)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_invisible() {
        assert_eq!((bar(0, 10), bar(10, 10)), (String::new(), "█".repeat(40)));
        assert_eq!(bar(5, 10).chars().count(), 20);
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(0, 0), "");
    }
}
