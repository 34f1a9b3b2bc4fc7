//! Cameras: whether there are any, who may open them, who has them open, and whether their buses carry them.

use vultus::capture::devices::{self, Device, choose};
use vultus::config::{Capture, Config};

use super::Check;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let attached = match devices::attached() {
        Ok(attached) => attached,
        Err(error) => return vec![Check::fail("cameras cannot be listed", error.to_string())],
    };
    if attached.is_empty() {
        return vec![none_attached()];
    }
    let (used, missing) = used(&attached, config);
    let mut checks = missing;
    checks.extend(used.iter().map(|device| camera(device, &config.capture)));
    #[cfg(target_os = "linux")]
    {
        checks.extend(linux::in_use(&used));
        checks.extend(linux::buses(&used, &config.capture));
    }
    checks
}

/// The cameras that the configuration names, or all; and what it names but is not there.
fn used<'a>(attached: &'a [Device], config: &Config) -> (Vec<&'a Device>, Vec<Check>) {
    if config.camera.is_empty() {
        return (attached.iter().collect(), Vec::new());
    }
    let mut used: Vec<&Device> = Vec::new();
    let mut missing = Vec::new();
    for camera in &config.camera {
        match devices::find(attached, &camera.id) {
            Ok(device) => used.push(device),
            Err(error) => missing.push(Check::fail(
                format!("camera `{}` of the configuration is not there", camera.id),
                error.to_string(),
            )),
        }
    }
    (used, missing)
}

fn none_attached() -> Check {
    #[cfg(target_os = "linux")]
    if linux::are_hidden() {
        return Check::warn(
            "the system has video devices, but none of them is in /dev",
            "in a container, pass them in: docker run --device /dev/video0 …",
        );
    }
    Check::warn("no camera is attached", "plug one in; `vultus replay` needs none")
}

fn camera(device: &Device, asked: &Capture) -> Check {
    let Device { id, name, path, .. } = device;
    let title = if id == path { format!("camera {id} ({name})") } else { format!("camera {id} ({name}, {path})") };
    match (&device.error, choose(&device.modes, asked)) {
        (Some(error), _) => Check::fail(format!("{title} cannot be used"), error.clone()),
        (None, None) => Check::fail(format!("{title} has no modes"), "use another camera"),
        (None, Some(mode)) if mode.fps * 10 < asked.fps * 9 => Check::warn(
            format!("{title}: {mode} is as near as it comes to {} frames a second", asked.fps),
            "ask for a smaller size under [capture] in vultus.toml",
        ),
        (None, Some(mode)) => Check::ok(format!("{title}: {mode}")),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::path::Path;

    use vultus::capture::devices::usb::{self, Load};

    use super::{Capture, Check, Device, choose};

    /// Whether the kernel has video devices that this file system does not show.
    pub(super) fn are_hidden() -> bool {
        let nodes = fs::read_dir("/sys/class/video4linux").into_iter().flatten().flatten();
        nodes.into_iter().any(|node| !Path::new("/dev").join(node.file_name()).exists())
    }

    /// Programs that have a camera open, as far as this user may see them.
    pub(super) fn in_use(devices: &[&Device]) -> Vec<Check> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut found = Vec::new();
        for process in processes.filter(|&process| process != std::process::id()) {
            let folder = Path::new("/proc").join(process.to_string());
            let open: Vec<_> = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten().collect();
            let open: Vec<_> = open.iter().filter_map(|file| fs::read_link(file.path()).ok()).collect();
            for device in devices.iter().filter(|device| open.iter().any(|file| file == Path::new(&device.path))) {
                let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
                found.push(Check::warn(
                    format!("{} is in use by {} (process {process})", device.path, name.trim()),
                    "end that program: a camera serves one at a time",
                ));
            }
        }
        found
    }

    /// The USB buses that the cameras share.
    pub(super) fn buses(devices: &[&Device], asked: &Capture) -> Vec<Check> {
        let cameras = devices.iter().filter_map(|device| {
            let port = usb::port(Path::new("/sys"), device.path.strip_prefix("/dev/")?)?;
            Some((device.path.clone(), port, choose(&device.modes, asked)?))
        });
        usb::loads(cameras).iter().map(bus).collect()
    }

    fn bus(load: &Load) -> Check {
        let (needed, capacity) = (load.bytes_per_second() / 1e6, load.capacity() / 1e6);
        let who: Vec<&str> = load.cameras.iter().map(|(path, _)| path.as_str()).collect();
        let what = format!(
            "USB bus {} ({} Mbit/s): {} need about {needed:.1} of {capacity:.1} MB/s",
            load.port.bus,
            load.port.bus_mbit,
            who.join(", ")
        );
        if load.fits() { Check::ok(what) } else { Check::warn(what, load.advice()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_camera_that_the_configuration_names_and_is_not_there_is_a_failure() {
        let mut config = Config::default();
        config.camera = vec![vultus::config::Camera { id: "nonsense".to_owned(), name: None }];
        let (used, missing) = used(&[], &config);
        assert!(used.is_empty());
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].level, Level::Fail);
    }
}
