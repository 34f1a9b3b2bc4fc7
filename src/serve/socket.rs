//! One page's WebSocket. The page acknowledges every message when it has drawn it, and at most two are under way: a
//! slow page gets fewer pictures, never older ones.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{Instant, timeout};

use super::About;
use super::board::{Said, Tally};
use super::patient::PATIENCE;
use super::relay::{Channels, Shots};

/// Messages that a page may have without having drawn them: one on its way, one in work.
const UNDER_WAY: u64 = 2;

/// How long it has to say goodbye.
const FAREWELL: Duration = Duration::from_millis(800);

/// What a page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wish {
    /// The message that was drawn last.
    ack: Option<u64>,
    /// Whether to send pictures from now on.
    pictures: Option<bool>,
    /// One message with pictures, whatever the page said before.
    step: bool,
}

/// The head of a message; pictures follow it in the order of `views`.
#[derive(Serialize)]
struct Caption<'a> {
    set: u64,
    views: Vec<PictureCaption<'a>>,
}

#[derive(Serialize)]
struct PictureCaption<'a> {
    camera: &'a str,
    seq: u64,
    width: u32,
    height: u32,
    bytes: usize,
}

/// Serves one page until it goes or the run is over.
pub(super) struct Client {
    pub socket: WebSocket,
    pub about: Arc<About>,
    pub channels: Channels,
    /// Held while pictures are wanted and can be sent: they are prepared only then.
    pub waiting: Tally,
}

/// What to do next.
enum Cause {
    Heard(Message),
    Pictures,
    State,
    Over,
}

impl Client {
    pub(super) async fn run(mut self) {
        let (mut wants_pictures, mut steps, mut wanted) = (true, false, false);
        let (mut sent, mut drawn) = (0, 0);
        let mut heard_at = Instant::now();
        self.channels.snapshot.mark_changed();
        loop {
            let may_send = sent - drawn < UNDER_WAY;
            let wants = wants_pictures || steps;
            if wants && !wanted {
                // Those that were there before are old.
                self.channels.shots.mark_unchanged();
            }
            wanted = wants;
            let waiting = (wants && may_send).then(|| self.waiting.hold());
            let cause = tokio::select! {
                heard = self.socket.recv() => match heard {
                    Some(Ok(message)) => Cause::Heard(message),
                    Some(Err(_)) | None => return,
                },
                Ok(()) = once(waiting.is_some(), self.channels.shots.changed()) => Cause::Pictures,
                Ok(()) = once(may_send, self.channels.snapshot.changed()) => Cause::State,
                _ = self.channels.over.changed() => Cause::Over,
                () = tokio::time::sleep_until(heard_at + PATIENCE) => return,
            };
            drop(waiting);
            let message = match cause {
                Cause::Heard(Message::Text(text)) => {
                    heard_at = Instant::now();
                    let Ok(wish) = serde_json::from_str::<Wish>(&text) else {
                        return self.close(close_code::POLICY, "this is no message of the page").await;
                    };
                    drawn = wish.ack.map_or(drawn, |ack| ack.clamp(drawn, sent));
                    wants_pictures = wish.pictures.unwrap_or(wants_pictures);
                    steps |= wish.step;
                    continue;
                }
                Cause::Heard(_) => continue,
                Cause::Pictures => {
                    let shots = self.channels.shots.borrow_and_update().clone();
                    steps = false;
                    self.message(sent + 1, Some(&shots))
                }
                Cause::State => self.message(sent + 1, None),
                Cause::Over => {
                    // The last records.
                    let last = self.message(sent + 1, None);
                    let _ = timeout(FAREWELL, self.send(last)).await;
                    return self.close(close_code::AWAY, "the run has ended").await;
                }
            };
            sent += 1;
            if self.send(message).await.is_err() {
                return;
            }
        }
    }

    async fn send(&mut self, message: Vec<u8>) -> Result<(), axum::Error> {
        self.socket.send(Message::Binary(message.into())).await
    }

    /// Length of the JSON, the JSON, the pictures.
    fn message(&mut self, n: u64, shots: Option<&Shots>) -> Vec<u8> {
        let mut json = format!("{{\"n\":{n}");
        if self.channels.snapshot.has_changed().unwrap_or(false) || shots.is_none() {
            json += ",\"state\":";
            json += &self.channels.snapshot.borrow_and_update().json;
        }
        let (said, missed) = self.catch_up();
        let lines = said.iter().flat_map(|said| said.records());
        let records: Vec<&str> = lines.filter_map(|line| std::str::from_utf8(line).ok()).collect();
        json += &format!(",\"records\":[{}],\"missed\":{missed}", records.join(","));
        let heads: Vec<_> = said.iter().flat_map(|said| &said.heads).collect();
        for (key, value) in [
            ("heads", (!heads.is_empty()).then(|| serde_json::to_string(&heads))),
            ("pictures", shots.map(|shots| serde_json::to_string(&self.caption(shots)))),
        ] {
            if let Some(Ok(value)) = value {
                json += &format!(",\"{key}\":{value}");
            }
        }
        json.push('}');
        let pictures =
            || shots.into_iter().flat_map(|shots| shots.views.iter().flatten()).map(super::relay::Shot::jpeg);
        let mut message = Vec::with_capacity(4 + json.len() + pictures().map(<[u8]>::len).sum::<usize>());
        message.extend_from_slice(&(json.len() as u32).to_le_bytes());
        message.extend_from_slice(json.as_bytes());
        pictures().for_each(|jpeg| message.extend_from_slice(jpeg));
        message
    }

    /// The sets that were analysed since the last message, and how many were missed.
    fn catch_up(&mut self) -> (Vec<Arc<Said>>, u64) {
        let (mut all, mut missed) = (Vec::new(), 0);
        loop {
            match self.channels.said.try_recv() {
                Ok(said) => {
                    missed += said.missed;
                    all.push(said);
                }
                Err(TryRecvError::Lagged(count)) => missed += count,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return (all, missed),
            }
        }
    }

    fn caption(&self, shots: &Shots) -> Caption<'_> {
        let views = shots.views.iter().zip(&self.about.header.cameras).filter_map(|(shot, camera)| {
            let shot = shot.as_ref()?;
            Some(PictureCaption {
                camera,
                seq: shot.seq,
                width: shot.width,
                height: shot.height,
                bytes: shot.jpeg().len(),
            })
        });
        Caption { set: shots.set, views: views.collect() }
    }

    /// Closes in good order: a connection that is dropped with something unread in it takes the farewell with it.
    async fn close(mut self, code: u16, reason: &'static str) {
        let farewell = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(FAREWELL, async {
            self.socket.send(farewell).await.ok()?;
            while self.socket.recv().await.is_some_and(|heard| heard.is_ok()) {}
            Some(())
        })
        .await;
    }
}

/// `future` if `condition` holds, else one that is never ready.
async fn once<T>(condition: bool, future: impl Future<Output = T>) -> T {
    if condition { future.await } else { pending().await }
}
