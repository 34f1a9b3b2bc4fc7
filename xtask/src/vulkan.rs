//! A GPU in software, so that the GPU paths are tested where there is none.
//!
//! Dawn, on which ONNX Runtime's WebGPU provider stands, needs a newer lavapipe (Mesa 23 or later) than Debian 12 has;
//! its backports have one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::packages;
use crate::steps::{Line, Outcome};
use crate::{Result, process};

const PACKAGE: &str = "mesa-vulkan-drivers";
const OLDEST_MESA: u32 = 23;
const BACKPORTS: &str = "/etc/apt/sources.list.d/vultus-backports.list";

/// Where the driver describes itself; `None` until there is one that is new enough.
pub fn driver() -> Option<PathBuf> {
    if installed_mesa().is_some_and(|version| version < OLDEST_MESA) {
        return None;
    }
    let folder = fs::read_dir("/usr/share/vulkan/icd.d").ok()?;
    let files = folder.flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd")))
}

/// Installs lavapipe. Where that cannot be, the tests that need it are left out, and it is said.
pub fn install(line: &mut Line) -> Result<Outcome> {
    if driver().is_some() {
        return Ok(Outcome::AlreadyThere);
    }
    line.interrupt();
    let problem = match install_newest() {
        Ok(()) if driver().is_some() => return Ok(Outcome::Done),
        Ok(()) => format!("{PACKAGE} is older than {OLDEST_MESA} here"),
        Err(problem) => problem,
    };
    Ok(Outcome::Note(format!("left out, and so are the GPU tests: {problem}")))
}

fn install_newest() -> Result<()> {
    process::run(packages::apt_get().args(["install", "--yes", "--no-install-recommends", PACKAGE]))?;
    if driver().is_some() { Ok(()) } else { from_backports() }
}

/// Adds Debian's backports, from the same server as the main archive, and installs the driver from there.
fn from_backports() -> Result<()> {
    let Some((site, release, key)) = main_archive() else { return Ok(()) };
    let option = if key.is_empty() { String::new() } else { format!("[signed-by={key}] ") };
    let source = format!("deb {option}{site} {release}-backports main\n");
    eprintln!("adding Debian's backports to this system's package sources: {BACKPORTS}");
    process::run(packages::as_root().args(["sh", "-c", &format!("printf '%s' '{source}' > {BACKPORTS}")]))?;
    // A third party's broken archive fails the update; what we need may come all the same.
    let _ = process::run(packages::apt_get().arg("update"));
    let release = format!("{release}-backports");
    process::run(packages::apt_get().args(["install", "--yes", "--no-install-recommends", "-t", &release, PACKAGE]))
}

/// Address, release and key of the archive that the system itself comes from.
fn main_archive() -> Option<(String, String, String)> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?.to_owned();
    let format = "$(SITE) $(CODENAME) $(COMPONENT) $(CREATED_BY) $(SIGNED_BY)";
    let targets = Command::new("apt-get").args(["indextargets", "--format", format]).output().ok()?;
    let targets = String::from_utf8_lossy(&targets.stdout).into_owned();
    targets.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [site, name, "main", "Packages", ref key @ ..] = words[..] else { return None };
        let key = key.first().filter(|key| key.starts_with('/')).map_or("", |key| key);
        (name == codename).then(|| (site.to_owned(), codename.clone(), key.to_owned()))
    })
}

/// The installed driver's first version number.
fn installed_mesa() -> Option<u32> {
    let shown = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", PACKAGE]).output().ok()?;
    major(&String::from_utf8_lossy(&shown.stdout))
}

fn major(version: &str) -> Option<u32> {
    version.split(['.', '-', '~']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn a_package_version_is_read() {
        assert_eq!(major("22.3.6-1+deb12u2"), Some(22));
        assert_eq!(major("25.0.7-2~bpo12+1"), Some(25));
        assert_eq!(major(""), None);
    }
}
