//! Training: from pictures of faces, many views of each, to an encoder that the pipeline runs.
//!
//! ```text
//! datasets ─► faces (found, aligned as live; cached) ─► folds by subject
//!     ─► method: draws a batch (which faces, changed how) and has a loss ─► trainer ─► checkpoint
//!     ─► export (ONNX, manifest, model card) ─► evaluate (through the live pipeline's own preprocessing) ─► report
//! ```
//!
//! One trainer serves all methods; a method is a pair builder and a loss. What of a method is its authors' and what is
//! our own stands in `docs/design/training.md`.

pub mod augment;
pub mod batch;
pub mod checkpoint;
pub mod datasets;
pub mod descriptors;
pub mod evaluate;
pub mod export;
pub mod faces;
pub mod fault;
pub mod folds;
pub mod graph;
pub mod journal;
pub mod losses;
pub mod methods;
pub mod metrics;
pub mod model;
pub mod onnx;
pub mod prepare;
pub mod recipe;
pub mod regions;
pub mod report;
pub mod run;
pub mod sheet;
pub mod study;
pub mod swap;
pub mod teachers;
pub mod trainer;
pub mod warp_field;

#[cfg(test)]
mod sample;
