//! Recorded pictures in folders: takes (a folder a camera with `timestamps.csv`) and stills (pictures without times).

use std::borrow::Cow;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use include_dir::Dir;
use serde::Deserialize;

use super::times::{self, Row};
use super::{CaptureError, Event, Source, Stream};
use crate::frame::{CameraId, Frame, FramePool, PixelFormat, StampKind};
use crate::record::{Camera, TakenFrame, TakenView, file_name};
use crate::time::Timestamp;

/// Endings of the pictures that can be read.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "pgm", "ppm", "pbm", "pnm", "bmp"];
/// Rates that a camera may have, frames a second.
const RATES: RangeInclusive<f64> = 0.01..=1000.0;
/// The rate of a camera with a single picture.
const USUAL_RATE: f64 = 30.0;
/// Buffers larger than this are not made beforehand.
const LARGEST_BUFFER: usize = 4 << 20;
/// Time between stills: they have none of their own.
const STILL_PERIOD: Duration = Duration::from_secs(1);

/// A folder, on disk or built into the program.
#[derive(Clone, Debug)]
pub enum Folder {
    /// On disk.
    Disk(PathBuf),
    /// In the binary.
    BuiltIn(&'static Dir<'static>),
}

impl Folder {
    /// The folder's own path, for messages.
    fn path(&self) -> &Path {
        match self {
            Self::Disk(path) => path,
            Self::BuiltIn(dir) => dir.path(),
        }
    }

    fn read(&self, file: &Path) -> io::Result<Cow<'static, [u8]>> {
        match self {
            Self::Disk(path) => std::fs::read(path.join(file)).map(Cow::Owned),
            Self::BuiltIn(dir) => {
                dir.get_file(file).map(|file| Cow::Borrowed(file.contents())).ok_or(io::ErrorKind::NotFound.into())
            }
        }
    }

    fn bytes(&self, file: &Path) -> u64 {
        match self {
            Self::Disk(path) => std::fs::metadata(path.join(file)).map_or(0, |metadata| metadata.len()),
            Self::BuiltIn(dir) => dir.get_file(file).map_or(0, |file| file.contents().len() as u64),
        }
    }

    /// Names of the direct subfolders, sorted.
    fn subfolders(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = match self {
            Self::Disk(path) => {
                let entries = std::fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
                entries.iter().filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into()).collect()
            }
            Self::BuiltIn(dir) => {
                dir.dirs().filter_map(|d| d.path().file_name()?.to_str().map(str::to_owned)).collect()
            }
        };
        names.sort();
        Ok(names)
    }

    fn has(&self, file: &Path) -> bool {
        match self {
            Self::Disk(path) => path.join(file).is_file(),
            Self::BuiltIn(dir) => dir.get_file(file).is_some(),
        }
    }
}

/// What of a take's `rig.json` is read: names, sizes, rates. Geometry and offsets enter by `--rig` alone.
#[derive(Deserialize)]
struct RigJson {
    cameras: Vec<RigCamera>,
}

#[derive(Deserialize)]
struct RigCamera {
    name: String,
    width: u32,
    height: u32,
    fps: f64,
}

/// What is known of a camera before its times are read.
struct KnownCamera {
    name: String,
    /// Width and height.
    size: Option<(u32, u32)>,
    fps: Option<f64>,
}

impl KnownCamera {
    fn named(name: String) -> Self {
        Self { name, size: None, fps: None }
    }
}

/// The name of the file of times.
const TIMES: &str = "timestamps.csv";

/// Whether `folder` is a take: it has a `rig.json`, or folders with times.
#[must_use]
pub fn is_take(folder: &Folder) -> bool {
    let timed = |name: &String| folder.has(&Path::new(name).join(TIMES));
    folder.has(Path::new("rig.json")) || folder.subfolders().is_ok_and(|names| names.iter().any(timed))
}

/// Whether `path` is one camera's folder of a take: it has times.
#[must_use]
pub fn is_camera(path: &Path) -> bool {
    path.join(TIMES).is_file()
}

