//! The file of one take.
//!
//! It only ever grows, and by whole chunks: a chunk is gathered in memory and written in one go, so what is on the disk
//! can be read up to the last one that was synced, whatever happens to the program or the power.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use foxglove::bytes::Bytes;
use foxglove::messages::CompressedImage;
use mcap::McapError;
use mcap::records::Metadata;

use super::about::{self, About, Camera};
use super::channels::{Channels, Topic};
use super::set::SetNote;
use super::told::{Seen, Told};
use super::{RecordError, disk, messages};
use crate::config::{Record, RecordContent};
use crate::frame::{CameraId, Frame, FrameBytes, PixelFormat, StampKind};
use crate::image::encode::{Jpeg, JpegEncoder};
use crate::rig::Rig;
use crate::scene::CUT_SIDE;
use crate::time::Timestamp;

/// Quality of pictures that the camera did not send as JPEG.
const QUALITY: i32 = 95;
/// A chunk is closed when it is larger than this, if not for its age. Of 8 MiB, what half a second brings would be written in
/// one go, out of no cache: 1.9 % of a core instead of 1.1 %, with four cameras of 1280x720.
const CHUNK_BYTES: u64 = 1 << 20;

/// A camera's part of the file.
struct Lane {
    camera: Camera,
    /// The format of its frames; a camera that is opened anew may change it.
    format: Option<PixelFormat>,
    /// Frames that are missing and that no gap tells of yet.
    missing: u64,
    /// The number of the first frame that was to be recorded.
    first: Option<u64>,
    /// The last frame that is there.
    last: Seen,
}

/// Writes one take.
pub struct TakeWriter {
    path: PathBuf,
    content: RecordContent,
    rig: Option<Rig>,
    channels: Channels,
    /// The same file, for syncing.
    disk: File,
    /// How much of it was synced: whole chunks.
    synced: u64,
    lanes: Vec<Lane>,
    records: u64,
    encoder: JpegEncoder,
}

impl TakeWriter {
    /// Makes the file: `path`, or without it one named after the present moment in the folder of `settings`.
    ///
    /// # Errors
    /// [`RecordError::Exists`], [`RecordError::Folder`] and [`RecordError::Write`]; then there is no new file.
    pub fn create(path: Option<&Path>, settings: &Record, about: &About) -> Result<Self, RecordError> {
        let (path, file) = match path {
            Some(path) => (path.to_owned(), disk::named_file(path)?),
            None => disk::new_file(&settings.folder)?,
        };
        // Whoever would repair it sees that it still grows; on Windows a lock would keep readers out.
        if cfg!(unix) {
            let _ = file.try_lock();
        }
        let take = Self::begin(&path, file, settings, about).map_err(|error| {
            let _ = std::fs::remove_file(&path);
            failure(&path, error)
        })?;
        disk::sync_folder(disk::folder_of(&path));
        Ok(take)
    }

