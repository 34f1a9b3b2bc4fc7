//! Whether a recording holds the frames of the take that was looped.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use vultus::capture::{Event, Source, recording::Recording};
use vultus::frame::FramePool;

use crate::support::recording::messages;

/// What was found.
pub struct Readback {
    /// Frames in the file, of all cameras.
    pub frames: u64,
    /// Whether each camera's are its first ones, byte for byte.
    pub is_same: bool,
}

/// Reads the recording and plays the take anew.
pub fn compare(take: &Path, file: &Path) -> Readback {
    let messages = messages(&fs::read(file).expect("the recording"));
    let recording = Recording::open(&[take.to_owned()], false).and_then(Recording::looped).expect("a take");
    let mut read = Readback { frames: 0, is_same: true };
    for mut source in recording.sources {
        let topic = format!("/camera/{}/image", source.stream().name);
        let (mut count, mut found) = (0, Sha256::new());
        for message in messages.iter().filter(|message| message.0 == topic) {
            count += 1;
            found.update(&message.4);
        }
        read.frames += count;
        read.is_same &= found.finalize() == first(&mut *source, count).finalize();
    }
    read
}

/// Over the bytes of a camera's first frames.
fn first(source: &mut dyn Source, frames: u64) -> Sha256 {
    let pool = FramePool::new(1, source.stream().frame_bytes);
    let pictures = (0..frames).map(|_| match source.next(&pool).expect("a take can be read") {
        Event::Frame(frame) => frame.bytes,
        other => panic!("{other:?}"),
    });
    pictures.fold(Sha256::new(), |digest, picture| digest.chain_update(&*picture))
}
