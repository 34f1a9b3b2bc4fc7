//! A take as a video a camera: the JPEG pictures as they are, every one at the time when it was taken.

use std::time::Duration;

use super::ExportError;
use super::folder::{OutFile, OutFolder, failure};
use super::mkv::{Muxer, Video};
use super::pictures::Pictures;
use super::table::{Column, Table, TableFormat};
use super::times::{date, origin, wild};
use crate::image::decode::jpeg_size;
use crate::record::{Take, TakenFrame, TakenView};
use crate::time::Timestamp;

/// Writes `NAME.mkv` and `NAME.timestamps.csv` a camera. Time zero is the same in all of them.
///
/// # Errors
/// When the take or a file fails.
pub(super) fn write(take: &Take, pictures: &Pictures<'_>, out: &mut OutFolder) -> Result<(), ExportError> {
    let origin = origin(take).unwrap_or_default();
    for (n, view) in take.views.iter().enumerate() {
        let name = &*view.camera.name;
        let wild = wild(view);
        let mut times = Times { origin, period: view.camera.period, last_ns: None, set_right: 0 };
        let (mut film, mut size, mut pictures_in) = (None::<(Muxer<OutFile>, Table<Row>)>, None, 0);
        let file = format!("{name}.mkv");
        let shown = out.shown(&file);
        let failed = |error: std::io::Error| failure(&shown, error);
        pictures.of_camera(n, |frame, picture| {
            if wild.contains(&frame.captured_at) {
                return Ok(());
            }
            let (muxer, table) = match &mut film {
                Some(film) => film,
                None => {
                    let muxer = Muxer::begin(out.create(&file)?, about(take, pictures, view)).map_err(failed)?;
                    let table = Table::begin(out, &format!("{name}.timestamps"), TableFormat::Csv, columns())?;
                    film.insert((muxer, table))
                }
            };
            // A damaged picture may not say it.
            size = size.or_else(|| jpeg_size(picture).ok());
            let time_ns = times.of(frame);
            table.push((*frame, pictures_in, time_ns))?;
            pictures_in += 1;
            muxer.picture(time_ns, picture).map_err(failed)
        })?;
        let Some((muxer, table)) = film else {
            tracing::warn!("camera `{name}` has no picture, and so no video");
            continue;
        };
        out.close(muxer.finish(size.unwrap_or_default()).map_err(failed)?)?;
        table.finish(out)?;
        out.count(pictures_in);
        if let Some(first) = view.frames.iter().find(|frame| wild.contains(&frame.captured_at)) {
            tracing::warn!(
                "camera `{name}`: {} pictures have a time that cannot be, far from those before and behind it, and are \
                 left out of {file}. The first: frame {}, at {} ns",
                wild.len(),
                first.seq,
                first.captured_at.ns()
            );
        }
        if times.set_right > 0 {
            tracing::warn!(
                "camera `{name}`: its clock did not go forward at {} pictures; in {file} they follow at the nominal \
                 interval",
                times.set_right
            );
        }
    }
    Ok(())
}

fn about(take: &Take, pictures: &Pictures<'_>, view: &TakenView) -> Video {
    let is_blurred = pictures.are_blurred();
    let text = |key: &str| take.metadata.get(key).cloned();
    let tags = [
        ("CAMERA", Some(view.camera.name.to_string())),
        // People name cameras after those who sit before them, and after rooms.
        ("DESCRIPTION", (!is_blurred).then(|| view.camera.description.clone())),
        ("TIME_OFFSET_NS", Some(view.camera.offset_ns.to_string())),
        ("RECORDED_WITH", text("vultus").map(|version| format!("vultus {version}"))),
        ("DATE_RECORDED", text("started_utc")),
        ("CONSENT", text("consent")),
        ("FACES", is_blurred.then(|| "hidden where they were found".to_owned())),
    ];
    Video {
        name: view.camera.name.to_string(),
        period: view.camera.period,
        date: date(take),
        tags: tags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
    }
}

/// The times of a camera's pictures from `origin` on, which a video needs to grow.
struct Times {
    origin: Timestamp,
    period: Duration,
    last_ns: Option<u64>,
    /// How many did not grow.
    set_right: u64,
}

impl Times {
    fn of(&mut self, frame: &TakenFrame) -> u64 {
        let taken_ns = (frame.captured_at - self.origin).max(0) as u64;
        let time_ns = match self.last_ns {
            Some(last_ns) if taken_ns <= last_ns => {
                self.set_right += 1;
                last_ns + self.period.as_nanos() as u64
            }
            _ => taken_ns,
        };
        self.last_ns = Some(time_ns);
        time_ns
    }
}

/// Frame, place in the video and time in it.
type Row = (TakenFrame, usize, u64);

fn columns() -> Vec<Column<Row>> {
    vec![
        Column::whole("frame", |(_, n, _): &Row| Some(*n as i64)),
        Column::whole("time_ns", |(.., time_ns): &Row| Some(*time_ns as i64)),
        Column::whole("seq", |(frame, ..): &Row| Some(frame.seq as i64)),
        Column::whole("captured_ns", |(frame, ..): &Row| Some(frame.captured_at.ns())),
        Column::whole("received_ns", |(frame, ..): &Row| Some(frame.received_at.ns())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_video_grow_also_where_the_clock_goes_back() {
        let mut times =
            Times { origin: Timestamp::from_ns(100), period: Duration::from_nanos(33), last_ns: None, set_right: 0 };
        let mut of = |captured: i64| {
            let captured_at = Timestamp::from_ns(captured);
            times.of(&TakenFrame { seq: 0, captured_at, received_at: captured_at, picture: None })
        };
        assert_eq!([100, 134, 90, 160, 300].map(&mut of), [0, 34, 67, 100, 200]);
        assert_eq!(times.set_right, 2);
    }
}
