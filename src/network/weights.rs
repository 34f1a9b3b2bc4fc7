//! Weights on disk, as safetensors: ours, which say what network they are of, and PyTorch's.
//!
//! Tensors have PyTorch's names and layouts. Of `resnet18`, `encoder.` before the names of torchvision's state dict is all
//! the difference.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{DType, Device, TensorData};
use burn_store::burn_pack::Tensor as Stored;
use burn_store::{
    BurnToPyTorchAdapter, FloatCastAdapter, ModuleAdapter, ModuleContext, ModuleSnapshot, PyTorchToBurnAdapter,
    SafetensorsStore, bridge,
};
use serde::Deserialize;

use super::{Architecture, Network};

/// Why weights cannot be kept or taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum WeightsError {
    #[error("cannot write the weights {}: {reason}", .path.display())]
    Write { path: PathBuf, reason: String },
    #[error("cannot read the weights {}: {reason}", .path.display())]
    Read { path: PathBuf, reason: String },
    #[error(
        "{} does not say of which network it is. Weights from elsewhere are taken in by `vultus train import`", .path.display()
    )]
    NotOurs { path: PathBuf },
    #[error("{} has the weights of {found}, but {wanted} is wanted", .path.display())]
    OtherArchitecture { path: PathBuf, found: String, wanted: String },
    #[error("{} is no state dict of {wanted}: {reason}", .path.display())]
    Foreign { path: PathBuf, wanted: String, reason: String },
}

/// Key of the metadata under which the architecture stands.
const ARCHITECTURE: &str = "vultus.architecture";
const LONGEST_HEADER: u64 = 16 << 20;

/// What stands at the beginning of a file.
#[derive(Deserialize)]
struct Header {
    #[serde(default, rename = "__metadata__")]
    metadata: HashMap<String, String>,
    #[serde(flatten)]
    tensors: HashMap<String, serde::de::IgnoredAny>,
}

impl Header {
    /// `path` is what an error names.
    fn read(mut content: impl Read, path: &Path) -> Result<Self, WeightsError> {
        let bad = |reason: String| WeightsError::Read { path: path.to_owned(), reason };
        let mut length = [0; 8];
        content.read_exact(&mut length).map_err(|_| bad("it is no safetensors file".to_owned()))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER {
            return Err(bad("it is no safetensors file".to_owned()));
        }
        let mut header = Vec::new();
        content.take(length).read_to_end(&mut header).map_err(|error| bad(error.to_string()))?;
        serde_json::from_slice(&header).map_err(|error| bad(format!("its header is damaged ({error})")))
    }

    fn of_file(path: &Path) -> Result<Self, WeightsError> {
        let failed = |error: io::Error| WeightsError::Read { path: path.to_owned(), reason: error.to_string() };
        Self::read(File::open(path).map_err(failed)?, path)
    }

    /// Of which network the weights are.
    fn architecture(&self, path: &Path) -> Result<Architecture, WeightsError> {
        let text = self.metadata.get(ARCHITECTURE).ok_or_else(|| WeightsError::NotOurs { path: path.to_owned() })?;
        let damaged =
            |error: serde_json::Error| WeightsError::Read { path: path.to_owned(), reason: error.to_string() };
        serde_json::from_str(text).map_err(damaged)
    }
}

/// The architecture of the network whose weights `path` has.
///
/// # Errors
/// [`WeightsError::Read`] and [`WeightsError::NotOurs`].
pub fn architecture(path: &Path) -> Result<Architecture, WeightsError> {
    Header::of_file(path)?.architecture(path)
}

