//! A trained network in a folder of models: the ONNX file, its weights, its card and its entry in the manifest.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::augment;
use super::batch::{MEAN, STD, Shot, render};
use super::faces::Faces;
use super::graph::{Graph, GraphError};
use super::onnx;
use super::report::card::Card;
use super::trainer::{Reading, read_pixels};
use crate::config;
use crate::encode::Encoder;
use crate::infer::manifest::{self, Channels, Input, ManifestError, Model, Models, Role, Values, Weights};
use crate::infer::{InferError, Runtime};
use crate::network::{Network, WeightsError};
use crate::scene::{Expression, Logits};

/// How far the exported model may be from the network, along each axis of the embedding and in class scores (of scores above
/// 1, in units of the largest).
pub const TOLERANCE: f32 = 1e-4;
/// Random pictures that both are asked about, and as many real ones.
const CHECKED: usize = 8;

/// Why a model cannot be exported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ExportError {
    #[error("`{0}` cannot be a model's name: use small letters, digits, `-` and `_`, beginning with a letter")]
    Name(String),
    #[error("`{name}` is the name of the detector in {}: give the encoder another one", .path.display())]
    Taken { name: String, path: PathBuf },
    #[error("the network cannot be exported: {0}")]
    Graph(#[from] GraphError),
    #[error(
        "{runtime} computes something else from the exported model than the network does: {apart:.1e} apart, where {TOLERANCE} \
         is allowed. Nothing was written; try the other `--runtime`"
    )]
    Differs { runtime: &'static str, apart: f32 },
    #[error(
        "the weights are not those of the network that is exported: {apart:.1e} apart, where {TOLERANCE} is allowed. Nothing was written"
    )]
    OtherWeights { apart: f32 },
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the model's entry cannot be put into {}: {reason}. Add it by hand:\n{entry}", .path.display())]
    Entry { path: PathBuf, reason: String, entry: String },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// A model to be exported.
pub struct Export<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Its weights as safetensors, for the runtime `wgpu` and to go on training from; none are written if absent.
    pub weights: Option<&'a [u8]>,
    /// All that is to be said of it.
    pub card: &'a Card,
    /// What it must compute.
    pub check: &'a Check<'a>,
}

/// Pictures and what the network says of them; what is exported must say the same before it is written.
pub struct Check<'a> {
    /// What runs the exported model.
    pub runtime: &'a Runtime,
    /// The pictures as the network sees them: `side` x `side` values each.
    pub pixels: Vec<f32>,
    /// One a picture.
    pub readings: Vec<Reading>,
}

impl<'a> Check<'a> {
    /// By random pictures, and by some of those of `faces` that are in `of`.
    #[must_use]
    pub fn of(network: &Network, runtime: &'a Runtime, faces: &Faces, of: &[usize]) -> Self {
        let mut random = StdRng::seed_from_u64(0);
        let values = CHECKED * network.side() * network.side();
        let mut pixels: Vec<f32> = (0..values).map(|_| random.random_range(-2.0..2.0)).collect();
        let some = of.iter().step_by((of.len() / CHECKED).max(1)).take(CHECKED);
        let shots: Vec<Shot> = some.map(|&face| Shot::plain(face)).collect();
        pixels.extend(render(faces, &shots, network.side(), &augment::Settings::none()));
        Self { runtime, readings: read_pixels(network, &pixels), pixels }
    }

    /// Whether `model`, whose class scores are divided by `temperature`, says the same, and its `weights` do.
    fn pass(&self, model: &Model, weights: Option<&[u8]>, temperature: f32) -> Result<(), ExportError> {
        let Self { runtime, pixels, .. } = self;
        if let Some(bytes) = weights {
            let said = read_pixels(&Network::of_bytes(bytes, Path::new(&model.name), &Device::flex())?, pixels);
            let said = said.iter().map(|reading| (&reading.logits, &reading.embedding[..]));
            let apart = self.apart(said, 1.0);
            if apart > TOLERANCE {
                return Err(ExportError::OtherWeights { apart });
            }
        }
        let mut encoder = Encoder::new(runtime.session(model)?, model)?;
        encoder.push(pixels);
        let by = encoder.place().runtime;
        let said = encoder.step()?;
        let apart = self.apart(said.logits.iter().zip(said.embeddings()), temperature);
        if apart > TOLERANCE {
            return Err(ExportError::Differs { runtime: by, apart });
        }
        tracing::info!("{by} computes from the exported model what the network does, within {apart:.0e}");
        Ok(())
    }

