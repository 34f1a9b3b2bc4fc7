//! Results as Markdown: what a table, a model card and a report of a comparison are made of. Pure.

pub mod card;
pub mod comparison;

/// What every figure must be told with.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// The command that made it.
    pub command: String,
    /// The seed of all its randomness.
    pub seed: u64,
    /// The day, as `2026-01-31`.
    pub date: String,
    /// The processor and its cores, and the GPU that trained, if one did.
    pub machine: String,
}

impl Provenance {
    /// As a paragraph.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let Self { command, seed, date, machine } = self;
        format!("Made on {date} with seed {seed} on {machine} by\n\n```sh\n{command}\n```\n")
    }
}

/// A mean over folds or seeds and its sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation (n - 1); 0 of one value.
    pub sd: f64,
}

impl Spread {
    /// That of `values`; `None` without one.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 0.0).then(|| Self { mean, sd: if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 } })
    }
}

/// A Markdown table whose source is aligned too. The first column stands to the left, the others to the right.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let header: Vec<String> = header.iter().map(|text| cell(text)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()).collect();
    let all = || std::iter::once(&header).chain(&rows);
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..header.len()).map(|column| width(column).unwrap_or(0).max(3)).collect();
    let line = |row: &[String]| -> String {
        let cells = widths.iter().enumerate().map(|(column, &width)| {
            let text = row.get(column).map_or("", String::as_str);
            if column == 0 { format!(" {text:<width$} |") } else { format!(" {text:>width$} |") }
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| {
        if column == 0 { format!(" {} |", "-".repeat(width)) } else { format!(" {}: |", "-".repeat(width - 1)) }
    });
    let rule: String = rule.collect();
    format!("{}|{rule}\n{}", line(&header), rows.iter().map(|row| line(row)).collect::<String>())
}

/// `12.3`: per cent without the sign, which stands in the header.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// `12.3 ± 0.4` in per cent; a dash without a value, and no deviation of a single one.
#[must_use]
pub fn percent_spread(shares: &[f64]) -> String {
    match Spread::of(shares) {
        None => "–".to_owned(),
        Some(spread) if shares.len() == 1 => percent(spread.mean),
        Some(spread) => format!("{} ± {}", percent(spread.mean), percent(spread.sd)),
    }
}

/// `0.123 ± 0.004`; a dash without a value, and no deviation of a single one.
#[must_use]
pub fn figure_spread(values: &[f64]) -> String {
    match Spread::of(values) {
        None => "–".to_owned(),
        Some(spread) if values.len() == 1 => format!("{:.3}", spread.mean),
        Some(spread) => format!("{:.3} ± {:.3}", spread.mean, spread.sd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_keeps_its_cells_apart() {
        let rows = [vec!["a|b".to_owned(), "1.5".to_owned()], vec!["long name".to_owned(), "12.25".to_owned()]];
        let told = table(&["method", "%"], &rows);
        let wanted = "\
| method    |     % |
| --------- | ----: |
| a\\|b      |   1.5 |
| long name | 12.25 |
";
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_spread_is_the_hand_computed_one() {
        assert_eq!(Spread::of(&[1.0, 2.0, 6.0]), Some(Spread { mean: 3.0, sd: 7.0_f64.sqrt() }));
        assert_eq!(percent_spread(&[0.5, 0.7, 0.9]), "70.0 ± 20.0");
        assert_eq!((percent_spread(&[0.5]), percent_spread(&[])), ("50.0".to_owned(), "–".to_owned()));
        assert_eq!(figure_spread(&[0.25, 0.25]), "0.250 ± 0.000");
    }
}
