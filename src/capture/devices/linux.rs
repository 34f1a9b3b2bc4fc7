//! Cameras as Linux names them: the nodes in `/dev`, what sysfs says of them, and udev's stable links.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// A V4L2 node. Not each is a camera: a USB camera has a second one, for metadata.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub number: u32,
    pub name: String,
    pub bus: String,
    by_id: Option<String>,
    by_path: Option<String>,
}

impl Node {
    pub(super) fn path(&self) -> String {
        format!("/dev/video{}", self.number)
    }

    /// A name that stays the camera's own when it is plugged in again: made of maker, model and serial number. Two
    /// cameras of a model without serial numbers share it; udev then gives it to one of them, now this, now that.
    /// These are named by the port that they are plugged into. Without udev there is only the number.
    pub(super) fn stable_id(&self, all: &[Self]) -> String {
        let shared = all.iter().any(|other| other.name == self.name && other.by_id.is_none());
        let by_id = self.by_id.clone().filter(|_| !shared);
        by_id.or_else(|| self.by_path.clone()).unwrap_or_else(|| self.path())
    }

    /// Whether `id` is a name of this node. An id once given stays valid when a twin comes or goes.
    pub(super) fn is(&self, id: &str) -> bool {
        [&self.by_id, &self.by_path].into_iter().flatten().any(|link| link == id) || self.path() == id
    }
}

/// The nodes under `root` (`/`, or a test's folder), by number.
pub(super) fn nodes(root: &Path) -> Vec<Node> {
    let (by_id, by_path) = (links(&root.join("dev/v4l/by-id")), links(&root.join("dev/v4l/by-path")));
    let mut nodes: Vec<Node> = names_in(&root.join("dev"))
        .filter_map(|name| {
            let number = name.strip_prefix("video")?.parse().ok()?;
            let about = root.join("sys/class/video4linux").join(&name);
            let product = fs::read_to_string(about.join("name")).unwrap_or_default();
            let product = if product.trim().is_empty() { &name } else { product.trim() };
            Some(Node {
                number,
                name: product.to_owned(),
                bus: bus(&about.join("device")),
                by_id: by_id.get(&name).cloned(),
                by_path: by_path.get(&name).cloned(),
            })
        })
        .collect();
    nodes.sort_by_key(|node| node.number);
    nodes
}

/// Link names in `folder` by the node that they lead to.
fn links(folder: &Path) -> HashMap<String, String> {
    let target = |link: &String| fs::read_link(folder.join(link)).ok()?.file_name()?.to_str().map(str::to_owned);
    let mut names: Vec<String> = names_in(folder).collect();
    // Newer udevs make two links by path, `…-usb-…` and `…-usbv2-…`: the first in the alphabet is the common one.
    names.sort_by(|a, b| b.cmp(a));
    names.into_iter().filter_map(|link| Some((target(&link)?, link))).collect()
}

fn names_in(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Where the device is plugged in: `usb 1-3` (bus 1, port 3), or the driver's own name for it, or nothing.
fn bus(device: &Path) -> String {
    let Some(name) = fs::canonicalize(device).ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned())) else {
        return String::new();
    };
    // A USB interface: bus-port:configuration.interface.
    match name.split_once(':') {
        Some((port, _)) if port.contains('-') => format!("usb {port}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Two cameras of one model without serial number, another with one, and one without udev.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        let at = |path: &str| root.path().join(path);
        let cameras = [(0, "Twin", "1-1"), (2, "Twin", "1-2"), (4, "C920", "2-1.4"), (10, "Bare", "")];
        for folder in ["dev/v4l/by-id", "dev/v4l/by-path"] {
            fs::create_dir_all(at(folder)).expect("made");
        }
        for (number, name, port) in cameras {
            let about = at(&format!("sys/class/video4linux/video{number}"));
            fs::create_dir_all(&about).expect("made");
            fs::write(at(&format!("dev/video{number}")), "").expect("written");
            fs::write(about.join("name"), format!("{name}\n")).expect("written");
            if !port.is_empty() {
                let device = at(&format!("sys/devices/usb/{port}/{port}:1.0"));
                fs::create_dir_all(&device).expect("made");
                symlink(&device, about.join("device")).expect("linked");
                for kind in ["usb", "usbv2"] {
                    let link = at(&format!("dev/v4l/by-path/pci-0000:00:14.0-{kind}-0:{port}:1.0-video-index0"));
                    symlink(format!("../../video{number}"), link).expect("linked");
                }
            }
        }
        fs::write(at("dev/video-front"), "").expect("written");
        symlink("../../video2", at("dev/v4l/by-id/usb-Twin-video-index0")).expect("linked");
        symlink("../../video4", at("dev/v4l/by-id/usb-C920_A1B2-video-index0")).expect("linked");
        root
    }

    fn ids(root: &Path) -> Vec<String> {
        let nodes = nodes(root);
        nodes.iter().map(|node| node.stable_id(&nodes)).collect()
    }

    #[test]
    fn twins_are_named_by_their_port_and_others_by_their_serial_number() {
        let expected = [
            "pci-0000:00:14.0-usb-0:1-1:1.0-video-index0",
            "pci-0000:00:14.0-usb-0:1-2:1.0-video-index0",
            "usb-C920_A1B2-video-index0",
            "/dev/video10",
        ];
        assert_eq!(ids(tree().path()), expected);
    }

    #[test]
    fn an_id_by_port_stays_valid_while_the_twin_is_away() {
        let root = tree();
        let id = ids(root.path()).swap_remove(1);
        fs::remove_file(root.path().join("dev/video0")).expect("removed");
        assert_eq!(ids(root.path())[0], "usb-Twin-video-index0", "now that it is the only one");
        let found: Vec<u32> = nodes(root.path()).iter().filter(|node| node.is(&id)).map(|node| node.number).collect();
        assert_eq!(found, [2]);
    }

    #[test]
    fn a_node_is_described_by_sysfs() {
        let nodes = nodes(tree().path());
        let about: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), node.bus.as_str())).collect();
        assert_eq!(about, [("Twin", "usb 1-1"), ("Twin", "usb 1-2"), ("C920", "usb 2-1.4"), ("Bare", "")]);
        assert!(super::nodes(Path::new("/nowhere")).is_empty());
    }
}
