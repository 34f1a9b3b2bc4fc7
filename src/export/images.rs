//! A take as a folder of pictures that `replay` reads (`docs/reference/takes.md`); of a take that holds only faces, a
//! folder a person.

use std::collections::HashSet;

use serde_json::json;

use super::ExportError;
use super::folder::OutFolder;
use super::left_out::LeftOut;
use super::pictures::Pictures;
use super::table::{Column, Table, TableFormat};
use crate::config::RecordContent;
use crate::image::decode::jpeg_size;
use crate::record::{Take, TakeFile, TakenFace, TakenFrame};

/// Writes the folders.
///
/// # Errors
/// When the take or a file fails.
pub(super) fn write(take: &Take, pictures: &Pictures<'_>, out: &mut OutFolder) -> Result<(), ExportError> {
    if let Some(rig) = &take.rig {
        out.put("rig.toml", rig.text.as_bytes())?;
    }
    if take.content == RecordContent::Faces {
        return write_faces(take, pictures, out);
    }
    let mut cameras = Vec::new();
    for (n, view) in take.views.iter().enumerate() {
        let name = &*view.camera.name;
        let mut table = Table::begin(out, &format!("{name}/timestamps"), TableFormat::Csv, time_columns())?;
        let (mut size, mut numbers) = (None, Numbers::beside(view.frames.iter().map(|frame| frame.seq)));
        pictures.of_camera(n, |frame, picture| {
            // A damaged picture may not say it.
            size = size.or_else(|| jpeg_size(picture).ok());
            let seq = numbers.of(None, frame.seq);
            table.push(TakenFrame { seq, ..*frame })?;
            out.count(1);
            out.put(format!("{name}/{seq:06}.jpg"), picture)
        })?;
        table.finish(out)?;
        numbers.tell(name);
        let (width, height) = size.unwrap_or_default();
        let fps = 1.0 / view.camera.period.as_secs_f64();
        cameras.push(json!({"name": name, "width": width, "height": height, "fps": fps}));
    }
    // One camera a line, as people read it.
    let cameras: Vec<String> = cameras.iter().map(|camera| format!("  {camera}")).collect();
    out.put("rig.json", format!("{{\"cameras\": [\n{}\n]}}\n", cameras.join(",\n")).as_bytes())
}

fn time_columns() -> Vec<Column<TakenFrame>> {
    vec![
        Column::whole("seq", |frame: &TakenFrame| Some(frame.seq as i64)),
        Column::whole("captured_ns", |frame: &TakenFrame| Some(frame.captured_at.ns())),
        Column::whole("received_ns", |frame: &TakenFrame| Some(frame.received_at.ns())),
    ]
}

/// Not `timestamps.csv`: with that the folder would be taken for one of whole pictures.
fn write_faces(take: &Take, pictures: &Pictures<'_>, out: &mut OutFolder) -> Result<(), ExportError> {
    let mut file = TakeFile::open(&take.path)?;
    for view in &take.views {
        let name = &*view.camera.name;
        let mut table = Table::begin(out, &format!("{name}/faces"), TableFormat::Csv, face_columns())?;
        let mut left_out = LeftOut::of(take, format!("faces of camera `{name}`"));
        let mut numbers = Numbers::beside(view.faces.iter().map(|face| face.seq));
        for face in &view.faces {
            if let Some((person, picture)) = left_out.unless(file.face(face.picture)) {
                let seq = numbers.of(Some(person), face.seq);
                table.push((TakenFace { seq, ..*face }, person))?;
                out.count(1);
                out.put(format!("{name}/person-{person}/{seq:06}.jpg"), &picture)?;
            }
            pictures.step()?;
        }
        table.finish(out)?;
        numbers.tell(name);
        left_out.tell();
    }
    Ok(())
}

fn face_columns() -> Vec<Column<(TakenFace, u32)>> {
    vec![
        Column::whole("person", |(_, person): &(TakenFace, u32)| Some(i64::from(*person))),
        Column::whole("seq", |(face, _): &(TakenFace, u32)| Some(face.seq as i64)),
        Column::whole("captured_ns", |(face, _): &(TakenFace, u32)| Some(face.captured_at.ns())),
    ]
}

/// The numbers of a camera's files, by person: each is given once.
struct Numbers {
    given: HashSet<(Option<u32>, u64)>,
    /// Above all that the take has.
    next: u64,
    first_new: u64,
}

impl Numbers {
    /// Where there are those `recorded`.
    fn beside(recorded: impl Iterator<Item = u64>) -> Self {
        let next = recorded.max().map_or(0, |last| last + 1);
        Self { given: HashSet::new(), next, first_new: next }
    }

    /// That of a picture: its own, unless another one has it, which cameras do that begin anew.
    fn of(&mut self, person: Option<u32>, seq: u64) -> u64 {
        if self.given.insert((person, seq)) {
            return seq;
        }
        self.next += 1;
        self.next - 1
    }

    /// Says what was given a new number.
    fn tell(&self, camera: &str) {
        let (count, first) = (self.next - self.first_new, self.first_new);
        if count > 0 {
            tracing::warn!(
                "camera `{camera}`: {count} pictures have a number that an earlier one has; they are numbered {first} \
                 and on"
            );
        }
    }
}
