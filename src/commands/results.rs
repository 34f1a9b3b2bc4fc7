//! Where results go: JSON Lines to a file or to standard output, with a header.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use vultus::frame::StampKind;
use vultus::scene::Scene;

/// The first line of results.
#[derive(Serialize)]
pub(super) struct Header<'a> {
    pub vultus: &'a str,
    pub runtime: &'a str,
    pub device: &'a str,
    /// Name and sha256 of each model.
    pub models: BTreeMap<&'a str, &'a str>,
    pub cameras: &'a [Arc<str>],
    pub rig: Option<&'a Path>,
    pub clock: &'a str,
}

/// What the cameras' stamps rest on, as one word.
pub(super) fn clock_name(stamps: impl IntoIterator<Item = StampKind>) -> &'static str {
    if stamps.into_iter().all(|stamp| stamp == StampKind::Device) { "device" } else { "arrival" }
}

/// Writes results; without a target it does nothing.
pub(super) struct Results {
    out: Option<BufWriter<Box<dyn Write + Send>>>,
    cameras: Vec<Arc<str>>,
}

impl Results {
    /// Opens `target` (`-`: standard output; without one standard output too, unless that is a terminal).
    pub(super) fn open(target: Option<&Path>, header: &Header<'_>) -> anyhow::Result<Self> {
        let to_stdout = || Some(BufWriter::new(Box::new(io::stdout()) as Box<dyn Write + Send>));
        let out = match target {
            Some(path) if path == Path::new("-") => to_stdout(),
            Some(path) => {
                let file = File::create(path)
                    .with_context(|| format!("cannot write results to {}; name another file", path.display()))?;
                Some(BufWriter::new(Box::new(file) as _))
            }
            None if io::stdout().is_terminal() => None,
            None => to_stdout(),
        };
        let mut results = Self { out, cameras: header.cameras.to_vec() };
        if let Some(out) = &mut results.out {
            serde_json::to_writer(&mut *out, header)?;
            out.write_all(b"\n")?;
            out.flush()?;
        }
        Ok(results)
    }

    /// Writes the records of `scene`. Each set is passed on at once, so that a reader is never behind.
    pub(super) fn write(&mut self, scene: &Scene) -> io::Result<()> {
        match &mut self.out {
            Some(out) => {
                scene.write_records(&self.cameras, out)?;
                out.flush()
            }
            None => Ok(()),
        }
    }
}
