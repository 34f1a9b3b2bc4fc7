//! Cameras as nokhwa lists them, where their drivers cannot be asked directly.

use nokhwa::utils::{CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};
use nokhwa::{Camera, NokhwaError};

use super::{FORMATS, Mode};

/// The modes of a camera, or `None` if the device has none. nokhwa has to open it, in any mode, to tell them.
pub(super) fn modes(number: u32) -> Result<Option<Vec<Mode>>, NokhwaError> {
    let any = FORMATS.map(|(format, _)| format);
    let request = RequestedFormat::with_formats(RequestedFormatType::None, &any);
    let mut camera = match Camera::new(CameraIndex::Index(number), request) {
        Ok(camera) => camera,
        // None of its modes is any of ours.
        Err(NokhwaError::GetPropertyError { property, .. }) if property == "CameraFormat" => return Ok(None),
        Err(error) => return Err(error),
    };
    let named = |format: FrameFormat| FORMATS.iter().find(|(theirs, _)| *theirs == format).map(|(_, ours)| *ours);
    let mode = |found: &nokhwa::utils::CameraFormat| {
        let (width, height, fps) = (found.width(), found.height(), found.frame_rate());
        Some(Mode { format: named(found.format())?, width, height, fps })
    };
    let mut modes: Vec<Mode> = camera.compatible_camera_formats()?.iter().filter_map(mode).collect();
    // nokhwa keeps them in a hash map.
    modes.sort_by_key(|mode| (mode.format as u8, mode.width, mode.height, mode.fps));
    modes.dedup();
    Ok(Some(modes))
}

/// All cameras, by the names that their systems give them for good.
pub(super) fn attached() -> Result<Vec<super::Device>, crate::capture::CaptureError> {
    let found = nokhwa::query(nokhwa::utils::ApiBackend::Auto).map_err(|error| crate::capture::CaptureError::Open {
        camera: "all".to_owned(),
        reason: format!("the system does not list its cameras: {error}"),
    })?;
    let device = |info: nokhwa::utils::CameraInfo| {
        let number = info.index().as_index().ok()?;
        let (name, unique) = (info.human_name(), info.misc());
        let id = if unique.is_empty() { name.clone() } else { unique };
        super::Device::new(id, number.to_string(), name, String::new(), number)
    };
    Ok(found.into_iter().filter_map(device).collect())
}
