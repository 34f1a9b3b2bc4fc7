//! The figures of one cell on one set, and how to find them.

use crate::train::metrics::{Answers, Figures};
use crate::train::study::{Cell, Condition, Tested};

/// A cell on one of its sets.
pub(super) struct Outcome<'a> {
    pub(super) cell: &'a Cell,
    pub(super) tested: &'a Tested,
    pub(super) figures: Figures,
}

impl<'a> Outcome<'a> {
    /// Of all cells on all of their sets that have an answer.
    pub(super) fn all(cells: &'a [Cell]) -> Vec<Self> {
        let of = |(cell, tested): (&'a Cell, &'a Tested)| {
            let (answers, views) = (tested.answers.clone(), tested.views.clone());
            let figures = Answers { answers, views, ..Answers::default() }.figures()?;
            Some(Self { cell, tested, figures })
        };
        cells.iter().flat_map(|cell| cell.tests.iter().map(move |tested| (cell, tested))).filter_map(of).collect()
    }

    pub(super) fn set(&self) -> &'a str {
        &self.tested.set
    }

    pub(super) fn condition(&self) -> &'a Condition {
        &self.cell.condition
    }

    pub(super) fn accuracy(&self) -> f64 {
        self.figures.metrics.accuracy
    }

    /// The accuracy from `view`.
    pub(super) fn accuracy_from(&self, view: &str) -> Option<f64> {
        self.figures.metrics.per_angle.get(view)
    }
}

/// Each once, in the order in which they come first.
pub(super) fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut known, one| {
        if !known.contains(&one) {
            known.push(one);
        }
        known
    })
}

/// The methods of `outcomes`.
pub(super) fn recipes<'a>(outcomes: &[&Outcome<'a>]) -> Vec<&'a str> {
    distinct(outcomes.iter().map(|outcome| outcome.cell.recipe.as_str()))
}

/// The views, from the left profile to the right one.
pub(super) fn views<'a>(outcomes: &[&'a Outcome<'_>]) -> Vec<&'a str> {
    distinct(
        outcomes.iter().flat_map(|outcome| outcome.figures.metrics.per_angle.0.iter().map(|(view, _)| view.as_str())),
    )
}

/// The shares of labels that the full network was trained with on all views, the largest first.
pub(super) fn shares(outcomes: &[&Outcome<'_>]) -> Vec<f64> {
    let conditions = outcomes.iter().map(|outcome| outcome.condition());
    let whole = conditions.filter(|condition| !condition.probe && condition.without_view.is_none());
    let mut shares = distinct(whole.map(|condition| condition.labels));
    shares.sort_by(|a, b| b.total_cmp(a));
    shares
}

/// The outcomes of `recipe` under `condition`.
pub(super) fn of<'o, 'a>(
    outcomes: &'o [&'o Outcome<'a>],
    recipe: &'o str,
    condition: &'o Condition,
) -> impl Iterator<Item = &'o Outcome<'a>> + Clone {
    let is_meant = move |outcome: &&&Outcome<'_>| outcome.cell.recipe == recipe && outcome.condition() == condition;
    outcomes.iter().filter(is_meant).copied()
}
