//! A take, opened for reading: all that is in it but pictures and records, which are read one by one when they are
//! wanted.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use foxglove::Decode;
use foxglove::bytes::Bytes;
use foxglove::messages::CompressedImage;
use mcap::records::Record;
use serde::Deserialize;

use super::about::{self, Camera, LAYOUT};
use super::scan::{Found, Place, Scan, Step};
use super::set::SetNote;
use crate::config::RecordContent;
use crate::rig::Rig;
use crate::time::Timestamp;

/// Why a take cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TakeError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is no take: it does not begin as an MCAP file does", .path.display())]
    NoMcap { path: PathBuf },
    #[error("{} is an MCAP file, but no take of vultus: {reason}", .path.display())]
    NoTake { path: PathBuf, reason: String },
    #[error("{} breaks off before anything was recorded", .path.display())]
    Nothing { path: PathBuf },
    #[error("{} was made by a newer vultus (layout {layout}; this one knows {LAYOUT}): update vultus", .path.display())]
    Newer { path: PathBuf, layout: String },
    #[error("{} was compressed ({compression}) by another program, and vultus reads takes as it writes them: `mcap decompress` undoes it", .path.display())]
    Compressed { path: PathBuf, compression: String },
    #[error("{} has no pictures to {wanted}: it was recorded with `--record-content {}`. `vultus info` and `vultus export --to csv|parquet` read it", .path.display(), .content.name())]
    NoPictures { path: PathBuf, content: RecordContent, wanted: &'static str },
    #[error("{} is damaged: {what} cannot be read", .path.display())]
    Damaged { path: PathBuf, what: String },
}

/// A frame in a take.
#[derive(Clone, Copy, Debug)]
pub struct TakenFrame {
    /// Its number.
    pub seq: u64,
    /// When it was taken, as the device said.
    pub captured_at: Timestamp,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Where its picture is: [`TakeFile::picture`]. `None` if only its times were recorded.
    pub picture: Option<Place>,
}

/// An aligned face in a take that has no whole pictures.
#[derive(Clone, Copy, Debug)]
pub struct TakenFace {
    /// The frame's number.
    pub seq: u64,
    /// When the frame was taken.
    pub captured_at: Timestamp,
    /// Where its picture is: [`TakeFile::face`].
    pub picture: Place,
}

/// Frames that a take lacks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// The view's name.
    pub camera: String,
    /// How many.
    pub frames: u64,
    /// The number of the next one that is there; none if it is the end.
    pub before_seq: Option<u64>,
}

/// One camera's part of a take.
#[derive(Clone, Debug)]
pub struct TakenView {
    /// What is known of the camera.
    pub camera: Camera,
    /// Its frames, in the order of arrival.
    pub frames: Vec<TakenFrame>,
    /// Its faces, where the take has no whole pictures.
    pub faces: Vec<TakenFace>,
    /// How its frames came, such as MJPEG; `None` without frames.
    pub format: Option<String>,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// Times that the clock of arrivals went back.
    pub clock_resets: u64,
}

/// The result records of a take, of which one or more belong to a set.
#[derive(Clone, Copy, Debug)]
pub struct TakenRecord {
    /// The set's instant.
    pub at: Timestamp,
    /// Where its text is: [`TakeFile::text`].
    pub text: Place,
}

/// Where a take breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreaksOff {
    /// Bytes at the end that cannot be read; none if only the index is missing.
    pub unreadable_bytes: u64,
}

/// A take.
#[derive(Clone, Debug)]
pub struct Take {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What is recorded of each frame.
    pub content: RecordContent,
    /// What it says of its run (`docs/reference/takes.md`).
    pub metadata: BTreeMap<String, String>,
    /// The calibrated rig that was in use.
    pub rig: Option<Rig>,
    /// One a camera, in the order of configuration.
    pub views: Vec<TakenView>,
    /// The sets that were formed, by number.
    pub sets: Vec<SetNote>,
    /// The results, in the order of the file.
    pub records: Vec<TakenRecord>,
    /// What was missing in all when it was closed; `None` if it never was.
    pub dropped: Option<u64>,
    /// If it has no index or no end.
    pub breaks_off: Option<BreaksOff>,
}