/// Opens one camera's folder of a take by itself.
///
/// # Errors
/// As [`open_take`].
pub fn open_camera_folder(path: &Path) -> Result<FolderSource, CaptureError> {
    let whole = path.canonicalize().map_err(|source| CaptureError::Read { path: path.to_owned(), source })?;
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let take = Folder::Disk(whole.parent().unwrap_or(Path::new("/")).to_owned());
    let in_rig = take.has(Path::new("rig.json")).then(|| read_rig(&take)).transpose()?.unwrap_or_default();
    let camera = in_rig.into_iter().find(|camera| camera.name == name);
    open_camera(&take, 0, camera.unwrap_or_else(|| KnownCamera::named(name)))
}

/// Opens the cameras of a take: those of its `rig.json`, else every subfolder that has times.
///
/// # Errors
/// When there is no camera, when one has no folder, or when `rig.json` or `timestamps.csv` cannot be read.
pub fn open_take(folder: &Folder) -> Result<Vec<FolderSource>, CaptureError> {
    let cameras = if folder.has(Path::new("rig.json")) { read_rig(folder)? } else { guess_rig(folder)? };
    if cameras.is_empty() {
        return Err(CaptureError::NoCameras { path: folder.path().to_owned() });
    }
    super::check_names(cameras.iter().map(|camera| camera.name.as_str()))?;
    cameras.into_iter().enumerate().map(|(n, camera)| open_camera(folder, n, camera)).collect()
}

fn read_rig(folder: &Folder) -> Result<Vec<KnownCamera>, CaptureError> {
    let path = folder.path().join("rig.json");
    let text =
        folder.read(Path::new("rig.json")).map_err(|source| CaptureError::Read { path: path.clone(), source })?;
    let rig: RigJson = serde_json::from_slice(&text)
        .map_err(|error| CaptureError::Invalid { path: path.clone(), reason: error.to_string() })?;
    match rig.cameras.iter().find(|camera| !RATES.contains(&camera.fps)) {
        Some(RigCamera { name, fps, .. }) => {
            let reason = format!("camera `{name}` has `fps` {fps}; between 0.01 and 1000 it must be");
            Err(CaptureError::Invalid { path, reason })
        }
        None => Ok(rig
            .cameras
            .into_iter()
            .map(|RigCamera { name, width, height, fps }| KnownCamera {
                name,
                size: Some((width, height)),
                fps: Some(fps),
            })
            .collect()),
    }
}

/// Cameras of a take without `rig.json`.
fn guess_rig(folder: &Folder) -> Result<Vec<KnownCamera>, CaptureError> {
    let names = folder.subfolders().map_err(|source| CaptureError::Read { path: folder.path().to_owned(), source })?;
    let timed = names.into_iter().filter(|name| folder.has(&Path::new(name).join(TIMES)));
    Ok(timed.map(KnownCamera::named).collect())
}

/// Frames a second, by the median interval.
fn rate(rows: &[Row]) -> f64 {
    let intervals = rows.windows(2).map(|w| w[1].captured_ns.saturating_sub(w[0].captured_ns));
    let mut intervals: Vec<i64> = intervals.filter(|interval| *interval > 0).collect();
    intervals.sort_unstable();
    let median_ns = intervals.get(intervals.len() / 2);
    median_ns.map_or(USUAL_RATE, |ns| (1e9 / *ns as f64).clamp(*RATES.start(), *RATES.end()))
}

fn read_rows(folder: &Folder, camera: &str) -> Result<Vec<Row>, CaptureError> {
    let file = Path::new(camera).join(TIMES);
    let text = folder.read(&file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CaptureError::NoFolder { take: folder.path().to_owned(), camera: camera.to_owned() },
        _ => CaptureError::Read { path: folder.path().join(&file), source },
    })?;
    let mut rows = times::rows(&text, &folder.path().join(&file))?;
    rows.sort_by_key(|row| row.received_ns);
    Ok(rows)
}

