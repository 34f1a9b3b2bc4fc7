//! Where a run stands, on disk: a run that was killed goes on as if it had not been.
//!
//! A checkpoint is a folder with the network, its moving average, the optimiser's state and a `state.json`. It is written
//! beside the last one and then takes its place, so that there is a whole one at every moment.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CheckpointError {
    #[error("cannot write the checkpoint {}; look after the room on its disk and whether you may write there", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the checkpoint {} cannot be read: {reason}. Delete it to begin the stage anew", .path.display())]
    Read { path: PathBuf, reason: String },
    #[error(
        "{} was begun with another recipe or other pictures: go on with those (recipe.toml and data.txt of its folder), or \
         name another folder with `--output`", .path.display()
    )]
    OtherRecipe { path: PathBuf },
    #[error(
        "{} was begun from other weights (of another first stage, or of `--from`): name another folder with `--output`, or \
         delete it", .path.display()
    )]
    OtherStart { path: PathBuf },
}

/// How far a stage has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What the recipe and its data are recognised by.
    pub fingerprint: String,
    /// What the weights that it began with are recognised by.
    pub start: String,
    /// Steps taken.
    pub step: u64,
    /// The best score of a validation, if there was one; higher is better.
    pub best_score: Option<f64>,
    /// The step of it.
    pub best_step: u64,
    /// Validations since then.
    pub stale: u64,
    /// Whether the stage is over.
    pub is_done: bool,
}

/// What a checkpoint holds.
pub struct Checkpoint {
    /// The network as it is trained.
    pub network: Network,
    /// The moving average of its weights.
    pub average: Network,
    /// The optimiser with its moments.
    pub optimizer: ModuleOptimizer,
    /// How far it has come.
    pub state: State,
}

const FOLDER: &str = "checkpoint";
const NETWORK: &str = "network.bpk";
const AVERAGE: &str = "average.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const STATE: &str = "state.json";

/// What the checkpoint in `folder`, a stage's, says of itself; `None` if there is none.
///
/// # Errors
/// [`CheckpointError::Read`], and [`CheckpointError::OtherRecipe`] if its fingerprint is not `fingerprint`.
pub fn state(folder: &Path, fingerprint: &str) -> Result<Option<State>, CheckpointError> {
    let Some(path) = existing(folder) else { return Ok(None) };
    let bad = |reason: String| CheckpointError::Read { path: path.clone(), reason };
    let text = fs::read_to_string(path.join(STATE)).map_err(|error| bad(error.to_string()))?;
    let state: State = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if state.fingerprint != fingerprint {
        return Err(CheckpointError::OtherRecipe { path: folder.to_owned() });
    }
    Ok(Some(state))
}

/// The checkpoint that takes a stage's place until the next one is whole.
fn existing(folder: &Path) -> Option<PathBuf> {
    [folder.join(FOLDER), folder.join(FOLDER).with_extension("old")].into_iter().find(|path| path.join(STATE).is_file())
}

impl Checkpoint {
    /// Writes it into `folder`, a stage's.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]; the checkpoint before is then still there.
    pub fn save(&self, folder: &Path) -> Result<(), CheckpointError> {
        let path = folder.join(FOLDER);
        let (new, old) = (path.with_extension("new"), path.with_extension("old"));
        let failed = |source: std::io::Error| CheckpointError::Write { path: path.clone(), source };
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(&new).map_err(failed)?;
        let other = |error: &dyn std::fmt::Display| failed(std::io::Error::other(error.to_string()));
        // `valid` brings the running statistics up to date, which are otherwise one step behind.
        self.network.valid().save_file(new.join(NETWORK)).map_err(|error| other(&error))?;
        self.average.valid().save_file(new.join(AVERAGE)).map_err(|error| other(&error))?;
        self.optimizer.save(new.join(OPTIMIZER)).map_err(|error| other(&error))?;
        let state = serde_json::to_vec_pretty(&self.state).map_err(|error| other(&error))?;
        fs::write(new.join(STATE), state).map_err(failed)?;
        // A power cut finds either whole: files are on the disk before names change.
        for file in [NETWORK, AVERAGE, OPTIMIZER, STATE] {
            fs::File::open(new.join(file)).and_then(|file| file.sync_all()).map_err(failed)?;
        }
        if path.exists() {
            let _ = fs::remove_dir_all(&old);
            fs::rename(&path, &old).map_err(failed)?;
        }
        fs::rename(&new, &path).map_err(failed)?;
        let _ = fs::remove_dir_all(&old);
        Ok(())
    }

    /// Reads the one in `folder` into networks and an optimiser that were made alike.
    ///
    /// # Errors
    /// [`CheckpointError::Read`].
    pub fn load(
        folder: &Path,
        network: Network,
        optimizer: ModuleOptimizer,
        state: State,
    ) -> Result<Self, CheckpointError> {
        let path = existing(folder).unwrap_or_else(|| folder.join(FOLDER));
        let bad =
            |reason: &dyn std::fmt::Display| CheckpointError::Read { path: path.clone(), reason: reason.to_string() };
        // A clone would share its running statistics: what is read last would stand in both.
        let read = |file: &str| network.valid().train().try_load_file(path.join(file)).map_err(|error| bad(&error));
        Ok(Self {
            average: read(AVERAGE)?,
            network: read(NETWORK)?,
            optimizer: optimizer.load(path.join(OPTIMIZER)).map_err(|error| bad(&error))?,
            state,
        })
    }
}
