//! What a take says of the run that it was made in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mcap::records::Metadata;
use serde::{Deserialize, Serialize};

use super::argument::file_name;
use crate::config::Record;
use crate::frame::StampKind;
use crate::rig::Rig;
use crate::time::monotonic_now;

/// The number of the file's layout: a reader knows those up to its own.
pub const LAYOUT: u32 = 1;
/// What the metadata at the beginning and at the end are called.
pub(super) const BEGINNING: &str = "vultus";
pub(super) const END: &str = "vultus.end";
/// What the metadata with the rig's file is called, and its only key.
pub(super) const RIG: (&str, &str) = ("vultus.rig", "rig.toml");

/// What a take says of its run.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The cameras, in the order of configuration.
    pub cameras: Vec<Camera>,
    /// What the header of the results says: program, runtime, device, models, cameras, rig, clock.
    pub run: serde_json::Value,
    /// The settings that results depend on.
    pub settings: serde_json::Value,
    /// The calibrated rig, if one was in use.
    pub rig: Option<Rig>,
    /// What it was a run of.
    pub input: Input,
}

/// What a run was a run of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// Cameras.
    Live,
    /// A recording.
    #[default]
    Replay,
    /// Pictures, of which each was taken by itself.
    Stills,
}

impl Input {
    /// As the metadata say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replay => "replay",
            Self::Stills => "stills",
        }
    }
}

/// What a take says of a camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// The view's name in results.
    pub name: Arc<str>,
    /// What it is, for people.
    pub description: String,
    /// What its stamps rest on.
    #[serde(rename = "stamps")]
    pub stamp: StampKind,
    /// How much later than the truth its stamps are. The times in the take are as they came.
    pub offset_ns: i64,
    /// Nominal time between frames.
    #[serde(rename = "period_ns", with = "nanoseconds")]
    pub period: Duration,
}

mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(period: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(period.as_nanos() as u64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

impl About {
    /// In what this run differs from the one that `metadata` were written of, as far as results depend on it.
    #[must_use]
    pub fn differences(&self, metadata: &BTreeMap<String, String>) -> Vec<String> {
        let now = self.beginning(&Record::default()).metadata;
        let value = |of: &BTreeMap<String, String>, key: &str| of.get(key).cloned().unwrap_or_default();
        let differing = ["vultus", "runtime", "device", "models", "settings"]
            .into_iter()
            .filter(|key| value(&now, key) != value(metadata, key));
        differing.map(|key| format!("{key} was {}, and is {}", value(metadata, key), value(&now, key))).collect()
    }

    /// The metadata at the beginning of a file that is begun now.
    pub(super) fn beginning(&self, settings: &Record) -> Metadata {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let run = self.run.as_object().into_iter().flatten();
        let mut metadata: BTreeMap<_, _> = run.map(|(key, value)| (key.clone(), text(value))).collect();
        let views = serde_json::to_string(&self.cameras).unwrap_or_default();
        let more = [
            ("layout", LAYOUT.to_string()),
            ("content", settings.content.name().to_owned()),
            ("consent", if settings.consent.is_empty() { "not stated" } else { &settings.consent }.to_owned()),
            ("views", views),
            ("settings", self.settings.to_string()),
            ("source", self.input.name().to_owned()),
            ("timeline", timeline(self.input).to_owned()),
            ("host", host()),
            ("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
            ("started_utc", humantime::format_rfc3339_millis(SystemTime::now()).to_string()),
            // The cameras' clock in a live run: with it their times can be told in UTC.
            ("started_monotonic_ns", monotonic_now().ns().to_string()),
        ];
        // Where the rig lies on this machine concerns nobody else; its text is in the take.
        if let Some(rig) = &self.rig {
            metadata.insert("rig".to_owned(), file_name(&rig.path));
        }
        metadata.extend(more.map(|(key, value)| (key.to_owned(), value)));
        Metadata { name: BEGINNING.to_owned(), metadata }
    }
}

/// What the times of a take are.
fn timeline(input: Input) -> &'static str {
    match (input, cfg!(unix)) {
        (Input::Live, true) => "those of the host's CLOCK_MONOTONIC",
        (Input::Live, false) => "monotonic, from the start of the program on",
        (Input::Replay | Input::Stills, _) => "those of the recording that was replayed",
    }
}

/// The machine's name.
fn host() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    name
}