impl Network {
    /// Writes its weights to `path`, in place of a file that is there.
    ///
    /// # Errors
    /// [`WeightsError::Write`]; a file that was there is then still there.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let failed = |reason: String| WeightsError::Write { path: path.to_owned(), reason };
        let architecture = serde_json::to_string(self.architecture()).map_err(|error| failed(error.to_string()))?;
        let mut store = SafetensorsStore::from_file(path)
            .overwrite(true)
            .clear_metadata()
            .metadata(ARCHITECTURE, architecture)
            .with_to_adapter(BurnToPyTorchAdapter);
        self.valid().save_into(&mut store).map_err(|error| failed(error.to_string()))
    }

    /// The same network with the weights in `path`, which [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::NotOurs`] and [`WeightsError::OtherArchitecture`].
    pub fn load(mut self, path: &Path) -> Result<Self, WeightsError> {
        let found = architecture(path)?;
        if !found.has_weights_of(self.architecture()) {
            let (found, wanted) = (found.to_string(), self.architecture().to_string());
            return Err(WeightsError::OtherArchitecture { path: path.to_owned(), found, wanted });
        }
        self.fill(SafetensorsStore::from_file(path), path)?;
        Ok(self)
    }

    /// The network on `device` whose weights [`save`](Self::save) wrote into a file of this content; `path` is what an
    /// error names.
    ///
    /// # Errors
    /// [`WeightsError::Read`] and [`WeightsError::NotOurs`].
    pub fn of_bytes(content: &[u8], path: &Path, device: &Device) -> Result<Self, WeightsError> {
        let architecture = Header::read(content, path)?.architecture(path)?;
        let mut network = Self::new(&architecture, 0, device);
        network.fill(SafetensorsStore::from_bytes(Some(content.to_vec())), path)?;
        Ok(network)
    }

    fn fill(&mut self, store: SafetensorsStore, path: &Path) -> Result<(), WeightsError> {
        let loaded = self.load_from(&mut store.with_from_adapter(PyTorchToBurnAdapter));
        loaded.map_err(|error| WeightsError::Read { path: path.to_owned(), reason: error.to_string() })?;
        Ok(())
    }

    /// The same network with an encoder from `path`, a PyTorch state dict of the same layout. Its names may have
    /// something before them (`module.`, `backbone.`…), its other tensors (such as `fc.weight`) are left out, and a first
    /// layer for colour is summed over the channels: it says of a grey picture what it said before.
    ///
    /// # Errors
    /// [`WeightsError::Read`] and [`WeightsError::Foreign`].
    pub fn import(mut self, path: &Path) -> Result<Self, WeightsError> {
        let foreign = |reason: String| {
            let wanted = self.architecture().to_string();
            WeightsError::Foreign { path: path.to_owned(), wanted, reason }
        };
        let header = Header::of_file(path)?;
        let stems = header.tensors.keys().filter_map(|name| name.strip_suffix(STEM));
        let mut prefixes: Vec<&str> = stems.filter(|prefix| !prefix.contains("layer")).collect();
        prefixes.sort_unstable_by_key(|prefix| (prefix.len(), *prefix));
        let prefix = match prefixes[..] {
            [] => return Err(foreign(format!("it has no `{STEM}`"))),
            [one, other, ..] if one.len() == other.len() => {
                return Err(foreign(format!("it has several encoders, `{one}` and `{other}`: keep one")));
            }
            [prefix, ..] => prefix,
        };
        let mut store = SafetensorsStore::from_file(path)
            .with_from_adapter(PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32)).chain(GreyStem))
            .with_key_remapping(format!("^{}", prefix.replace('.', "\\.")), "");
        let mut encoder = self.encoder.clone();
        encoder.load_from(&mut store).map_err(|error| foreign(error.to_string()))?;
        self.encoder = encoder;
        Ok(self)
    }
}

const STEM: &str = "conv1.weight";

/// Sums a first layer's weights over red, green and blue.
#[derive(Clone)]
struct GreyStem;

impl ModuleAdapter for GreyStem {
    fn adapt(&self, tensor: Stored, _: ModuleContext<'_>) -> Stored {
        let [filters, 3, rows, columns] = tensor.shape[..] else { return tensor };
        if tensor.name != STEM {
            return tensor;
        }
        let (name, shape) = (tensor.name.clone(), [filters, 1, rows, columns]);
        bridge::map_data(tensor, name, DType::F32, shape.into(), move |data| {
            let values: Vec<f32> = data.iter::<f32>().collect();
            let pixels = rows * columns;
            let grey = values.chunks_exact(3 * pixels).flat_map(|filter| {
                (0..pixels).map(|pixel| filter[pixel] + filter[pixels + pixel] + filter[2 * pixels + pixel])
            });
            TensorData::new(grey.collect::<Vec<f32>>(), shape)
        })
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Kind;
    use burn::tensor::{Tensor, Tolerance};
    use burn_store::ModuleStore;
    use std::collections::BTreeMap;

    fn slim(widths: [usize; 4], seed: u64) -> Network {
        let architecture = Architecture { widths: Some(widths), side: 48, ..Architecture::default() };
        Network::new(&architecture, seed, &Device::flex().autodiff())
    }

    /// Class scores of some pictures, which every weight of encoder and classifier has a part in.
    fn scores(network: &Network, pixels: &[f32]) -> Vec<f32> {
        let side = network.side();
        let pixels = Tensor::<1>::from_floats(pixels, &Device::flex()).reshape([2, 1, side, side]);
        network.valid().forward(pixels).logits.into_data().iter().collect()
    }

    fn pixels(side: usize) -> Vec<f32> {
        (0..2 * side * side).map(|i| ((i * i) as f32 * 0.37).sin()).collect()
    }

    #[test]
    fn a_network_is_kept_and_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("weights.safetensors");
        let (kept, other) = (slim([32; 4], 1), slim([32; 4], 2));
        other.save(&file).expect("written");
        kept.save(&file).expect("written over it");
        assert_eq!(architecture(&file).expect("read"), *kept.architecture());
        let found = other.load(&file).expect("read");
        assert_eq!(scores(&found, &pixels(48)), scores(&kept, &pixels(48)));
        let content = std::fs::read(&file).expect("there");
        let found = Network::of_bytes(&content, &file, &Device::flex().autodiff()).expect("read");
        assert_eq!(scores(&found, &pixels(48)), scores(&kept, &pixels(48)));
    }