    fn begin(path: &Path, file: File, settings: &Record, about: &About) -> Result<Self, McapError> {
        let disk = file.try_clone()?;
        let encoder = JpegEncoder::new(QUALITY).map_err(std::io::Error::other)?;
        let mut mcap = options().create(file)?;
        mcap.write_metadata(&about.beginning(settings))?;
        if let Some(rig) = &about.rig {
            let (name, key) = about::RIG;
            let metadata = [(key.to_owned(), rig.text.clone())].into();
            mcap.write_metadata(&Metadata { name: name.to_owned(), metadata })?;
        }
        let mut channels = Channels::new(mcap);
        for topic in [Topic::Sets, Topic::Expressions, Topic::Gaps] {
            channels.open_json(topic, "", &BTreeMap::new())?;
        }
        channels.mcap.flush()?;
        disk.sync_data()?;
        let synced = disk.metadata()?.len();
        let lane = |camera: &Camera| Lane {
            camera: camera.clone(),
            format: None,
            missing: 0,
            first: None,
            last: Seen::default(),
        };
        Ok(Self {
            path: path.to_owned(),
            content: settings.content,
            rig: about.rig.clone(),
            channels,
            disk,
            synced,
            lanes: about.cameras.iter().map(lane).collect(),
            records: 0,
            encoder,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much of it is safe on the disk.
    #[must_use]
    pub fn synced_bytes(&self) -> u64 {
        self.synced
    }

    /// Adds a frame: a JPEG picture as the camera sent it, another one encoded; or its times alone, where the take is to
    /// have no whole pictures. `false` if it cannot be encoded; it is then left out, and the next gap tells so.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn frame(&mut self, frame: &Frame) -> Result<bool, RecordError> {
        if let Some(lane) = self.lanes.get_mut(frame.camera.index()) {
            lane.first.get_or_insert(frame.seq);
        }
        let jpeg = match self.content {
            RecordContent::Video => match Jpeg::of(frame, &mut self.encoder) {
                Ok(jpeg) => Some(Bytes::from_owner(jpeg)),
                Err(_) => {
                    self.missed(frame.camera, 1);
                    return Ok(false);
                }
            },
            RecordContent::Faces | RecordContent::Features => None,
        };
        self.gap(frame.camera.index(), Some(frame))?;
        self.write_frame(frame, jpeg).map_err(|error| failure(&self.path, error))?;
        Ok(true)
    }

    /// Notes that `frames` frames of a camera are missing after the last one. A gap tells so before the next, or at the
    /// end.
    pub fn missed(&mut self, camera: CameraId, frames: u64) {
        if let Some(lane) = self.lanes.get_mut(camera.index()) {
            lane.missing += frames;
        }
    }

    fn write_frame(&mut self, frame: &Frame, jpeg: Option<Bytes>) -> Result<(), McapError> {
        let Some(lane) = self.lanes.get_mut(frame.camera.index()) else { return Ok(()) };
        let (name, seen) = (&*lane.camera.name, Seen::of(frame));
        lane.last = seen;
        if lane.format != Some(frame.format) {
            let about = about_channel(&lane.camera, frame.format);
            match jpeg {
                Some(_) => self.channels.open::<CompressedImage>(Topic::Image, name, &about)?,
                None => self.channels.open_json(Topic::Time, name, &about)?,
            };
            let calibrated = self.rig.as_ref().and_then(|rig| rig.camera(name).ok());
            if let (None, Some(calibrated)) = (lane.format.replace(frame.format), calibrated) {
                let at = frame.received_at;
                let calibration = messages::calibration(at, calibrated);
                let seen = Seen { seq: 0, captured_at: at, received_at: at };
                self.channels.put(Topic::Calibration, name, seen, &calibration)?;
            }
        }
        match jpeg {
            Some(jpeg) => {
                let image = messages::image(frame.captured_at, name.to_owned(), jpeg);
                self.channels.put(Topic::Image, name, seen, &image)
            }
            None => {
                let times = serde_json::json!({
                    "seq": frame.seq, "captured_ns": frame.captured_at.ns(), "received_ns": frame.received_at.ns(),
                });
                self.channels.put_json(Topic::Time, name, seen, times.to_string().as_bytes())
            }
        }
    }

    /// Whether the recording had begun when this frame came.
    fn covers(&self, camera: CameraId, seq: u64) -> bool {
        let first = self.lanes.get(camera.index()).and_then(|lane| lane.first);
        first.is_some_and(|first| seq >= first)
    }

    /// Adds a set: which frames formed it, and whether it was looked at. One whose frames came before the recording began
    /// is left out.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn set(&mut self, set: &SetNote) -> Result<(), RecordError> {
        if !set.frames().all(|(camera, seq)| self.covers(camera, seq)) {
            return Ok(());
        }
        let lanes = &self.lanes;
        let name = |camera: CameraId| lanes.get(camera.index()).map_or("?", |lane| &*lane.camera.name);
        let text = set.to_json(name).map_err(|error| failure(&self.path, std::io::Error::from(error).into()))?;
        self.json(Topic::Sets, set.number, set.at, &text)
    }

    /// Adds what was made of a set that was looked at: the result records, what is to be drawn over the pictures, and
    /// the faces, if they are what the take is of. Nothing, if its frames came before the recording began.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub(crate) fn told(&mut self, told: &Told) -> Result<(), RecordError> {
        if !told.seen().all(|(camera, seen)| self.covers(camera, seen.seq)) {
            return Ok(());
        }
        for line in told.lines() {
            self.json(Topic::Expressions, self.records, told.at, line)?;
            self.records += 1;
        }
        let drawn = |(camera, seen): (CameraId, Seen)| {
            let Some(lane) = self.lanes.get(camera.index()) else { return Ok(()) };
            let annotations = messages::annotations(told, camera, seen);
            self.channels.put(Topic::Annotations, &lane.camera.name, seen, &annotations)
        };
        let outcome = told.seen().try_for_each(drawn).and_then(|()| self.faces(told));
        outcome.map_err(|error| failure(&self.path, error))
    }

