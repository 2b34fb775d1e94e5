//! Changes as files for other programs: JSON lines, CSV, OCSF, Parquet. Pure, but for the walk
//! through the log, and one record, or one group of them, at a time, so that an export of any
//! length takes the same memory.

mod columns;
pub mod csv;
pub mod ocsf;
mod parquet;
mod walk;

use std::io::{self, Write};

use serde::Serialize;
use utoipa::ToSchema;

use self::parquet::ParquetFile;
pub use self::walk::ExportWalk;
use crate::audit::query::BodyTexts;
use crate::audit::record::Change;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line: the whole change, as the API shows it.
    Jsonl,
    /// CSV (RFC 4180) with a header row; no cell is a formula.
    Csv,
    /// One event of the Open Cybersecurity Schema Framework, 1.8.0, a line.
    Ocsf,
    /// Apache Parquet, compressed with zstd: the columns of CSV with their kinds.
    Parquet,
}

/// Writes the changes of one file.
pub struct Encoder(Encoding);

/// The format of a file, with what waits to be written of it.
enum Encoding {
    Jsonl,
    Csv,
    Ocsf,
    Parquet(Box<ParquetFile>),
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::Csv, Self::Ocsf, Self::Parquet];

    /// The name that options and queries use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
            Self::Parquet => "parquet",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The end of the name of such a file.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf.jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// The media type of such a file.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl Encoder {
    /// The encoder of a file.
    pub fn new(format: Format) -> io::Result<Self> {
        Ok(Self(match format {
            Format::Jsonl => Encoding::Jsonl,
            Format::Csv => Encoding::Csv,
            Format::Ocsf => Encoding::Ocsf,
            Format::Parquet => Encoding::Parquet(Box::new(ParquetFile::new()?)),
        }))
    }

    /// Appends what a file begins with, where it is not the rest of another one.
    pub fn begin(&self, out: &mut Vec<u8>) -> io::Result<()> {
        if let Encoding::Csv = self.0 { csv::head(out) } else { Ok(()) }
    }

    /// Appends one change with its bodies, as the log holds them; of Parquet many are appended
    /// together, later.
    pub fn write(
        &mut self,
        change: &Change,
        bodies: &BodyTexts,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match &mut self.0 {
            Encoding::Jsonl => {
                whole(change, bodies, out)?;
                out.write_all(b"\n")
            }
            Encoding::Csv => csv::change(change, bodies, out),
            Encoding::Ocsf => {
                serde_json::to_writer(&mut *out, &ocsf::event(change, bodies)?)?;
                out.write_all(b"\n")
            }
            Encoding::Parquet(file) => file.change(change, bodies, out),
        }
    }

    /// Whether one change may bring the work of many with it.
    #[must_use]
    pub fn may_take_long(&self) -> bool {
        matches!(self.0, Encoding::Parquet(_))
    }

    /// Appends what a file ends with.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if let Encoding::Parquet(file) = &mut self.0 { file.finish(out) } else { Ok(()) }
    }
}

/// Writes a change with its bodies as one JSON object. These are written as the log holds them: a
/// document of tens of megabytes is made into values only to find out where two of them differ.
pub fn whole(change: &Change, bodies: &BodyTexts, out: &mut impl Write) -> io::Result<()> {
    let bare = serde_json::to_vec(change)?;
    out.write_all(bare.strip_suffix(b"}").unwrap_or(&bare))?;
    for (name, text) in
        [("patch", &bodies.patch), ("before", &bodies.before), ("after", &bodies.after)]
    {
        out.write_all(format!(",\"{name}\":").as_bytes())?;
        out.write_all(text.as_ref().map_or(b"null", |text| text.as_slice()))?;
    }
    out.write_all(b",\"diff\":")?;
    serde_json::to_writer(&mut *out, &bodies.diff(change)?)?;
    out.write_all(b"}")
}
