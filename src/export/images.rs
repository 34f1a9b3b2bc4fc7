//! A take as a folder of pictures that `replay` reads (`docs/reference/takes.md`); of a take that holds only faces, a
//! folder a person.

use serde_json::json;

use super::ExportError;
use super::folder::OutFolder;
use super::pictures::Pictures;
use super::table::{self, Column, TableFormat};
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
        let (mut size, mut kept) = (None, Vec::new());
        pictures.of_camera(n, |frame, picture| {
            // A damaged picture may not say it.
            size = size.or_else(|| jpeg_size(picture).ok());
            kept.push(*frame);
            out.count(1);
            out.put(format!("{name}/{:06}.jpg", frame.seq), picture)
        })?;
        table::write(out, &format!("{name}/timestamps"), TableFormat::Csv, time_columns(), kept)?;
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
        let mut rows = Vec::new();
        for face in &view.faces {
            let (person, picture) = file.face(face.picture)?;
            out.count(1);
            out.put(format!("{name}/person-{person}/{:06}.jpg", face.seq), &picture)?;
            rows.push((*face, person));
            pictures.step()?;
        }
        table::write(out, &format!("{name}/faces"), TableFormat::Csv, face_columns(), rows)?;
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
