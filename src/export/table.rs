//! Tables: a column is defined once, and written as text (CSV) or as it is (Parquet).

use std::path::PathBuf;

use super::ExportError;
use super::folder::{OutFile, OutFolder, failure};
use super::parquet::ParquetFile;
use super::pictures::step;

/// Rows of a row group in Parquet, which are in memory at once.
const ROW_GROUP: usize = 8192;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableFormat {
    Csv,
    Parquet,
}

/// A column: its name, and what stands in it for a row. `None` is an empty cell.
pub(super) struct Column<R> {
    pub name: String,
    pub cells: Cells<R>,
}

/// Reads a cell of a row.
type Cell<R, T> = Box<dyn Fn(&R) -> Option<T>>;

/// What stands in a column.
pub(super) enum Cells<R> {
    Whole(Cell<R, i64>),
    Real(Cell<R, f64>),
    Text(Cell<R, String>),
    Flag(Cell<R, bool>),
}

impl<R> Column<R> {
    pub(super) fn whole(name: impl Into<String>, cell: impl Fn(&R) -> Option<i64> + 'static) -> Self {
        Self { name: name.into(), cells: Cells::Whole(Box::new(cell)) }
    }

    pub(super) fn real(name: impl Into<String>, cell: impl Fn(&R) -> Option<f64> + 'static) -> Self {
        Self { name: name.into(), cells: Cells::Real(Box::new(cell)) }
    }

    pub(super) fn text(name: impl Into<String>, cell: impl Fn(&R) -> Option<String> + 'static) -> Self {
        Self { name: name.into(), cells: Cells::Text(Box::new(cell)) }
    }

    pub(super) fn flag(name: impl Into<String>, cell: impl Fn(&R) -> Option<bool> + 'static) -> Self {
        Self { name: name.into(), cells: Cells::Flag(Box::new(cell)) }
    }

    fn as_text(&self, row: &R) -> String {
        let text = match &self.cells {
            Cells::Whole(cell) => cell(row).map(|value| value.to_string()),
            Cells::Real(cell) => cell(row).map(|value| value.to_string()),
            Cells::Text(cell) => cell(row),
            Cells::Flag(cell) => cell(row).map(|value| value.to_string()),
        };
        text.unwrap_or_default()
    }
}

/// A table that is being written.
pub(super) struct Table<R> {
    columns: Vec<Column<R>>,
    sink: Sink<R>,
    /// Its file, for messages.
    shown: PathBuf,
}

enum Sink<R> {
    Csv(Box<csv::Writer<OutFile>>),
    /// With the rows of the next group.
    Parquet(Box<ParquetFile>, Vec<R>),
}

impl<R> Table<R> {
    /// Begins the table `name` (without an ending) in `folder`.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(super) fn begin(
        folder: &OutFolder,
        name: &str,
        format: TableFormat,
        columns: Vec<Column<R>>,
    ) -> Result<Self, ExportError> {
        let ending = match format {
            TableFormat::Csv => "csv",
            TableFormat::Parquet => "parquet",
        };
        let file = folder.create(format!("{name}.{ending}"))?;
        let shown = file.shown().to_owned();
        let sink = match format {
            TableFormat::Csv => {
                let mut csv = csv::Writer::from_writer(file);
                csv.write_record(columns.iter().map(|column| &column.name)).map_err(|error| failure(&shown, error))?;
                Sink::Csv(Box::new(csv))
            }
            TableFormat::Parquet => Sink::Parquet(Box::new(ParquetFile::begin(file, name, &columns)?), Vec::new()),
        };
        Ok(Self { columns, sink, shown })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(super) fn push(&mut self, row: R) -> Result<(), ExportError> {
        match &mut self.sink {
            Sink::Csv(csv) => csv
                .write_record(self.columns.iter().map(|column| column.as_text(&row)))
                .map_err(|error| failure(&self.shown, error)),
            Sink::Parquet(file, rows) => {
                rows.push(row);
                if rows.len() == ROW_GROUP {
                    file.write(&self.columns, rows)?;
                    rows.clear();
                }
                Ok(())
            }
        }
    }

    /// Writes what is left and closes the file.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(super) fn finish(self, folder: &mut OutFolder) -> Result<(), ExportError> {
        let file = match self.sink {
            Sink::Csv(csv) => csv.into_inner().map_err(|error| failure(&self.shown, error.error()))?,
            Sink::Parquet(mut file, rows) => {
                file.write(&self.columns, &rows)?;
                file.finish()?
            }
        };
        folder.close(file)
    }
}

/// Writes a whole table; every row is a step. Returns how many there are.
///
/// # Errors
/// [`ExportError::Write`] and [`ExportError::BrokenOff`].
pub(super) fn write<R>(
    folder: &mut OutFolder,
    name: &str,
    format: TableFormat,
    columns: Vec<Column<R>>,
    rows: impl IntoIterator<Item = R>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<usize, ExportError> {
    let mut table = Table::begin(folder, name, format, columns)?;
    let mut count = 0;
    for row in rows {
        table.push(row)?;
        step(goes_on)?;
        count += 1;
    }
    table.finish(folder).map(|()| count)
}
