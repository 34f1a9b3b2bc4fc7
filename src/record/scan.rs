//! Walks through an MCAP file record by record, as far as there are whole ones.
//!
//! A take that a crash cut short has no index, so none is relied on: pictures are passed over, not read, which makes
//! the walk about as fast as an index would. An uncompressed chunk is walked into as if its contents stood in the file
//! themselves; so the whole messages of a chunk that breaks off are found too.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mcap::MAGIC;
use mcap::records::{Record, op};

use super::TakeError;

/// Opcode and length of a record.
const RECORD_HEADER: u64 = 9;
/// Channel, sequence, log and publish time of a message.
const MESSAGE_HEADER: u64 = 22;
/// Times, size and checksum of a chunk, before the name of its compression.
const CHUNK_HEADER: u64 = 28;
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
    /// The rest is index, if anything.
    End,
    /// The rest cannot be read: it was never written, or is damaged.
    BreaksOff,
}

/// The walk.
pub(super) struct Scan {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the next record begins.
    at: u64,
    length: u64,
}

impl Scan {
    /// Begins before the first record.
    ///
    /// # Errors
    /// [`TakeError::Read`] and [`TakeError::NoMcap`].
    pub(super) fn begin(path: &Path) -> Result<Self, TakeError> {
        let read_error = |source| TakeError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let length = file.metadata().map_err(read_error)?.len();
        let mut scan = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(BUFFER, file),
            at: MAGIC.len() as u64,
            length,
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
        self.next()
            .map_err(|source| TakeError::Read { path: self.path.clone(), source })?
            .map_or_else(|compression| Err(TakeError::Compressed { path: self.path.clone(), compression }), Ok)
    }

    /// Inside the result: the name of a compression, if a chunk has one.
    fn next(&mut self) -> io::Result<Result<Step, String>> {
        loop {
            if self.length - self.at < RECORD_HEADER {
                return Ok(Ok(Step::BreaksOff));
            }
            let [code] = self.take()?;
            let bytes = u64::from_le_bytes(self.take()?);
            let body = self.at + RECORD_HEADER;
            // Of a chunk that breaks off, the beginning is there.
            let is_whole = bytes <= self.length - body;
            match code {
                op::CHUNK if CHUNK_HEADER + 12 <= self.length - body => {
                    self.skip(CHUNK_HEADER)?;
                    let name_bytes = u64::from(u32::from_le_bytes(self.take()?));
                    if name_bytes > 0 {
                        let mut name = vec![0; name_bytes.min(32) as usize];
                        self.file.read_exact(&mut name)?;
                        return Ok(Err(String::from_utf8_lossy(&name).into_owned()));
                    }
                    self.at = body + CHUNK_HEADER + 12;
                    self.skip(8)?;
                }
                op::MESSAGE if is_whole && (MESSAGE_HEADER..=LONGEST_MESSAGE).contains(&bytes) => {
                    let found = Found {
                        channel: u16::from_le_bytes(self.take()?),
                        sequence: u32::from_le_bytes(self.take()?),
                        log_time: u64::from_le_bytes(self.take()?),
                        publish_time: u64::from_le_bytes(self.take()?),
                        place: Place { at: body + MESSAGE_HEADER, bytes: bytes - MESSAGE_HEADER },
                    };
                    self.skip(found.place.bytes)?;
                    self.at = body + bytes;
                    return Ok(Ok(Step::Message(found)));
                }
                op::SCHEMA | op::CHANNEL | op::METADATA if is_whole && bytes <= LONGEST_NOTE => {
                    let mut note = vec![0; bytes as usize];
                    self.file.read_exact(&mut note)?;
                    let Some(note) = mcap::parse_record(code, &note).ok().map(Record::into_owned) else {
                        return Ok(Ok(Step::BreaksOff));
                    };
                    self.at = body + bytes;
                    return Ok(Ok(Step::Note(note)));
                }
                op::DATA_END => return Ok(Ok(Step::End)),
                op::HEADER | op::MESSAGE_INDEX | op::ATTACHMENT if is_whole => {
                    self.skip(bytes)?;
                    self.at = body + bytes;
                }
                _ => return Ok(Ok(Step::BreaksOff)),
            }
        }
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
