//! Changes as files for other programs: JSON lines, CSV, OCSF. Pure, but for the walk through the
//! log, and one record at a time, so that an export of any length takes the same memory.

pub mod csv;
mod ocsf;
mod walk;

use std::io::{self, Write};

use serde::Serialize;
use utoipa::ToSchema;

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
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::Csv, Self::Ocsf];

    /// The name that options and queries use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
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
        }
    }

    /// The media type of such a file.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// Writes what a file begins with.
    pub fn begin(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Jsonl | Self::Ocsf => Ok(()),
            Self::Csv => csv::head(out),
        }
    }

    /// Writes one change with its bodies, as the log holds them.
    pub fn write(
        self,
        change: &Change,
        bodies: &BodyTexts,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self {
            Self::Jsonl => {
                whole(change, bodies, out)?;
                out.write_all(b"\n")
            }
            Self::Csv => csv::change(change, bodies, out),
            Self::Ocsf => {
                serde_json::to_writer(&mut *out, &ocsf::event(change, bodies)?)?;
                out.write_all(b"\n")
            }
        }
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
