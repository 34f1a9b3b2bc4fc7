//! What was used of the data sets, what was not, and why: in words.

use std::collections::HashMap;
use std::fmt::Write;

use super::{Faces, Sex};
use crate::scene::Expression;

/// Pictures that are named of each reason to leave some out.
const EXAMPLES: usize = 3;

impl Faces {
    /// A few lines a data set: faces, people, views, classes, and what was left out, grouped by the reason.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for n in 0..self.sets.len() {
            // Writing to a string does not fail.
            let _ = self.report_set(n, &mut text);
        }
        text
    }

    fn report_set(&self, n: usize, out: &mut String) -> std::fmt::Result {
        let of_set: Vec<usize> = (0..self.faces.len()).filter(|&face| self.faces[face].set == n).collect();
        writeln!(out, "{}: {} faces, {}", self.sets[n].name, of_set.len(), self.people(&of_set))?;
        let views = self.views.iter().zip(self.view_counts(&of_set));
        writeln!(out, "  views: {}", counts(views.map(|(view, count)| (view.as_str(), count))))?;
        let per_class = self.class_counts(&of_set);
        let classes = Expression::ALL.into_iter().map(|class| (class.name(), per_class[class as usize]));
        let unlabelled = of_set.len() - per_class.iter().sum::<usize>();
        writeln!(out, "  classes: {}", counts(classes.chain([("without a label", unlabelled)])))?;

        let mut reasons: Vec<(&str, Vec<String>, usize)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for skipped in self.skipped.iter().filter(|skipped| skipped.set == n) {
            let place = *places.entry(&skipped.reason).or_insert(reasons.len());
            if place == reasons.len() {
                reasons.push((&skipped.reason, Vec::new(), 0));
            }
            let (_, examples, count) = &mut reasons[place];
            *count += 1;
            if examples.len() < EXAMPLES {
                examples.push(skipped.source.display().to_string());
            }
        }
        reasons.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        for (reason, examples, count) in reasons {
            let more = if count > examples.len() { ", …" } else { "" };
            writeln!(out, "  left out {count}: {reason} ({}{more})", examples.join(", "))?;
        }
        Ok(())
    }

    fn people(&self, of_set: &[usize]) -> String {
        let counts = self.subject_counts(of_set);
        let present = || self.subjects.iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(subject, _)| subject);
        let of_sex = |sex: Sex| present().filter(|subject| subject.sex == Some(sex)).count();
        let anonymous = of_set.iter().filter(|&&n| self.faces[n].subject.is_none()).count();
        let people = match (present().count(), of_sex(Sex::Female), of_sex(Sex::Male)) {
            (0, ..) => return "of nobody knows whom: they can be split by picture only".to_owned(),
            (1, ..) => "of 1 person".to_owned(),
            (people, 0, 0) => format!("of {people} people"),
            (people, female, male) => format!("of {people} people ({female} F, {male} M)"),
        };
        if anonymous > 0 { format!("{people}; {anonymous} of nobody knows whom") } else { people }
    }
}

/// Names with their counts; what there is none of is not said.
fn counts<'a>(of: impl Iterator<Item = (&'a str, usize)>) -> String {
    let present = of.filter(|(_, count)| *count > 0);
    present.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
