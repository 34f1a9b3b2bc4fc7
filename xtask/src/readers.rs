//! Other people's readers of what vultus writes, for the tests: Python packages in an environment of their own, and
//! ffprobe.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{self, PYTHON};
use crate::steps::{Line, Outcome};
use crate::workspace::{self, Workspace};
use crate::{Result, packages};

/// What names the environment's Python to the tests; any Python that has the packages will do.
const PYTHON_VARIABLE: &str = "VULTUS_READERS";
/// What names ffprobe to them, and where Debian's package has it.
const FFPROBE_VARIABLE: &str = "VULTUS_FFPROBE";
const FFPROBE: &str = "/usr/bin/ffprobe";

/// The readers' place.
pub struct Readers {
    requirements: PathBuf,
    environment: PathBuf,
}

impl Readers {
    pub fn of(workspace: &Workspace) -> Self {
        Self {
            requirements: workspace.root.join("tests/readers/requirements.txt"),
            environment: workspace.target.join("readers"),
        }
    }

    /// The variables by which the tests find the readers that are there.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let python = self.python().map(|path| (PYTHON_VARIABLE, path));
        let ffprobe = ffprobe().map(|path| (FFPROBE_VARIABLE, path));
        python.into_iter().chain(ffprobe)
    }

    /// Installs what is missing. Where that cannot be, the tests that need it are left out, and it is said.
    pub fn install(&self, line: &mut Line) -> Result<Outcome> {
        if self.python().is_some() && ffprobe().is_some() {
            return Ok(Outcome::AlreadyThere);
        }
        line.interrupt();
        let problems: Vec<String> =
            [self.provide_python(), provide_ffprobe()].into_iter().filter_map(Result::err).collect();
        if problems.is_empty() {
            return Ok(Outcome::Done);
        }
        Ok(Outcome::Note(format!(
            "left out, and so are the tests with them: {}\n\
             With {PYTHON_VARIABLE} set to a Python that has the packages of {}, and {FFPROBE_VARIABLE} to an ffprobe, \
             they run.",
            problems.join("\n"),
            self.requirements.display()
        )))
    }

    /// The Python that has the packages, if there is one and they are those that are wanted now.
    fn python(&self) -> Option<PathBuf> {
        workspace::named(PYTHON_VARIABLE).or_else(|| self.is_up_to_date().then(|| self.own_python()))
    }

    fn own_python(&self) -> PathBuf {
        self.environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
    }

    /// What the environment was made for is kept in it, as the last that is written: one that was not finished is
    /// made anew.
    fn installed(&self) -> PathBuf {
        self.environment.join("requirements.txt")
    }

    fn is_up_to_date(&self) -> bool {
        let [wanted, installed] = [&self.requirements, &self.installed()].map(|file| fs::read(file).ok());
        wanted.is_some() && wanted == installed && self.own_python().is_file()
    }

    fn provide_python(&self) -> Result<()> {
        if self.python().is_some() {
            return Ok(());
        }
        // Debian's Python comes without it.
        if !process::works(PYTHON, &["-c", "import ensurepip"]) {
            packages::update_and_install(&["python3-venv"])?;
        }
        process::run(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&self.environment))?;
        process::run(
            Command::new(self.own_python())
                .args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--only-binary=:all:"])
                .arg("--requirement")
                .arg(&self.requirements),
        )?;
        let installed = self.installed();
        fs::copy(&self.requirements, &installed).map_err(|e| format!("cannot write {}: {e}", installed.display()))?;
        Ok(())
    }
}

fn ffprobe() -> Option<PathBuf> {
    let path = workspace::named(FFPROBE_VARIABLE).unwrap_or_else(|| FFPROBE.into());
    path.is_file().then_some(path)
}

fn provide_ffprobe() -> Result<()> {
    if ffprobe().is_some() {
        return Ok(());
    }
    packages::update_and_install(&["ffmpeg"])?;
    ffprobe().map(drop).ok_or_else(|| format!("the package ffmpeg brought no {FFPROBE}"))
}

#[cfg(test)]
mod tests {
    use super::Readers;
    use std::fs;

    #[test]
    fn an_environment_is_used_only_if_it_was_finished_with_the_present_requirements() {
        let folder = std::env::temp_dir().join(format!("vultus-readers-{}", std::process::id()));
        let readers = Readers { requirements: folder.join("wanted.txt"), environment: folder.join("readers") };
        let python = readers.own_python();
        fs::create_dir_all(python.parent().expect("a folder")).expect("made");
        fs::write(&python, "").expect("written");
        fs::write(&readers.requirements, "mcap==1").expect("written");
        assert!(!readers.is_up_to_date(), "it was not finished");
        fs::copy(&readers.requirements, readers.installed()).expect("copied");
        assert!(readers.is_up_to_date());
        fs::write(&readers.requirements, "mcap==2").expect("written");
        assert!(!readers.is_up_to_date(), "the requirements have changed");
        fs::remove_dir_all(folder).expect("removed");
    }
}
