//! A result record, read back.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::scene::Expression;

/// One line of results: a person at an instant, or an instant with nobody. `docs/reference/results.md` has the fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "they are the documented fields")]
pub struct Line {
    pub set: u64,
    pub at_ns: i64,
    pub frames: BTreeMap<String, u64>,
    pub person: Option<u32>,
    pub expression: Option<String>,
    pub confidence: Option<f64>,
    pub probabilities: Option<BTreeMap<String, f64>>,
    pub skew_ms: f64,
    pub wait_ms: f64,
    pub latency_ms: f64,
    pub age_ms: f64,
    pub views: Vec<LineView>,
}

/// What one view contributed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "they are the documented fields")]
pub struct LineView {
    pub camera: String,
    pub seq: u64,
    pub captured_ns: i64,
    #[serde(rename = "box")]
    pub rect: [f64; 4],
    pub landmarks: [[f64; 2]; 5],
    pub yaw_deg: f64,
    pub quality: f64,
    pub weight: f64,
    pub probabilities: BTreeMap<String, f64>,
}

/// The probabilities in the order of [`Expression::ALL`]; what is absent is `None`.
#[must_use]
pub fn per_class(probabilities: &BTreeMap<String, f64>) -> [Option<f64>; Expression::COUNT] {
    Expression::ALL.map(|class| probabilities.get(class.name()).copied())
}
