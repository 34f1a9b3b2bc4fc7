//! `cargo xtask demo`: install, build, run.

use crate::onnxruntime::Library;
use crate::packages::{self, BUILD, PIP};
use crate::steps::{Outcome, Steps};
use crate::workspace::Workspace;
use crate::{Result, process};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::process::{Command, Stdio};

pub fn run(args: &[OsString]) -> Result<Infallible> {
    let workspace = Workspace::find()?;
    let library = Library::locate(&workspace.target);
    let mut steps = Steps::new(4);

    let mut wanted = BUILD.to_vec();
    wanted.extend(library.needs_pip().then_some(PIP));
    steps.run("system packages", |line| packages::install(&wanted, line))?;

    steps.run(&library.title(), |_| library.provide())?;

    steps.run("building vultus", |line| {
        line.interrupt();
        workspace.build_vultus().map(|()| Outcome::Done)
    })?;

    let vultus = workspace.vultus();
    let (verb, why) = choose_verb(&list_cameras(&vultus));
    steps.hand_over(&format!("vultus {verb}: {why}"));
    let mut command = Command::new(vultus);
    command.arg(verb).args(args).envs(library.variable());
    // Somebody looks, and has not said how: on the page, until they have seen enough. A script gets an end.
    if verb == "replay" && args.is_empty() && stdout().is_terminal() {
        command.args(["--listen", "127.0.0.1:7878", "--loop"]);
    }
    process::hand_over(&mut command)
}

/// What `vultus cameras --json` prints; nothing if it fails.
fn list_cameras(vultus: &Path) -> String {
    let listing = Command::new(vultus).args(["cameras", "--json"]).stderr(Stdio::inherit()).output();
    listing.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What to show, and why, given the JSON array of the cameras.
fn choose_verb(listing: &str) -> (&'static str, &'static str) {
    let array = listing.trim();
    match array.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(cameras) if cameras.trim().is_empty() => ("replay", "no camera is attached, so here is the bundled take"),
        Some(_) => ("live", "there is a camera"),
        None => ("replay", "the cameras could not be listed, so here is the bundled take"),
    }
}

#[cfg(test)]
mod tests {
    use super::choose_verb;

    #[test]
    fn the_bundled_take_is_replayed_unless_a_camera_is_listed() {
        assert_eq!(choose_verb("[]\n").0, "replay");
        assert_eq!(choose_verb("").0, "replay");
        assert_eq!(choose_verb("[{\"name\":\"left\"}]\n").0, "live");
    }
}