    fn faces(&mut self, told: &Told) -> Result<(), McapError> {
        if self.content != RecordContent::Faces {
            return Ok(());
        }
        for (camera, track, pixels) in told.cuts.iter() {
            let Some((_, seen)) = told.seen().find(|(seen_by, _)| *seen_by == camera) else { continue };
            let Some(lane) = self.lanes.get(camera.index()) else { continue };
            let Some(person) = told.person_of(camera, track) else { continue };
            let cut = Frame {
                camera,
                seq: seen.seq,
                captured_at: seen.captured_at,
                received_at: seen.received_at,
                stamp: lane.camera.stamp,
                format: PixelFormat::Bgr,
                width: CUT_SIDE as u32,
                height: CUT_SIDE as u32,
                bytes: FrameBytes::detached(pixels.to_vec()),
                file: None,
            };
            let jpeg = Jpeg::of(&cut, &mut self.encoder).map_err(std::io::Error::other)?;
            let image = messages::image(seen.captured_at, format!("person/{person}"), Bytes::from_owner(jpeg));
            self.channels.put(Topic::Faces, &lane.camera.name, seen, &image)?;
        }
        Ok(())
    }

    /// Tells of the frames that are missing before `next`, if any are; or at the end.
    fn gap(&mut self, lane: usize, next: Option<&Frame>) -> Result<(), RecordError> {
        let Some(lane) = self.lanes.get_mut(lane).filter(|lane| lane.missing > 0) else { return Ok(()) };
        let Seen { seq, received_at, .. } = next.map_or(lane.last, Seen::of);
        let before_seq = next.map(|next| next.seq);
        let gap = serde_json::json!({"camera": lane.camera.name, "frames": lane.missing, "before_seq": before_seq});
        lane.missing = 0;
        self.json(Topic::Gaps, seq, received_at, gap.to_string().as_bytes())
    }

    fn json(&mut self, topic: Topic, seq: u64, at: Timestamp, text: &[u8]) -> Result<(), RecordError> {
        let seen = Seen { seq, captured_at: at, received_at: at };
        self.channels.put_json(topic, "", seen, text).map_err(|error| failure(&self.path, error))
    }

    /// Closes the chunk and has the disk keep it. Returns the file's size.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn sync(&mut self) -> Result<u64, RecordError> {
        let mut sync = || {
            self.channels.mcap.flush()?;
            self.disk.sync_data()?;
            Ok(self.disk.metadata()?.len())
        };
        self.synced = sync().map_err(|error| failure(&self.path, error))?;
        Ok(self.synced)
    }

    /// Tells of the frames that are missing at the end, and that `dropped` messages are missing in all; writes the index
    /// and closes the file. Returns its size.
    ///
    /// # Errors
    /// [`RecordError::Write`]; the file is then [cut off](Self::cut_off).
    pub fn finish(mut self, dropped: u64) -> Result<u64, RecordError> {
        let finished = self.end(dropped);
        if finished.is_err() {
            self.cut_off();
        }
        finished
    }

    fn end(&mut self, dropped: u64) -> Result<u64, RecordError> {
        for lane in 0..self.lanes.len() {
            self.gap(lane, None)?;
        }
        let end = [("dropped".to_owned(), dropped.to_string())];
        let finish = || {
            self.channels.mcap.write_metadata(&Metadata { name: about::END.to_owned(), metadata: end.into() })?;
            self.channels.mcap.finish()?;
            self.disk.sync_all()?;
            Ok(self.disk.metadata()?.len())
        };
        finish().map_err(|error| failure(&self.path, error))
    }

    /// After a failure: leaves of the file what was synced, without an index. What was written since may end within a
    /// chunk.
    pub fn cut_off(self) {
        // Dropped as it is, the writer would try to write the rest.
        let file = self.channels.mcap.into_inner();
        if let Err(error) = file.set_len(self.synced).and_then(|()| file.sync_all()) {
            tracing::warn!("{} may end within a chunk: {error}", self.path.display());
        }
    }
}

fn about_channel(camera: &Camera, format: PixelFormat) -> BTreeMap<String, String> {
    let pictures = match format {
        PixelFormat::Mjpeg => "as the camera sent them".to_owned(),
        _ => format!("encoded by vultus, quality {QUALITY}"),
    };
    let stamps = match camera.stamp {
        StampKind::Device => "device",
        StampKind::Arrival => "arrival",
    };
    [
        ("camera", camera.description.clone()),
        ("format", format.to_string()),
        ("pictures", pictures),
        ("stamps", stamps.to_owned()),
        ("time_offset_ms", (camera.offset_ns as f64 / 1e6).to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// How takes are written. Without seeking, the writer gathers a chunk in memory and never goes back in the file.
pub(super) fn options() -> mcap::WriteOptions {
    mcap::WriteOptions::new()
        .disable_seeking(true)
        .chunk_size(Some(CHUNK_BYTES))
        .library(concat!("vultus ", env!("CARGO_PKG_VERSION")))
}

fn failure(path: &Path, error: McapError) -> RecordError {
    let reason = match error {
        McapError::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    RecordError::Write { path: path.to_owned(), reason }
}
