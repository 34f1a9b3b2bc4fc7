//! The file of one take.
//!
//! It only ever grows, and by whole chunks: a chunk is gathered in memory and written in one go, so what is on the disk
//! can be read up to the last one that was synced, whatever happens to the program or the power.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use foxglove::Encode;
use foxglove::bytes::Bytes;
use foxglove::messages::{CompressedImage, Timestamp as Stamp};
use mcap::McapError;
use mcap::records::{MessageHeader, Metadata};

use super::{About, Camera, RecordError, disk};
use crate::config::Record;
use crate::frame::{CameraId, Frame, PixelFormat, StampKind};
use crate::image::encode::{Jpeg, JpegEncoder};
use crate::time::{Timestamp, monotonic_now};

/// What the file's layout is called, for readers.
const LAYOUT: &str = "1";
/// Quality of pictures that the camera did not send as JPEG.
const QUALITY: i32 = 95;
/// A chunk is closed when it is larger than this, if not for its age.
const CHUNK_BYTES: u64 = 8 << 20;

/// A camera's part of the file.
struct Lane {
    camera: Camera,
    /// The format of its frames and the channel of such; a camera that is opened anew may change it.
    channel: Option<(PixelFormat, u16)>,
    /// Frames that are missing and that no gap tells of yet.
    missing: u64,
    /// The last frame that is there: its number and arrival.
    last: (u64, Timestamp),
}

/// Writes one take.
pub struct TakeWriter {
    path: PathBuf,
    mcap: mcap::Writer<File>,
    /// The same file, for syncing.
    disk: File,
    /// How much of it was synced: whole chunks.
    synced: u64,
    lanes: Vec<Lane>,
    images: u16,
    expressions: u16,
    gaps: u16,
    records: u32,
    encoder: JpegEncoder,
    message: Vec<u8>,
}

impl TakeWriter {
    /// Makes the file, in the folder of `settings`.
    ///
    /// # Errors
    /// [`RecordError::Folder`] and [`RecordError::Write`]; then there is no file.
    pub fn create(settings: &Record, about: &About) -> Result<Self, RecordError> {
        let (path, file) = disk::new_file(&settings.folder)?;
        let take = Self::begin(&path, file, about).map_err(|error| {
            let _ = std::fs::remove_file(&path);
            failure(&path, error)
        })?;
        disk::sync_folder(&settings.folder);
        Ok(take)
    }

    fn begin(path: &Path, file: File, about: &About) -> Result<Self, McapError> {
        let disk = file.try_clone()?;
        let encoder = JpegEncoder::new(QUALITY).map_err(std::io::Error::other)?;
        // Without seeking, the writer gathers a chunk in memory and never goes back in the file.
        let options = mcap::WriteOptions::new()
            .disable_seeking(true)
            .chunk_size(Some(CHUNK_BYTES))
            .library(concat!("vultus ", env!("CARGO_PKG_VERSION")));
        let mut mcap = options.create(file)?;
        mcap.write_metadata(&beginning(about))?;
        let images = CompressedImage::get_schema().map_or(Ok(0), |s| mcap.add_schema(&s.name, &s.encoding, &s.data))?;
        let mut json_channel = |topic: &str, schema: &str, text: &str| {
            let schema = mcap.add_schema(schema, "jsonschema", text.as_bytes())?;
            mcap.add_channel(schema, topic, "json", &BTreeMap::new())
        };
        let expressions = json_channel("/expressions", "vultus.Expression", include_str!("expression.schema.json"))?;
        let gaps = json_channel("/gaps", "vultus.Gap", include_str!("gap.schema.json"))?;
        mcap.flush()?;
        disk.sync_data()?;
        let synced = disk.metadata()?.len();
        let lane = |camera: &Camera| Lane {
            camera: camera.clone(),
            channel: None,
            missing: 0,
            last: (0, Timestamp::default()),
        };
        Ok(Self {
            path: path.to_owned(),
            mcap,
            disk,
            synced,
            lanes: about.cameras.iter().map(lane).collect(),
            images,
            expressions,
            gaps,
            records: 0,
            encoder,
            message: Vec::new(),
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

    /// Adds a frame: a JPEG picture as the camera sent it, another one encoded. `false` if it cannot be encoded; it is
    /// then left out, and the next gap tells so.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn frame(&mut self, frame: &Frame) -> Result<bool, RecordError> {
        let Ok(jpeg) = Jpeg::of(frame, &mut self.encoder) else {
            self.missed(frame.camera, 1);
            return Ok(false);
        };
        self.gap(frame.camera.index(), Some(frame))?;
        self.write_image(frame, Bytes::from_owner(jpeg)).map_err(|error| failure(&self.path, error))?;
        Ok(true)
    }

    /// Notes that `frames` frames of a camera are missing after the last one. A gap tells so before the next, or at the
    /// end.
    pub fn missed(&mut self, camera: CameraId, frames: u64) {
        if let Some(lane) = self.lanes.get_mut(camera.index()) {
            lane.missing += frames;
        }
    }

    fn write_image(&mut self, frame: &Frame, data: Bytes) -> Result<(), McapError> {
        let Some(lane) = self.lanes.get_mut(frame.camera.index()) else { return Ok(()) };
        let channel_id = match lane.channel {
            Some((format, id)) if format == frame.format => id,
            _ => {
                let topic = format!("/camera/{}/image", lane.camera.name);
                let encoding = CompressedImage::get_message_encoding();
                let about = about_channel(&lane.camera, frame.format);
                let id = self.mcap.add_channel(self.images, &topic, &encoding, &about)?;
                lane.channel = Some((frame.format, id));
                id
            }
        };
        lane.last = (frame.seq, frame.received_at);
        let captured_ns = ns(frame.captured_at);
        let image = CompressedImage {
            timestamp: Stamp::new_checked(
                u32::try_from(captured_ns / 1_000_000_000).unwrap_or(u32::MAX),
                (captured_ns % 1_000_000_000) as u32,
            ),
            frame_id: lane.camera.name.to_string(),
            data,
            format: "jpeg".to_owned(),
        };
        self.message.clear();
        image.encode(&mut self.message).map_err(std::io::Error::other)?;
        let header = MessageHeader {
            channel_id,
            sequence: frame.seq as u32,
            log_time: ns(frame.received_at),
            publish_time: captured_ns,
        };
        self.mcap.write_to_known_channel(&header, &self.message)
    }

    /// Adds the result records of the set at `at`, one a line.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn records(&mut self, at: Timestamp, lines: &[u8]) -> Result<(), RecordError> {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.json(self.expressions, self.records, at, line)?;
            self.records += 1;
        }
        Ok(())
    }

