//! How a picture may be changed before the network sees it: framing, light, sharpness, noise, holes.

mod renderer;

use serde::{Deserialize, Deserializer, Serialize};

use super::fault;
pub use renderer::Renderer;

/// How much pictures may change. In a recipe: `augment = { preset = "strong", noise = 0.5 }`, a preset and what differs
/// from it, or every key. All ranges are \[O\], but those of framing and contrast, which follow the released codes of
/// SSL-FER and CRS-CONT (\[C\]: side of the crop from 0.77 of the picture's, flip 0.5, brightness and contrast 0.4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Settings {
    /// Probability that it is mirrored.
    pub flip: f32,
    /// Largest turn to either side, degrees.
    pub rotation_deg: f32,
    /// Smallest and largest side of what is cut, in units of the usual cut: below 1 is closer.
    pub zoom: [f32; 2],
    /// Largest shift along each axis, in units of the usual cut's side.
    pub shift: f32,
    /// Largest stretch of one axis against the other: 0.1 is by a tenth.
    pub stretch: f32,
    /// Largest change of exposure: 0.4 divides or multiplies the brightness by up to 1.4; what becomes too bright is
    /// white.
    pub brightness: f32,
    /// Largest change of contrast around the picture's mean: 0.4 divides or multiplies it by up to 1.4.
    pub contrast: f32,
    /// Largest change of the exponent of brightness: 0.4 divides or multiplies it by up to 1.4.
    pub gamma: f32,
    /// Largest strength of light from one side, 0 to 1: 0.5 leaves 0.5 of the light on one side, 1.5 on the other.
    pub light: f32,
    /// Probability that the face is taken from further away, so that it has fewer pixels than the network reads.
    pub small: f32,
    /// Pixels that its cut then has across, at least.
    pub small_side: usize,
    /// Largest standard deviation of the noise, in units of the picture's own.
    pub noise: f32,
    /// Probability of JPEG.
    pub jpeg: f32,
    /// Its lowest quality, 1 to 100; the highest is 90.
    pub jpeg_quality: i32,
    /// Probability that a rectangle is blanked (Z. Zhong and others, "Random Erasing", 2017).
    pub erase: f32,
    /// Largest share of the picture that it covers.
    pub erase_share: f32,
    /// Probability that an eye or the mouth is blanked by an ellipse (SSL-FER \[C\]: 0.8).
    pub cover: f32,
}

