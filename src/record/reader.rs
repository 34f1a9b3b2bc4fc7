//! Opens a take, by a walk through the file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::path::Path;

use mcap::records::Record;

use super::TakeFile;
use super::about::{self, Camera, LAYOUT};
use super::arrivals;
use super::channels::Topic;
use super::scan::{Found, Place, Scan, Step};
use super::set::SetNote;
use super::take::{BreaksOff, Damage, Gap, Take, TakeError, TakenFace, TakenFrame, TakenRecord, TakenView};
use crate::config::RecordContent;
use crate::frame::MAX_CAMERAS;
use crate::rig::Rig;
use crate::time::Timestamp;

/// No set, gap or result is longer.
const LONGEST_JSON: u64 = 1 << 20;

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
                    let text = note.metadata.get(about::RIG.1).map_or("", String::as_str);
                    rig = Some(Rig::parse(text, path).map_err(|error| error.to_string()));
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
                (Step::Damaged(place), Some(contents)) => contents.damaged(place),
                (Step::Lost { channel, messages, chunk_at }, Some(contents)) => {
                    contents.lost(channel, messages, chunk_at);
                }
                (Step::Note(_) | Step::Damaged(_) | Step::Lost { .. }, _) => {}
                (Step::End, _) => break None,
                (Step::BreaksOff, _) => break Some(BreaksOff { unreadable_bytes: scan.length() - scan.at() }),
            }
        };
        let Some(mut contents) = contents else {
            return Err(match breaks_off {
                Some(_) => TakeError::Nothing { path: path.to_owned() },
                None => TakeError::NoTake { path: path.to_owned(), reason: "it is empty".to_owned() },
            });
        };
        let has_end = file.ends_with_magic(scan.length());
        let breaks_off = match breaks_off {
            // It was closed, so what cannot be read was there once.
            Some(rest) if has_end => {
                contents.damaged(Place { at: scan.at(), bytes: rest.unreadable_bytes });
                None
            }
            None if !has_end => Some(BreaksOff { unreadable_bytes: 0 }),
            other => other,
        };
        let take = contents.finish(path, scan.length(), rig, breaks_off);
        Ok(Self { is_growing: take.breaks_off.is_some() && is_locked(path), ..take })
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
    damage: Option<Damage>,
    /// When the last frame arrived.
    last_arrival: Option<Timestamp>,
    damaged_notes: u64,
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
        if cameras.len() > MAX_CAMERAS {
            return Err(no_take(&format!("it has {} cameras, and at most {MAX_CAMERAS} can be", cameras.len())));
        }
        let names: HashSet<&str> = cameras.iter().map(|camera| &*camera.name).collect();
        if names.len() < cameras.len() {
            return Err(no_take("two of its cameras have the same name, so nobody knows which frames are whose"));
        }
        let content =
            RecordContent::of_name(text("content")).ok_or_else(|| no_take("its content is of no known kind"))?;
        Ok(Self {
            content,
            views: cameras.into_iter().map(TakenView::empty).collect(),
            metadata,
            channels: HashMap::new(),
            sets: Vec::new(),
            records: Vec::new(),
            dropped: None,
            damage: None,
            last_arrival: None,
            damaged_notes: 0,
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
            (_, Some((_, of)), Some(view)) if of == Topic::Image.name() => Carries::Image(view),
            (_, Some((_, of)), Some(view)) if of == Topic::Time.name() => Carries::Time(view),
            (_, Some((_, of)), Some(view)) if of == Topic::Faces.name() => Carries::Face(view),
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
            Carries::Sets | Carries::Gaps | Carries::Records if found.place.bytes > LONGEST_JSON => {
                self.damaged_notes += 1;
            }
            Carries::Image(view) => self.frame(view, frame(Some(found.place))),
            Carries::Time(view) => self.frame(view, frame(None)),
            Carries::Face(view) => self.views[view].faces.push(TakenFace {
                seq: found.sequence.into(),
                captured_at: timestamp(found.publish_time),
                picture: found.place,
            }),
            Carries::Records => self.records.push(TakenRecord { at: timestamp(found.log_time), text: found.place }),
            Carries::Sets => {
                file.text(found.place, &mut self.scratch)?;
                let names: Vec<&str> = self.views.iter().map(|view| &*view.camera.name).collect();
                match SetNote::of_json(&self.scratch, &names) {
                    Some(note) => self.sets.push(note),
                    None => self.damaged_notes += 1,
                }
            }
            Carries::Gaps => {
                file.text(found.place, &mut self.scratch)?;
                let gap = serde_json::from_slice::<Gap>(&self.scratch).ok();
                let of = |gap: &Gap| self.views.iter().position(|view| *view.camera.name == *gap.camera);
                match gap.and_then(|gap| Some((of(&gap)?, gap))) {
                    Some((view, gap)) => self.views[view].gaps.push(gap),
                    None => self.damaged_notes += 1,
                }
            }
            Carries::Other => {}
        }
        Ok(())
    }

    fn frame(&mut self, view: usize, frame: TakenFrame) {
        self.last_arrival = Some(frame.received_at);
        self.views[view].frames.push(frame);
    }

    fn damaged(&mut self, place: Place) {
        let damage = self.damage_at(place.at);
        damage.places += 1;
        damage.bytes += place.bytes;
    }

    fn lost(&mut self, channel: u16, messages: u64, chunk_at: u64) {
        let is_frame = matches!(self.channels.get(&channel), Some(Carries::Image(_) | Carries::Time(_)));
        let damage = self.damage_at(chunk_at);
        if is_frame { damage.frames += messages } else { damage.others += messages }
    }

    /// What is known of the damage, of which something is found at `at_byte`.
    fn damage_at(&mut self, at_byte: u64) -> &mut Damage {
        let starts_at = self.views.iter().filter_map(|view| view.frames.first()).map(|frame| frame.received_at).min();
        let at_ns = self.last_arrival.zip(starts_at).map_or(0, |(last, start)| last.since(start).as_nanos() as u64);
        self.damage.get_or_insert(Damage { at_byte, at_ns, ..Damage::default() })
    }

    fn finish(
        mut self,
        path: &Path,
        bytes: u64,
        rig: Option<Result<Rig, String>>,
        breaks_off: Option<BreaksOff>,
    ) -> Take {
        for view in &mut self.views {
            view.wild_frames = arrivals::drop_wild(&mut view.frames);
            let goes_back = |pair: &&[TakenFrame]| pair[1].received_at < pair[0].received_at;
            view.clock_resets = view.frames.windows(2).filter(goes_back).count() as u64;
            let period_ns = i64::try_from(view.camera.period.as_nanos()).unwrap_or(i64::MAX);
            view.jumps = arrivals::sort(&mut view.frames, period_ns);
        }
        self.sets.sort_by_key(|set| set.number);
        // The rig's file stands in the metadata too, if there was one.
        let had_rig = self.metadata.get("rig").is_some_and(|file| file != "null");
        let (rig, rig_fault) = match rig {
            Some(Ok(rig)) => (Some(rig), None),
            Some(Err(reason)) => (None, Some(reason)),
            None if had_rig => (None, Some("it is not there any more".to_owned())),
            None => (None, None),
        };
        Take {
            path: path.to_owned(),
            bytes,
            content: self.content,
            metadata: self.metadata,
            rig,
            rig_fault,
            views: self.views,
            sets: self.sets,
            records: self.records,
            dropped: self.dropped,
            breaks_off,
            damage: self.damage,
            is_growing: false,
            damaged_notes: self.damaged_notes,
        }
    }
}

/// Whether somebody writes the file: a recording holds a lock for as long as it lasts.
fn is_locked(path: &Path) -> bool {
    cfg!(unix) && File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn timestamp(ns: u64) -> Timestamp {
    Timestamp::from_ns(i64::try_from(ns).unwrap_or(i64::MAX))
}