    /// Tells of the frames that are missing before `next`, if any are; or at the end.
    fn gap(&mut self, lane: usize, next: Option<&Frame>) -> Result<(), RecordError> {
        let Some(lane) = self.lanes.get_mut(lane).filter(|lane| lane.missing > 0) else { return Ok(()) };
        let (seq, at) = next.map_or(lane.last, |next| (next.seq, next.received_at));
        let before_seq = next.map(|next| next.seq);
        let gap = serde_json::json!({"camera": lane.camera.name, "frames": lane.missing, "before_seq": before_seq});
        lane.missing = 0;
        self.json(self.gaps, seq as u32, at, gap.to_string().as_bytes())
    }

    fn json(&mut self, channel_id: u16, sequence: u32, at: Timestamp, text: &[u8]) -> Result<(), RecordError> {
        let header = MessageHeader { channel_id, sequence, log_time: ns(at), publish_time: ns(at) };
        self.mcap.write_to_known_channel(&header, text).map_err(|error| failure(&self.path, error))
    }

    /// Closes the chunk and has the disk keep it. Returns the file's size.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn sync(&mut self) -> Result<u64, RecordError> {
        let mut sync = || {
            self.mcap.flush()?;
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
            self.mcap.write_metadata(&Metadata { name: "vultus.end".to_owned(), metadata: end.into() })?;
            self.mcap.finish()?;
            self.disk.sync_all()?;
            Ok(self.disk.metadata()?.len())
        };
        finish().map_err(|error| failure(&self.path, error))
    }

    /// After a failure: leaves of the file what was synced, without an index. What was written since may end within a
    /// chunk.
    pub fn cut_off(self) {
        // Dropped as it is, the writer would try to write the rest.
        let file = self.mcap.into_inner();
        if let Err(error) = file.set_len(self.synced).and_then(|()| file.sync_all()) {
            tracing::warn!("{} may end within a chunk: {error}", self.path.display());
        }
    }
}

/// What the file says of the run, and when it was begun.
fn beginning(about: &About) -> Metadata {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let run = about.run.as_object().into_iter().flatten();
    let mut metadata: BTreeMap<_, _> = run.map(|(key, value)| (key.clone(), text(value))).collect();
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    metadata.insert("layout".to_owned(), LAYOUT.to_owned());
    metadata.insert("started_utc".to_owned(), now.to_string());
    // The cameras' clock in a live run: with it their times can be told in UTC.
    metadata.insert("started_monotonic_ns".to_owned(), monotonic_now().ns().to_string());
    Metadata { name: "vultus".to_owned(), metadata }
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

/// MCAP knows no times before zero, and no run has any.
fn ns(at: Timestamp) -> u64 {
    at.ns().max(0) as u64
}

fn failure(path: &Path, error: McapError) -> RecordError {
    let reason = match error {
        McapError::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    RecordError::Write { path: path.to_owned(), reason }
}
