//! Figures against a budget, and against those of another run.
//!
//! A budget is a TOML file in the shape of the figures themselves, each number the most that is allowed:
//!
//! ```toml
//! stale_drops = 0
//! latency_ms = { p50 = 12.0, p99 = 33.0 }
//! ```

use serde::Serialize;
use serde_json::Value;

/// Why a budget, or an earlier run's figures, cannot be held against these.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum LimitsError {
    #[error("{0}")]
    Parse(String),
    #[error("there is no figure `{key}`; there are {known}")]
    Unknown { key: String, known: String },
    #[error("it limits nothing: give the most that a figure may be, such as `stale_drops = 0`")]
    Empty,
    #[error("`{key}` must be a number: the most that the figure may be")]
    NoNumber { key: String },
}

/// Numbers by name, those within others as `latency_ms.p99`, in the order of the names.
pub type Numbers = Vec<(String, f64)>;

fn value_of(figures: &impl Serialize) -> Result<Value, LimitsError> {
    serde_json::to_value(figures).map_err(|error| LimitsError::Parse(error.to_string()))
}

fn within(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}

/// All numbers in `value`, and `None` for those that are not known.
fn leaves(name: &str, value: &Value) -> Vec<(String, Option<f64>)> {
    match value {
        Value::Number(_) | Value::Null => vec![(name.to_owned(), value.as_f64())],
        Value::Object(values) => values.iter().flat_map(|(key, value)| leaves(&within(name, key), value)).collect(),
        _ => Vec::new(),
    }
}

/// All numbers in `value` that are known.
fn gathered(value: &Value) -> Numbers {
    leaves("", value).into_iter().filter_map(|(name, number)| Some((name, number?))).collect()
}

/// The first thing in `value` that is neither a number nor a table.
fn not_a_number(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Number(_) => None,
        Value::Object(values) => values.iter().find_map(|(key, value)| not_a_number(&within(name, key), value)),
        _ => Some(name.to_owned()),
    }
}

/// Limits of figures, by their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget(Numbers);

/// A figure that is beyond its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// Its name.
    pub figure: String,
    /// The most that it may be.
    pub limit: f64,
    /// What it is; nothing if this machine does not tell it.
    pub is: Option<f64>,
}

impl Budget {
    /// Reads the text of a budget's file.
    ///
    /// # Errors
    /// [`LimitsError::Parse`], [`LimitsError::Empty`] and [`LimitsError::NoNumber`].
    pub fn parse(text: &str) -> Result<Self, LimitsError> {
        let limits: toml::Table = toml::from_str(text).map_err(|error| LimitsError::Parse(error.to_string()))?;
        let limits = value_of(&limits)?;
        if let Some(key) = not_a_number("", &limits) {
            return Err(LimitsError::NoNumber { key });
        }
        let limits = gathered(&limits);
        if limits.is_empty() { Err(LimitsError::Empty) } else { Ok(Self(limits)) }
    }

    /// Whether every limit is that of a figure, such as those of `figures`.
    ///
    /// # Errors
    /// [`LimitsError::Unknown`].
    pub fn check(&self, figures: &impl Serialize) -> Result<(), LimitsError> {
        self.missed(figures).map(|_| ())
    }

    /// What of `figures` is beyond its limit. A figure that was not measured here is.
    ///
    /// # Errors
    /// [`LimitsError::Unknown`].
    pub fn missed(&self, figures: &impl Serialize) -> Result<Vec<Missed>, LimitsError> {
        let found = leaves("", &value_of(figures)?);
        let mut missed = Vec::new();
        for (key, limit) in &self.0 {
            let Some(&(_, is)) = found.iter().find(|(name, _)| name == key) else {
                let known: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
                return Err(LimitsError::Unknown { key: key.clone(), known: known.join(", ") });
            };
            if is.is_none_or(|is| is > *limit) {
                missed.push(Missed { figure: key.clone(), limit: *limit, is });
            }
        }
        Ok(missed)
    }
}

