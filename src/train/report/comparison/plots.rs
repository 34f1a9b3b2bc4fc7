//! The plots of a report.

use super::Comparison;
use super::outcome::{Outcome, distinct, of, recipes, shares, views};
use crate::plot::{self, Bar, BarGroup, Curve, Plot, PlotError, Sample, Scale, Titles};
use crate::train::metrics::{Answer, Counts, reliability};
use crate::train::report::Spread;
use crate::train::study::Condition;

impl Comparison<'_> {
    /// Each plot with the set that it is of.
    pub(super) fn plots(&self, outcomes: &[Outcome<'_>]) -> Result<Vec<(String, Plot)>, PlotError> {
        let mut plots = Vec::new();
        for set in distinct(outcomes.iter().map(Outcome::set)) {
            let of_set: Vec<&Outcome<'_>> = outcomes.iter().filter(|outcome| outcome.set() == set).collect();
            let mut add = |kind: &str, about: String, svg: Result<String, PlotError>| -> Result<(), PlotError> {
                let file = format!("{}-{}.svg", plain(set), plain(kind));
                plots.push((set.to_owned(), Plot { file, about, svg: svg? }));
                Ok(())
            };
            let full: Vec<&Outcome<'_>> =
                of_set.iter().copied().filter(|outcome| *outcome.condition() == Condition::FULL).collect();
            if views(&full).len() > 1 {
                add("angles", format!("Accuracy from every angle on {set}"), angles(set, &of_set))?;
            }
            if shares(&of_set).len() > 1 {
                add("labels", format!("Accuracy with fewer labels on {set}"), fewer_labels(set, &of_set))?;
            }
            for recipe in recipes(&of_set) {
                let full = of(&of_set, recipe, &Condition::FULL);
                let answers: Vec<Answer> = full.flat_map(|outcome| outcome.tested.answers.iter().copied()).collect();
                if answers.is_empty() {
                    continue;
                }
                let title = format!("{recipe} on {set}");
                let about = format!("What {recipe} takes for what on {set}");
                add(&format!("confusion-{recipe}"), about, plot::confusion(&title, &Counts::of(&answers)))?;
                let about = format!("Whether {recipe} is right as often as it says on {set}");
                add(&format!("reliability-{recipe}"), about, plot::reliability(&title, &reliability(&answers)))?;
            }
        }
        Ok(plots)
    }
}

/// Letters, digits and dashes: a file's name.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn angles(set: &str, outcomes: &[&Outcome<'_>]) -> Result<String, PlotError> {
    let methods = recipes(outcomes);
    let bar = |recipe: &&str, view: &str| {
        let shares: Vec<f64> =
            of(outcomes, recipe, &Condition::FULL).filter_map(|outcome| outcome.accuracy_from(view)).collect();
        Spread::of(&shares).map(|spread| Bar { value: 100.0 * spread.mean, sd: 100.0 * spread.sd })
    };
    let group =
        |view: &str| BarGroup { name: view.to_owned(), bars: methods.iter().map(|recipe| bar(recipe, view)).collect() };
    let groups: Vec<BarGroup> = views(outcomes).into_iter().map(group).collect();
    plot::bars(&format!("Accuracy from every angle, {set}"), "accuracy, %", &methods, &groups)
}

fn fewer_labels(set: &str, outcomes: &[&Outcome<'_>]) -> Result<String, PlotError> {
    let mut shares = shares(outcomes);
    shares.reverse();
    let curve = |recipe: &str| {
        let sample = |labels: &f64| {
            let condition = Condition { labels: *labels, ..Condition::FULL };
            let accuracies: Vec<f64> = of(outcomes, recipe, &condition).map(Outcome::accuracy).collect();
            let Spread { mean, sd } = Spread::of(&accuracies)?;
            let [y, low, high] = [mean, mean - sd, mean + sd].map(|share| 100.0 * share);
            Some(Sample { x: 100.0 * labels, y, low, high })
        };
        Curve { name: recipe.to_owned(), samples: shares.iter().filter_map(sample).collect() }
    };
    // A method that was only trained with all labels is no curve.
    let curves: Vec<Curve> = recipes(outcomes).into_iter().map(curve).filter(|curve| curve.samples.len() > 1).collect();
    let title = format!("Accuracy with fewer labels, {set}");
    let titles = Titles { title: &title, x: "people with labels, %", y: "accuracy, %" };
    plot::curves(titles, Scale::Logarithmic, &curves)
}
