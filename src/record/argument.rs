//! File names in takes, and in commands that a message proposes.

use std::path::Path;

/// `path` as a shell takes it: in quotes where it needs them.
#[must_use]
pub fn as_argument(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/\\._-+:,@%=".contains(c);
    let is_safe = !text.is_empty() && text.chars().all(|c| is_plain(c) && (c != '\\' || cfg!(windows)));
    match (is_safe, cfg!(windows)) {
        (true, _) => text.into_owned(),
        (false, true) => format!("\"{text}\""),
        (false, false) => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// What a file or folder is called, wherever it lies: for what gets into takes, as those are passed on.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_split_or_change_is_quoted() {
        let quoted = ["/a/take-1.mcap", "my take.mcap", "it's.mcap", "$x"].map(|path| as_argument(Path::new(path)));
        assert_eq!(quoted, ["/a/take-1.mcap", "'my take.mcap'", r"'it'\''s.mcap'", "'$x'"]);
    }
}
