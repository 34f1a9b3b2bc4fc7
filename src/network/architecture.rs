//! What a network looks like: the table `[network]` of a recipe.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Numbers of channels of the slim network's four stages, unless a recipe says otherwise: 1.2 million parameters.
const SLIM_WIDTHS: [usize; 4] = [32, 64, 128, 256];
const RESNET18_WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// Channels come in multiples of it: vector registers are as wide, on the CPU and on GPUs.
const WIDTH_STEP: usize = 32;

/// A residual network (K. He et al., "Deep residual learning for image recognition", 2016) on grey pictures.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Architecture {
    /// Which one.
    pub kind: Kind,
    /// Side of the pictures, pixels: 48 to 112.
    pub side: usize,
    /// Of `slim`: channels of its four stages, multiples of 32 up to 512; the last is the embedding's length.
    /// `[32, 64, 128, 256]` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widths: Option<[usize; 4]>,
    /// Share of the embedding's values that are left out at random before the classifier, in training: 0 to 0.9.
    pub dropout: f64,
}

/// The networks that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Our own, for real time: a stem of 3x3 with stride 2, and four stages of one basic block.
    #[default]
    Slim,
    /// The papers': a stem of 7x7 with stride 2, pooling, and four stages of two basic blocks (torchvision's layout).
    Resnet18,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Slim => write!(f, "`slim` with widths {:?}", self.widths()),
            Kind::Resnet18 => write!(f, "`resnet18`"),
        }
    }
}

impl Default for Architecture {
    fn default() -> Self {
        Self { kind: Kind::Slim, side: 64, widths: None, dropout: 0.0 }
    }
}

impl Architecture {
    /// Channels of the four stages.
    #[must_use]
    pub fn widths(&self) -> [usize; 4] {
        match self.kind {
            Kind::Slim => self.widths.unwrap_or(SLIM_WIDTHS),
            Kind::Resnet18 => RESNET18_WIDTHS,
        }
    }

    /// Length of the embedding.
    #[must_use]
    pub fn embedding(&self) -> usize {
        let [.., last] = self.widths();
        last
    }

    /// Blocks a stage.
    #[must_use]
    pub fn blocks(&self) -> usize {
        match self.kind {
            Kind::Slim => 1,
            Kind::Resnet18 => 2,
        }
    }

    /// Whether the weights of the one fit the other.
    #[must_use]
    pub fn has_weights_of(&self, other: &Self) -> bool {
        (self.kind, self.widths()) == (other.kind, other.widths())
    }

    /// The first key that makes no sense, and what it must be.
    #[must_use]
    pub fn fault(&self) -> Option<(String, String)> {
        let fits = |width: &usize| (WIDTH_STEP..=512).contains(width) && width.is_multiple_of(WIDTH_STEP);
        let fault = if !(48..=112).contains(&self.side) {
            ("side", "between 48 and 112 pixels")
        } else if self.widths.is_some() && self.kind != Kind::Slim {
            ("widths", "left out: only `slim` has a choice of widths")
        } else if !self.widths().iter().all(fits) {
            ("widths", "four multiples of 32, from 32 to 512")
        } else if !(0.0..=0.9).contains(&self.dropout) {
            ("dropout", "between 0 and 0.9")
        } else {
            return None;
        };
        Some((fault.0.to_owned(), fault.1.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Architecture, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn an_empty_table_is_the_slim_network() {
        let architecture = parse("").expect("a table");
        assert_eq!(architecture, Architecture::default());
        assert_eq!((architecture.widths(), architecture.embedding()), ([32, 64, 128, 256], 256));
        assert_eq!(architecture.fault(), None);
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        for text in ["kind = \"resnet18\"\nside = 112", "widths = [32, 64, 128, 192]\ndropout = 0.2"] {
            let architecture = parse(text).expect("a table");
            assert_eq!(architecture.fault(), None, "{text}");
            assert_eq!(parse(&toml::to_string(&architecture).expect("written")).expect("read"), architecture);
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let faults = [
            ("side = 20", "side"),
            ("widths = [32, 64, 100, 128]", "widths"),
            ("kind = \"resnet18\"\nwidths = [32, 32, 32, 32]", "widths"),
            ("dropout = 1.0", "dropout"),
            ("dropout = nan", "dropout"),
        ];
        for (text, key) in faults {
            assert_eq!(parse(text).expect("a table").fault().map(|(key, _)| key), Some(key.to_owned()), "{text}");
        }
        for text in ["kind = \"resnet50\"", "width = 32", "widths = [32, 64]"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
