//! A table as a Parquet file: plain columns, each of which may be empty in a row, one row group after another.
//!
//! Uncompressed, as the tables are small beside the pictures.

use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::ExportError;
use super::folder::{OutFile, failure};
use super::table::{Cells, Column};

/// A file that is being written.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<OutFile>,
    shown: PathBuf,
}

impl ParquetFile {
    /// Begins a table of these columns.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(super) fn begin<R>(file: OutFile, name: &str, columns: &[Column<R>]) -> Result<Self, ExportError> {
        let shown = file.shown().to_owned();
        let begin = || {
            let fields = columns.iter().map(|column| field(column).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
            let schema = Type::group_type_builder(name).with_fields(fields).build()?;
            let properties =
                WriterProperties::builder().set_created_by(concat!("vultus ", env!("CARGO_PKG_VERSION")).to_owned());
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build()))
        };
        let writer = begin().map_err(|error: ParquetError| failure(&shown, error))?;
        Ok(Self { writer, shown })
    }

    /// Adds rows, as a group of their own.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(super) fn write<R>(&mut self, columns: &[Column<R>], rows: &[R]) -> Result<(), ExportError> {
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            for column in columns {
                match &column.cells {
                    Cells::Whole(cell) => put::<Int64Type>(&mut group, rows.iter().map(cell)),
                    Cells::Real(cell) => put::<DoubleType>(&mut group, rows.iter().map(cell)),
                    Cells::Flag(cell) => put::<BoolType>(&mut group, rows.iter().map(cell)),
                    Cells::Text(cell) => {
                        let text = |row| cell(row).map(|text| ByteArray::from(text.into_bytes()));
                        put::<ByteArrayType>(&mut group, rows.iter().map(text))
                    }
                }?;
            }
            group.close().map(|_| ())
        };
        write().map_err(|error: ParquetError| failure(&self.shown, error))
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub(super) fn finish(self) -> Result<OutFile, ExportError> {
        self.writer.into_inner().map_err(|error| failure(&self.shown, error))
    }
}

fn field<R>(column: &Column<R>) -> Result<Type, ParquetError> {
    let (kind, converted, logical) = match column.cells {
        Cells::Whole(_) => (Physical::INT64, ConvertedType::NONE, None),
        Cells::Real(_) => (Physical::DOUBLE, ConvertedType::NONE, None),
        Cells::Flag(_) => (Physical::BOOLEAN, ConvertedType::NONE, None),
        Cells::Text(_) => (Physical::BYTE_ARRAY, ConvertedType::UTF8, Some(LogicalType::String)),
    };
    Type::primitive_type_builder(&column.name, kind)
        .with_repetition(Repetition::OPTIONAL)
        .with_converted_type(converted)
        .with_logical_type(logical)
        .build()
}

/// Adds the next column of a group.
fn put<T: DataType<T: Sized>>(
    group: &mut SerializedRowGroupWriter<'_, OutFile>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut values, mut is_there) = (Vec::new(), Vec::new());
    for cell in cells {
        is_there.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(&values, Some(&is_there), None)?;
        column.close()?;
    }
    Ok(())
}
