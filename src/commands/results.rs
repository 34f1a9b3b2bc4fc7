//! Where results go: JSON Lines to a file or to standard output, with a header.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;

/// Writes results; without a target it does nothing.
pub(super) struct Results {
    out: Option<BufWriter<Box<dyn Write + Send>>>,
}

impl Results {
    /// Opens `target` (`-`: standard output; without one standard output too, unless that is a terminal).
    pub(super) fn open(target: Option<&Path>, header: &str) -> anyhow::Result<Self> {
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
        let mut results = Self { out };
        results.write(format!("{header}\n").as_bytes())?;
        Ok(results)
    }

    /// Writes the records of a set. They are passed on at once, so that a reader is never behind.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.out {
            Some(out) => {
                out.write_all(lines)?;
                out.flush()
            }
            None => Ok(()),
        }
    }
}
