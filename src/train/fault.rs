//! How settings are checked: each value with its key and with what it must be.

/// A value's check: whether it holds, its key, and what it must be.
pub type Check = (bool, &'static str, &'static str);

/// The first check that does not hold, as `table.key`, and what the value must be.
#[must_use]
pub fn first(table: &str, checks: &[Check]) -> Option<(String, String)> {
    let (_, key, wanted) = checks.iter().find(|(holds, ..)| !holds)?;
    Some((format!("{table}.{key}"), (*wanted).to_owned()))
}