fn open_camera(folder: &Folder, n: usize, camera: KnownCamera) -> Result<FolderSource, CaptureError> {
    let rows = read_rows(folder, &camera.name)?;
    let fps = camera.fps.unwrap_or_else(|| rate(&rows));
    let size = camera
        .size
        .filter(|(width, _)| *width > 0)
        .map(|(width, height)| format!(", {width}x{height}"))
        .unwrap_or_default();
    let (width, height) = camera.size.unwrap_or_default();
    let pictures = rows
        .into_iter()
        .map(|row| Picture {
            file: picture_of(folder, &camera.name, row.seq),
            seq: row.seq,
            captured_at: Timestamp::from_ns(row.captured_ns),
            received_at: Timestamp::from_ns(row.received_ns),
        })
        .collect();
    Ok(FolderSource {
        stream: Stream {
            camera: CameraId(n as u8),
            description: format!(
                "{}/{}{size}, {} fps",
                file_name(folder.path()),
                camera.name,
                (fps * 100.0).round() / 100.0
            ),
            name: camera.name.into(),
            period: Duration::from_secs_f64(1.0 / fps),
            stamp: StampKind::Device,
            frame_bytes: (width as usize).saturating_mul(height as usize / 4).min(LARGEST_BUFFER),
        },
        folder: folder.clone(),
        pictures,
        at: 0,
        name_files: false,
    })
}

fn picture_of(folder: &Folder, camera: &str, seq: u64) -> PathBuf {
    let with = |ending: &str| Path::new(camera).join(format!("{seq:06}.{ending}"));
    PICTURES.iter().map(|ending| with(ending)).find(|file| folder.has(file)).unwrap_or_else(|| with("jpg"))
}

/// Opens every picture below `path` (or `path` itself) as a still.
///
/// # Errors
/// When `path` cannot be read or has no picture.
pub fn open_stills(path: &Path) -> Result<FolderSource, CaptureError> {
    let read_error = |source| CaptureError::Read { path: path.to_owned(), source };
    let (folder, files) = if path.is_file() {
        let name = path.file_name().unwrap_or_default();
        (path.parent().unwrap_or(Path::new("")), vec![PathBuf::from(name)])
    } else {
        let mut files = files_below(path).map_err(read_error)?;
        files.retain(|file| is_picture(file));
        (path, files)
    };
    if files.is_empty() {
        return Err(CaptureError::NoCameras { path: path.to_owned() });
    }
    let time = |n: usize| Timestamp::default() + STILL_PERIOD * n as u32;
    let picture = |(n, file)| Picture { file, seq: n as u64, captured_at: time(n), received_at: time(n) };
    Ok(FolderSource {
        stream: Stream {
            camera: CameraId(0),
            name: "stills".into(),
            description: format!("{} pictures in {}", files.len(), file_name(path)),
            period: STILL_PERIOD,
            stamp: StampKind::Device,
            frame_bytes: 0,
        },
        folder: Folder::Disk(folder.to_owned()),
        pictures: files.into_iter().enumerate().map(picture).collect(),
        at: 0,
        name_files: true,
    })
}

fn walk(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let file = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            walk(root, &file, files)?;
        } else {
            files.push(file);
        }
    }
    Ok(())
}

/// Every file below `root`, relative to it, in order.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    walk(root, Path::new(""), &mut files)?;
    files.sort();
    Ok(files)
}

/// Whether the file's ending is that of a picture.
#[must_use]
pub fn is_picture(file: &Path) -> bool {
    super::has_ending(file, &PICTURES)
}

struct Picture {
    file: PathBuf,
    seq: u64,
    captured_at: Timestamp,
    received_at: Timestamp,
}

/// The pictures of one camera of a take, or a folder's stills.
pub struct FolderSource {
    stream: Stream,
    folder: Folder,
    pictures: Vec<Picture>,
    at: usize,
    name_files: bool,
}

