//! Aligned columns.

/// Lines of `rows`, each column as wide as its widest cell. `left` columns are aligned to the left, the others to the
/// right; a last one that is left is not filled up.
pub(super) fn lines<const N: usize>(rows: &[[String; N]], left: [bool; N]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let cell = |(column, text): (usize, &String)| match left[column] {
        true => format!("{text:<0$}", widths[column]),
        false => format!("{text:>0$}", widths[column]),
    };
    let line =
        |row: &[String; N]| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned();
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["name", "ms"], ["a", "10.25"]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows, [true, false]), ["name     ms", "a     10.25"]);
    }
}
