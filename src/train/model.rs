//! From a trained network to a model: how sure it may be, what is said of it, and its files.

use burn::module::Module;

use super::datasets::{DatasetSpec, Kind};
use super::evaluate::Evaluation;
use super::faces::{Face, Faces};
use super::metrics::{Answer, Answers, fit_temperature};
use super::recipe::{Portion, Recipe};
use super::report::Provenance;
use super::report::card::{Card, Source};
use super::trainer::read;
use crate::network::Network;
use crate::scene::Expression;

/// What `network` says of those of `faces` that nobody learnt from (`validation`) and whose expression is known.
pub(super) fn answers(network: &Network, faces: &Faces, validation: &[usize]) -> Answers {
    let labelled = validation.iter().filter_map(|&face| Some((face, faces.faces[face].expression?)));
    let (labelled, truths): (Vec<usize>, Vec<Expression>) = labelled.unzip();
    let mut answers = Answers { views: faces.views.clone(), ..Answers::default() };
    for ((&face, truth), reading) in labelled.iter().zip(truths).zip(read(network, faces, &labelled)) {
        let &Face { subject, scene, view, .. } = &faces.faces[face];
        answers.answers.push(Answer { subject, scene, view, truth, logits: Some(reading.logits) });
        answers.embeddings.push(reading.embedding);
    }
    answers
}

/// Temperature of the class scores, fitted on those of `faces` that nobody learnt from (`validation`); 1 without any.
#[must_use]
pub fn temperature(network: &Network, faces: &Faces, validation: &[usize]) -> f32 {
    fit_temperature(&answers(network, faces, validation).answers)
}

/// How `network`, its scores divided by `temperature`, does on those of `validation`, set by set. They are cut out as live,
/// but not found anew; `model` is its name, `sha256` its file's.
#[must_use]
pub fn evaluations(
    network: &Network,
    temperature: f32,
    faces: &Faces,
    validation: &[usize],
    model: &str,
    sha256: &str,
) -> Vec<Evaluation> {
    let of_set = |set: usize| {
        let of: Vec<usize> = validation.iter().copied().filter(|&face| faces.faces[face].set == set).collect();
        let mut answers = answers(network, faces, &of);
        let scores = answers.answers.iter_mut().filter_map(|answer| answer.logits.as_mut()).flatten();
        scores.for_each(|score| *score /= temperature);
        Some(Evaluation {
            model: model.to_owned(),
            sha256: sha256.to_owned(),
            data: format!("{}, kept apart", faces.sets[set].name),
            left_out: 0,
            classes: Expression::ALL.map(|class| class.name().to_owned()).into(),
            figures: answers.figures()?,
        })
    };
    (0..faces.sets.len()).filter_map(of_set).collect()
}

/// What is to be said of a network that `recipe` made.
#[must_use]
pub fn card(recipe: &Recipe, network: &Network, temperature: f32, run: Provenance, figures: Vec<Evaluation>) -> Card {
    let how = match &recipe.pretrain {
        Some(stage) => format!("pre-trained by `{}` and fine-tuned", stage.method.name()),
        None => "trained on labels alone".to_owned(),
    };
    let how = match &recipe.finetune.teachers {
        Some(teachers) if teachers.networks.len() == 1 => format!("{how}, also by what a trained network says"),
        Some(teachers) => format!("{how}, also by what {} trained networks say", teachers.networks.len()),
        None => how,
    };
    let parameters = network.num_params() as f64 / 1e6;
    let summary = format!("{} A {}, {parameters:.2} million parameters, {how}.", recipe.about, network.architecture());
    let [first, second] = [&recipe.data.pretrain, &recipe.data.finetune];
    let is_in = |portions: &[Portion], set: &DatasetSpec| portions.iter().any(|portion| portion.set == *set);
    let of_first = first
        .iter()
        .map(|portion| source(portion, if is_in(second, &portion.set) { "both stages" } else { "first stage" }));
    let of_second =
        second.iter().filter(|portion| !is_in(first, &portion.set)).map(|portion| source(portion, "second stage"));
    let data: Vec<Source> = of_first.chain(of_second).collect();
    let licence = if data.iter().all(|source| source.terms == OWN_TERMS) {
        OWN_TERMS.to_owned()
    } else {
        format!(
            "{OWN_TERMS} as far as it is ours; what it was learnt from has terms of its own, which stand under `data`"
        )
    };
    Card {
        name: recipe.name.clone(),
        summary: summary.trim_start().to_owned(),
        licence,
        side: network.side(),
        embedding: network.architecture().embedding(),
        temperature,
        data,
        recipe: recipe.to_toml().unwrap_or_default(),
        run,
        figures,
        limits: LIMITS.map(str::to_owned).into(),
    }
}

/// Terms of what the project has made itself.
pub const OWN_TERMS: &str = "MIT OR Apache-2.0";

const LIMITS: [&str; 3] = [
    "It knows seven acted or posed expressions and nothing between them; what a face does in daily life is often none of them.",
    "It does as well on people, cameras and light as they resemble what it was trained on. Evaluate it on your own before you rely on it.",
    "Figures on rendered faces say that the machinery works, and nothing of people.",
];

fn source(portion: &Portion, part: &str) -> Source {
    let terms = portion.terms.clone().unwrap_or_else(|| usual_terms(portion.set.kind).to_owned());
    Source { name: portion.set.name(), part: part.to_owned(), terms }
}

/// Terms of the sets that go by these names, unless a recipe says otherwise.
fn usual_terms(kind: Kind) -> &'static str {
    match kind {
        Kind::Kdef => "KDEF (Lundqvist, Flykt, Öhman 1998): for non-commercial research, by its owners' licence",
        Kind::Ddcf => "DDCF (Dalrymple, Gomez, Duchaine 2013): for research, by its owners' licence",
        Kind::Fer2013 => {
            "FER2013 (Goodfellow and others 2013): data of a research challenge, photographs collected from the web whose rights are \
             their owners'"
        }
        Kind::Cmu => "CMU Face Images (T. Mitchell, UCI Machine Learning Repository): CC BY 4.0",
        Kind::Classes | Kind::Take => "your own data: what the people in it agreed to",
    }
}
