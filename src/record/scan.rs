//! Walks through an MCAP file record by record, as far as there are whole ones.
//!
//! A take that a crash cut short has no index, so none is relied on: pictures are passed over, not read, which makes
//! the walk about as fast as an index would. An uncompressed chunk is walked into as if its contents stood in the file
//! themselves; so the whole messages of a chunk that breaks off are found too. Where something in a chunk is damaged, the
//! walk goes on at the chunk's end. How many messages it missed is told by the small index that follows each chunk.

mod chunk;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mcap::MAGIC;
use mcap::records::{Record, op};

use self::chunk::Chunk;
use super::TakeError;
use super::file::open_file;

/// Opcode and length of a record.
const RECORD_HEADER: u64 = 9;
/// Channel, sequence, log and publish time of a message.
const MESSAGE_HEADER: u64 = 22;
/// Times, size and checksum of a chunk, the length of its compression's name, which is empty, and that of its records.
const CHUNK_HEADER: u64 = 40;
/// The channel of an index of messages, and its length; then so much for each.
const INDEX_HEADER: u64 = 6;
const INDEX_ENTRY: u64 = 16;
/// The last record of a whole file, before the magic bytes.
const FOOTER: u64 = RECORD_HEADER + 20;
/// No schema, channel or metadata of a take is longer.
const LONGEST_NOTE: u64 = 16 << 20;
/// No message is longer: a picture is, at the most, some ten megabytes.
const LONGEST_MESSAGE: u64 = 256 << 20;
/// Small, since most of the file is jumped over.
const BUFFER: usize = 4 << 10;

/// Where something stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) at: u64,
    /// How long it is.
    pub bytes: u64,
}

/// A message, without what it says.
pub(super) struct Found {
    pub channel: u16,
    pub sequence: u32,
    pub log_time: u64,
    pub publish_time: u64,
    pub place: Place,
}