    #[test]
    fn weights_of_another_network_are_named_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("weights.safetensors");
        slim([32; 4], 1).save(&file).expect("written");
        let error = slim([32, 32, 64, 64], 1).load(&file).expect_err("another network").to_string();
        assert!(error.contains("[32, 32, 32, 32]") && error.contains("[32, 32, 64, 64]"), "{error}");
        for content in [&b"no weights"[..], &[0xff; 64], b"\x02\0\0\0\0\0\0\0{}"] {
            std::fs::write(&file, content).expect("written");
            let error = slim([32; 4], 1).load(&file).expect_err("no weights").to_string();
            assert!(error.contains("weights.safetensors"), "{error}");
        }
    }

    /// Shapes and values of a file's tensors.
    fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let mut store = SafetensorsStore::from_file(path);
        let tensors = store.get_all_tensors().expect("tensors");
        let content = |tensor: &Stored| bridge::to_data(tensor).expect("data").iter::<f32>().collect();
        tensors.iter().map(|(name, tensor)| (name.clone(), (tensor.shape.to_vec(), content(tensor)))).collect()
    }

    /// Writes tensors as PyTorch's users write a state dict.
    fn write(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, (shape, values)) in tensors {
            let begin = data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] });
            header.insert(name.clone(), entry);
        }
        let header = serde_json::to_vec(&header).expect("a header");
        std::fs::write(path, [&header.len().to_le_bytes()[..], &header, &data].concat()).expect("written");
    }

    #[test]
    fn an_encoder_is_taken_from_a_state_dict_for_colour() {
        let architecture = Architecture { kind: Kind::Resnet18, side: 48, ..Architecture::default() };
        let [ours, other] = [1, 2].map(|seed| Network::new(&architecture, seed, &Device::flex().autodiff()));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("weights.safetensors");
        ours.save(&file).expect("written");
        // As torchvision names and lays out its own, inside another module.
        let mut state = BTreeMap::new();
        for (name, tensor) in tensors(&file) {
            if let Some(name) = name.strip_prefix("encoder.") {
                state.insert(format!("module.{name}"), tensor);
            }
        }
        let (shape, values) = &state["module.conv1.weight"];
        assert_eq!(shape, &[64, 1, 7, 7]);
        let colour =
            values.chunks(49).flat_map(|grey| [2.0, -1.5, 0.5].map(|share| grey.iter().map(move |v| v * share)));
        let colour = colour.flatten().collect();
        state.insert("module.conv1.weight".to_owned(), (vec![64, 3, 7, 7], colour));
        state.insert("module.fc.weight".to_owned(), (vec![1000, 512], vec![0.0; 512_000]));
        state.insert("module.bn1.num_batches_tracked".to_owned(), (vec![], vec![7.0]));
        write(&file, &state);

        let embedding = |network: &Network| {
            let pixels = Tensor::<1>::from_floats(&pixels(48)[..], &Device::flex()).reshape([2, 1, 48, 48]);
            network.valid().forward(pixels).embedding.into_data()
        };
        let taken = other.clone().import(&file).expect("taken");
        embedding(&taken).assert_approx_eq::<f32>(&embedding(&ours), Tolerance::rel_abs(1e-4, 1e-6));

        state.remove("module.layer3.1.conv2.weight");
        write(&file, &state);
        let error = other.clone().import(&file).expect_err("something is missing").to_string();
        assert!(error.contains("layer3.1.conv2.weight"), "{error}");
        let error = slim([32; 4], 1).import(&file).expect_err("another layout").to_string();
        assert!(error.contains("slim"), "{error}");
        write(&file, &BTreeMap::new());
        let error = other.import(&file).expect_err("nothing there").to_string();
        assert!(error.contains("conv1.weight"), "{error}");
    }
}
