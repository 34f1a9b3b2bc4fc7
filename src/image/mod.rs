//! Pictures in memory: decoding camera frames, cutting regions out of them, and making JPEG of raw ones.

pub mod decode;
pub mod detail;
pub mod encode;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod upright;
pub mod warp;

/// An RGB picture, three bytes a pixel, rows without padding; its memory is used again from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pixels of this picture a pixel of the full frame; 1 unless it was decoded smaller.
    pub scale: f32,
    /// `width * height` times red, green, blue.
    pub rgb: Vec<u8>,
}

impl Image {
    /// Sets the size; what the pixels hold is left to the caller.
    fn resize(&mut self, width: usize, height: usize, scale: f32) {
        self.width = width;
        self.height = height;
        self.scale = scale;
        self.rgb.resize(width * height * 3, 0);
    }

    /// Coordinates in this picture of a point of the full frame (pixel centres at integers in both).
    #[must_use]
    pub fn here_from_full(&self, x: f32, y: f32) -> (f32, f32) {
        ((x + 0.5) * self.scale - 0.5, (y + 0.5) * self.scale - 0.5)
    }

    /// Width and height of the full frame.
    #[must_use]
    pub fn full_size(&self) -> (f32, f32) {
        (self.width as f32 / self.scale, self.height as f32 / self.scale)
    }
}
