//! The tables of a report. Figures are means over folds and seeds, with their standard deviation.

use super::Comparison;
use super::outcome::{Outcome, of, recipes, shares, views};
use crate::train::metrics::{Answer, Difference, paired_bootstrap};
use crate::train::report::{figure_spread, percent, percent_spread, table};
use crate::train::study::Condition;

/// How often people are drawn anew.
const ROUNDS: usize = 5000;
/// The full profiles.
const PROFILES: [&str; 2] = ["FL", "FR"];

impl Comparison<'_> {
    /// All that is told of one set, without plots.
    pub(super) fn section(&self, outcomes: &[&Outcome<'_>]) -> String {
        let probe = Condition { probe: true, ..Condition::FULL };
        let mut told = format!(
            "{}\n\nPictures in which a face was found: alone, then the views of a scene fused (mean of log-probabilities). \
             Retrieval is the mean average precision of finding the same person with the same expression from another \
             angle.\n\n{}",
            extent(outcomes),
            methods(outcomes, &probe)
        );
        let mut add = |title: &str, about: &str, table: Option<String>| {
            if let Some(table) = table {
                told.push_str(&format!("\n### {title}\n\n{about}\n\n{table}"));
            }
        };
        add("Angles", "Accuracy of single pictures from each angle, %.", angles(outcomes));
        add("Fewer labels", "Accuracy, %, where so many per cent of the people have labels.", fewer_labels(outcomes));
        let about = "Accuracy from an angle that the second stage did not see, %; in brackets, where it saw all.";
        add("Views left out", about, views_left_out(outcomes));
        let about = "Points of accuracy more than the baseline on the same faces, with a 95 % interval and p from a paired \
                     bootstrap over people.";
        add("Differences", about, self.differences(outcomes));
        told
    }

    fn differences(&self, outcomes: &[&Outcome<'_>]) -> Option<String> {
        let baseline = self.baseline.as_deref()?;
        let has_profiles = views(outcomes).iter().any(|view| PROFILES.contains(view));
        let subsets = [("all", false), ("profiles", true)].into_iter().filter(|(_, only)| !only || has_profiles);
        let subsets: Vec<(&str, bool)> = subsets.collect();
        let mut rows = Vec::new();
        for recipe in recipes(outcomes).into_iter().filter(|recipe| *recipe != baseline) {
            for labels in shares(outcomes) {
                for (name, only_profiles) in &subsets {
                    let condition = Condition { labels, ..Condition::FULL };
                    let pairs = pairs(outcomes, [recipe, baseline], &condition, *only_profiles);
                    let Some(Difference { accuracy, low, high, p }) = paired_bootstrap(&pairs, ROUNDS, self.seed)
                    else {
                        continue;
                    };
                    let interval = format!("{} to {}", percent(low), percent(high));
                    let figures = [percent(labels), (*name).to_owned(), percent(accuracy), interval, format!("{p:.4}")];
                    rows.push(std::iter::once(recipe.to_owned()).chain(figures).collect());
                }
            }
        }
        let heading = format!("against {baseline}");
        let header = [&heading, "labels, %", "angles", "points", "95 % interval", "p"];
        (!rows.is_empty()).then(|| table(&header, &rows))
    }
}

/// Who, or where nobody says it, which picture of which fold: it is a person of its own.
type Person = Result<usize, (usize, usize)>;

/// Whether each of two methods is right, on the faces that both answered.
fn pairs(
    outcomes: &[&Outcome<'_>],
    [first, second]: [&str; 2],
    condition: &Condition,
    only_profiles: bool,
) -> Vec<(Person, bool, bool)> {
    let mut pairs = Vec::new();
    for one in of(outcomes, first, condition) {
        let is_same = |other: &&Outcome<'_>| (other.cell.seed, other.cell.fold) == (one.cell.seed, one.cell.fold);
        let Some(other) = of(outcomes, second, condition).find(is_same) else { continue };
        let is_wanted = |answer: &Answer| {
            let view = one.tested.views.get(answer.view).map(String::as_str);
            !only_profiles || view.is_some_and(|view| PROFILES.contains(&view))
        };
        let both = one.tested.answers.iter().zip(&other.tested.answers).enumerate();
        let both = both.filter(|(_, (a, b))| is_wanted(a) && (a.scene, a.view, a.truth) == (b.scene, b.view, b.truth));
        let person = |n: usize, answer: &Answer| answer.subject.ok_or((one.cell.fold, n));
        pairs.extend(both.map(|(n, (a, b))| (person(n, a), a.is_right(), b.is_right())));
    }
    pairs
}

fn extent(outcomes: &[&Outcome<'_>]) -> String {
    let folds = super::outcome::distinct(outcomes.iter().map(|o| o.cell.fold)).len();
    let mut seeds: Vec<u64> = super::outcome::distinct(outcomes.iter().map(|o| o.cell.seed));
    seeds.sort_unstable();
    let listed = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let pictures = outcomes.iter().map(|outcome| outcome.figures.metrics.faces).max().unwrap_or(0);
    let plural = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    format!("{}, {} ({listed}), up to {pictures} pictures each.", plural(folds, "fold"), plural(seeds.len(), "seed"))
}

/// A column's name, and what stands in a method's row.
type Column<'a> = (&'a str, &'a dyn Fn(&str) -> String);

fn methods(outcomes: &[&Outcome<'_>], probe: &Condition) -> String {
    let columns: [Column<'_>; 8] = [
        ("accuracy, %", &|recipe| percent_spread(&values(outcomes, recipe, |o| Some(o.accuracy())))),
        ("macro-F1, %", &|recipe| percent_spread(&values(outcomes, recipe, |o| Some(o.figures.metrics.macro_f1)))),
        ("fused, %", &|recipe| percent_spread(&values(outcomes, recipe, |o| Some(o.figures.fused?.accuracy)))),
        ("linear probe, %", &|recipe| {
            percent_spread(&of(outcomes, recipe, probe).map(Outcome::accuracy).collect::<Vec<_>>())
        }),
        ("ECE, %", &|recipe| percent_spread(&values(outcomes, recipe, |o| Some(o.figures.metrics.ece)))),
        ("NLL", &|recipe| figure_spread(&values(outcomes, recipe, |o| Some(o.figures.metrics.nll)))),
        ("retrieval", &|recipe| figure_spread(&values(outcomes, recipe, |o| o.tested.retrieval))),
        ("retrieval, pre-trained", &|recipe| {
            figure_spread(&values(outcomes, recipe, |o| o.tested.retrieval_pretrained))
        }),
    ];
    let rows: Vec<Vec<String>> = recipes(outcomes)
        .into_iter()
        .map(|recipe| std::iter::once(recipe.to_owned()).chain(columns.iter().map(|(_, of)| of(recipe))).collect())
        .collect();
    // A column in which no method has a value tells nothing.
    let is_told = |column: &usize| rows.iter().any(|row| row[*column] != "–");
    let told: Vec<usize> = (0..=columns.len()).filter(is_told).collect();
    let header: Vec<&str> = std::iter::once("method").chain(columns.iter().map(|(name, _)| *name)).collect();
    let kept = |row: &[String]| told.iter().map(|column| row[*column].clone()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| kept(row)).collect();
    table(&told.iter().map(|column| header[*column]).collect::<Vec<_>>(), &rows)
}

/// A figure of each fold and seed, all labels and views used.
fn values(outcomes: &[&Outcome<'_>], recipe: &str, figure: impl Fn(&Outcome<'_>) -> Option<f64>) -> Vec<f64> {
    of(outcomes, recipe, &Condition::FULL).filter_map(figure).collect()
}

fn angles(outcomes: &[&Outcome<'_>]) -> Option<String> {
    let views = views(outcomes);
    let row = |recipe: &str| -> Vec<String> {
        let told = views.iter().map(|view| percent_spread(&values(outcomes, recipe, |o| o.accuracy_from(view))));
        std::iter::once(recipe.to_owned()).chain(told).collect()
    };
    let rows: Vec<Vec<String>> = recipes(outcomes).into_iter().map(row).collect();
    let header: Vec<&str> = std::iter::once("method").chain(views.iter().copied()).collect();
    (views.len() > 1).then(|| table(&header, &rows))
}

fn fewer_labels(outcomes: &[&Outcome<'_>]) -> Option<String> {
    let shares = shares(outcomes);
    let full = shares.iter().filter(|share| **share == 1.0).count();
    let row = |recipe: &str| -> Vec<String> {
        let accuracy = |labels: &f64| {
            let condition = Condition { labels: *labels, ..Condition::FULL };
            percent_spread(&of(outcomes, recipe, &condition).map(Outcome::accuracy).collect::<Vec<_>>())
        };
        std::iter::once(recipe.to_owned()).chain(shares.iter().map(accuracy)).collect()
    };
    let rows: Vec<Vec<String>> =
        recipes(outcomes).into_iter().map(row).filter(|row| is_told(&row[1 + full..])).collect();
    let names: Vec<String> = shares.iter().map(|share| percent(*share).replace(".0", "")).collect();
    let header: Vec<&str> = std::iter::once("method").chain(names.iter().map(String::as_str)).collect();
    (shares.len() > full).then(|| table(&header, &rows))
}

fn views_left_out(outcomes: &[&Outcome<'_>]) -> Option<String> {
    let without = |view: &str| Condition { without_view: Some(view.to_owned()), ..Condition::FULL };
    let mut views = views(outcomes);
    views.retain(|view| outcomes.iter().any(|outcome| *outcome.condition() == without(view)));
    let row = |recipe: &str| -> Vec<String> {
        let told = views.iter().map(|view| {
            let condition = without(view);
            let unseen: Vec<f64> = of(outcomes, recipe, &condition).filter_map(|o| o.accuracy_from(view)).collect();
            let seen = values(outcomes, recipe, |o| o.accuracy_from(view));
            let seen = seen.iter().sum::<f64>() / seen.len() as f64;
            if unseen.is_empty() {
                "–".to_owned()
            } else {
                format!("{} ({})", percent_spread(&unseen), percent(seen))
            }
        });
        std::iter::once(recipe.to_owned()).chain(told).collect()
    };
    let rows: Vec<Vec<String>> = recipes(outcomes).into_iter().map(row).filter(|row| is_told(&row[1..])).collect();
    let header: Vec<&str> = std::iter::once("method").chain(views.iter().copied()).collect();
    (!rows.is_empty()).then(|| table(&header, &rows))
}

fn is_told(cells: &[String]) -> bool {
    cells.iter().any(|cell| cell != "–")
}
