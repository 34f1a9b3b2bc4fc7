//! `cargo xtask test`: install, prepare a browser, other people's readers and virtual cameras, test.

use crate::onnxruntime::Library;
use crate::packages::{self, BUILD, CAMERA_GUEST, PIP, TEST};
use crate::readers::Readers;
use crate::steps::{Line, Outcome, Steps};
use crate::workspace::Workspace;
use crate::{Result, chromium, process, vulkan};
use std::convert::Infallible;
use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn run(args: &[OsString]) -> Result<Infallible> {
    let workspace = Workspace::find()?;
    let library = Library::locate(&workspace.target);
    let readers = Readers::of(&workspace);
    let guest = CameraGuest::of(&workspace);
    let mut steps = Steps::new(7);

    let mut wanted = [&BUILD[..], &TEST].concat();
    wanted.extend(library.needs_pip().then_some(PIP));
    if guest.runs_here() {
        wanted.extend(CAMERA_GUEST);
    }
    steps.run("system packages", |line| packages::install(&wanted, line))?;

    steps.run(&library.title(), |_| library.provide())?;

    steps.run("a GPU in software", vulkan::install)?;

    steps.run("a browser", chromium::install)?;

    steps.run("other people's readers", |line| readers.install(line))?;

    let prepared = steps.run("virtual cameras", |line| guest.prepare(&workspace, line))?;

    let mut tests = workspace.cargo("test");
    tests.args(["--release", "--workspace"]).args(args).envs(library.variable());
    if let Some(driver) = vulkan::driver() {
        tests.env("VULTUS_SOFTWARE_VULKAN", driver);
    }
    tests.envs(chromium::variables().into_iter().flatten()).envs(readers.variables());
    if prepared == Outcome::Done {
        tests.env("VULTUS_CAMERA_GUEST", &guest.script).env("VULTUS_GUEST_BINARY", &guest.binary);
    }
    steps.hand_over("cargo test");
    process::hand_over(&mut tests)
}

/// The virtual machine with cameras, and the program that runs in it.
struct CameraGuest {
    script: PathBuf,
    /// A copy of its own: the tests' build replaces the one in the release folder by one with
    /// OpenCV, whose hundred libraries would have to come along into the machine.
    binary: PathBuf,
}

impl CameraGuest {
    fn of(workspace: &Workspace) -> Self {
        Self {
            script: workspace.root.join("tests/camera-guest/camera-guest"),
            binary: workspace.target.join("guest/vultus"),
        }
    }

    fn runs_here(&self) -> bool {
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        ARCH == "x86_64" && is_debian_12(&os_release)
    }

    fn prepare(&self, workspace: &Workspace, line: &mut Line) -> Result<Outcome> {
        if !self.runs_here() {
            return Ok(left_out("they need Debian 12 on amd64"));
        }
        line.interrupt();
        workspace.build_vultus()?;
        self.keep(&workspace.vultus()).map_err(|e| format!("cannot write {}: {e}", self.binary.display()))?;
        // All else can be tested without it.
        match process::run(Command::new(&self.script).arg("setup")) {
            Ok(()) => Ok(Outcome::Done),
            Err(problem) => Ok(left_out(&problem)),
        }
    }

    fn keep(&self, built: &Path) -> std::io::Result<()> {
        if let Some(folder) = self.binary.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(built, &self.binary).map(|_| ())
    }
}

fn left_out(why: &str) -> Outcome {
    Outcome::Note(format!("left out, and so are the tests with cameras: {why}"))
}

fn is_debian_12(os_release: &str) -> bool {
    let has = |wanted| os_release.lines().any(|line| line == wanted);
    has("ID=debian") && has("VERSION_ID=\"12\"")
}

#[cfg(test)]
mod tests {
    use super::is_debian_12;

    #[test]
    fn other_debians_and_their_children_are_told_apart() {
        assert!(is_debian_12("ID=debian\nVERSION_ID=\"12\"\n"));
        assert!(!is_debian_12("ID=debian\nVERSION_ID=\"13\"\n"));
        assert!(!is_debian_12("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"12\"\n"));
    }
}
