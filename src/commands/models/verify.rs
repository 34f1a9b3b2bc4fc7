use std::io::Write;
use std::process::ExitCode;

use vultus::config::Config;
use vultus::infer::Runtime;
use vultus::infer::manifest::{Verified, Weights, verified};

/// Check every file against its checksum, and that its model can be loaded
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 all are right, 3 one is not")]
pub(super) struct Args {
    /// Print a JSON array of findings
    #[arg(long)]
    json: bool,
}

/// What was found of a model.
#[derive(serde::Serialize)]
struct Finding {
    model: String,
    /// Those that were read and are right.
    files: Vec<String>,
    /// Nothing if all is right.
    fault: Option<String>,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::start(config.inference.runtime)?;
    let models = verified(config.models.folder.as_deref())?;
    let findings: Vec<Finding> = models.into_iter().map(|(name, model)| finding(&runtime, name, model)).collect();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
    } else {
        writeln!(out, "{}", config.models.origin())?;
        for Finding { model, files, fault } in &findings {
            match fault {
                None => writeln!(out, "ok    {model}: checksums right, it loads ({})", files.join(", "))?,
                Some(fault) => writeln!(out, "fail  {model}: {fault}")?,
            }
        }
    }
    let is_whole = findings.iter().all(|finding| finding.fault.is_none());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn finding(runtime: &Runtime, name: String, model: Verified) -> Finding {
    let loaded = model.map_err(anyhow::Error::from).and_then(|model| {
        runtime.session(&model)?;
        let mut files = vec![model.file.display().to_string()];
        // Without training there is nothing that would read them.
        if let Some(weights) = model.weights.as_ref().filter(|_| cfg!(feature = "train")) {
            load(weights)?;
            files.push(weights.file.display().to_string());
        }
        Ok(files)
    });
    match loaded {
        Ok(files) => Finding { model: name, files, fault: None },
        Err(error) => Finding { model: name, files: Vec::new(), fault: Some(format!("{error:#}")) },
    }
}

#[cfg(feature = "train")]
fn load(weights: &Weights) -> anyhow::Result<()> {
    use vultus::network::{Network, device};
    Network::of_bytes(&weights.read()?, &weights.file, &device::cpu())?;
    Ok(())
}

#[cfg(not(feature = "train"))]
fn load(_: &Weights) -> anyhow::Result<()> {
    Ok(())
}
