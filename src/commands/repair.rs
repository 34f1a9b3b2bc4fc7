use std::path::Path;
use std::process::ExitCode;

/// Makes a whole file of a take that breaks off.
pub(super) fn run(_take: &Path, _output: Option<&Path>) -> anyhow::Result<ExitCode> {
    anyhow::bail!("takes cannot be repaired yet")
}
