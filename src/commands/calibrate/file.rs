//! Writing rigs: whole or not at all.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use vultus::rig::{CalibratedCamera, Metadata, Rig};

/// Writes the rig's file: what was there stays until all of the new one is.
pub(super) fn write(path: &Path, cameras: &[CalibratedCamera], metadata: &Metadata) -> anyhow::Result<()> {
    let text = Rig::text_of(cameras, metadata)?;
    // Nothing is written that cannot be read.
    Rig::parse(&text, path)?;
    let part = path.with_added_extension("part");
    let written = std::fs::File::create(&part)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}
