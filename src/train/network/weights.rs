//! Weights on disk, as safetensors: ours, which say what network they are of, and PyTorch's.
//!
//! Tensors have PyTorch's names and layouts. Of `resnet18`, `encoder.` before the names of torchvision's state dict is all
//! the difference.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
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
    fn read(path: &Path) -> Result<Self, WeightsError> {
        let bad = |reason: String| WeightsError::Read { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| bad("it is no safetensors file".to_owned()))?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER {
            return Err(bad("it is no safetensors file".to_owned()));
        }
        let mut header = Vec::new();
        file.take(length).read_to_end(&mut header).map_err(|error| bad(error.to_string()))?;
        serde_json::from_slice(&header).map_err(|error| bad(format!("its header is damaged ({error})")))
    }
}

/// The architecture of the network whose weights `path` has.
///
/// # Errors
/// [`WeightsError::Read`] and [`WeightsError::NotOurs`].
pub fn architecture(path: &Path) -> Result<Architecture, WeightsError> {
    let header = Header::read(path)?;
    let text = header.metadata.get(ARCHITECTURE).ok_or_else(|| WeightsError::NotOurs { path: path.to_owned() })?;
    serde_json::from_str(text).map_err(|error| WeightsError::Read { path: path.to_owned(), reason: error.to_string() })
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
            .metadata("format", "pt")
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
        let mut store = SafetensorsStore::from_file(path).with_from_adapter(PyTorchToBurnAdapter);
        let loaded = self.load_from(&mut store);
        loaded.map_err(|error| WeightsError::Read { path: path.to_owned(), reason: error.to_string() })?;
        Ok(self)
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
        let header = Header::read(path)?;
        let stems = header.tensors.keys().filter_map(|name| name.strip_suffix(STEM));
        let prefix = stems.filter(|prefix| !prefix.contains("layer")).min_by_key(|prefix| prefix.len());
        let prefix = prefix.ok_or_else(|| foreign(format!("it has no `{STEM}`")))?;
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
