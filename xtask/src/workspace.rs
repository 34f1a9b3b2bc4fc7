//! Where things lie, and what cargo is asked to build.

use crate::{Result, process};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The path that the user gives in a variable of the environment.
pub fn named(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|path| !path.is_empty())?;
    // Tests run in another folder than this one.
    Some(std::path::absolute(&path).unwrap_or(path.into()))
}

/// The folders of this checkout.
pub struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo builds, and where the fetched library and the readers go.
    pub target: PathBuf,
}

impl Workspace {
    pub fn find() -> Result<Self> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask does not lie in a workspace")?.to_path_buf();
        // Cargo takes a relative path from the current folder, which the programs started here do not share.
        let target = match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => std::path::absolute(&dir).map_err(|e| format!("CARGO_TARGET_DIR={}: {e}", dir.display()))?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// `cargo VERB`, in this workspace, by the toolchain that runs us.
    pub fn cargo(&self, verb: &str) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.arg(verb).arg("--target-dir").arg(&self.target).current_dir(&self.root);
        command
    }

    /// Builds vultus as users run it, which needs no OpenCV.
    pub fn build_vultus(&self) -> Result<()> {
        process::run(self.cargo("build").args([
            "--release",
            "--package=vultus",
            "--bin=vultus",
            "--no-default-features",
            "--features=webcam,ort,gpu",
        ]))
    }

    /// The binary that [`build_vultus`](Self::build_vultus) makes.
    pub fn vultus(&self) -> PathBuf {
        let name = format!("vultus{}", env::consts::EXE_SUFFIX);
        self.target.join("release").join(name)
    }
}
