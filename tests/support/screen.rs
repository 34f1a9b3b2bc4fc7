//! A page that turns bright and dark, and cameras that see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};
use vultus::capture::{CaptureError, Event, Source, Stream};
use vultus::frame::{CameraId, Frame, FramePool, PixelFormat, StampKind};
use vultus::serve::screen::Screen;
use vultus::time::{Timestamp, monotonic_now};

/// Of the cameras.
pub const PERIOD: Duration = Duration::from_millis(10);
/// From the exposure to the frame's arrival.
pub const READOUT: Duration = Duration::from_millis(5);
const SIDE: u32 = 64;
pub const DARK: u8 = 40;
pub const BRIGHT: u8 = 200;

/// A camera that sees nothing but the screen.
pub struct Watcher {
    stream: Stream,
    is_bright: Arc<AtomicBool>,
    /// How far its clock is ahead.
    offset: Duration,
    due: Timestamp,
    seq: u64,
}

impl Watcher {
    pub fn boxed(name: &str, is_bright: Arc<AtomicBool>, offset: Duration) -> Box<dyn Source> {
        let stream = Stream {
            camera: CameraId(0),
            name: name.into(),
            description: String::new(),
            period: PERIOD,
            stamp: StampKind::Device,
            frame_bytes: (SIDE * SIDE) as usize,
        };
        Box::new(Self { stream, is_bright, offset, due: monotonic_now(), seq: 0 })
    }
}

fn wait_until(due: Timestamp) {
    std::thread::sleep(due.since(monotonic_now()));
}

impl Source for Watcher {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn next(&mut self, pool: &FramePool) -> Result<Event, CaptureError> {
        self.due = self.due + PERIOD;
        wait_until(self.due);
        let captured_at = monotonic_now();
        let level = if self.is_bright.load(Ordering::SeqCst) { BRIGHT } else { DARK };
        wait_until(captured_at + READOUT);
        let Some(bytes) = pool.copy(&[level; (SIDE * SIDE) as usize]) else { return Ok(Event::NoBuffer) };
        self.seq += 1;
        Ok(Event::Frame(Frame {
            camera: self.stream.camera,
            seq: self.seq,
            captured_at: captured_at + self.offset,
            received_at: monotonic_now(),
            bytes,
            ..Frame::of_bytes(PixelFormat::Gray, SIDE, SIDE, Vec::new())
        }))
    }

    fn reopen(&mut self) -> Result<(), CaptureError> {
        Ok(())
    }
}

/// Opens the page's socket as a page of `origin` would.
pub fn connect(screen: &Screen, origin: &str) -> tungstenite::Result<WebSocket<std::net::TcpStream>> {
    let address = screen.url.trim_start_matches("http://").trim_end_matches('/');
    let mut request = format!("ws://{address}/flashes").into_client_request().expect("an address");
    request.headers_mut().insert("Origin", HeaderValue::from_str(origin).expect("a header"));
    let stream = std::net::TcpStream::connect(address).expect("it listens");
    tungstenite::client(request, stream).map(|(socket, _)| socket).map_err(|error| match error {
        tungstenite::HandshakeError::Failure(error) => error,
        tungstenite::HandshakeError::Interrupted(_) => unreachable!("the stream blocks"),
    })
}

/// Has a page change the light as it is told, until it is told no more.
pub fn draw(screen: &Screen, is_bright: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut page = connect(screen, screen.url.trim_end_matches('/')).expect("the page's own");
    std::thread::spawn(move || {
        while let Ok(Message::Text(word)) = page.read() {
            is_bright.store(word.as_str() == "bright", Ordering::SeqCst);
            if page.send(Message::text("16.7")).is_err() {
                break;
            }
        }
    })
}