impl Take {
    /// Whether the file begins as a take does.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        Scan::begin(path).is_ok()
    }

    /// Whether the file is a take, or is named like one: then [`Take::open`] says what is wrong with it.
    #[must_use]
    pub fn is_named_so(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mcap")) || Self::is_at(path)
    }

    /// Opens the take at `path`, as far as it is there.
    ///
    /// # Errors
    /// Every [`TakeError`] but [`TakeError::NoPictures`].
    pub fn open(path: &Path) -> Result<Self, TakeError> {
        let mut scan = Scan::begin(path)?;
        let mut file = TakeFile::open(path)?;
        let mut contents: Option<Contents> = None;
        let mut rig = None;
        let breaks_off = loop {
            match (scan.step()?, &mut contents) {
                (Step::Note(Record::Metadata(note)), None) if note.name == about::BEGINNING => {
                    contents = Some(Contents::of(path, note.metadata)?);
                }
                (Step::Note(Record::Metadata(note)), _) if note.name == about::RIG.0 => {
                    rig = note.metadata.get(about::RIG.1).and_then(|text| Rig::parse(text, path).ok());
                }
                (Step::Note(Record::Metadata(note)), Some(contents)) if note.name == about::END => {
                    contents.dropped = note.metadata.get("dropped").and_then(|text| text.parse().ok());
                }
                (Step::Note(Record::Channel(channel)), Some(contents)) => contents.channel(&channel),
                (Step::Message(found), Some(contents)) => contents.message(&found, &mut file)?,
                (Step::Message(_), None) => {
                    let reason = "it has messages, but does not say which cameras they are of".to_owned();
                    return Err(TakeError::NoTake { path: path.to_owned(), reason });
                }
                (Step::Note(_), _) => {}
                (Step::End, _) => break None,
                (Step::BreaksOff, _) => break Some(BreaksOff { unreadable_bytes: scan.length() - scan.at() }),
            }
        };
        let Some(contents) = contents else {
            return Err(match breaks_off {
                Some(_) => TakeError::Nothing { path: path.to_owned() },
                None => TakeError::NoTake { path: path.to_owned(), reason: "it is empty".to_owned() },
            });
        };
        let breaks_off = breaks_off.or_else(|| {
            let has_index = file.ends_with_magic(scan.length());
            (!has_index).then_some(BreaksOff { unreadable_bytes: 0 })
        });
        Ok(contents.finish(path, scan.length(), rig, breaks_off))
    }

    /// The first frame's arrival.
    #[must_use]
    pub fn starts_at(&self) -> Option<Timestamp> {
        self.views.iter().filter_map(|view| view.frames.first()).map(|frame| frame.received_at).min()
    }

    /// When the last frame's time is over.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let end = |view: &TakenView| view.frames.last().map(|frame| frame.received_at + view.camera.period);
        self.views.iter().filter_map(end).max()
    }

    /// From the first frame to the end of the last.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.starts_at().zip(self.ends_at()).map_or(Duration::ZERO, |(start, end)| end.since(start))
    }

    /// Checks that there are whole pictures to do something with.
    ///
    /// # Errors
    /// [`TakeError::NoPictures`].
    pub fn check_pictures(&self, wanted: &'static str) -> Result<(), TakeError> {
        match self.content {
            RecordContent::Video => Ok(()),
            content => Err(TakeError::NoPictures { path: self.path.clone(), content, wanted }),
        }
    }
}

/// What a channel carries.
#[derive(Clone, Copy)]
enum Carries {
    Image(usize),
    Time(usize),
    Face(usize),
    Sets,
    Records,
    Gaps,
    Other,
}

