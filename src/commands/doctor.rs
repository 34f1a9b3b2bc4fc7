#[cfg(feature = "webcam")]
mod cameras;
mod machine;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use vultus::config::Config;

/// Look for what is wrong, and say what to do
///
/// Cameras and who may open them, their USB buses, models, what runs them, the clock.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  vultus doctor
  vultus doctor --config vultus.toml     for the cameras and sizes that it asks for

Exit codes: 0 nothing failed (there may be warnings), 1 something failed")]
pub(super) struct Args {
    /// Print a JSON array of findings
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
struct Check {
    level: Level,
    what: String,
    remedy: Option<String>,
}

impl Check {
    fn ok(what: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), remedy: None }
    }

    fn warn(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, what: what.into(), remedy: Some(remedy.into()) }
    }

    fn fail(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(what, remedy) }
    }

    fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let remedy = self.remedy.as_ref().map(|remedy| format!("  — {remedy}")).unwrap_or_default();
        format!("{level:<4}  {}{remedy}", self.what)
    }
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let mut checks = Vec::new();
    #[cfg(feature = "webcam")]
    checks.extend(cameras::checks(config));
    #[cfg(not(feature = "webcam"))]
    checks.push(Check::warn("this program was built without cameras", "build it with the feature `webcam`"));
    checks.extend(machine::checks(config));
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&checks)?)?;
    } else {
        checks.iter().try_for_each(|check| writeln!(std::io::stdout(), "{}", check.line()))?;
    }
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_its_remedy() {
        assert_eq!(Check::ok("2 cores").line(), "ok    2 cores");
        assert_eq!(Check::warn("no camera", "plug one in").line(), "warn  no camera  — plug one in");
        assert_eq!(Check::fail("no model", "fetch it").line(), "fail  no model  — fetch it");
    }
}
