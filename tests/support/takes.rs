//! Takes that the program recorded, and chance.

use std::path::{Path, PathBuf};

/// Records the bundled take, or the part of it that `options` name, into `folder`.
pub fn record(folder: &Path, options: &[&str]) -> PathBuf {
    let file = folder.join("take.mcap");
    let mut vultus = super::vultus();
    vultus.args(["replay", "--as-fast-as-possible", "--headless", "--results"]).arg(folder.join("results.jsonl"));
    vultus.args(options).arg("--record").arg(&file).arg(super::take()).assert().success();
    file
}

/// Random numbers, the same for the same seed (Marsaglia's xorshift).
pub struct Dice(u64);

impl Dice {
    /// The seed is that of `VULTUS_TEST_SEED`, else of the clock; a test that fails shows it.
    pub fn new() -> Self {
        let told = std::env::var("VULTUS_TEST_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = told.unwrap_or(since_1970.as_nanos() as u64);
        println!("VULTUS_TEST_SEED={seed}");
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
