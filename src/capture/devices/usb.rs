//! Whether the cameras fit on their USB buses together: the arithmetic, over what Linux's sysfs says of them.

use std::fs;
use std::path::Path;

use super::Mode;

/// Where a camera is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Number of the bus. A USB 3 controller has two: one for its slower devices.
    pub bus: u32,
    /// Megabits a second that the bus carries in name: 480 for USB 2, 5000 and more for USB 3.
    pub bus_mbit: u32,
}

/// The port of `/dev/NODE` (`video0`), from sysfs under `sysfs`; `None` if that is no USB device.
#[must_use]
pub fn port(sysfs: &Path, node: &str) -> Option<Port> {
    let interface = fs::canonicalize(sysfs.join("class/video4linux").join(node).join("device")).ok()?;
    let number = |folder: &Path, file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u32>().ok();
    let bus = interface.ancestors().find_map(|folder| number(folder, "busnum"))?;
    let root_hub = interface.ancestors().find(|folder| folder.ends_with(format!("usb{bus}")))?;
    Some(Port { bus, bus_mbit: number(root_hub, "speed")? })
}

/// What the cameras of one bus ask of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The bus.
    pub port: Port,
    /// The cameras' names and modes.
    pub cameras: Vec<(String, Mode)>,
}

impl Load {
    /// The sum of the cameras' streams, estimated for JPEG, exact for raw pictures.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.cameras.iter().map(|(_, mode)| mode.bytes_per_second()).sum()
    }

    /// What the bus can carry of cameras' streams, in bytes a second.
    ///
    /// Cameras stream isochronously. On USB 2 that is 3 x 1024 bytes in each of 8000 microframes a second at best,
    /// 24.5 MB/s; on USB 1, 1023 bytes a millisecond; of the 500 MB/s of USB 3, 300 have been seen to work.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        match self.port.bus_mbit {
            0..480 => 1.0e6,
            480..5000 => 24.5e6,
            _ => 300.0e6,
        }
    }

    /// Whether the cameras fit.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.bytes_per_second() <= self.capacity()
    }

    /// What to do if they do not.
    #[must_use]
    pub fn advice(&self) -> String {
        let raw = self.cameras.iter().any(|(_, mode)| mode.format != crate::frame::PixelFormat::Mjpeg);
        let smaller = if raw {
            "ask for a size at which they deliver MJPEG, or for a smaller size or rate, under [capture] in vultus.toml"
        } else {
            "ask for a smaller size or rate under [capture] in vultus.toml"
        };
        let (move_one, port) = (
            self.cameras.len() > 1,
            if self.port.bus_mbit < 5000 { "USB 3 port or another" } else { "port of another" },
        );
        let first = if move_one { format!("move a camera to a {port} USB controller, or ") } else { String::new() };
        format!("{first}{smaller}")
    }
}

/// The loads of all buses, from cameras with their ports and modes.
#[must_use]
pub fn loads(cameras: impl IntoIterator<Item = (String, Port, Mode)>) -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    for (name, port, mode) in cameras {
        match loads.iter_mut().find(|load| load.port.bus == port.bus) {
            Some(load) => load.cameras.push((name, mode)),
            None => loads.push(Load { port, cameras: vec![(name, mode)] }),
        }
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat::{self, Mjpeg, Yuyv};

    fn mode(format: PixelFormat, width: u32, height: u32) -> Mode {
        Mode { format, width, height, fps: 30 }
    }

    fn load(bus_mbit: u32, modes: &[Mode]) -> Load {
        let port = Port { bus: 1, bus_mbit };
        let camera = |(n, mode): (usize, &Mode)| (format!("cam{n}"), port, *mode);
        loads(modes.iter().enumerate().map(camera)).remove(0)
    }

    #[test]
    fn three_mjpeg_cameras_fit_on_usb_2_and_four_do_not() {
        let hd = mode(Mjpeg, 1280, 720);
        let three = load(480, &[hd; 3]);
        assert_eq!(three.bytes_per_second(), 3.0 * 1280.0 * 720.0 * 30.0 / 4.0);
        assert!(three.fits());
        assert!(!load(480, &[hd; 4]).fits());
        assert!(load(5000, &[hd; 16]).fits());
    }

    #[test]
    fn one_raw_camera_fits_on_usb_2_and_two_do_not() {
        let vga = mode(Yuyv, 640, 480);
        assert!(load(480, &[vga]).fits());
        let two = load(480, &[vga; 2]);
        assert!(!two.fits());
        assert!(two.advice().contains("MJPEG") && two.advice().contains("move a camera"), "{}", two.advice());
        let alone = load(480, &[mode(Yuyv, 1280, 720)]);
        assert!(!alone.fits() && !alone.advice().contains("move"), "{}", alone.advice());
        assert!(!load(12, &[mode(Yuyv, 320, 240)]).fits());
    }

    #[test]
    fn buses_are_added_up_apart() {
        let hd = mode(Mjpeg, 1280, 720);
        let at = |name: &str, bus: u32| (name.to_owned(), Port { bus, bus_mbit: 480 }, hd);
        let loads = loads([at("a", 1), at("b", 2), at("c", 1)]);
        assert_eq!(loads.iter().map(|load| (load.port.bus, load.cameras.len())).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
    }

    #[cfg(unix)]
    #[test]
    fn the_bus_of_a_camera_behind_a_hub_is_found_in_sysfs() {
        let sysfs = tempfile::tempdir().expect("a temporary folder");
        let hub = sysfs.path().join("devices/pci0000:00/0000:00:14.0/usb3");
        let camera = hub.join("3-2/3-2.4");
        let class = sysfs.path().join("class/video4linux/video0");
        for folder in [camera.join("3-2.4:1.0"), class.clone(), sysfs.path().join("class/video4linux/video1")] {
            fs::create_dir_all(folder).expect("made");
        }
        for (folder, speed) in [(&hub, "480\n"), (&camera, "12\n")] {
            fs::write(folder.join("busnum"), "3\n").expect("written");
            fs::write(folder.join("speed"), speed).expect("written");
        }
        std::os::unix::fs::symlink(camera.join("3-2.4:1.0"), class.join("device")).expect("linked");
        assert_eq!(port(sysfs.path(), "video0"), Some(Port { bus: 3, bus_mbit: 480 }));
        assert_eq!(port(sysfs.path(), "video1"), None, "no USB device");
        assert_eq!(port(sysfs.path(), "video2"), None, "no such node");
    }
}
