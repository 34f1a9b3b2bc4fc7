//! The channels of a take: each is made when its first message comes.

use std::collections::BTreeMap;
use std::fs::File;

use foxglove::Encode;
use mcap::McapError;
use mcap::records::MessageHeader;

use super::told::Seen;
use crate::time::Timestamp;

/// What a channel carries, beside the camera that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    Image,
    Time,
    Annotations,
    Calibration,
    Faces,
    Sets,
    Expressions,
    Gaps,
}

impl Topic {
    /// What it is called; of a camera behind that camera's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Time => "time",
            Self::Annotations => "annotations",
            Self::Calibration => "calibration",
            Self::Faces => "faces",
            Self::Sets => "sets",
            Self::Expressions => "expressions",
            Self::Gaps => "gaps",
        }
    }

    /// Name and text of the schema, of topics whose messages are JSON.
    const fn json_schema(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Time => Some(("vultus.Frame", include_str!("frame.schema.json"))),
            Self::Sets => Some(("vultus.Set", include_str!("set.schema.json"))),
            Self::Expressions => Some(("vultus.Expression", include_str!("expression.schema.json"))),
            Self::Gaps => Some(("vultus.Gap", include_str!("gap.schema.json"))),
            Self::Image | Self::Annotations | Self::Calibration | Self::Faces => None,
        }
    }
}

/// A file with its channels.
pub(super) struct Channels {
    pub mcap: mcap::Writer<File>,
    /// Topic, camera (nothing if it is of none) and id of each; few enough to be looked through.
    open: Vec<(Topic, String, u16)>,
    message: Vec<u8>,
}

impl Channels {
    pub(super) fn new(mcap: mcap::Writer<File>) -> Self {
        Self { mcap, open: Vec::new(), message: Vec::new() }
    }

    /// Makes a channel, or one that takes the place of an earlier one.
    pub(super) fn open<M: Encode>(
        &mut self,
        topic: Topic,
        camera: &str,
        about: &BTreeMap<String, String>,
    ) -> Result<u16, McapError> {
        let schema = M::get_schema().map_or(Ok(0), |s| self.mcap.add_schema(&s.name, &s.encoding, &s.data))?;
        let id = self.mcap.add_channel(schema, &name(topic, camera), &M::get_message_encoding(), about)?;
        Ok(self.remember(topic, camera, id))
    }

    /// The same, for JSON messages.
    pub(super) fn open_json(
        &mut self,
        topic: Topic,
        camera: &str,
        about: &BTreeMap<String, String>,
    ) -> Result<u16, McapError> {
        let (schema, text) = topic.json_schema().unwrap_or_default();
        let schema = self.mcap.add_schema(schema, "jsonschema", text.as_bytes())?;
        let id = self.mcap.add_channel(schema, &name(topic, camera), "json", about)?;
        Ok(self.remember(topic, camera, id))
    }

    /// Adds a message of one of Foxglove's schemas.
    pub(super) fn put<M: Encode>(
        &mut self,
        topic: Topic,
        camera: &str,
        seen: Seen,
        message: &M,
    ) -> Result<(), McapError> {
        let id = match self.id(topic, camera) {
            Some(id) => id,
            None => self.open::<M>(topic, camera, &BTreeMap::new())?,
        };
        self.message.clear();
        message.encode(&mut self.message).map_err(|error| std::io::Error::other(error.to_string()))?;
        self.mcap.write_to_known_channel(&header(id, seen), &self.message)
    }

    /// Adds a JSON message.
    pub(super) fn put_json(&mut self, topic: Topic, camera: &str, seen: Seen, text: &[u8]) -> Result<(), McapError> {
        let id = match self.id(topic, camera) {
            Some(id) => id,
            None => self.open_json(topic, camera, &BTreeMap::new())?,
        };
        self.mcap.write_to_known_channel(&header(id, seen), text)
    }

    fn remember(&mut self, topic: Topic, camera: &str, id: u16) -> u16 {
        self.open.retain(|(known, of, _)| (*known, &**of) != (topic, camera));
        self.open.push((topic, camera.to_owned(), id));
        id
    }

    fn id(&self, topic: Topic, camera: &str) -> Option<u16> {
        self.open.iter().find(|(known, of, _)| (*known, &**of) == (topic, camera)).map(|(_, _, id)| *id)
    }
}

fn name(topic: Topic, camera: &str) -> String {
    match camera {
        "" => format!("/{}", topic.name()),
        camera => format!("/camera/{camera}/{}", topic.name()),
    }
}

fn header(channel_id: u16, seen: Seen) -> MessageHeader {
    MessageHeader {
        channel_id,
        // Enough for years of frames.
        sequence: seen.seq as u32,
        log_time: ns(seen.received_at),
        publish_time: ns(seen.captured_at),
    }
}

/// MCAP knows no times before zero, and no run has any.
fn ns(at: Timestamp) -> u64 {
    at.ns().max(0) as u64
}
