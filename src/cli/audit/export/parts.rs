//! An export in parts: files of so many changes each, and one that says how far it is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use super::{Failure, Sink, failed, not_written};
use crate::audit::query::{BodyTexts, Filter};
use crate::audit::record::Change;
use crate::base::clock::Timestamp;
use crate::base::count::counted;
use crate::base::file;
use crate::export::{Encoder, Format};

/// The file that says how far an export is.
const STATE: &str = "export.json";

/// How far an export is.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    format: String,
    /// The filter as it was typed.
    filter: String,
    /// The moments that its times meant when it was begun, in RFC 3339.
    since: Option<String>,
    until: Option<String>,
    /// How many files are whole, and how many changes they hold.
    parts: u64,
    rows: u64,
    /// The seq of the last change in them.
    cursor: Option<i64>,
    is_done: bool,
}

/// The files of an export.
pub(super) struct Parts {
    folder: PathBuf,
    format: Format,
    filter: Filter,
    rows_max: u64,
    state: State,
    open: Option<Part>,
}

/// A file that is being written: nobody takes it for a whole one, by its name.
struct Part {
    file: BufWriter<File>,
    encoder: Encoder,
    /// Bytes that are written next.
    written: Vec<u8>,
    path: PathBuf,
    rows: u64,
    last: i64,
}

impl Parts {
    /// The export of a folder: a new one, or one that was broken off.
    pub(super) fn open(
        folder: &Path,
        format: Format,
        asked: &str,
        filter: Filter,
        rows_max: u64,
    ) -> Result<Self, Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| failed(error, folder))?;
        let path = folder.join(STATE);
        let state = match file::text(&path) {
            Ok(text) => known(&text, folder, format, asked)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                State::new(format, asked, &filter)
            }
            Err(error) => return Err(failed(error, &path)),
        };
        let time =
            |text: &Option<String>| text.as_deref().and_then(|text| Timestamp::parse(text).ok());
        let filter = Filter { since: time(&state.since), until: time(&state.until), ..filter };
        let folder = folder.to_owned();
        let parts = Self { folder, format, filter, rows_max, state, open: None };
        parts.save()?;
        Ok(parts)
    }

    pub(super) fn is_done(&self) -> bool {
        self.state.is_done
    }

    /// The changes that are asked for: times that were given as "7d" mean what they meant at first.
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The place before which the export goes on.
    pub(super) fn before(&self) -> Option<i64> {
        self.state.cursor
    }

    /// Closes the last file. Returns what there is.
    pub(super) fn finish(mut self) -> Result<String, Failure> {
        self.close()?;
        self.state.is_done = true;
        self.save()?;
        let (rows, parts, folder) = (self.state.rows, self.state.parts, self.folder.display());
        let (rows, parts) = (counted(rows, "change"), counted(parts, "file"));
        Ok(format!("{rows} exported into {parts} in {folder}"))
    }

    fn part(&mut self) -> Result<&mut Part, Failure> {
        let name = format!("changes-{:06}.{}", self.state.parts + 1, self.format.extension());
        let path = self.folder.join(name);
        if self.open.is_none() {
            let unfinished = unfinished(&path);
            let file = private(&unfinished).map_err(|error| failed(error, &unfinished))?;
            let file = BufWriter::new(file);
            let encoder = Encoder::new(self.format).map_err(not_written)?;
            let mut written = Vec::new();
            encoder.begin(&mut written).map_err(not_written)?;
            self.open = Some(Part { file, encoder, written, path, rows: 0, last: 0 });
        }
        self.open.as_mut().ok_or_else(|| not_written(io::ErrorKind::NotFound.into()))
    }

    /// Makes the file that is being written a whole one, and says so.
    fn close(&mut self) -> Result<(), Failure> {
        let Some(mut part) = self.open.take() else { return Ok(()) };
        part.encoder.finish(&mut part.written).map_err(not_written)?;
        part.write()?;
        let Part { file, path, rows, last, .. } = part;
        let kept = file.into_inner().map_err(io::IntoInnerError::into_error);
        let kept = kept.and_then(|file| file.sync_all());
        let kept = kept.and_then(|()| fs::rename(unfinished(&path), &path));
        kept.map_err(|error| failed(error, &path))?;
        self.state.parts += 1;
        self.state.rows += rows;
        self.state.cursor = Some(last);
        self.save()
    }

    fn save(&self) -> Result<(), Failure> {
        let path = self.folder.join(STATE);
        let write = || -> io::Result<()> {
            let mut file = private(&unfinished(&path))?;
            file.write_all(serde_json::to_string_pretty(&self.state)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(unfinished(&path), &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| failed(error, &path))
    }
}

impl Sink for Parts {
    fn begin(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn take(&mut self, change: &Change, bodies: &BodyTexts) -> Result<(), Failure> {
        let rows_max = self.rows_max;
        let part = self.part()?;
        part.encoder.write(change, bodies, &mut part.written).map_err(not_written)?;
        part.write()?;
        part.rows += 1;
        part.last = change.seq;
        if part.rows >= rows_max { self.close() } else { Ok(()) }
    }
}

impl Part {
    fn write(&mut self) -> Result<(), Failure> {
        let done = self.file.write_all(&self.written).map_err(|error| failed(error, &self.path));
        self.written.clear();
        done
    }
}

impl State {
    fn new(format: Format, asked: &str, filter: &Filter) -> Self {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            format: format.name().to_owned(),
            filter: asked.to_owned(),
            since: time(filter.since),
            until: time(filter.until),
            parts: 0,
            rows: 0,
            cursor: None,
            is_done: false,
        }
    }
}

/// The state that a file tells of, where it is that of this export.
fn known(text: &str, folder: &Path, format: Format, asked: &str) -> Result<State, Failure> {
    let shown = folder.display();
    let state: State = serde_json::from_str(text).map_err(|error| {
        let path = folder.join(STATE);
        Failure::Usage(anyhow!("{} says nothing of an export: {error}", path.display()))
    })?;
    if state.format != format.name() || state.filter != asked {
        return Err(Failure::Usage(anyhow!(
            "{shown} holds another export, in {} with other filters or none: name another folder",
            state.format
        )));
    }
    Ok(state)
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The name of a file for as long as it is not whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
