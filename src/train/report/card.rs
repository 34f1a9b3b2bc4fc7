//! The model card: what a model is, what went into it, how good it is, and where it must not be used.

use super::Provenance;
use crate::train::evaluate::Evaluation;

/// A data set that a model was trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// What of it was used, and what for.
    pub part: String,
    /// On what terms it may be used.
    pub terms: String,
}

/// All that is to be said of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// The model's name.
    pub name: String,
    /// What it is: architecture, size, how it was trained.
    pub summary: String,
    /// On what terms it may be used.
    pub licence: String,
    /// Width and height of its pictures, pixels.
    pub side: usize,
    /// Length of its embeddings.
    pub embedding: usize,
    /// What its class scores were divided by.
    pub temperature: f32,
    /// What it was trained on.
    pub data: Vec<Source>,
    /// The recipe's text.
    pub recipe: String,
    /// How it was made.
    pub run: Provenance,
    /// How good it is; of each data set one.
    pub figures: Vec<Evaluation>,
    /// What it is not good at, a sentence each.
    pub limits: Vec<String>,
}

const LAW: &str = "\
An expression is what a face does, not what a person feels: decide nothing about a person by it. In the European Union it
is prohibited to infer emotions of persons at the workplace and in education, except for medical or safety reasons
(Regulation (EU) 2024/1689, Article 5(1)(f)); elsewhere whoever uses such a system must inform the persons exposed to it
(Article 50(3)). Pictures of faces and what is inferred of them are personal data (Regulation (EU) 2016/679). Other
countries have other rules. `docs/guide/privacy.md` says more. This is no legal advice.
";

const FIGURES: &str = "\
Accuracy is over all pictures; a face that was not found is wrong. Of what was kept apart in training only found faces
are counted, and the temperature is fitted on them. What stands before a set's colon is how its files are laid out, not
what they show: `kdef:rendered-…` is computer graphics in KDEF's layout; a figure of them is none of KDEF.
";

impl Card {
    /// The data and their terms in one line each: the manifest's `data`.
    #[must_use]
    pub fn data_and_terms(&self) -> String {
        let lines = self.data.iter().map(|Source { name, part, terms }| format!("{name} ({part}): {terms}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The card.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let Self { name, summary, licence, side, embedding, temperature, recipe, run, .. } = self;
        let sections = [
            format!("# {name}\n\n{summary}\n"),
            format!(
                "Input: one grey face of {side} x {side} pixels, cut out as the pipeline does. Outputs: `logits`, one value for\n\
                 each of seven expressions, divided by the temperature {temperature:.3}; `embedding`, {embedding} values of unit \
                 length.\n\nLicence: {licence}\n"
            ),
            format!(
                "## Data\n\n{}",
                self.data_and_terms().lines().map(|line| format!("* {line}\n")).collect::<String>()
            ),
            format!("## Figures\n\n{}", self.figures()),
            format!("## Limits\n\n{}", self.limits.iter().map(|limit| format!("* {limit}\n")).collect::<String>()),
            format!("## Law\n\n{LAW}"),
            format!("## How it was made\n\n{}\n```toml\n{}\n```\n", run.to_markdown(), recipe.trim_end()),
        ];
        sections.join("\n")
    }

    fn figures(&self) -> String {
        if self.figures.is_empty() {
            return "None were measured.\n".to_owned();
        }
        let told = self.figures.iter().map(Evaluation::to_markdown);
        format!("{FIGURES}\n{}", told.collect::<Vec<_>>().join("\n"))
    }
}
