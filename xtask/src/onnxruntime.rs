//! The ONNX Runtime library, which vultus loads at run time: taken out of its Python wheel.

use crate::process::PYTHON;
use crate::steps::Outcome;
use crate::{Result, process, workspace};
use std::env::consts::{ARCH, DLL_PREFIX, DLL_SUFFIX, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells vultus which library to load.
const VARIABLE: &str = "VULTUS_ONNXRUNTIME";

/// Where the library comes from.
pub enum Library {
    /// The user names one.
    Given(PathBuf),
    /// It is taken from a wheel and lies in the folder.
    Fetched { wheel: Wheel, folder: PathBuf },
    /// There is no wheel for this machine: vultus computes with its embedded runtime.
    Unavailable,
}

impl Library {
    pub fn locate(target: &Path) -> Self {
        if let Some(path) = workspace::named(VARIABLE) {
            return Self::Given(path);
        }
        match Wheel::for_this_machine() {
            Some(wheel) => Self::Fetched { wheel, folder: target.join("onnxruntime") },
            None => Self::Unavailable,
        }
    }

    pub fn title(&self) -> String {
        match self {
            Self::Fetched { wheel, .. } => format!("ONNX Runtime {}", wheel.version),
            _ => String::from("ONNX Runtime"),
        }
    }

    /// Whether pip has to be installed first.
    pub fn needs_pip(&self) -> bool {
        matches!(self, Self::Fetched { wheel, folder } if !wheel.is_in(folder))
            && !process::works(PYTHON, &["-m", "pip", "--version"])
    }

    /// Fetches the library if it is not there.
    pub fn provide(&self) -> Result<Outcome> {
        match self {
            Self::Given(path) => Ok(Outcome::Note(format!("{} ({VARIABLE} is set)", path.display()))),
            Self::Fetched { wheel, folder } if wheel.is_in(folder) => Ok(Outcome::AlreadyThere),
            Self::Fetched { wheel, folder } => wheel.fetch(folder).map(|()| Outcome::Done),
            Self::Unavailable => Ok(Outcome::Note(format!(
                "left out: there is none for {OS} on {ARCH}; vultus uses its embedded runtime, \
                 unless you set {VARIABLE} to a library of your own"
            ))),
        }
    }

    /// The variable by which programs that we start find the library.
    pub fn variable(&self) -> Option<(&'static str, PathBuf)> {
        match self {
            Self::Given(path) => Some((VARIABLE, path.clone())),
            Self::Fetched { folder, .. } => Some((VARIABLE, folder.join(library_name()))),
            Self::Unavailable => None,
        }
    }
}

/// A Python wheel that holds the library. It is a zip file, and nothing in it but the library is
/// used, so its Python version is of no account.
pub struct Wheel {
    package: &'static str,
    version: &'static str,
    platform: &'static str,
}

impl Wheel {
    fn for_this_machine() -> Option<Self> {
        // With the WebGPU provider where it reaches more GPUs than the plain wheel; the macOS
        // wheels have Core ML. 1.23.2 is the last for Macs with Intel processors.
        let (package, version, platform) = match (OS, ARCH) {
            ("linux", "x86_64") => ("onnxruntime-webgpu", "1.27.0", "manylinux_2_28_x86_64"),
            ("linux", "aarch64") => ("onnxruntime", "1.27.0", "manylinux_2_28_aarch64"),
            ("macos", "aarch64") => ("onnxruntime", "1.27.0", "macosx_14_0_arm64"),
            ("macos", "x86_64") => ("onnxruntime", "1.23.2", "macosx_13_0_x86_64"),
            ("windows", "x86_64") => ("onnxruntime-webgpu", "1.27.0", "win_amd64"),
            ("windows", "aarch64") => ("onnxruntime", "1.27.0", "win_arm64"),
            _ => return None,
        };
        Some(Self { package, version, platform })
    }

    /// Written beside the library, so that an upgrade of this table is noticed.
    fn label(&self) -> String {
        format!("{} {}, Python wheel for {}\n", self.package, self.version, self.platform)
    }

    fn is_in(&self, folder: &Path) -> bool {
        folder.join(library_name()).is_file()
            && fs::read_to_string(folder.join("SOURCE")).is_ok_and(|label| label == self.label())
    }

    /// Works in a folder beside the final one and renames at the end: an interrupted run leaves no
    /// half library behind that the next would take for a whole one.
    fn fetch(&self, folder: &Path) -> Result<()> {
        let work = folder.with_extension("partial");
        remove(&work)?;
        self.download(&work)?;
        let content = work.join("content");
        unpack(&only_wheel(&work)?, &content)?;
        let chosen = work.join("chosen");
        self.choose(&content.join("onnxruntime"), &chosen)
            .map_err(|e| format!("the wheel of {} is not as expected: {e}", self.package))?;
        remove(folder)?;
        fs::rename(&chosen, folder).map_err(|e| format!("cannot write {}: {e}", folder.display()))?;
        remove(&work)
    }

    fn download(&self, into: &Path) -> Result<()> {
        // The wheel is named in full, because pip would look for one that fits the Python it runs under.
        let mut pip = Command::new(PYTHON);
        pip.args(["-m", "pip", "download", "--disable-pip-version-check"])
            .args(["--no-deps", "--only-binary=:all:"])
            .args(["--implementation", "cp", "--python-version", "3.11"])
            .args(["--platform", self.platform])
            .arg("--dest")
            .arg(into)
            .arg(format!("{}=={}", self.package, self.version));
        process::run_quietly(&mut pip).map_err(|problem| {
            format!(
                "ONNX Runtime could not be fetched: {problem}\nCheck that Python has pip and that \
                 the network is up, then try again; or set {VARIABLE} to an ONNX Runtime library \
                 (1.22 or newer) that you have."
            )
        })
    }

    /// Moves the libraries and their licences out of the unpacked package.
    fn choose(&self, package: &Path, chosen: &Path) -> std::io::Result<()> {
        fs::create_dir_all(chosen)?;
        for entry in fs::read_dir(package.join("capi"))? {
            let entry = entry?;
            if let Some(name) = library_to_keep(&entry.file_name().to_string_lossy(), self.version) {
                fs::rename(entry.path(), chosen.join(name))?;
            }
        }
        for licence in ["LICENSE", "ThirdPartyNotices.txt"] {
            fs::rename(package.join(licence), chosen.join(licence))?;
        }
        fs::metadata(chosen.join(library_name()))?;
        fs::write(chosen.join("SOURCE"), self.label())
    }
}

/// The library's name without a version: that is how it is looked for.
fn library_name() -> String {
    format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")
}

/// The name under which a file of the wheel is kept: every shared library without its version,
/// but not Python's own.
fn library_to_keep(file: &str, version: &str) -> Option<String> {
    let name = file.replace(&format!(".{version}"), "");
    (name.ends_with(DLL_SUFFIX) && !name.contains("pybind")).then_some(name)
}

fn only_wheel(folder: &Path) -> Result<PathBuf> {
    fs::read_dir(folder)
        .map_err(|e| format!("cannot read {}: {e}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| format!("pip left no wheel in {}", folder.display()))
}

fn unpack(archive: &Path, into: &Path) -> Result<()> {
    process::run_quietly(Command::new(PYTHON).args(["-m", "zipfile", "-e"]).args([archive, into]))
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|e| format!("cannot remove {}: {e}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::{library_name, library_to_keep};

    #[test]
    #[cfg(target_os = "linux")]
    fn only_the_libraries_are_kept_and_lose_their_version() {
        let kept = |file| library_to_keep(file, "1.27.0");
        assert_eq!(kept("libonnxruntime.so.1.27.0"), Some(library_name()));
        let shared = "libonnxruntime_providers_shared.so";
        assert_eq!(kept(shared), Some(shared.to_owned()));
        assert_eq!(kept("onnxruntime_pybind11_state.cpython-311.so"), None);
        assert_eq!(kept("__init__.py"), None);
    }
}