impl Settings {
    /// Changes nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            flip: 0.0,
            rotation_deg: 0.0,
            zoom: [1.0, 1.0],
            shift: 0.0,
            stretch: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            gamma: 0.0,
            light: 0.0,
            small: 0.0,
            small_side: 24,
            noise: 0.0,
            jpeg: 0.0,
            jpeg_quality: 40,
            erase: 0.0,
            erase_share: 0.15,
            cover: 0.0,
        }
    }

    /// For learning classes: what cameras and the detector's own slips do.
    #[must_use]
    pub fn moderate() -> Self {
        Self {
            flip: 0.5,
            rotation_deg: 10.0,
            zoom: [0.88, 1.12],
            shift: 0.06,
            stretch: 0.06,
            brightness: 0.3,
            contrast: 0.3,
            gamma: 0.3,
            light: 0.4,
            small: 0.3,
            noise: 0.15,
            jpeg: 0.2,
            erase: 0.2,
            ..Self::none()
        }
    }

    /// For contrastive views, which shall agree in the expression and in little else.
    #[must_use]
    pub fn strong() -> Self {
        Self {
            flip: 0.5,
            rotation_deg: 15.0,
            zoom: [0.77, 1.1],
            shift: 0.1,
            stretch: 0.1,
            brightness: 0.4,
            contrast: 0.4,
            gamma: 0.5,
            light: 0.6,
            small: 0.5,
            noise: 0.25,
            jpeg: 0.2,
            erase: 0.3,
            erase_share: 0.2,
            ..Self::none()
        }
    }

    /// The first value that makes no sense, as `table.key`, and what it must be.
    #[must_use]
    pub fn fault(&self, table: &str) -> Option<(String, String)> {
        let is_share = |value: f32| (0.0..=1.0).contains(&value);
        let [near, far] = self.zoom;
        let checks = [
            (is_share(self.flip), "flip", "between 0 and 1"),
            ((0.0..=180.0).contains(&self.rotation_deg), "rotation_deg", "between 0 and 180"),
            (0.2 <= near && near <= far && far <= 3.0, "zoom", "two numbers from 0.2 to 3, the smaller first"),
            ((0.0..=0.5).contains(&self.shift), "shift", "between 0 and 0.5"),
            (is_share(self.stretch), "stretch", "between 0 and 1"),
            ((0.0..=4.0).contains(&self.brightness), "brightness", "between 0 and 4"),
            ((0.0..=4.0).contains(&self.contrast), "contrast", "between 0 and 4"),
            ((0.0..=4.0).contains(&self.gamma), "gamma", "between 0 and 4"),
            (is_share(self.light), "light", "between 0 and 1"),
            (is_share(self.small), "small", "between 0 and 1"),
            ((8..=1024).contains(&self.small_side), "small_side", "between 8 and 1024"),
            ((0.0..=4.0).contains(&self.noise), "noise", "between 0 and 4"),
            (is_share(self.jpeg), "jpeg", "between 0 and 1"),
            ((1..=90).contains(&self.jpeg_quality), "jpeg_quality", "between 1 and 90"),
            (is_share(self.erase), "erase", "between 0 and 1"),
            ((0.02..=0.9).contains(&self.erase_share), "erase_share", "between 0.02 and 0.9"),
            (is_share(self.cover), "cover", "between 0 and 1"),
        ];
        fault::first(table, &checks)
    }

    fn preset(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::none()),
            "moderate" => Some(Self::moderate()),
            "strong" => Some(Self::strong()),
            _ => None,
        }
    }
}

impl Serialize for Settings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut said = toml::Table::deserialize(deserializer)?;
        if let Some(preset) = said.remove("preset") {
            let known = preset.as_str().and_then(Self::preset);
            let known = known.ok_or_else(|| Error::custom("`preset` must be \"none\", \"moderate\" or \"strong\""))?;
            let mut whole = toml::Table::try_from(known).map_err(Error::custom)?;
            whole.extend(said);
            said = whole;
        }
        Self::deserialize(said).map_err(|error| Error::custom(format!("{error} (name a `preset`, and what differs)")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_a_preset_and_what_differs_or_complete() {
        #[derive(Debug, Deserialize)]
        struct Stage {
            augment: Settings,
        }
        let read = |text: &str| toml::from_str::<Stage>(text).map(|stage| stage.augment);
        let said = read("augment = { preset = \"strong\", flip = 0.25 }").unwrap();
        assert_eq!(said, Settings { flip: 0.25, ..Settings::strong() });
        let written = toml::to_string(&Settings::moderate()).unwrap();
        assert_eq!(toml::from_str::<Settings>(&written).unwrap(), Settings::moderate());
        for (text, wanted) in [
            ("augment = { flip = 0.25 }", "missing field"),
            ("augment = { preset = \"wild\" }", "\"moderate\""),
            ("augment = { preset = \"none\", flop = 1.0 }", "unknown field `flop`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named() {
        for settings in [Settings::none(), Settings::moderate(), Settings::strong()] {
            assert_eq!(settings.fault("augment"), None);
        }
        let fault = |settings: Settings| settings.fault("pretrain.augment").map(|(key, _)| key);
        assert_eq!(fault(Settings { flip: 1.5, ..Settings::none() }).as_deref(), Some("pretrain.augment.flip"));
        assert_eq!(fault(Settings { zoom: [1.2, 0.8], ..Settings::none() }).as_deref(), Some("pretrain.augment.zoom"));
        assert_eq!(fault(Settings { noise: f32::NAN, ..Settings::none() }).as_deref(), Some("pretrain.augment.noise"));
    }
}
