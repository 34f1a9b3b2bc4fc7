//! Real-time facial expression recognition from several synchronised webcams.
//!
//! ```text
//! camera 0 ─ capture ─ ring ┐
//! camera 1 ─ capture ─ ring ┼─► sync ─► newest set ─► vision ──────────────────► results, live page
//! camera N ─ capture ─ ring ┘  (match)  (may drop)    decode, find, follow, cut
//!                                                     ─► one encoder batch ─► associate ─► fuse ─► smooth
//! ```
//!
//! The modules, in the order of the pipeline; each imports only from those below it. A stage is a struct with one
//! `step`, which knows neither threads nor clocks; only [`pipeline`] does.

pub mod bench;

pub mod calibrate;

pub mod parity;

pub mod serve;

#[cfg(feature = "train")]
pub mod train;

pub mod plot;

pub mod export;

pub mod pipeline;

pub mod fuse;

pub mod encode;

pub mod face;

pub mod survey;

pub mod sync;

pub mod capture;

pub mod record;

pub mod image;

pub mod results;

pub mod rig;

pub mod scene;

pub mod frame;

pub mod infer;

#[cfg(feature = "train")]
pub mod network;

pub mod gpu;

pub mod config;

pub mod time;