/// What was found so far.
struct Contents {
    metadata: BTreeMap<String, String>,
    content: RecordContent,
    views: Vec<TakenView>,
    channels: HashMap<u16, Carries>,
    sets: Vec<SetNote>,
    records: Vec<TakenRecord>,
    dropped: Option<u64>,
    scratch: Vec<u8>,
}

impl Contents {
    fn of(path: &Path, metadata: BTreeMap<String, String>) -> Result<Self, TakeError> {
        let no_take = |reason: &str| TakeError::NoTake { path: path.to_owned(), reason: reason.to_owned() };
        let text = |key: &str| metadata.get(key).map_or("", String::as_str);
        match text("layout").parse::<u32>() {
            Ok(layout) if layout > LAYOUT => {
                return Err(TakeError::Newer { path: path.to_owned(), layout: layout.to_string() });
            }
            Ok(_) => {}
            Err(_) => return Err(no_take("its metadata name no layout")),
        }
        let cameras: Vec<Camera> =
            serde_json::from_str(text("views")).map_err(|_| no_take("its metadata do not describe the views"))?;
        let content =
            RecordContent::of_name(text("content")).ok_or_else(|| no_take("its content is of no known kind"))?;
        let view = |camera| TakenView {
            camera,
            frames: Vec::new(),
            faces: Vec::new(),
            format: None,
            gaps: Vec::new(),
            clock_resets: 0,
        };
        Ok(Self {
            content,
            views: cameras.into_iter().map(view).collect(),
            metadata,
            channels: HashMap::new(),
            sets: Vec::new(),
            records: Vec::new(),
            dropped: None,
            scratch: Vec::new(),
        })
    }

    fn channel(&mut self, channel: &mcap::records::Channel) {
        let of_camera = channel.topic.strip_prefix("/camera/").and_then(|rest| rest.rsplit_once('/'));
        let view = of_camera.and_then(|(name, _)| self.views.iter().position(|view| *view.camera.name == *name));
        let carries = match (&*channel.topic, of_camera, view) {
            ("/sets", ..) => Carries::Sets,
            ("/expressions", ..) => Carries::Records,
            ("/gaps", ..) => Carries::Gaps,
            (_, Some((_, "image")), Some(view)) => Carries::Image(view),
            (_, Some((_, "time")), Some(view)) => Carries::Time(view),
            (_, Some((_, "faces")), Some(view)) => Carries::Face(view),
            _ => Carries::Other,
        };
        if let Carries::Image(view) | Carries::Time(view) = carries {
            self.views[view].format = channel.metadata.get("format").cloned();
        }
        self.channels.insert(channel.id, carries);
    }

    fn message(&mut self, found: &Found, file: &mut TakeFile) -> Result<(), TakeError> {
        let frame = |picture| TakenFrame {
            seq: found.sequence.into(),
            captured_at: timestamp(found.publish_time),
            received_at: timestamp(found.log_time),
            picture,
        };
        match self.channels.get(&found.channel).copied().unwrap_or(Carries::Other) {
            Carries::Image(view) => self.views[view].frames.push(frame(Some(found.place))),
            Carries::Time(view) => self.views[view].frames.push(frame(None)),
            Carries::Face(view) => self.views[view].faces.push(TakenFace {
                seq: found.sequence.into(),
                captured_at: timestamp(found.publish_time),
                picture: found.place,
            }),
            Carries::Records => self.records.push(TakenRecord { at: timestamp(found.log_time), text: found.place }),
            Carries::Sets => {
                file.text(found.place, &mut self.scratch)?;
                let names: Vec<&str> = self.views.iter().map(|view| &*view.camera.name).collect();
                let note = SetNote::of_json(&self.scratch, &names);
                self.sets.push(note.ok_or_else(|| file.damaged(format!("set {}", found.sequence)))?);
            }
            Carries::Gaps => {
                file.text(found.place, &mut self.scratch)?;
                let gap: Gap = serde_json::from_slice(&self.scratch).map_err(|_| file.damaged("a gap".to_owned()))?;
                let view = self.views.iter_mut().find(|view| *view.camera.name == *gap.camera);
                view.into_iter().for_each(|view| view.gaps.push(gap.clone()));
            }
            Carries::Other => {}
        }
        Ok(())
    }

