//! The energy that the machine's processors have taken, where Linux tells: Intel's and AMD's RAPL through powercap,
//! which mostly root alone may read.

use std::fs;
use std::path::Path;

/// Joules since some moment, of all packages together; `None` where the machine does not tell. A counter wraps around
/// once in hours: whoever takes a difference below zero has met that.
pub(super) fn joules() -> Option<f64> {
    joules_of(Path::new("/sys/class/powercap"))
}

fn joules_of(powercap: &Path) -> Option<f64> {
    let read = |zone: &Path, file: &str| fs::read_to_string(zone.join(file)).ok();
    let zones = fs::read_dir(powercap).ok()?.flatten().map(|zone| zone.path());
    // Some packages stand there twice (`intel-rapl-mmio`), beside their parts and the platform as a whole.
    let is_package = |zone: &Path| {
        zone.file_name().is_some_and(|file| file.to_string_lossy().starts_with("intel-rapl:"))
            && read(zone, "name").is_some_and(|name| name.starts_with("package-"))
    };
    let microjoules = |zone: &Path| read(zone, "energy_uj")?.trim().parse::<f64>().ok();
    let packages: Option<Vec<f64>> = zones.filter(|zone| is_package(zone)).map(|zone| microjoules(&zone)).collect();
    packages.filter(|packages| !packages.is_empty()).map(|packages| packages.iter().sum::<f64>() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_counts_once() {
        let powercap = tempfile::tempdir().expect("a folder");
        let zone = |zone: &str, name: &str, energy_uj: &str| {
            let folder = powercap.path().join(zone);
            fs::create_dir(&folder).expect("made");
            fs::write(folder.join("name"), name).expect("written");
            fs::write(folder.join("energy_uj"), energy_uj).expect("written");
        };
        assert_eq!(joules_of(powercap.path()), None, "nothing is told");
        zone("intel-rapl:0", "package-0\n", "2500000\n");
        zone("intel-rapl:1", "package-1\n", "1000000\n");
        zone("intel-rapl:0:0", "core\n", "2000000\n");
        zone("intel-rapl:2", "psys\n", "9000000\n");
        zone("intel-rapl-mmio:0", "package-0\n", "2500000\n");
        assert_eq!(joules_of(powercap.path()), Some(3.5));
    }
}
