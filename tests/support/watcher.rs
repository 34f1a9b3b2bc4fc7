//! A client of `/ws`, which watches as the page does.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

use super::http;
use super::serving::Serving;

/// A connection to a program that serves.
pub struct Watcher(WebSocket<TcpStream>);

/// One message: its JSON, and the pictures that it describes.
pub struct Update {
    pub head: Value,
    pub jpegs: Vec<Vec<u8>>,
}

impl Watcher {
    /// As the page connects, with the program's own token.
    pub fn of(serving: &Serving) -> Self {
        let token = serving.token.as_ref().map(|token| format!(", token.{token}")).unwrap_or_default();
        Self::connect(serving, &[("Sec-WebSocket-Protocol", &format!("vultus{token}"))]).expect("it lets us watch")
    }

    /// With these headers beside the usual; the error is the status of the refusal.
    pub fn connect(serving: &Serving, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{}/ws", serving.address).into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        match tungstenite::client(request, http::connect(serving.address)) {
            Ok((socket, answer)) => {
                assert_eq!(answer.headers()["sec-websocket-protocol"], "vultus");
                Ok(Self(socket))
            }
            Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message, which must come.
    pub fn next(&mut self) -> Update {
        self.read().unwrap_or_else(|error| panic!("no message: {error}"))
    }

    /// Whether nothing is on the way to us.
    pub fn is_quiet(&mut self) -> bool {
        self.0.get_ref().set_read_timeout(Some(Duration::from_millis(500))).expect("set");
        let quiet = match self.read() {
            Err(Error::Io(error)) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            _ => false,
        };
        self.0.get_ref().set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        quiet
    }

    /// Says that a message is drawn.
    pub fn acknowledge(&mut self, update: &Update) {
        self.say(&json!({"ack": update.head["n"], "pictures": true}));
    }

    pub fn say(&mut self, what: &Value) {
        self.0.send(Message::text(what.to_string())).expect("sent");
    }

    /// Code and reason with which the program closes.
    pub fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.0.read().expect("it closes in good order") {
                let frame = frame.expect("it says why");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }

    fn read(&mut self) -> Result<Update, Error> {
        loop {
            match self.0.read()? {
                Message::Binary(bytes) => return Ok(Update::parse(&bytes)),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a message of ours: {other}"),
            }
        }
    }
}

impl Update {
    fn parse(bytes: &[u8]) -> Self {
        let (length, rest) = bytes.split_first_chunk::<4>().expect("a length");
        let (head, mut rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let head: Value = serde_json::from_slice(head).expect("JSON");
        let jpegs = Self::views_of(&head).iter().map(|view| {
            let length = view["bytes"].as_u64().expect("a length") as usize;
            let (jpeg, others) = rest.split_at(length);
            rest = others;
            jpeg.to_vec()
        });
        let jpegs = jpegs.collect();
        assert!(rest.is_empty(), "{} bytes belong to nothing", rest.len());
        Self { head, jpegs }
    }

    fn views_of(head: &Value) -> &[Value] {
        head["pictures"]["views"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Descriptions of the pictures.
    pub fn views(&self) -> &[Value] {
        Self::views_of(&self.head)
    }

    /// The set whose pictures these are.
    pub fn set(&self) -> Option<u64> {
        self.head["pictures"]["set"].as_u64()
    }

    pub fn records(&self) -> &[Value] {
        self.head["records"].as_array().expect("`records` is an array")
    }
}
