//! The pictures of a take, one after another: as they are, or with the faces hidden.

use super::ExportError;
use super::blur::Blur;
use crate::record::{Take, TakeError, TakeFile, TakenFrame};

/// Pictures for an export.
pub(super) struct Pictures<'a> {
    pub take: &'a Take,
    pub blur: Option<&'a Blur<'a>>,
    pub goes_on: &'a (dyn Fn() -> bool + Sync),
}

impl Pictures<'_> {
    /// Hands every picture of the `n`-th camera to `each`, in the order of arrival. Those in which faces cannot be
    /// hidden are left out.
    ///
    /// # Errors
    /// Of the take, of the search for faces and of `each`, and [`ExportError::BrokenOff`].
    pub(super) fn of_camera(
        &self,
        n: usize,
        mut each: impl FnMut(&TakenFrame, &[u8]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        if let Some(blur) = self.blur {
            return blur.of_camera(self.take, n, self.goes_on, each);
        }
        let mut file = TakeFile::open(&self.take.path)?;
        for frame in &self.take.views[n].frames {
            each(frame, &picture(self.take, &mut file, frame)?)?;
            self.step()?;
        }
        Ok(())
    }

    /// Tells that a step is done.
    ///
    /// # Errors
    /// [`ExportError::BrokenOff`].
    pub(super) fn step(&self) -> Result<(), ExportError> {
        step(self.goes_on)
    }
}

/// Tells that a step is done.
///
/// # Errors
/// [`ExportError::BrokenOff`].
pub(super) fn step(goes_on: &(dyn Fn() -> bool + Sync)) -> Result<(), ExportError> {
    if goes_on() { Ok(()) } else { Err(ExportError::BrokenOff) }
}

/// The JPEG picture of a frame.
///
/// # Errors
/// Those of [`TakeFile::picture`].
pub(super) fn picture(
    take: &Take,
    file: &mut TakeFile,
    frame: &TakenFrame,
) -> Result<impl std::ops::Deref<Target = [u8]> + use<>, TakeError> {
    let missing =
        || TakeError::Damaged { path: take.path.clone(), what: format!("the picture of frame {}", frame.seq) };
    file.picture(frame.picture.ok_or_else(missing)?)
}
