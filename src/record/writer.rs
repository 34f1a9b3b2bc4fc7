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
use crate::frame::{Frame, PixelFormat, StampKind};
use crate::image::encode::JpegEncoder;
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
}

/// Writes one take.
pub struct TakeWriter {
    path: PathBuf,
    mcap: mcap::Writer<File>,
    /// The same file, for syncing.
    disk: File,
    lanes: Vec<Lane>,
    images: u16,
    expressions: u16,
    gaps: u16,
    records: u32,
    dropped: u64,
    encoder: JpegEncoder,
    message: Vec<u8>,
}

impl TakeWriter {
    /// Makes the file, in the folder of `settings`.
    ///
    /// # Errors
    /// [`RecordError::Folder`], [`RecordError::DiskFull`] and [`RecordError::Write`]; then there is no file.
    pub fn create(settings: &Record, about: &About) -> Result<Self, RecordError> {
        disk::check_room(settings)?;
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
        let lane = |camera: &Camera| Lane { camera: camera.clone(), channel: None };
        Ok(Self {
            path: path.to_owned(),
            mcap,
            disk,
            lanes: about.cameras.iter().map(lane).collect(),
            images,
            expressions,
            gaps,
            records: 0,
            dropped: 0,
            encoder,
            message: Vec::new(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a frame: a JPEG picture as the camera sent it, another one encoded. `false` if it cannot be encoded; it is
    /// then left out.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn frame(&mut self, frame: &Frame) -> Result<bool, RecordError> {
        let data = if frame.format == PixelFormat::Mjpeg {
            Bytes::from_owner(frame.bytes.clone())
        } else {
            let mut jpeg = Vec::new();
            if self.encoder.step(frame, &mut jpeg).is_err() {
                return Ok(false);
            }
            jpeg.into()
        };
        self.write_image(frame, data).map_err(|error| failure(&self.path, error))?;
        Ok(true)
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

    /// Marks that `frames` frames of `next`'s camera are missing before it.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn gap(&mut self, frames: u64, next: &Frame) -> Result<(), RecordError> {
        let Some(lane) = self.lanes.get(next.camera.index()) else { return Ok(()) };
        let gap = serde_json::json!({"camera": lane.camera.name, "frames": frames, "before_seq": next.seq});
        self.dropped += frames;
        self.json(self.gaps, next.seq as u32, next.received_at, gap.to_string().as_bytes())
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
        sync().map_err(|error| failure(&self.path, error))
    }

    /// Writes the index and closes the file. Returns its size.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn finish(mut self) -> Result<u64, RecordError> {
        let end = [("dropped".to_owned(), self.dropped.to_string())];
        let finish = || {
            self.mcap.write_metadata(&Metadata { name: "vultus.end".to_owned(), metadata: end.into() })?;
            self.mcap.finish()?;
            self.disk.sync_all()?;
            Ok(self.disk.metadata()?.len())
        };
        finish().map_err(|error| failure(&self.path, error))
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
