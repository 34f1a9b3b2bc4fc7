//! How a data set is named, on the command line and in recipes: its kind, its path, and what of it is wanted.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DatasetError, classes, cmu, fer2013, take};
use crate::record::file_name;

/// The layouts that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it; the table of the module has the layouts")]
pub enum Kind {
    Kdef,
    Ddcf,
    Fer2013,
    Cmu,
    Classes,
    Take,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [Self::Kdef, Self::Ddcf, Self::Fer2013, Self::Cmu, Self::Classes, Self::Take];

    /// The word before the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kdef => "kdef",
            Self::Ddcf => "ddcf",
            Self::Fer2013 => "fer2013",
            Self::Cmu => "cmu",
            Self::Classes => "classes",
            Self::Take => "take",
        }
    }

    pub(super) const fn usage(self) -> &'static str {
        match self {
            Self::Kdef => "kdef:DIR",
            Self::Ddcf => "ddcf:DIR[#FILE.toml]",
            Self::Fer2013 => "fer2013:DIR|FILE.csv[#train|#validation|#test|#all]",
            Self::Cmu => "cmu:DIR[#sunglasses]",
            Self::Classes => "classes:DIR[#whole,subjects]",
            Self::Take => "take:FILE|DIR[#10fps]",
        }
    }

    pub(super) const fn looked_for(self) -> &'static str {
        match self {
            Self::Kdef => "pictures named as AF01ANFL.JPG",
            Self::Ddcf => "pictures in 40Males/Happy/CHILD/ and the like",
            Self::Fer2013 => {
                "folders called angry, disgust, fear, happy, sad, surprise or neutral with pictures, \
                 or such folders in train, validation or test, or a CSV file with emotion,pixels,Usage"
            }
            Self::Cmu => "pictures named as an2i_left_angry_open.pgm",
            Self::Classes => "folders called angry, happy and so on with pictures",
            Self::Take => {
                "a take: an MCAP file of `--record`, or a folder with a folder a camera and their timestamps.csv"
            }
        }
    }

    pub(super) const fn looks(self) -> &'static str {
        match self {
            Self::Kdef => "KDEF (names as AF01ANFL.JPG)",
            Self::Ddcf => "DDCF (folders of 40 males and females)",
            Self::Fer2013 => "FER2013 (class folders of small pictures)",
            Self::Cmu => "the CMU Face Images (names as an2i_left_angry_open.pgm)",
            Self::Classes => "pictures in class folders",
            Self::Take => "a take",
        }
    }

    /// Whether `choice` may stand behind the path.
    fn has_choice(self, choice: &str) -> bool {
        match self {
            Self::Kdef => false,
            Self::Ddcf => choice.to_lowercase().ends_with(".toml"),
            Self::Fer2013 => fer2013::Choice::named(choice).is_some(),
            Self::Cmu => choice == cmu::SUNGLASSES,
            Self::Classes => classes::Choices::named(choice).is_some(),
            Self::Take => take::rate_named(choice).is_some(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A data set as it is named on the command line and in recipes: `KIND:PATH`, or `KIND:PATH#CHOICE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatasetSpec {
    /// How it is laid out.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// What of it is taken, or how: the table of this module has what each kind knows.
    pub choice: Option<String>,
}

impl DatasetSpec {
    /// Its path without links and detours, by which two names of one folder are told; as it is, if it is not there.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        self.path.canonicalize().unwrap_or_else(|_| self.path.clone())
    }

    /// A short name for reports and for the people in it: the kind, the folder's name, the choice.
    #[must_use]
    pub fn name(&self) -> String {
        let whole = self.place();
        let choice =
            self.choice.as_ref().map(|choice| format!("#{}", file_name(Path::new(choice)))).unwrap_or_default();
        format!("{}:{}{choice}", self.kind, file_name(&whole))
    }
}

impl FromStr for DatasetSpec {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        let no_kind = || DatasetError::NoKind { text: text.to_owned() };
        let (kind, path) = text.split_once(':').filter(|(_, path)| !path.is_empty()).ok_or_else(no_kind)?;
        let named = |candidate: &Kind| candidate.name().eq_ignore_ascii_case(kind.trim());
        let kind =
            Kind::ALL.into_iter().find(named).ok_or_else(|| DatasetError::UnknownKind { kind: kind.to_owned() })?;
        // A `#` may be part of the path: only what the kind knows is a choice.
        let (path, choice) = match path.rsplit_once('#') {
            Some((path, choice)) if !path.is_empty() && kind.has_choice(choice) => (path, Some(choice.to_owned())),
            _ => (path, None),
        };
        Ok(Self { kind, path: PathBuf::from(path), choice })
    }
}

impl fmt::Display for DatasetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.path.display())?;
        self.choice.as_ref().map_or(Ok(()), |choice| write!(f, "#{choice}"))
    }
}

impl Serialize for DatasetSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatasetSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_is_written_as_it_is_read() {
        for text in ["kdef:/data/KDEF", "fer2013:x.csv#train", "cmu:faces#sunglasses", "take:a#2fps", r"kdef:C:\KDEF"] {
            let spec: DatasetSpec = text.parse().expect("a data set's name");
            assert_eq!(spec.to_string(), text);
            let json = serde_json::to_string(&spec).expect("serialises");
            assert_eq!(serde_json::from_str::<DatasetSpec>(&json).expect("reads"), spec);
        }
        let spec: DatasetSpec = "kdef:/data/#1".parse().expect("a data set's name");
        assert_eq!((spec.path, spec.choice), (PathBuf::from("/data/#1"), None), "a folder may be called so");
    }

    #[test]
    fn an_unknown_kind_is_named() {
        let message = "kdf:/data".parse::<DatasetSpec>().expect_err("no such kind").to_string();
        assert!(message.contains("`kdf`") && message.contains("kdef:DIR"), "{message}");
        assert!("/data".parse::<DatasetSpec>().expect_err("no kind").to_string().contains("KIND:PATH"));
    }
}
