//! HTTP/1.1 as plain as it is: tests also send what no proper client would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Nothing that is tested takes longer to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, in whatever case its name came.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

/// Asks with the headers that every client sends, unless other ones are given.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let request = [head(address, method, path, "1.1", headers, body.len()).as_bytes(), body].concat();
    raw(address, &request).unwrap_or_else(|| panic!("{method} {path}: closed without an answer"))
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[], b"")
}

/// Sends the bytes as they are. `None`: the connection was closed without an answer.
pub fn raw(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(address);
    // A server that refuses a request need not read all of it.
    let _ = stream.write_all(request);
    let mut reader = BufReader::new(stream);
    let mut answer = answer_head(&mut reader)?;
    match answer.header("content-length").map(|length| length.parse().expect("a length is a number")) {
        Some(length) => {
            answer.body.resize(length, 0);
            reader.read_exact(&mut answer.body).expect("the whole body comes");
        }
        None => drop(reader.read_to_end(&mut answer.body).expect("the body ends")),
    }
    Some(answer)
}

/// Asks for a body without an end, to be read line by line.
pub fn stream(address: SocketAddr, path: &str) -> (Answer, impl Iterator<Item = String>) {
    let mut stream = connect(address);
    // To a client of 1.0 a body comes as it is, not in chunks.
    stream.write_all(head(address, "GET", path, "1.0", &[], 0).as_bytes()).expect("sent");
    let mut reader = BufReader::new(stream);
    let answer = answer_head(&mut reader).expect("an answer");
    (answer, reader.lines().map(|line| line.expect("a line comes in time")))
}

/// A connection on which nothing is waited for without an end.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    stream
}

fn head(
    address: SocketAddr,
    method: &str,
    path: &str,
    version: &str,
    headers: &[(&str, &str)],
    length: usize,
) -> String {
    let usual = [
        ("Host", address.to_string()),
        ("Connection", "close".to_owned()),
        ("Content-Type", "application/json".to_owned()),
        ("Content-Length", length.to_string()),
    ];
    let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let usual = usual.iter().filter(|(name, _)| !given(name)).map(|(name, value)| (*name, value.as_str()));
    let lines: String =
        usual.chain(headers.iter().copied()).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/{version}\r\n{lines}\r\n")
}

fn answer_head(reader: &mut impl BufRead) -> Option<Answer> {
    let mut lines = reader.lines().map_while(Result::ok);
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.take_while(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(':').expect("a header has a colon");
        (name.to_owned(), value.trim().to_owned())
    });
    Some(Answer { status, headers: headers.collect(), body: Vec::new() })
}
