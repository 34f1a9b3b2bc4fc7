//! The report of a study: one row a method, on the same folds; angles, fused views, retrieval, fewer labels, views left out,
//! and whether differences are more than luck. Pure, but for [`Comparison::write`].

mod outcome;
mod plots;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use super::Provenance;
use crate::plot::{Plot, PlotError};
use crate::train::study::Cell;
use outcome::Outcome;

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ReportError {
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Plot(#[from] PlotError),
}

/// A study and what is to be said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<'a> {
    /// Above the report.
    pub title: String,
    /// What was compared and how: data, protocol, network, updates; Markdown.
    pub about: String,
    /// The seed that people are divided and the bootstrap is drawn with.
    pub seed: u64,
    /// The results, each with how it was made. Methods and sets are told in the order in which they come first.
    pub cells: &'a [Cell],
    /// The recipe that the others are held against, if there is one.
    pub baseline: Option<String>,
    /// What a reader must know of single methods, a sentence each: where a part degenerates, what is a reconstruction.
    pub notes: Vec<String>,
}

impl Comparison<'_> {
    /// The report `folder/NAME.md` and its plots in `folder/NAME/`, both made if need be. Gives the report's text.
    ///
    /// # Errors
    /// Every [`ReportError`].
    pub fn write(&self, folder: &Path, name: &str) -> Result<String, ReportError> {
        let outcomes = Outcome::all(self.cells);
        let plots = self.plots(&outcomes)?;
        let (path, beside) = (folder.join(name).with_added_extension("md"), folder.join(name));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ReportError::Write { path, source }
        };
        fs::create_dir_all(&beside).map_err(failed(&beside))?;
        for (_, plot) in &plots {
            let file = beside.join(&plot.file);
            fs::write(&file, &plot.svg).map_err(failed(&file))?;
        }
        let text = self.markdown(&outcomes, &plots, name);
        fs::write(&path, &text).map_err(failed(&path))?;
        Ok(text)
    }

    /// By which commands, when and on what the results were made.
    fn made(&self) -> String {
        let all = |of: fn(&Provenance) -> &str| outcome::distinct(self.cells.iter().map(|cell| of(&cell.made)));
        let mut dates = all(|made| &made.date);
        dates.sort_unstable();
        let dates = match dates[..] {
            [first, .., last] => format!("from {first} to {last}"),
            [day] => format!("on {day}"),
            [] => return String::new(),
        };
        let (machines, commands) = (all(|made| &made.machine).join("; "), all(|made| &made.command).join("\n"));
        format!(
            "Made {dates} on {machines}; people were divided and the bootstrap was drawn with seed {}:\n\n```sh\n{commands}\n```\n",
            self.seed
        )
    }

    fn markdown(&self, outcomes: &[Outcome<'_>], plots: &[(String, Plot)], folder: &str) -> String {
        let Self { title, about, notes, .. } = self;
        let mut told = format!("# {title}\n\n{}\n\n{}", about.trim_end(), self.made());
        if !notes.is_empty() {
            told.push_str(&format!("\n{}", notes.iter().map(|note| format!("* {note}\n")).collect::<String>()));
        }
        for set in outcome::distinct(outcomes.iter().map(|outcome| outcome.set())) {
            let of_set: Vec<&Outcome<'_>> = outcomes.iter().filter(|outcome| outcome.set() == set).collect();
            let section = self.section(&of_set);
            let shown = plots.iter().filter(|(of, _)| of == set);
            let shown = shown.map(|(_, plot)| format!("\n![{}]({folder}/{})\n", plot.about, plot.file));
            told.push_str(&format!("\n## {set}\n\n{section}{}", shown.collect::<String>()));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Expression;
    use crate::train::metrics::Answer;
    use crate::train::metrics::tests::answer;
    use crate::train::study::{Condition, Tested};

    /// Two people in three views each; `right` of the six faces are read rightly.
    fn tested(set: &str, fold: usize, right: usize) -> Tested {
        let seen = |n: usize| {
            let named = if n < right { Expression::Happy } else { Expression::Sad };
            let subject = Some(2 * fold + n / 3);
            Answer { subject, scene: n / 3, view: n % 3, ..answer(Expression::Happy, named, 0.8) }
        };
        Tested {
            set: set.to_owned(),
            fingerprint: String::new(),
            views: ["FR", "S", "FL"].map(str::to_owned).into(),
            answers: (0..6).map(seen).collect(),
            retrieval: Some(0.5),
            retrieval_pretrained: None,
        }
    }

    fn cells() -> Vec<Cell> {
        let views = ["FL", "S"].map(|view| Condition { without_view: Some(view.to_owned()), ..Condition::FULL });
        let mut conditions = vec![Condition::FULL, Condition { labels: 0.1, ..Condition::FULL }];
        conditions.push(Condition { probe: true, ..Condition::FULL });
        conditions.extend(views);
        let mut cells = Vec::new();
        for (recipe, better) in [("supervised", 0), ("cl-mex", 1)] {
            for (fold, condition) in (0..2).flat_map(|fold| conditions.iter().map(move |c| (fold, c))) {
                let right = 4 + better - usize::from(condition.labels < 1.0);
                cells.push(Cell {
                    recipe: recipe.to_owned(),
                    seed: 1,
                    fold,
                    folds: "2 folds".to_owned(),
                    condition: condition.clone(),
                    fingerprint: String::new(),
                    made: Provenance {
                        command: format!("vultus train cross-validate {recipe}.toml"),
                        seed: 1,
                        date: format!("2026-01-{}", 30 + fold),
                        machine: "two cores".to_owned(),
                    },
                    tests: vec![tested("fold", fold, right), tested("kdef:shifted", fold, right - 1)],
                });
            }
        }
        cells
    }

    fn comparison(cells: &[Cell]) -> Comparison<'_> {
        Comparison {
            title: "Methods on rendered faces".to_owned(),
            about: "Two folds by subject.".to_owned(),
            seed: 7,
            cells,
            baseline: Some("supervised".to_owned()),
            notes: vec!["CL-MEx-style: its loss is a reconstruction.".to_owned()],
        }
    }

    #[test]
    fn a_report_has_a_section_a_set_and_a_row_a_method() {
        let cells = cells();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = comparison(&cells).write(folder.path(), "methods").expect("written");
        assert_eq!(fs::read_to_string(folder.path().join("methods.md")).expect("a report"), text);
        for wanted in [
            "Made from 2026-01-30 to 2026-01-31 on two cores;",
            "with seed 7:",
            "vultus train cross-validate supervised.toml\nvultus train cross-validate cl-mex.toml\n",
            "## fold",
            "## kdef:shifted",
            "| method     | accuracy, % |",
            "66.7 ± 0.0",
            "* CL-MEx-style",
            "| method     |         FL |          S |          FR |",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in\n{text}");
        }
        // Every picture that is shown is there, and has words for whoever cannot see it.
        let shown: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.strip_prefix("![")?.trim_end_matches(')').split_once("](")).collect();
        assert!(shown.len() >= 8, "{text}");
        for (about, file) in shown {
            assert!(folder.path().join(file).is_file() && !about.is_empty(), "{file}");
        }
    }

    #[test]
    fn a_study_of_fewer_labels_alone_is_told_too() {
        let cells: Vec<Cell> = cells().into_iter().filter(|c| c.condition.labels < 1.0).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = comparison(&cells).write(folder.path(), "fewer").expect("written");
        assert!(text.contains("### Fewer labels") && !text.contains("!["), "{text}");
    }

    #[test]
    fn a_study_of_one_method_and_condition_has_no_empty_tables() {
        let cells: Vec<Cell> =
            cells().into_iter().filter(|c| c.recipe == "cl-mex" && c.condition == Condition::FULL).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let one = Comparison { baseline: None, notes: Vec::new(), ..comparison(&cells) };
        let text = one.write(folder.path(), "one").expect("written");
        for absent in ["Fewer labels", "Views left out", "Differences", "linear probe"] {
            assert!(!text.contains(absent), "{absent} in\n{text}");
        }
    }
}
