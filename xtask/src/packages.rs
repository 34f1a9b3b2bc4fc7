//! The system packages that building and testing need.

use crate::steps::{Line, Outcome};
use crate::{Result, process};
use std::process::Command;

/// To build vultus: C++, CMake and NASM for libjpeg-turbo, libclang for the bindings to V4L2.
/// CMake only recommends make, so it would not come by itself.
pub const BUILD: [&str; 6] = ["g++", "make", "cmake", "nasm", "clang", "libclang-dev"];

/// To build and test everything: OpenCV for video files.
pub const TEST: [&str; 1] = ["libopencv-dev"];

/// To build the camera guest's driver, with [`BUILD`].
pub const CAMERA_GUEST: [&str; 3] = ["gcc", "gcc-12", "libc6-dev"];

/// To fetch the ONNX Runtime library.
pub const PIP: &str = "python3-pip";

/// Installs those of the packages that are missing. On a system without apt-get, checks for the
/// tools that a build needs.
pub fn install(wanted: &[&str], line: &mut Line) -> Result<Outcome> {
    if !process::works("apt-get", &["--version"]) {
        return check_tools();
    }
    let missing = missing(wanted)?;
    if missing.is_empty() {
        return Ok(Outcome::AlreadyThere);
    }
    let advice = format!(
        "these packages are missing: {0}\nTo install them, run as root:\n    \
         apt-get update && apt-get install --no-install-recommends {0}",
        missing.join(" ")
    );
    let may_use_sudo = process::works("sudo", &["--version"]);
    if !is_root() && !may_use_sudo {
        return Err(advice);
    }
    line.interrupt();
    update_and_install(&missing).map_err(|problem| format!("{problem}\n{advice}"))?;
    Ok(Outcome::Done)
}

/// Installs the newest versions of the packages.
pub fn update_and_install(wanted: &[&str]) -> Result<()> {
    // A third party's broken archive fails the update; what we need may come all the same.
    let _ = process::run(apt_get().arg("update"));
    process::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(wanted))
}

/// Those of the packages that dpkg does not list as installed.
fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    // Its status says only that one of them is unknown: the list tells which are there.
    let listing = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\\n"])
        .args(wanted)
        .output()
        .map_err(|e| format!("cannot run dpkg-query: {e}"))?;
    let listing = String::from_utf8_lossy(&listing.stdout);
    Ok(not_installed(wanted, &listing))
}

/// `listing` has a line `PACKAGE STATUS` for each package that dpkg has heard of.
fn not_installed<'a>(wanted: &[&'a str], listing: &str) -> Vec<&'a str> {
    let is_installed = |package: &str| listing.lines().any(|line| line.split_once(' ') == Some((package, "installed")));
    wanted.iter().copied().filter(|package| !is_installed(package)).collect()
}

/// apt-get with the rights to install, and without questions.
pub fn apt_get() -> Command {
    let mut command = as_root();
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

/// The beginning of a command that root runs.
pub fn as_root() -> Command {
    if is_root() {
        return Command::new("env");
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("env");
    sudo
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Without apt-get: names what to install, and goes on if the tools that can be checked are there.
fn check_tools() -> Result<Outcome> {
    let missing: Vec<&str> =
        ["cmake", "nasm", "clang"].into_iter().filter(|tool| !process::works(tool, &["--version"])).collect();
    let advice = advice();
    if missing.is_empty() {
        Ok(Outcome::Note(format!("the tools are there ({advice})")))
    } else {
        Err(format!("{} not found; {advice}", missing.join(", ")))
    }
}

/// What to install where we do not install it ourselves.
fn advice() -> &'static str {
    if cfg!(target_os = "macos") {
        "needed: `brew install cmake nasm llvm python`, for the tests also `brew install opencv`; \
         `brew install onnxruntime` is an alternative to the library that pip fetches"
    } else if cfg!(windows) {
        "needed: `winget install Kitware.CMake NASM.NASM LLVM.LLVM Python.Python.3.12` or the same from choco, \
         for the tests also `choco install opencv`"
    } else {
        "needed: a C++ compiler, CMake, NASM, Clang with libclang, Python 3 with pip, \
         for the tests also OpenCV 4 with its headers, a Vulkan driver, ffmpeg, and Chromium with its driver"
    }
}

#[cfg(test)]
mod tests {
    use super::not_installed;

    #[test]
    fn removed_and_unknown_packages_count_as_missing() {
        let listing = "cmake installed\nnasm config-files\n";
        assert_eq!(not_installed(&["cmake", "nasm", "clang"], listing), ["nasm", "clang"]);
    }
}
