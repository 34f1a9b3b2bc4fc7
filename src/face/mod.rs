//! Faces in one view: found, followed, measured and cut out; then told apart over all views.

pub mod align;
pub mod appearance;
pub mod associate;
pub mod detect;
pub mod placed;
pub mod pose;
pub mod quality;
pub mod track;
pub mod view;
