//! The lines that say how far a verb has come: `[2/4] ONNX Runtime 1.27.0 … done (3 s)`.

use crate::Result;
use std::time::Instant;

/// How a step ended, if it did not fail.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The work was done just now.
    Done,
    /// There was nothing to do.
    AlreadyThere,
    /// Anything else that the user should know.
    Note(String),
}

/// The steps of one verb, counted.
pub struct Steps {
    total: usize,
    begun: usize,
}

impl Steps {
    pub fn new(total: usize) -> Self {
        Self { total, begun: 0 }
    }

    /// Does one step and reports it on one line.
    pub fn run(&mut self, title: &str, work: impl FnOnce(&mut Line) -> Result<Outcome>) -> Result<Outcome> {
        let started = Instant::now();
        let mut line = Line::begin(self.next(title));
        let result = work(&mut line);
        let seconds = started.elapsed().as_secs_f32();
        match &result {
            Ok(Outcome::Done) => line.end(&format!("done ({seconds:.0} s)")),
            Ok(Outcome::AlreadyThere) => line.end("already there"),
            Ok(Outcome::Note(note)) => line.end(note),
            Err(_) => line.end(&format!("failed ({seconds:.0} s)")),
        }
        result
    }

    /// Announces the last step, for a program that takes this one's place.
    pub fn hand_over(&mut self, title: &str) {
        eprintln!("{}", self.next(title));
    }

    fn next(&mut self, title: &str) -> String {
        self.begun += 1;
        format!("[{}/{}] {title}", self.begun, self.total)
    }
}

/// The line of the step that is under way: its end is still to be written.
pub struct Line {
    head: String,
    interrupted: bool,
}

impl Line {
    fn begin(head: String) -> Self {
        eprint!("{head} … ");
        Self { head, interrupted: false }
    }

    /// Breaks the line, for a program that writes to the terminal itself.
    pub fn interrupt(&mut self) {
        if !self.interrupted {
            eprintln!();
        }
        self.interrupted = true;
    }

    fn end(self, how: &str) {
        if self.interrupted {
            eprint!("{} … ", self.head);
        }
        eprintln!("{how}");
    }
}
