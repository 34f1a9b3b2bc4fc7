//! A browser for the tests of the live page, and the driver that steers it.
//!
//! Debian has both as packages. Ubuntu's are snaps, which see no file outside their own folders and do not install in a
//! container: there, and elsewhere, set the two variables to a Chromium (or Chrome) and its driver of the same version.

use std::path::{Path, PathBuf};

use crate::steps::{Line, Outcome};
use crate::{Result, packages, workspace};

/// What names a program to the tests, and where Debian's package has it.
const PROGRAMS: [(&str, &str); 2] =
    [("VULTUS_CHROMIUM", "/usr/bin/chromium"), ("VULTUS_CHROMEDRIVER", "/usr/bin/chromedriver")];
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// The variables by which the tests find browser and driver; `None` until both are there.
pub fn variables() -> Option<[(&'static str, PathBuf); 2]> {
    let [browser, driver] = PROGRAMS.map(|(variable, package)| {
        let path = workspace::named(variable).unwrap_or_else(|| package.into());
        is_usable(&path).then_some((variable, path))
    });
    Some([browser?, driver?])
}

/// Installs browser and driver. Where that cannot be, the tests that need them are left out, and it is said.
pub fn install(line: &mut Line) -> Result<Outcome> {
    if variables().is_some() {
        return Ok(Outcome::AlreadyThere);
    }
    line.interrupt();
    let problem = match packages::update_and_install(&PACKAGES) {
        Ok(()) if variables().is_some() => return Ok(Outcome::Done),
        Ok(()) => String::from("the packages brought no browser that tests can steer"),
        Err(problem) => problem,
    };
    let [(browser, _), (driver, _)] = PROGRAMS;
    Ok(Outcome::Note(format!(
        "left out, and so are the tests in a browser: {problem}\n\
         With {browser} and {driver} set to a Chromium and its driver they run."
    )))
}

/// A snap is a link to the program that runs all snaps.
fn is_usable(program: &Path) -> bool {
    program.canonicalize().is_ok_and(|path| path.is_file() && !path.ends_with("snap"))
}

#[cfg(test)]
mod tests {
    use super::is_usable;
    use std::path::Path;

    #[test]
    fn a_program_that_is_not_there_is_not_used() {
        assert!(is_usable(Path::new("/bin/sh")));
        assert!(!is_usable(Path::new("/no/such/chromium")));
    }
}
