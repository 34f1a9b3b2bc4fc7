//! Which cameras are attached, by what names they go, and what they can do.
//!
//! On Linux the drivers are asked directly (`v4l2`), elsewhere through nokhwa (`portable`).

#[cfg(target_os = "linux")]
mod linux;
pub mod mode;
#[cfg(not(target_os = "linux"))]
mod portable;
pub mod usb;
#[cfg(target_os = "linux")]
pub(super) mod v4l2;

use std::fmt::Display;

use nokhwa::utils::FrameFormat;
use serde::Serialize;

use super::CaptureError;
use crate::frame::PixelFormat;
pub use mode::{Mode, choose, ranked};

/// nokhwa's names of pixel formats, and ours.
pub(super) const FORMATS: [(FrameFormat, PixelFormat); 6] = [
    (FrameFormat::MJPEG, PixelFormat::Mjpeg),
    (FrameFormat::YUYV, PixelFormat::Yuyv),
    (FrameFormat::NV12, PixelFormat::Nv12),
    (FrameFormat::RAWRGB, PixelFormat::Rgb),
    (FrameFormat::RAWBGR, PixelFormat::Bgr),
    (FrameFormat::GRAY, PixelFormat::Gray),
];

/// A camera.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// A name that stays its own when it is plugged in again or another joins it.
    pub id: String,
    /// Where it is now: `/dev/video0`, or its number where devices have no paths.
    pub path: String,
    /// What its maker calls it.
    pub name: String,
    /// Where it is plugged in, as far as known: `usb 1-3`.
    pub bus: String,
    /// What it can deliver, as far as it can be read.
    pub modes: Vec<Mode>,
    /// Why it cannot be used, and what to do.
    pub error: Option<String>,
    /// What nokhwa calls it.
    #[serde(skip)]
    pub(super) number: u32,
}

impl Device {
    /// A device with what its driver says of it, or `None` if it is no camera.
    fn new(id: String, path: String, name: String, bus: String, number: u32) -> Option<Self> {
        let (modes, error) = match modes(number) {
            Ok(None) => return None,
            Ok(Some(modes)) if modes.is_empty() => (modes, Some(NOTHING_TO_READ.to_owned())),
            Ok(Some(modes)) => (modes, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        Some(Self { id, path, name, bus, modes, error, number })
    }
}

const NOTHING_TO_READ: &str =
    "it offers no pictures that can be read here: MJPEG, YUYV, NV12, RGB or BGR at a whole number of frames a second";

/// All cameras that are attached, also those that cannot be used ([`Device::error`]).
///
/// # Errors
/// [`CaptureError::Open`] when the system does not say what is attached.
pub fn attached() -> Result<Vec<Device>, CaptureError> {
    #[cfg(target_os = "linux")]
    let devices = {
        let nodes = linux::nodes(std::path::Path::new("/"));
        let devices = nodes.iter().filter_map(|node| from_node(node, node.stable_id(&nodes)));
        Ok(devices.collect())
    };
    #[cfg(not(target_os = "linux"))]
    let devices = portable::attached();
    devices
}

/// The camera that was listed as `id`, if it is attached now; its path may have changed. The others are not touched.
pub(super) fn find_again(id: &str) -> Result<Option<Device>, CaptureError> {
    #[cfg(target_os = "linux")]
    let device = {
        let nodes = linux::nodes(std::path::Path::new("/"));
        Ok(nodes.iter().filter(|node| node.is(id)).find_map(|node| from_node(node, id.to_owned())))
    };
    #[cfg(not(target_os = "linux"))]
    let device = attached().map(|devices| devices.into_iter().find(|device| device.id == id));
    device
}

#[cfg(target_os = "linux")]
fn from_node(node: &linux::Node, id: String) -> Option<Device> {
    Device::new(id, node.path(), node.name.clone(), node.bus.clone(), node.number)
}

#[cfg(target_os = "linux")]
fn modes(number: u32) -> Result<Option<Vec<Mode>>, String> {
    v4l2::modes(number).map_err(|error| explained(&error))
}

#[cfg(not(target_os = "linux"))]
fn modes(number: u32) -> Result<Option<Vec<Mode>>, String> {
    portable::modes(number).map_err(|error| explained(&error))
}

/// The device that `id` means: its stable id, its path, its number, or a part of its name that no other has.
///
/// # Errors
/// [`CaptureError::UnknownCamera`], or [`CaptureError::Open`] when several are meant.
pub fn find<'a>(devices: &'a [Device], id: &str) -> Result<&'a Device, CaptureError> {
    let link = id.rsplit('/').next();
    let exact = |device: &&Device| device.id == id || device.path == id || link == Some(&device.id);
    if let Some(device) = devices.iter().find(exact) {
        return Ok(device);
    }
    let by_number = |device: &&Device| id.parse() == Ok(device.number);
    if let Some(device) = devices.iter().find(by_number) {
        return Ok(device);
    }
    let part = id.to_lowercase();
    let named: Vec<&Device> = devices.iter().filter(|device| device.name.to_lowercase().contains(&part)).collect();
    match named[..] {
        [device] => Ok(device),
        [_, _, ..] if !part.is_empty() => {
            let reason = format!("{} cameras have that in their names; say which: {}", named.len(), list(&named));
            Err(CaptureError::Open { camera: id.to_owned(), reason })
        }
        _ => {
            let all: Vec<&Device> = devices.iter().collect();
            let attached = if all.is_empty() { "none".to_owned() } else { list(&all) };
            Err(CaptureError::UnknownCamera { id: id.to_owned(), attached })
        }
    }
}

