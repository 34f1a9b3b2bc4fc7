//! What a training step works on: faces, each changed in some way.

use crate::scene::Expression;

/// One picture of a batch: which face, and what is done to it before the network sees it.
#[derive(Clone, Debug)]
pub struct Shot {
    /// An index into [`Faces::faces`](super::faces::Faces::faces).
    pub face: usize,
    /// Seed of its random changes: the same seed, the same picture.
    pub seed: u64,
    /// What is done to it beside the usual augmentation.
    pub change: Change,
}

/// A change that is not mere augmentation.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Change {
    /// None.
    #[default]
    None,
    /// A local warp that may change the expression (ContraWarping's negatives).
    LocalWarp,
    /// A resampling that moves nothing: so that blur does not tell a warped picture from one that is not.
    ShamWarp,
    /// Eyes, brows, nose and mouth of this face, in the face with this index (SSL-FER's FaceSwap).
    SwapInto(usize),
}

/// The pictures of one step. Methods add what their loss needs in [`Batch::group`] and [`Batch::partner`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The pictures, in the order in which the network sees them.
    pub shots: Vec<Shot>,
    /// One number a shot; equal numbers are positives of each other (a scene, a subject's expression, an image…).
    pub group: Vec<usize>,
    /// One label a shot, where it is known.
    pub label: Vec<Option<Expression>>,
    /// One number a shot, free for the method: the row that it is paired with, or whose negative it is.
    pub partner: Vec<usize>,
}