    /// How far what is `said` is from what the network says, whose class scores are divided by `temperature`.
    fn apart<'b>(&self, said: impl Iterator<Item = (&'b Logits, &'b [f32])>, temperature: f32) -> f32 {
        let scores = self.readings.iter().flat_map(|reading| &reading.logits);
        let largest = scores.fold(1.0, |largest: f32, score| largest.max((score / temperature).abs()));
        let apart = said.zip(&self.readings).flat_map(|((logits, embedding), wanted)| {
            let score = move |(said, wanted): (&f32, &f32)| (said - wanted / temperature).abs() / largest;
            let scores = logits.iter().zip(&wanted.logits).map(score);
            scores.chain(embedding.iter().zip(&wanted.embedding).map(|(said, wanted)| (said - wanted).abs()))
        });
        // A value that is no number is as far as can be.
        apart.fold(0.0, |worst: f32, one| if one.is_nan() { f32::INFINITY } else { worst.max(one) })
    }
}

/// Whether a model, and its files, may be called so.
#[must_use]
pub fn is_model_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_plain)
}

impl Export<'_> {
    /// Writes `NAME.onnx`, `NAME.md` and perhaps `NAME.safetensors` into `folder`, which is made if need be, and puts the
    /// model's entry into its `manifest.toml`: in the place of one of the same name, else at the end; other entries and
    /// comments stay. A folder without a detector gets the built-in one. The manifest is written last: if anything fails
    /// before, it is as it was. Gives the models as a run that chooses this encoder has them.
    ///
    /// # Errors
    /// Every [`ExportError`].
    pub fn write(&self, folder: &Path) -> Result<Models, ExportError> {
        let Card { name, temperature, .. } = self.card;
        if !is_model_name(name) {
            return Err(ExportError::Name(name.clone()));
        }
        let about = [("name", name.as_str()), ("licence", &self.card.licence)];
        let model = self.model(onnx::encode(self.graph, *temperature, &about)?);
        self.check.pass(&model, self.weights, *temperature)?;
        let path = folder.join("manifest.toml");
        let listed = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ExportError::Read { path, source }),
        };
        let mut detectors = manifest::entries(&listed, &path)?;
        detectors.retain(|other| other.role == Role::Detector);
        if detectors.iter().any(|detector| detector.name == *name) {
            return Err(ExportError::Taken { name: name.clone(), path });
        }
        let mut text = with_entry(&listed, &model, &path)?;
        fs::create_dir_all(folder).map_err(|source| ExportError::Write { path: folder.to_owned(), source })?;
        if detectors.is_empty() {
            let detector = Models::load(None)?.detector;
            write(&folder.join(&detector.file), detector.bytes())?;
            text = with_entry(&text, &detector, &path)?;
        }
        write(&folder.join(&model.file), model.bytes())?;
        if let Some((weights, bytes)) = model.weights.as_ref().zip(self.weights) {
            write(&folder.join(&weights.file), bytes)?;
        }
        write(&folder.join(format!("{name}.md")), self.card.to_markdown().as_bytes())?;
        write(&path, text.as_bytes())?;
        let chosen = config::Models { folder: Some(folder.to_owned()), encoder: Some(name.clone()) };
        Ok(Models::chosen(&chosen)?)
    }

    fn model(&self, onnx: Vec<u8>) -> Model {
        let Self { graph, card, .. } = self;
        let channels = if graph.channels == 1 { Channels::Gray } else { Channels::Bgr };
        let metrics = card.figures.iter().flat_map(|evaluation| {
            let of = |figure: &str| format!("{} {figure}", evaluation.data);
            let metrics = &evaluation.figures.metrics;
            [("accuracy", metrics.accuracy), ("macro_f1", metrics.macro_f1), ("ece", metrics.ece)]
                .map(|(figure, value)| (of(figure), (value * 1e4).round() / 1e4))
        });
        Model {
            name: card.name.clone(),
            role: Role::Encoder,
            file: PathBuf::from(format!("{}.onnx", card.name)),
            sha256: manifest::sha256(&onnx),
            licence: card.licence.clone(),
            provenance: card.summary.clone(),
            data: Some(card.data_and_terms()),
            card: Some(PathBuf::from(format!("{}.md", card.name))),
            outputs: onnx::OUTPUTS.map(str::to_owned).into(),
            values: Values::Logits,
            labels: Expression::ALL.map(|class| class.name().to_owned()).into(),
            input: Input { channels, size: Some([graph.side; 2]), mean: MEAN, std: STD },
            weights: self.weights.map(|bytes| Weights {
                file: PathBuf::from(format!("{}.safetensors", card.name)),
                sha256: manifest::sha256(bytes),
                temperature: card.temperature,
                folder: None,
            }),
            metrics: metrics.collect(),
            bytes: Cow::Owned(onnx),
        }
    }
}

