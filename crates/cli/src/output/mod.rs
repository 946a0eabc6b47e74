//! stdout: data, as a table for people or as documents for programs.
//!
//! Documents (JSON, and the same as YAML) are promised to stay as docs/reference/json.md says; tables are not.

pub(crate) mod documents;
pub(crate) mod plan;
mod table;
mod units;
mod yaml;

pub(crate) use table::{Align, Table, print_fields};
pub(crate) use units::{
    ByteSize, age, count, counted, duration, item_time, item_time_exact, point_in_time, positive_size, ratio,
    record_time, size,
};

use std::borrow::Cow;
use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;
use serde::Serialize;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// The same with more columns
    Wide,
    /// Documents whose fields stay as they are
    Json,
    /// The same documents as YAML
    Yaml,
    /// Names only, one a line
    Name,
}

impl Format {
    pub(crate) fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// stdout for one command.
pub(crate) struct Output {
    format: Format,
    writer: BufWriter<AutoStream<StdoutLock<'static>>>,
    /// Elements of a list that were written.
    elements: u64,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, writer: BufWriter::with_capacity(64 << 10, anstream::stdout().lock()), elements: 0 }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// A single document.
    pub(crate) fn document(&mut self, document: &impl Serialize) -> io::Result<()> {
        if self.format == Format::Yaml {
            return yaml::write(&mut self.writer, &serde_json::to_value(document)?);
        }
        serde_json::to_writer_pretty(&mut self.writer, document)?;
        writeln!(self.writer)
    }

    /// The next element of a list of any length: one line each in JSON.
    pub(crate) fn element(&mut self, element: &impl Serialize) -> io::Result<()> {
        self.elements += 1;
        if self.format == Format::Yaml {
            return yaml::write_element(&mut self.writer, &serde_json::to_value(element)?);
        }
        self.writer.write_all(if self.elements == 1 { b"[\n" } else { b",\n" })?;
        serde_json::to_writer(&mut self.writer, element)?;
        Ok(())
    }

    /// Ends a list, which may have had no element.
    pub(crate) fn end_list(&mut self) -> io::Result<()> {
        match (self.format, self.elements) {
            (_, 0) => writeln!(self.writer, "[]"),
            (Format::Yaml, _) => Ok(()),
            _ => writeln!(self.writer, "\n]"),
        }
    }

    /// Begins a document that holds elements in a list, as `kubectl` takes them.
    pub(crate) fn begin_objects(&mut self) -> io::Result<()> {
        match self.format {
            Format::Yaml => self.writer.write_all(b"apiVersion: v1\nkind: List\nitems:\n"),
            _ => self.writer.write_all(b"{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": "),
        }
    }

    pub(crate) fn end_objects(&mut self) -> io::Result<()> {
        self.end_list()?;
        if self.format == Format::Yaml { Ok(()) } else { writeln!(self.writer, "}}") }
    }

    /// Everything was written: says so if the reader is gone, or a disk behind the redirection is full.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A document as YAML, for files.
pub(crate) fn to_yaml(document: &serde_json::Value) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    yaml::write(&mut text, document)?;
    Ok(text)
}

/// Makes control characters visible: names in a backup are other people's words.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// The short form of a snapshot's id: enough for a person, and for the command line.
pub(crate) fn short(id: &backstay_format::ids::SnapshotId) -> String {
    id.short()
}
