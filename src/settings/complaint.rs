//! Complaints about a configuration, each with its place and its fix.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::excerpt::excerpt;

/// The most characters of a complaint.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// The most complaints that are told at once: nobody reads more, and the first are fixed first.
const COMPLAINTS_MAX: usize = 100;

/// The word in place of a file where a variable is complained of.
const ENVIRONMENT: &str = "environment";

/// One thing that is wrong or doubtful, with its place and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file; `environment` where a variable is meant, which the message then names.
    pub file: PathBuf,
    /// Line in it, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// Column in the line, in characters from 1, where it is told.
    pub column: Option<usize>,
    /// Whether it only warns.
    pub warning: bool,
    /// A sentence that says what is wrong and how to fix it.
    pub message: String,
}

/// Where something was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// In the file as a whole, or nowhere.
    File,
    /// On a line of the file, from 1.
    Line(usize),
    /// At a column of a line of the file, both from 1.
    Column(usize, usize),
    /// In a variable of the environment.
    Variable(Arc<str>),
}

/// Complaints as they are found.
#[derive(Debug)]
pub(crate) struct Complaints {
    file: PathBuf,
    found: Vec<Complaint>,
}

impl Complaints {
    pub(crate) fn about(file: PathBuf) -> Self {
        Self { file, found: Vec::new() }
    }

    /// Says what forbids the configuration.
    pub(crate) fn error(&mut self, place: &Location, message: &str) {
        self.add(place, false, message);
    }

    /// Says what is doubtful.
    pub(crate) fn warn(&mut self, place: &Location, message: &str) {
        self.add(place, true, message);
    }

    /// Takes a complaint about another file.
    pub(crate) fn add_whole(&mut self, mut complaint: Complaint) {
        complaint.message = excerpt(&complaint.message, MESSAGE_CHARS_MAX);
        self.found.push(complaint);
    }

    /// Everything found: the configuration file by its lines, other files, the environment.
    pub(crate) fn in_order(mut self) -> Vec<Complaint> {
        let environment = PathBuf::from(ENVIRONMENT);
        self.found.sort_by_key(|c| (c.file == environment, c.file != self.file, c.line, c.column));
        self.found.dedup();
        let more = self.found.split_off(self.found.len().min(COMPLAINTS_MAX));
        if !more.is_empty() {
            // What forbids the configuration is not lost among what only warns.
            let warning = more.iter().all(|complaint| complaint.warning);
            let message = format!("and {} more like these: fix them first", more.len());
            let (file, line, column) = (self.file, None, None);
            self.found.push(Complaint { file, line, column, warning, message });
        }
        self.found
    }

    fn add(&mut self, place: &Location, warning: bool, message: &str) {
        let (file, message) = match place {
            Location::Variable(name) => (ENVIRONMENT.into(), format!("{name}: {message}")),
            _ => (self.file.clone(), message.to_owned()),
        };
        // It may repeat what was typed: names, paths.
        let message = excerpt(&message, MESSAGE_CHARS_MAX);
        let (line, column) = (place.line(), place.column());
        self.found.push(Complaint { file, line, column, warning, message });
    }
}

impl Location {
    /// The line of the file; `None` where no line is meant.
    pub(crate) const fn line(&self) -> Option<usize> {
        match self {
            Self::Line(line) | Self::Column(line, _) => Some(*line),
            Self::File | Self::Variable(_) => None,
        }
    }

    const fn column(&self) -> Option<usize> {
        match self {
            Self::Column(_, column) => Some(*column),
            Self::File | Self::Line(_) | Self::Variable(_) => None,
        }
    }
}

impl Complaint {
    /// `warning` or `error`.
    #[must_use]
    pub const fn severity(&self) -> &'static str {
        if self.warning { "warning" } else { "error" }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(column) = self.column {
            write!(f, "{column}:")?;
        }
        write!(f, " {}: {}", self.severity(), self.message)
    }
}
