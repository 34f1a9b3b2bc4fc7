//! What is to be done with a rig.

use serde::Serialize;

/// Of a calibration's figures, or of what a run shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing.
    Good,
    /// It will do; better light, a flatter board or more poses would help.
    Usable,
    /// Calibrate again.
    CalibrateAgain,
}

impl Verdict {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Usable => "usable",
            Self::CalibrateAgain => "calibrate again",
        }
    }
}
