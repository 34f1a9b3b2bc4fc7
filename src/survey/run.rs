//! What a take says of the run that it was made in.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use crate::record::Take;

/// The run. What the take does not say is empty.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSurvey {
    /// When the recording was begun, UTC.
    pub started_utc: String,
    /// The machine.
    pub host: String,
    /// Its system and processor.
    pub system: String,
    /// Version of the program.
    pub vultus: String,
    /// What ran the models.
    pub runtime: String,
    /// Where the encoder ran.
    pub device: String,
    /// Name and sha256 of each model.
    pub models: BTreeMap<String, String>,
    /// `live` or `replay`.
    pub source: String,
    /// What is kept of a frame.
    pub content: String,
    /// What those who were recorded agreed to.
    pub consent: String,
    /// Cameras of the calibrated rig, if one was in use.
    pub rig: Option<Vec<String>>,
    /// What the nanoseconds count.
    pub timeline: String,
    /// Settings that differ from the defaults of this program.
    pub settings: Vec<Setting>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// As in the configuration.
    pub key: String,
    /// In the recorded run.
    pub value: Value,
    /// What it is by default.
    pub default: Value,
}

impl RunSurvey {
    pub(super) fn of(take: &Take) -> Self {
        let text = |key: &str| take.metadata.get(key).cloned().unwrap_or_default();
        let settings: Value = serde_json::from_str(&text("settings")).unwrap_or_default();
        Self {
            started_utc: text("started_utc"),
            host: text("host"),
            system: text("system"),
            vultus: text("vultus"),
            runtime: text("runtime"),
            device: text("device"),
            models: serde_json::from_str(&text("models")).unwrap_or_default(),
            source: text("source"),
            content: text("content"),
            consent: text("consent"),
            rig: take.rig.as_ref().map(|rig| rig.cameras.iter().map(|camera| camera.name.clone()).collect()),
            timeline: text("timeline"),
            settings: differing(&settings, &Config::default().analysis()),
        }
    }
}

/// In what `settings` differ from `defaults`; both have a table a part of the program.
fn differing(settings: &Value, defaults: &Value) -> Vec<Setting> {
    let keys = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let parts = keys(settings).into_iter().flat_map(|(part, table)| {
        keys(&table).into_iter().map(move |(key, value)| {
            let default = defaults[&part][&key].clone();
            Setting { key: format!("{part}.{key}"), value, default }
        })
    });
    parts.filter(|setting| setting.value != setting.default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_differ_are_told() {
        let defaults = Config::default().analysis();
        assert_eq!(differing(&defaults, &defaults), []);
        assert_eq!(differing(&Value::Null, &defaults), [], "a take that does not say");
        let mut settings = defaults.clone();
        settings["sync"]["transport_allowance_ms"] = 20.0.into();
        let [setting] = &differing(&settings, &defaults)[..] else { panic!("one differs") };
        assert_eq!((&*setting.key, &setting.default), ("sync.transport_allowance_ms", &Value::from(10.0)));
    }
}