impl FolderSource {
    /// How many pictures there are in all.
    #[must_use]
    pub fn picture_count(&self) -> usize {
        self.pictures.len()
    }

    /// What its pictures take on the disk; one that is missing takes nothing.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pictures.iter().map(|picture| self.folder.bytes(&picture.file)).sum()
    }

    /// What is known of it without a look at a picture.
    #[must_use]
    pub fn view(&self) -> TakenView {
        let frame = |picture: &Picture| TakenFrame {
            seq: picture.seq,
            captured_at: picture.captured_at,
            received_at: picture.received_at,
            picture: None,
        };
        let Stream { name, description, stamp, period, .. } = self.stream.clone();
        let ending = self.pictures.first().and_then(|picture| picture.file.extension());
        let mut view = TakenView::empty(Camera { name, description, stamp, offset_ns: 0, period });
        view.frames = self.pictures.iter().map(frame).collect();
        view.format = ending.map(|ending| ending.to_string_lossy().to_ascii_uppercase());
        view
    }

    /// When the last picture's time is over.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.pictures.last().map(|picture| picture.received_at + self.stream.period)
    }

    /// When the first picture was received.
    #[must_use]
    pub fn starts_at(&self) -> Option<Timestamp> {
        self.pictures.first().map(|picture| picture.received_at)
    }
}

impl Source for FolderSource {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        let Some(picture) = self.pictures.get(self.at) else { return Ok(Event::End) };
        self.at += 1;
        let named = |reason: String| {
            Ok(Event::Corrupt(format!("{}: {reason}", self.folder.path().join(&picture.file).display())))
        };
        let content = match self.folder.read(&picture.file) {
            Ok(content) => content,
            Err(error) => return named(error.to_string()),
        };
        let (format, width, height, content) = match open_picture(&picture.file, content) {
            Ok(opened) => opened,
            Err(reason) => return named(reason),
        };
        let Some(bytes) = pool.copy(&content) else { return Ok(Event::NoBuffer) };
        Ok(Event::Frame(Frame {
            camera: self.stream.camera,
            seq: picture.seq,
            captured_at: picture.captured_at,
            received_at: picture.received_at,
            stamp: self.stream.stamp,
            format,
            width,
            height,
            bytes,
            file: self.name_files.then(|| Arc::from(picture.file.to_string_lossy())),
        }))
    }

    fn skip_until(&mut self, at: Timestamp) {
        self.at = self.at.max(self.pictures.partition_point(|picture| picture.received_at < at));
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        self.at = 0;
        Ok(())
    }
}

type Opened<'a> = (PixelFormat, u32, u32, Cow<'a, [u8]>);

/// A JPEG picture goes on as it is; others are opened here.
fn open_picture<'a>(file: &Path, content: Cow<'a, [u8]>) -> Result<Opened<'a>, String> {
    if content.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let is_jpeg = content.starts_with(&[0xff, 0xd8]);
    if is_jpeg || file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("jpg")) {
        return Ok((PixelFormat::Mjpeg, 0, 0, content));
    }
    let picture = image::load_from_memory(&content).map_err(|error| error.to_string())?;
    let (width, height) = (picture.width(), picture.height());
    let (format, pixels) = if picture.color().has_color() {
        (PixelFormat::Rgb, picture.into_rgb8().into_raw())
    } else {
        (PixelFormat::Gray, picture.into_luma8().into_raw())
    };
    Ok((format, width, height, Cow::Owned(pixels)))
}

/// The picture in `file` as a frame of no camera and no time.
///
/// # Errors
/// Why it cannot be read. JPEG is not looked into: a damaged one fails when it is decoded.
pub fn read_still(file: &Path) -> Result<Frame, String> {
    let content = std::fs::read(file).map_err(|error| error.to_string())?;
    let (format, width, height, bytes) = open_picture(file, Cow::Owned(content))?;
    Ok(Frame::of_bytes(format, width, height, bytes.into_owned()))
}
