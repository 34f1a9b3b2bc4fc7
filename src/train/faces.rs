//! Faces as training sees them: cut out as the live pipeline cuts them, with who, when, from where and how they look.

use std::path::PathBuf;

use crate::image::warp::Similarity;
use crate::scene::{Expression, Landmarks};

/// A cut-out picture of a face, grey, with room around it: augmentation may turn, shift and shrink without reaching
/// beyond it.
#[derive(Clone, Debug, PartialEq)]
pub struct Crop {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `width * height` values of luminance (BT.601).
    pub gray: Vec<u8>,
    /// Where the middle of the encoder's cut lies, pixels (pixel centres at integers).
    pub middle: (f32, f32),
    /// Side of the encoder's cut, pixels of this crop; the cut is upright in it.
    pub span: f32,
    /// The five landmarks in pixels of the crop, where a detector found them; none if the picture is a crop already.
    pub landmarks: Option<Landmarks>,
}

impl Crop {
    /// Maps pixels of an upright cut of `size` x `size` to this crop: what the live pipeline would cut.
    #[must_use]
    pub fn crop_from_cut(&self, size: usize) -> Similarity {
        let scale = self.span / size as f32;
        let half = (size as f32 - 1.0) / 2.0;
        Similarity { a: scale, b: 0.0, tx: self.middle.0 - scale * half, ty: self.middle.1 - scale * half }
    }
}

/// One picture of one face.
#[derive(Clone, Debug)]
pub struct Face {
    /// Of which data set: an index.
    pub set: usize,
    /// Who: an index into [`Faces::subjects`]; none where the data set does not say who is who.
    pub subject: Option<usize>,
    /// The instant: pictures of one scene were taken at the same time by several cameras. An index below
    /// [`Faces::scenes`].
    pub scene: usize,
    /// From where: an index into [`Faces::views`].
    pub view: usize,
    /// How the person looks, where that is known.
    pub expression: Option<Expression>,
    /// Turn of the head, degrees, as the pipeline measures it; none if the picture is a crop already.
    pub yaw_deg: Option<f32>,
    /// When, of a clip; stills have no time. Seconds from the clip's beginning.
    pub time_s: Option<f64>,
    /// The picture.
    pub crop: Crop,
    /// The file that it comes from (of a take: `TAKE#camera/seq`).
    pub source: PathBuf,
}

/// A picture that could not be used, and why.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The file.
    pub source: PathBuf,
    /// Why.
    pub reason: String,
}

/// The faces of one or more data sets.
#[derive(Clone, Debug, Default)]
pub struct Faces {
    /// All of them, in the order of the data sets' files.
    pub faces: Vec<Face>,
    /// Names of the people, `set/person`; of a set that does not say who is who, one per picture is not made up:
    /// [`Faces::has_subjects`] is false of it.
    pub subjects: Vec<String>,
    /// Names of the views (`FL`, `HL`, `S`…; `left`…; a camera's name).
    pub views: Vec<String>,
    /// How many scenes there are.
    pub scenes: usize,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}