/// A file with `content`, whole or not at all.
fn write(path: &Path, content: &[u8]) -> Result<(), ExportError> {
    let unfinished = path.with_added_extension("part");
    let written = fs::write(&unfinished, content).and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|source| ExportError::Write { path: path.to_owned(), source })
}

/// The manifest `text` with the entry of `model` in the place of one of the same name, else at its end.
fn with_entry(text: &str, model: &Model, path: &Path) -> Result<String, ExportError> {
    let entry = model.entry().map_err(|error| ExportError::Entry {
        path: path.to_owned(),
        reason: error.to_string(),
        entry: format!("{model:?}"),
    })?;
    let refused = |reason: String| ExportError::Entry { path: path.to_owned(), reason, entry: entry.clone() };
    let old = manifest::entries(text, path)?;
    let place = old.iter().position(|other| other.name == model.name);

    // Each part begins with `[[model]]` but the first, which is what stands before any.
    let starts = text.match_indices("[[model]]").map(|(at, _)| at).filter(|at| *at == 0 || text[..*at].ends_with('\n'));
    let starts: Vec<usize> = starts.collect();
    let new = match place.and_then(|place| starts.get(place).map(|start| (place, *start))) {
        None if text.trim().is_empty() => format!("{text}{entry}"),
        None => format!("{}\n\n{entry}", text.trim_end()),
        Some((place, start)) => {
            let end = starts.get(place + 1).copied().unwrap_or(text.len());
            // Blank lines and comments at its end belong to what follows.
            let lines = text[start..end].split_inclusive('\n');
            let kept: usize = lines.rev().take_while(|line| is_no_key(line)).map(str::len).sum();
            format!("{}{entry}{}", &text[..start], &text[end - kept..])
        }
    };
    let mut wanted = old;
    match place {
        Some(place) => wanted[place] = model.clone(),
        None => wanted.push(model.clone()),
    }
    // A text in a value may look like a header: then the new manifest is not what it should be.
    match manifest::entries(&new, path) {
        Ok(found) if found.iter().map(Model::entry).eq(wanted.iter().map(Model::entry)) => Ok(new),
        Ok(_) => Err(refused("another entry would change".to_owned())),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn is_no_key(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuntimeChoice;
    use crate::train::graph::tests::{Maker, forward};

    fn card(name: &str, graph: &Graph, temperature: f32) -> Card {
        Card {
            name: name.to_owned(),
            summary: "A network of random weights".to_owned(),
            licence: "MIT".to_owned(),
            side: graph.side,
            embedding: graph.classifier.inputs,
            temperature,
            data: Vec::new(),
            recipe: "seed = 1".to_owned(),
            run: crate::train::report::Provenance::default(),
            figures: Vec::new(),
            limits: Vec::new(),
        }
    }

    fn export(folder: &Path, name: &str, graph: &Graph, temperature: f32) -> Result<Models, ExportError> {
        let check = Check { runtime: &Runtime::Tract, pixels: Vec::new(), readings: Vec::new() };
        Export { graph, weights: None, card: &card(name, graph, temperature), check: &check }.write(folder)
    }

    #[test]
    fn every_runtime_computes_what_was_trained() {
        let runtimes = [RuntimeChoice::Tract, RuntimeChoice::Ort].map(Runtime::start);
        for (seed, large_stem) in [(3, false), (4, true)] {
            let mut maker = Maker::new(seed);
            let graph = maker.graph(32, large_stem);
            let folder = tempfile::tempdir().expect("a temporary folder");
            for runtime in &runtimes {
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        eprintln!("not tested with ONNX Runtime: {error}");
                        continue;
                    }
                };
                for batch in [1, 3, 8] {
                    let mut pixels = maker.values(batch * 32 * 32, -2.0, 2.0);
                    // One face is as flat as a wall.
                    pixels[..32 * 32].fill(0.7);
                    let reading = |picture: &[f32]| {
                        let (scores, features) = forward(&graph, picture);
                        let length = features.iter().map(|f| f * f).sum::<f32>().sqrt();
                        let embedding = features.iter().map(|feature| feature / length).collect();
                        Reading { logits: std::array::from_fn(|class| scores[class]), embedding }
                    };
                    let readings: Vec<Reading> = pixels.chunks_exact(32 * 32).map(reading).collect();
                    let card = card("random", &graph, 1.6);
                    let mut check = Check { runtime, pixels, readings };
                    let write = |check: &Check<'_>| {
                        Export { graph: &graph, weights: None, card: &card, check }.write(folder.path())
                    };
                    write(&check).unwrap_or_else(|error| panic!("{}, {batch}: {error}", runtime.name()));

                    // It would be seen if it computed something else.
                    let last = check.readings.last_mut().expect("a reading");
                    let axis = last.embedding.last_mut().expect("an axis");
                    *axis += 3e-4;
                    let error = write(&check).expect_err("they differ").to_string();
                    assert!(error.contains(runtime.name()) && error.contains("Nothing was written"), "{error}");
                    let last = check.readings.last_mut().expect("a reading");
                    (last.logits[6], last.embedding[0]) = (f32::NAN, 0.0);
                    assert!(matches!(write(&check), Err(ExportError::Differs { apart: f32::INFINITY, .. })));
                }
            }
        }
    }

    #[test]
    fn a_new_folder_can_be_used_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("models");
        export(&path, "first", &Maker::new(5).graph(24, false), 1.0).expect("it is exported");
        let models = Models::load(Some(&path)).expect("a detector and an encoder");
        assert_eq!((models.detector.name.as_str(), models.encoder.name.as_str()), ("yunet_2023mar", "first"));
        let card = fs::read_to_string(path.join("first.md")).expect("a card");
        assert!(card.contains("prohibited") && card.contains("24 x 24"), "{card}");
    }

    #[test]
    fn a_second_export_replaces_its_own_entry_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("manifest.toml");
        let [one, two] = [6, 7].map(|seed| Maker::new(seed).graph(24, false));
        export(folder.path(), "one", &one, 1.0).expect("it is exported");
        export(folder.path(), "two", &two, 1.0).expect("it is exported");
        let commented = fs::read_to_string(&path).expect("a manifest").replacen(
            "[[model]]\nname = \"two\"",
            "# Mine.\n[[model]]\nname = \"two\"",
            1,
        );
        let commented = format!("# All of them.\n{commented}\n# The end.\n");
        fs::write(&path, &commented).expect("written");
        let kept = fs::read(folder.path().join("two.onnx")).expect("a model");

        let models = export(folder.path(), "one", &two, 1.0).expect("it is exported");
        assert_eq!(models.encoder.name, "one");
        let text = fs::read_to_string(&path).expect("a manifest");
        assert_ne!(text, commented);
        for comment in ["# All of them.\n", "# Mine.\n[[model]]\nname = \"two\"", "\n# The end.\n"] {
            assert!(text.contains(comment), "{comment:?} in {text}");
        }
        let names: Vec<String> =
            manifest::entries(&text, &path).expect("it parses").into_iter().map(|model| model.name).collect();
        assert_eq!(names, ["one", "yunet_2023mar", "two"]);
        assert_eq!(fs::read(folder.path().join("two.onnx")).expect("a model"), kept);
        export(folder.path(), "one", &one, 1.0).expect("it is exported");
        export(folder.path(), "one", &two, 1.0).expect("it is exported");
        assert_eq!(fs::read_to_string(&path).expect("a manifest"), text, "the same export writes the same text");
    }

    #[test]
    fn what_cannot_be_exported_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let graph = Maker::new(8).graph(24, false);
        export(folder.path(), "good", &graph, 1.0).expect("it is exported");
        let files = || {
            let entries = fs::read_dir(folder.path()).expect("a folder");
            let mut files: Vec<_> =
                entries.map(|e| e.expect("an entry").path()).map(|p| (fs::read(&p).ok(), p)).collect();
            files.sort();
            files
        };
        let before = files();
        let mut broken = graph.clone();
        broken.classifier.weight[0] = f32::INFINITY;
        for (name, graph, wanted) in [
            ("Bad name", &graph, "small letters"),
            ("../up", &graph, "small letters"),
            ("yunet_2023mar", &graph, "name of the detector"),
            ("good", &broken, "no finite number"),
        ] {
            let message = export(folder.path(), name, graph, 1.0).expect_err("it must not be").to_string();
            assert!(message.contains(wanted), "{message}");
        }
        assert!(export(folder.path(), "good", &graph, 0.0).is_err());
        assert!(before == files());
    }

    #[test]
    fn a_manifest_that_cannot_be_edited_safely_is_left_alone() {
        let entry = |name: &str, provenance: &str| {
            format!(
                "[[model]]\nname = \"{name}\"\nrole = \"encoder\"\nfile = \"x\"\nsha256 = \"\"\nlicence = \"\"\n\
                 provenance = \"\"\"\n{provenance}\"\"\"\noutputs = []\ninput = {{ channels = \"gray\" }}\n"
            )
        };
        let text = format!("{}{}", entry("one", "a header:\n[[model]]\nno key\n"), entry("two", "plain"));
        let two = manifest::entries(&entry("two", "new"), Path::new("m")).expect("it parses").remove(0);
        let message = with_entry(&text, &two, Path::new("m")).expect_err("the header is no header").to_string();
        assert!(message.contains("by hand") && message.contains("\"new\""), "{message}");
    }
}