/// A figure then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub figure: String,
    /// What it was.
    pub before: f64,
    /// What it is.
    pub now: f64,
}

/// Figures of an earlier run.
#[derive(Clone, Debug, PartialEq)]
pub struct Earlier(Value);

/// What figures of two runs must share to say anything of each other.
const LOAD: [&str; 7] = ["cameras", "size", "fps", "seconds", "runtime", "device", "encoder"];

impl Earlier {
    /// Reads what an earlier run wrote as JSON.
    ///
    /// # Errors
    /// [`LimitsError::Parse`].
    pub fn parse(text: &str) -> Result<Self, LimitsError> {
        serde_json::from_str(text).map(Self).map_err(|error| LimitsError::Parse(error.to_string()))
    }

    /// Every figure that `figures` share with it.
    ///
    /// # Errors
    /// [`LimitsError::Parse`]: none, unless they are no plain data.
    pub fn changes(&self, figures: &impl Serialize) -> Result<Vec<Change>, LimitsError> {
        let before = gathered(&self.0);
        let of = |name: &str| before.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
        let now = gathered(&value_of(figures)?).into_iter().filter(|(name, _)| !LOAD.contains(&name.as_str()));
        Ok(now.filter_map(|(figure, now)| Some(Change { before: of(&figure)?, figure, now })).collect())
    }

    /// In what the loads of the two runs differ.
    ///
    /// # Errors
    /// [`LimitsError::Parse`]: none, unless they are no plain data.
    pub fn other_load(&self, figures: &impl Serialize) -> Result<Vec<&'static str>, LimitsError> {
        let now = value_of(figures)?;
        Ok(LOAD.into_iter().filter(|key| self.0.get(key) != now.get(key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn figures() -> Value {
        json!({"stale_drops": 2, "latency_ms": {"p50": 9.5, "p99": 40.0}, "energy_j_per_set": null, "runtime": "ort"})
    }

    fn missed(budget: &str) -> Result<Vec<Missed>, LimitsError> {
        Budget::parse(budget)?.missed(&figures())
    }

    #[test]
    fn what_is_beyond_its_limit_is_named() {
        let found = missed("stale_drops = 2\nlatency_ms = { p50 = 12, p99 = 33.5 }").expect("a budget");
        assert_eq!(found, [Missed { figure: "latency_ms.p99".to_owned(), limit: 33.5, is: Some(40.0) }]);
        let unmeasured = missed("energy_j_per_set = 3").expect("a budget");
        assert_eq!(unmeasured[0].is, None, "what cannot be measured is not kept");
    }

    #[test]
    fn a_budget_of_nothing_and_of_what_is_no_figure_is_refused() {
        assert!(matches!(missed(""), Err(LimitsError::Empty)));
        let message = missed("latency_ms = { p98 = 1 }").expect_err("there is none").to_string();
        assert!(message.contains("`latency_ms.p98`") && message.contains("latency_ms.p99"), "{message}");
        assert!(missed("runtime = 3").is_err(), "a word has no limit");
        let message = missed("stale_drops = 0\nlatency_ms = { p99 = \"33\" }").expect_err("a text").to_string();
        assert!(message.contains("`latency_ms.p99`"), "{message}");
        assert!(missed("stale_drops = ").expect_err("broken").to_string().contains("line 1"));
    }

    #[test]
    fn two_runs_are_compared_by_what_both_have() {
        let earlier = json!({"stale_drops": 4, "latency_ms": {"p99": 20.0, "p95": 3.0}}).to_string();
        let change = |figure: &str, before, now| Change { figure: figure.to_owned(), before, now };
        let earlier = Earlier::parse(&earlier).expect("figures");
        let found = earlier.changes(&figures()).expect("figures");
        assert_eq!(found, [change("latency_ms.p99", 20.0, 40.0), change("stale_drops", 4.0, 2.0)]);
        assert!(Earlier::parse("no JSON").is_err());
        assert_eq!(earlier.other_load(&figures()).expect("figures"), ["runtime"]);
    }
}
