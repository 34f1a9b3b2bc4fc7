//! Whom a take shows, by its result records.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Spread;
use crate::record::{Take, TakeError, TakeFile};

/// What the result records say in all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeopleSurvey {
    /// Result records.
    pub records: u64,
    /// Records that cannot be read.
    pub unreadable: u64,
    /// Sets that they are of.
    pub sets: u64,
    /// Of these, those in which somebody was seen.
    pub sets_with_face: u64,
    /// In how many sets each person is.
    pub people: Vec<Count>,
    /// In how many of the readings each camera had a face to show.
    pub faces: Vec<Count>,
    /// How often each expression was read; the most frequent first.
    pub expressions: Vec<Count>,
    /// From a set's being emitted until its results were published.
    pub latency_ms: Option<Spread>,
}

/// How often there is what has this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Count {
    pub name: String,
    pub count: u64,
}

/// What is looked at of a record.
#[derive(Deserialize)]
struct Line<'a> {
    set: u64,
    person: Option<u64>,
    #[serde(borrow)]
    expression: Option<Cow<'a, str>>,
    latency_ms: f64,
    views: Vec<View<'a>>,
}

#[derive(Deserialize)]
struct View<'a> {
    #[serde(borrow)]
    camera: Cow<'a, str>,
}

impl PeopleSurvey {
    /// `None` without records.
    pub(super) fn of(take: &Take) -> Result<Option<Self>, TakeError> {
        let (mut file, mut text) = (TakeFile::open(&take.path)?, Vec::new());
        let (mut people, mut expressions) = (BTreeMap::<u64, u64>::new(), BTreeMap::<String, u64>::new());
        let mut faces: Vec<Count> = take.views.iter().map(|view| Count::of(&*view.camera.name, 0)).collect();
        // By set: its latency, and whether somebody was seen.
        let mut sets = BTreeMap::<u64, (i64, bool)>::new();
        let mut unreadable = 0;
        for record in &take.records {
            file.text(record.text, &mut text)?;
            let Ok(line) = serde_json::from_slice::<Line<'_>>(&text) else {
                unreadable += 1;
                continue;
            };
            let (_, is_seen) = sets.entry(line.set).or_insert(((line.latency_ms * 1e6) as i64, false));
            *is_seen |= !line.views.is_empty();
            if let Some(person) = line.person {
                *people.entry(person).or_default() += 1;
            }
            if let Some(expression) = line.expression {
                *expressions.entry(expression.into_owned()).or_default() += 1;
            }
            for view in &line.views {
                faces.iter_mut().filter(|count| count.name == view.camera).for_each(|count| count.count += 1);
            }
        }
        let mut expressions: Vec<Count> = expressions.iter().map(|(name, count)| Count::of(name, *count)).collect();
        expressions.sort_by_key(|expression| std::cmp::Reverse(expression.count));
        Ok((!take.records.is_empty()).then(|| Self {
            records: take.records.len() as u64,
            unreadable,
            sets: sets.len() as u64,
            sets_with_face: sets.values().filter(|(_, is_seen)| *is_seen).count() as u64,
            people: people.iter().map(|(person, sets)| Count::of(person, *sets)).collect(),
            faces,
            expressions,
            latency_ms: Spread::of_ns(sets.values().map(|(latency_ns, _)| *latency_ns).collect()),
        }))
    }
}

impl Count {
    fn of(name: impl ToString, count: u64) -> Self {
        Self { name: name.to_string(), count }
    }
}
