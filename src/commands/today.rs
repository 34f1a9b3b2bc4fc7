//! The date, for what is kept.

use std::time::SystemTime;

/// Year, month, day (UTC).
pub(super) fn today() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string().chars().take(10).collect()
}
