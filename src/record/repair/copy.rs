//! Copies a take message by message, each as it is, and knows by a digest what was copied.

use std::path::Path;
use std::time::SystemTime;

use mcap::McapError;
use mcap::records::{MessageHeader, Metadata, Record};
use sha2::{Digest, Sha256};

use super::{RepairError, Written, cannot_write};
use crate::record::scan::{Found, Scan, Step};
use crate::record::writer::options;
use crate::record::{TakeError, TakeFile};

/// What the metadata that a repair adds are called.
pub(super) const REPAIR: &str = "vultus.repair";

/// Counts messages, and makes a digest of all that they are.
#[derive(Default)]
struct Tally {
    messages: u64,
    digest: Sha256,
}

/// How many messages a file has, and their digest.
pub(super) type Sum = (u64, sha2::digest::Output<Sha256>);

impl Tally {
    fn add(&mut self, header: &MessageHeader, data: &[u8]) {
        self.messages += 1;
        self.digest.update(header.channel_id.to_le_bytes());
        self.digest.update(header.sequence.to_le_bytes());
        self.digest.update(header.log_time.to_le_bytes());
        self.digest.update(header.publish_time.to_le_bytes());
        self.digest.update((data.len() as u64).to_le_bytes());
        self.digest.update(data);
    }

    fn sum(self) -> Sum {
        (self.messages, self.digest.finalize())
    }
}

/// Goes through all that can be read of a file, telling what it sees and how far it is.
fn walk(
    path: &Path,
    mut see: impl FnMut(Piece<'_>) -> Result<(), RepairError>,
    mut progress: impl FnMut(u64) -> Result<(), RepairError>,
) -> Result<(), RepairError> {
    let (mut scan, mut file, mut data) = (Scan::begin(path)?, TakeFile::open(path)?, Vec::new());
    loop {
        match scan.step()? {
            Step::Message(found) => {
                file.text(found.place, &mut data)?;
                see(Piece::Message(header(&found), &data))?;
            }
            Step::Note(note) => see(Piece::Note(&note))?,
            Step::Damaged(_) | Step::Lost { .. } => {}
            Step::End | Step::BreaksOff => return Ok(()),
        }
        progress(scan.at())?;
    }
}

/// What a file consists of.
enum Piece<'a> {
    Message(MessageHeader, &'a [u8]),
    Note(&'a Record<'static>),
}

fn header(found: &Found) -> MessageHeader {
    let Found { channel, sequence, log_time, publish_time, .. } = *found;
    MessageHeader { channel_id: channel, sequence, log_time, publish_time }
}

/// Reads a file through, only to know what it holds.
pub(super) fn read(path: &Path, progress: impl FnMut(u64) -> Result<(), RepairError>) -> Result<Sum, RepairError> {
    let mut tally = Tally::default();
    let see = |piece: Piece<'_>| {
        if let Piece::Message(header, data) = piece {
            tally.add(&header, data);
        }
        Ok(())
    };
    walk(path, see, progress)?;
    Ok(tally.sum())
}

/// Writes what can be read of the file at `path`, and an index.
pub(super) fn copy(
    path: &Path,
    to: &Written,
    unreadable_bytes: u64,
    progress: impl FnMut(u64) -> Result<(), RepairError>,
) -> Result<Sum, RepairError> {
    let failed = |error: McapError| match error {
        McapError::Io(error) => cannot_write(&to.path, &error),
        // What was read does not fit together.
        other => TakeError::Damaged { path: path.to_owned(), what: other.to_string() }.into(),
    };
    let file = to.file.try_clone().map_err(|error| failed(error.into()))?;
    let mut writer = options().create(file).map_err(failed)?;
    let mut tally = Tally::default();
    let see = |piece: Piece<'_>| {
        match piece {
            Piece::Message(header, data) => {
                tally.add(&header, data);
                writer.write_to_known_channel(&header, data)
            }
            Piece::Note(Record::Schema { header, data }) => {
                writer.add_schema_with_id(header.id, &header.name, &header.encoding, data).map(drop)
            }
            Piece::Note(Record::Channel(c)) => {
                writer.add_channel_with_id(c.id, c.schema_id, &c.topic, &c.message_encoding, &c.metadata).map(drop)
            }
            Piece::Note(Record::Metadata(metadata)) => writer.write_metadata(metadata),
            Piece::Note(_) => Ok(()),
        }
        .map_err(failed)
    };
    let copied = walk(path, see, progress).and_then(|()| {
        let about = [
            ("repaired_utc", humantime::format_rfc3339_millis(SystemTime::now()).to_string()),
            ("unreadable_bytes", unreadable_bytes.to_string()),
        ];
        let metadata = about.map(|(key, value)| (key.to_owned(), value)).into();
        writer.write_metadata(&Metadata { name: REPAIR.to_owned(), metadata }).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(tally.sum())
    });
    // Dropped after a failure, the writer would try to write the rest.
    let file = writer.into_inner();
    let copied = copied?;
    file.sync_all().map_err(|error| failed(error.into()))?;
    Ok(copied)
}