    fn finish(mut self, path: &Path, bytes: u64, rig: Option<Rig>, breaks_off: Option<BreaksOff>) -> Take {
        for view in &mut self.views {
            let goes_back = |pair: &&[TakenFrame]| pair[1].received_at < pair[0].received_at;
            view.clock_resets = view.frames.windows(2).filter(goes_back).count() as u64;
            view.frames.sort_by_key(|frame| frame.received_at);
        }
        self.sets.sort_by_key(|set| set.number);
        Take {
            path: path.to_owned(),
            bytes,
            content: self.content,
            metadata: self.metadata,
            rig,
            views: self.views,
            sets: self.sets,
            records: self.records,
            dropped: self.dropped,
            breaks_off,
        }
    }
}

/// Reads pictures and records of a take. Every thread has its own.
#[derive(Debug)]
pub struct TakeFile {
    path: PathBuf,
    file: File,
    message: Vec<u8>,
}

impl TakeFile {
    /// Opens the file.
    ///
    /// # Errors
    /// [`TakeError::Read`].
    pub fn open(path: &Path) -> Result<Self, TakeError> {
        let file = File::open(path).map_err(|source| TakeError::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, message: Vec::new() })
    }

    /// The JPEG picture of a frame.
    ///
    /// # Errors
    /// [`TakeError::Read`], and [`TakeError::Damaged`] if there is no picture at that place.
    pub fn picture(&mut self, place: Place) -> Result<Bytes, TakeError> {
        self.image(place).map(|image| image.data)
    }

    /// The JPEG picture of an aligned face, and whose it is.
    ///
    /// # Errors
    /// As [`TakeFile::picture`].
    pub fn face(&mut self, place: Place) -> Result<(u32, Bytes), TakeError> {
        let image = self.image(place)?;
        let person = image.frame_id.strip_prefix("person/").and_then(|person| person.parse().ok());
        let person = person.ok_or_else(|| self.damaged(format!("whose face stands at byte {}", place.at)))?;
        Ok((person, image.data))
    }

    fn image(&mut self, place: Place) -> Result<CompressedImage, TakeError> {
        let mut message = std::mem::take(&mut self.message);
        let read = self.text(place, &mut message);
        let image = read.and_then(|()| {
            let damaged = |_| self.damaged(format!("the picture at byte {}", place.at));
            CompressedImage::decode(&*message).map_err(damaged)
        });
        self.message = message;
        image
    }

    /// Makes `text` what stands at a place.
    ///
    /// # Errors
    /// [`TakeError::Read`].
    pub fn text(&mut self, place: Place, text: &mut Vec<u8>) -> Result<(), TakeError> {
        text.resize(place.bytes as usize, 0);
        let read = self.file.seek(SeekFrom::Start(place.at)).and_then(|_| self.file.read_exact(text));
        read.map_err(|source| TakeError::Read { path: self.path.clone(), source })
    }

    fn damaged(&self, what: String) -> TakeError {
        TakeError::Damaged { path: self.path.clone(), what }
    }

    fn ends_with_magic(&mut self, length: u64) -> bool {
        let magic = mcap::MAGIC.len() as u64;
        let mut end = Vec::new();
        let place = Place { at: length.saturating_sub(magic), bytes: magic };
        self.text(place, &mut end).is_ok() && end == mcap::MAGIC
    }
}

fn timestamp(ns: u64) -> Timestamp {
    Timestamp::from_ns(i64::try_from(ns).unwrap_or(i64::MAX))
}
