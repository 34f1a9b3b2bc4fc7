//! The tables of times that recorded pictures and videos have beside them.

use std::path::Path;

use serde::Deserialize;

use super::CaptureError;

/// A frame of such a table.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Row {
    pub seq: u64,
    pub captured_ns: i64,
    pub received_ns: i64,
    /// Where it is in its video, if it is in one.
    #[serde(default)]
    #[cfg_attr(not(feature = "opencv"), allow(dead_code, reason = "only videos are read by it"))]
    pub time_ns: Option<i64>,
}

/// The rows of the table at `path`, whose content is `text`.
///
/// # Errors
/// [`CaptureError::Invalid`].
pub(super) fn rows(text: &[u8], path: &Path) -> Result<Vec<Row>, CaptureError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    reader.deserialize().collect::<Result<_, _>>().map_err(|error| CaptureError::Invalid {
        path: path.to_owned(),
        reason: format!("{error}; the columns are seq, captured_ns, received_ns"),
    })
}