fn list(devices: &[&Device]) -> String {
    let shown: Vec<String> = devices.iter().map(|device| format!("{} ({})", device.id, device.name)).collect();
    shown.join(", ")
}

/// A driver's error with what can be done about it. nokhwa hands on the system's errors as text only.
pub(super) fn explained(error: &dyn Display) -> String {
    let text = error.to_string();
    let remedy = match os_error(&text) {
        Some(1 | 13) => "you may not open it: join the group `video` (sudo usermod -aG video $USER), then log in again",
        Some(16) => "another program uses it: close that (`vultus doctor` names it)",
        Some(28) => {
            "its USB bus has no room for this mode beside the other cameras: plug it into another controller, or ask \
             for a smaller size or rate (`vultus doctor` does the sums)"
        }
        Some(2 | 6 | 19) => "it was unplugged",
        _ => return text,
    };
    format!("{remedy} [{text}]")
}

/// The number in `… (os error 16)`.
fn os_error(text: &str) -> Option<i32> {
    let (_, number) = text.rsplit_once("(os error ")?;
    number.split(')').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, number: u32, name: &str) -> Device {
        let (id, name, bus) = (id.to_owned(), name.to_owned(), String::new());
        Device { id, path: format!("/dev/video{number}"), name, bus, modes: Vec::new(), error: None, number }
    }

    fn desk() -> Vec<Device> {
        vec![
            device("usb-046d_C920_A1B2-video-index0", 0, "HD Pro Webcam C920"),
            device("pci-0-usb-0:1-video-index0", 2, "Brio 100"),
            device("pci-0-usb-0:2-video-index0", 12, "Brio 100"),
        ]
    }

    #[test]
    fn a_camera_is_found_by_each_of_its_names() {
        let devices = desk();
        for id in [
            "usb-046d_C920_A1B2-video-index0",
            "/dev/v4l/by-id/usb-046d_C920_A1B2-video-index0",
            "/dev/video0",
            "0",
            "c920",
        ] {
            assert_eq!(find(&devices, id).expect(id).number, 0, "{id}");
        }
        assert_eq!(find(&devices, "2").expect("a number is not part of a name").number, 2);
    }

    #[test]
    fn a_name_of_two_cameras_is_refused_and_both_are_named() {
        let message = find(&desk(), "brio").expect_err("ambiguous").to_string();
        assert!(
            message.contains("usb-0:1") && message.contains("usb-0:2") && message.contains("say which"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_camera_is_named_with_those_that_there_are() {
        let message = find(&desk(), "nonsense").expect_err("unknown").to_string();
        assert!(message.contains("`nonsense`") && message.contains("C920_A1B2"), "{message}");
        assert!(find(&[], "0").expect_err("none").to_string().contains("attached: none"));
        assert!(matches!(find(&desk(), ""), Err(CaptureError::UnknownCamera { .. })));
    }

    #[test]
    fn the_system_s_errors_are_told_with_a_remedy() {
        let busy = "Could not open device stream: Device or resource busy (os error 16)";
        assert!(explained(&busy).starts_with("another program uses it"));
        assert!(explained(&"Permission denied (os error 13)").contains("usermod -aG video"));
        assert_eq!(explained(&"something else"), "something else");
    }
}
