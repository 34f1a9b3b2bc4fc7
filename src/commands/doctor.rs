#[derive(clap::Args)]
pub(super) struct Args {}
pub(super) fn run(_: &Args, _: &vultus::config::Config) -> anyhow::Result<std::process::ExitCode> { Ok(std::process::ExitCode::SUCCESS) }
