//! The pictures of a take, one after another: as they are, or with the faces hidden.

use super::ExportError;
use super::blur::{Blur, Named, named_faces};
use super::left_out::LeftOut;
use crate::record::{Take, TakeError, TakeFile, TakenFrame};

/// Pictures for an export.
pub(super) struct Pictures<'a> {
    take: &'a Take,
    /// What hides faces, and those that the results name: one a camera.
    blur: Option<(&'a Blur<'a>, Vec<Named>)>,
    goes_on: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Pictures<'a> {
    /// Those of `take`.
    ///
    /// # Errors
    /// When the results cannot be opened, and [`ExportError::BrokenOff`].
    pub(super) fn of(
        take: &'a Take,
        blur: Option<&'a Blur<'a>>,
        goes_on: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, ExportError> {
        let blur = blur.map(|blur| Ok::<_, ExportError>((blur, named_faces(take, goes_on)?))).transpose()?;
        Ok(Self { take, blur, goes_on })
    }

    /// Whether faces are hidden in them.
    pub(super) fn are_blurred(&self) -> bool {
        self.blur.is_some()
    }

    /// Hands every picture of the `n`-th camera to `each`, in the order of arrival. Those that cannot be read are left
    /// out; that is said.
    ///
    /// # Errors
    /// Of the search for faces and of `each`, and [`ExportError::BrokenOff`].
    pub(super) fn of_camera(
        &self,
        n: usize,
        mut each: impl FnMut(&TakenFrame, &[u8]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let view = &self.take.views[n];
        let mut left_out = LeftOut::of(self.take, format!("pictures of camera `{}`", view.camera.name));
        if let Some((blur, named)) = &self.blur {
            blur.of_camera(self.take, n, &named[n], self.goes_on, |frame, jpeg| {
                left_out.unless(jpeg).map_or(Ok(()), |jpeg| each(frame, jpeg))
            })?;
        } else {
            let mut file = TakeFile::open(&self.take.path)?;
            for frame in &view.frames {
                if let Some(jpeg) = left_out.unless(picture(self.take, &mut file, frame)) {
                    each(frame, &jpeg)?;
                }
                self.step()?;
            }
        }
        left_out.tell();
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
