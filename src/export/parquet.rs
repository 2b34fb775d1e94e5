//! Apache Parquet: the columns of CSV with their kinds, compressed with zstd.

use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::columns::{COLUMNS, Cell, Kind, WIDTH, row};
use crate::audit::query::BodyTexts;
use crate::audit::record::Change;

/// The most rows that are compressed together.
const GROUP_ROWS_MAX: usize = 50_000;

/// The bytes of values after which a group ends: bodies may be megabytes each. What the file's
/// index says of a group is held until the end, so that many small ones would take more room.
const GROUP_BYTES: usize = 24 << 20;

/// The name under which a file tells the seq of its last change, behind which another goes on.
const CURSOR: &str = "changegate.cursor";

/// A file that is being written.
pub(super) struct ParquetFile {
    writer: SerializedFileWriter<Vec<u8>>,
    /// The values of the rows that are not written yet, column by column.
    columns: [Vec<Cell>; WIDTH],
    rows: usize,
    bytes: usize,
    last: Option<i64>,
}

impl ParquetFile {
    pub(super) fn new() -> io::Result<Self> {
        let schema = parse_message_type(&schema()).map_err(broken)?;
        let properties = Arc::new(properties());
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties);
        let columns = std::array::from_fn(|_column| Vec::new());
        Ok(Self { writer: writer.map_err(broken)?, columns, rows: 0, bytes: 0, last: None })
    }

    /// Adds a change, and hands over the bytes of a group that is whole with it.
    pub(super) fn change(
        &mut self,
        change: &Change,
        bodies: &BodyTexts,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(row(change, bodies)?) {
            self.bytes += cell.bytes();
            column.push(cell);
        }
        self.rows += 1;
        self.last = Some(change.seq);
        if self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES {
            self.group().map_err(broken)?;
        }
        self.hand_over(out);
        Ok(())
    }

    /// Ends the file: its index comes last.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.rows > 0 {
            self.group().map_err(broken)?;
        }
        let cursor = self.last.map(|seq| seq.to_string());
        self.writer.append_key_value_metadata(KeyValue::new(CURSOR.to_owned(), cursor));
        self.writer.finish().map_err(broken)?;
        self.hand_over(out);
        Ok(())
    }

    /// Writes the rows that wait as a group.
    fn group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for ((_name, kind), cells) in COLUMNS.iter().zip(&mut self.columns) {
            let Some(mut column) = group.next_column()? else { break };
            write(&mut column, *kind, std::mem::take(cells))?;
            column.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    fn hand_over(&mut self, out: &mut Vec<u8>) {
        out.append(self.writer.inner_mut());
    }
}

/// How files are written: with the least and the greatest value of a column in each group, by which
/// readers leave out groups, but for JSON, of which these tell nothing.
fn properties() -> WriterProperties {
    let json = COLUMNS.iter().filter(|(_name, kind)| *kind == Kind::Json);
    let builder = WriterProperties::builder()
        .set_created_by(concat!("changegate ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    json.fold(builder, |builder, (name, _kind)| {
        builder.set_column_statistics_enabled((*name).into(), EnabledStatistics::None)
    })
    .build()
}

/// Writes the values of a column.
fn write(
    column: &mut SerializedColumnWriter<'_>,
    kind: Kind,
    cells: Vec<Cell>,
) -> Result<(), ParquetError> {
    let number = |cell| match cell {
        Cell::Number(number) => Some(number),
        Cell::Time(at) => Some(at.millis()),
        _nothing => None,
    };
    let flag = |cell| if let Cell::Flag(flag) = cell { Some(flag) } else { None };
    let text = |cell| match cell {
        Cell::Text(text) => Some(ByteArray::from(text.into_bytes())),
        _nothing => None,
    };
    match kind {
        Kind::Number | Kind::Time => values::<Int64Type>(column, cells, number),
        Kind::Flag => values::<BoolType>(column, cells, flag),
        Kind::Text | Kind::Json => values::<ByteArrayType>(column, cells, text),
    }
}

fn values<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    cells: Vec<Cell>,
    value: impl Fn(Cell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let mut values = Vec::with_capacity(cells.len());
    let mut is_there = Vec::with_capacity(cells.len());
    for cell in cells {
        let found = value(cell);
        is_there.push(i16::from(found.is_some()));
        values.extend(found);
    }
    column.typed::<T>().write_batch(&values, Some(&is_there), None).map(drop)
}

/// The schema, in the words of Parquet. Every column may be null.
fn schema() -> String {
    let column = |(name, kind): &(&str, Kind)| {
        let typed = match kind {
            Kind::Number => format!("int64 {name}"),
            Kind::Time => format!("int64 {name} (TIMESTAMP(MILLIS,true))"),
            Kind::Flag => format!("boolean {name}"),
            Kind::Text => format!("binary {name} (STRING)"),
            Kind::Json => format!("binary {name} (JSON)"),
        };
        format!("optional {typed};")
    };
    let columns: String = COLUMNS.iter().map(column).collect();
    format!("message changes {{ {columns} }}")
}

fn broken(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
