//! Calibration: how the cameras of a rig see, where they are, and how far their clocks are apart.
//!
//! ```text
//! pictures ─► corners ─► stills ─► one lens a camera ─► poses that several saw ─► chained ─► bundle adjustment ─► rig.toml
//!                                  (intrinsics)                                  (network)
//! ```

pub mod board;
pub mod bundle;
#[cfg(feature = "opencv")]
pub mod corners;
pub mod figures;
#[cfg(feature = "opencv")]
pub mod guide;
#[cfg(feature = "opencv")]
pub mod intrinsics;
#[cfg(feature = "opencv")]
pub mod light;
#[cfg(feature = "opencv")]
pub mod live;
pub mod marker;
pub mod network;
pub mod offsets;
pub mod print;
#[cfg(feature = "opencv")]
mod quads;
#[cfg(feature = "opencv")]
pub mod rig;
#[cfg(feature = "opencv")]
pub mod stills;
#[cfg(feature = "opencv")]
pub mod watch;