/// What comes next in the file.
pub(super) enum Step {
    /// A message.
    Message(Found),
    /// A schema, a channel or metadata.
    Note(Record<'static>),
    /// Something that cannot be read, and was passed over.
    Damaged(Place),
    /// So many messages of a channel are missing in the chunk that begins there.
    Lost { channel: u16, messages: u64, chunk_at: u64 },
    /// The rest is index, if anything.
    End,
    /// The rest cannot be read: it was never written, or is damaged.
    BreaksOff,
}

/// What a record turned out to be.
enum Reading {
    Step(Step),
    /// Nothing that anybody is told of.
    Passed,
    /// Not what it says it is.
    Implausible,
}

/// Why the walk ends early.
enum Failure {
    Io(io::Error),
    /// By its name.
    Compressed(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The walk.
pub(super) struct Scan {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the next record begins.
    at: u64,
    length: u64,
    chunk: Option<Chunk>,
    /// Schemas and channels that were met, by kind and number.
    known: HashSet<(u8, u16)>,
    /// Those that the index repeats, which are told of again after damage.
    repeated: Option<Vec<Record<'static>>>,
    /// The last message's.
    last_time: Option<u64>,
}

impl Scan {
    /// Begins before the first record.
    ///
    /// # Errors
    /// [`TakeError::Read`] and [`TakeError::NoMcap`].
    pub(super) fn begin(path: &Path) -> Result<Self, TakeError> {
        let read_error = |source| TakeError::Read { path: path.to_owned(), source };
        let file = open_file(path)?;
        let length = file.metadata().map_err(read_error)?.len();
        let mut scan = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(BUFFER, file),
            at: MAGIC.len() as u64,
            length,
            chunk: None,
            known: HashSet::new(),
            repeated: None,
            last_time: None,
        };
        let mut magic = [0; MAGIC.len()];
        match scan.file.read_exact(&mut magic) {
            Ok(()) if magic == MAGIC => Ok(scan),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(read_error(error)),
            _ => Err(TakeError::NoMcap { path: path.to_owned() }),
        }
    }

    /// Where the next record begins: after [`Step::BreaksOff`] what cannot be read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes of the whole file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The next message or note.
    ///
    /// # Errors
    /// [`TakeError::Read`] when the disk fails, and [`TakeError::Compressed`].
    pub(super) fn step(&mut self) -> Result<Step, TakeError> {
        self.next().map_err(|failure| match failure {
            Failure::Io(source) => TakeError::Read { path: self.path.clone(), source },
            Failure::Compressed(compression) => TakeError::Compressed { path: self.path.clone(), compression },
        })
    }

    fn next(&mut self) -> Result<Step, Failure> {
        loop {
            while let Some(note) = self.repeated.as_mut().and_then(Vec::pop) {
                if self.is_news(&note) {
                    return Ok(Step::Note(note));
                }
            }
            match self.read()? {
                Reading::Step(step) => return Ok(step),
                Reading::Passed => {}
                Reading::Implausible => return self.pass_damage(),
            }
        }
    }

    /// Reads the next record and goes behind it, unless it is implausible.
    fn read(&mut self) -> Result<Reading, Failure> {
        let chunk_end = self.chunk.as_ref().filter(|chunk| chunk.holds(self.at)).map(|chunk| chunk.end);
        let is_inside = chunk_end.is_some();
        let limit = chunk_end.flatten().unwrap_or(self.length);
        let body = self.at + RECORD_HEADER;
        let Some(room) = limit.checked_sub(body) else { return Ok(Reading::Implausible) };
        let [code] = self.take()?;
        let bytes = u64::from_le_bytes(self.take()?);
        if code == op::CHUNK && !is_inside {
            return self.enter_chunk(body, bytes);
        }
        if bytes > room {
            return Ok(Reading::Implausible);
        }
        let reading = match code {
            op::MESSAGE if (MESSAGE_HEADER..=LONGEST_MESSAGE).contains(&bytes) => {
                let found = Found {
                    channel: u16::from_le_bytes(self.take()?),
                    sequence: u32::from_le_bytes(self.take()?),
                    log_time: u64::from_le_bytes(self.take()?),
                    publish_time: u64::from_le_bytes(self.take()?),
                    place: Place { at: body + MESSAGE_HEADER, bytes: bytes - MESSAGE_HEADER },
                };
                self.skip(found.place.bytes)?;
                Reading::Step(self.judge(found))
            }
            op::SCHEMA | op::CHANNEL | op::METADATA if bytes <= LONGEST_NOTE => {
                let mut note = vec![0; bytes as usize];
                self.file.read_exact(&mut note)?;
                match mcap::parse_record(code, &note).ok().map(Record::into_owned) {
                    None => Reading::Implausible,
                    Some(note) if self.is_news(&note) => Reading::Step(Step::Note(note)),
                    Some(_) => Reading::Passed,
                }
            }
            op::MESSAGE_INDEX if !is_inside && bytes >= INDEX_HEADER => {
                let channel = u16::from_le_bytes(self.take()?);
                self.skip(bytes - 2)?;
                self.compare(channel, (bytes - INDEX_HEADER) / INDEX_ENTRY)
            }
            op::HEADER | op::ATTACHMENT if !is_inside => {
                self.skip(bytes)?;
                Reading::Passed
            }
            op::DATA_END if !is_inside => return Ok(Reading::Step(Step::End)),
            _ => Reading::Implausible,
        };
        if !matches!(reading, Reading::Implausible) {
            self.at = body + bytes;
        }
        Ok(reading)
    }

    /// Goes to the first record of the chunk whose header begins at `body`.
    fn enter_chunk(&mut self, body: u64, bytes: u64) -> Result<Reading, Failure> {
        let begins = body + CHUNK_HEADER;
        if begins > self.length {
            return Ok(Reading::Implausible);
        }
        let times = u64::from_le_bytes(self.take()?)..=u64::from_le_bytes(self.take()?);
        self.skip(12)?;
        let name_bytes = u64::from(u32::from_le_bytes(self.take()?));
        if (3..=32).contains(&name_bytes) {
            let mut name = vec![0; name_bytes.min(self.length + 8 - begins) as usize];
            self.file.read_exact(&mut name)?;
            if (name.len() as u64) < name_bytes {
                return Ok(Reading::Implausible);
            }
            if name.iter().all(u8::is_ascii_alphanumeric) {
                return Err(Failure::Compressed(String::from_utf8_lossy(&name).into_owned()));
            }
            self.go_to(begins - 8)?;
        }
        // Its length stands in it twice; if one is wrong, something follows at the other.
        let lengths = [bytes.saturating_sub(CHUNK_HEADER), u64::from_le_bytes(self.take()?)];
        let mut end = None;
        for length in lengths {
            let possible = begins.checked_add(length).filter(|end| *end <= self.length);
            if let (None, Some(possible)) = (end, possible)
                && (lengths[0] == lengths[1] || self.is_record_at(possible)?)
            {
                end = Some(possible);
            }
        }
        self.go_to(begins)?;
        self.chunk = Some(Chunk::new(begins, end, times));
        Ok(Reading::Passed)
    }

    /// Whether what stands there may follow a chunk.
    fn is_record_at(&mut self, at: u64) -> io::Result<bool> {
        if at == self.length {
            return Ok(true);
        }
        self.file.seek(SeekFrom::Start(at))?;
        let [code] = self.take()?;
        Ok([op::CHUNK, op::MESSAGE_INDEX, op::METADATA, op::DATA_END].contains(&code))
    }

    /// A message, unless nobody knows what it is of, or when it was.
    fn judge(&mut self, found: Found) -> Step {
        let is_known = self.known.contains(&(op::CHANNEL, found.channel));
        let may_be = self.chunk.as_ref().is_none_or(|chunk| chunk.may_hold(found.log_time, self.last_time));
        if may_be || self.last_time.is_none() {
            self.last_time = Some(found.log_time);
        }
        if !(is_known && may_be) {
            self.repeat_notes();
            return Step::Damaged(found.place);
        }
        if let Some(chunk) = &mut self.chunk {
            chunk.count(found.channel);
        }
        Step::Message(found)
    }

    /// Compares what was found of a channel in the last chunk with what its index says.
    fn compare(&self, channel: u16, messages: u64) -> Reading {
        let lost = self.chunk.as_ref().map(|chunk| (chunk.begins, chunk.lost(channel, messages)));
        match lost {
            Some((chunk_at, messages)) if messages > 0 => Reading::Step(Step::Lost { channel, messages, chunk_at }),
            _ => Reading::Passed,
        }
    }

    /// Goes to the end of the chunk in which something is damaged; if there is none, the rest cannot be read.
    fn pass_damage(&mut self) -> Result<Step, Failure> {
        let Some(end) = self.chunk.as_ref().filter(|chunk| chunk.holds(self.at)).and_then(|chunk| chunk.end) else {
            return Ok(Step::BreaksOff);
        };
        let place = Place { at: self.at, bytes: end - self.at };
        self.go_to(end)?;
        self.repeat_notes();
        Ok(Step::Damaged(place))
    }

    /// Has schemas and channels told of that may be among what was damaged; the index repeats all of them.
    fn repeat_notes(&mut self) {
        if self.repeated.is_none() {
            self.repeated = Some(self.notes_of_index().unwrap_or_default());
        }
    }

    /// The last one first. `None` if the file has no index.
    fn notes_of_index(&self) -> Option<Vec<Record<'static>>> {
        let mut index = Self::begin(&self.path).ok()?;
        let footer = self.length.checked_sub(MAGIC.len() as u64 + FOOTER)?;
        index.go_to(footer).ok()?;
        let [code, ..]: [u8; RECORD_HEADER as usize] = index.take().ok()?;
        let begins = u64::from_le_bytes(index.take().ok()?);
        if code != op::FOOTER || begins >= footer {
            return None;
        }
        index.go_to(begins).ok()?;
        let notes = std::iter::from_fn(|| match index.read() {
            Ok(Reading::Step(Step::Note(note))) => Some(note),
            _ => None,
        });
        let mut notes: Vec<_> = notes.collect();
        notes.reverse();
        Some(notes)
    }

    /// Remembers a schema or channel. Whether it is a new one, as metadata always are.
    fn is_news(&mut self, note: &Record<'static>) -> bool {
        match note {
            Record::Schema { header, .. } => self.known.insert((op::SCHEMA, header.id)),
            Record::Channel(channel) => self.known.insert((op::CHANNEL, channel.id)),
            _ => true,
        }
    }

    fn go_to(&mut self, at: u64) -> io::Result<()> {
        self.at = at;
        self.file.seek(SeekFrom::Start(at)).map(drop)
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if bytes <= self.file.buffer().len() as u64 {
            self.file.consume(bytes as usize);
            return Ok(());
        }
        let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
        self.file.seek(SeekFrom::Current(bytes)).map(|_| ())
    }
}
