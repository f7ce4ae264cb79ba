//! Puts a bundle where it is wanted: a folder, or an archive with the same bytes each time. It gets its name when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::csv::{csv_heading, csv_line};
use crate::durable;

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct PackError {
    /// What could not be written.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A bundle that is being written, in a folder beside its place whose name says that it is not whole. It goes away with this.
pub(super) struct Unfinished {
    dir: TempDir,
    folder: PathBuf,
}

/// A file of a bundle that is being written.
pub(super) struct Sheet {
    name: &'static str,
    path: PathBuf,
    out: BufWriter<File>,
    hash: Sha256,
}

/// A file that is written to its end, and its checksum.
pub(super) struct Finished {
    name: &'static str,
    sum: String,
}

/// A table as JSON Lines and as CSV.
pub(super) struct Table {
    columns: &'static [&'static str],
    json: Sheet,
    csv: Sheet,
}

impl Unfinished {
    /// Begins a bundle that will stand at `path`.
    ///
    /// # Errors
    /// If there is something by that name, or nothing can be written beside it.
    pub(super) fn begin(path: &Path) -> Result<Self, PackError> {
        let failed = |source| PackError { path: path.to_owned(), source };
        if path.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = tempfile::Builder::new().prefix("rekeyd-evidence-").suffix(".unfinished").tempdir_in(beside);
        let dir = dir.map_err(failed)?;
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).map_err(failed)?;
        Ok(Self { dir, folder })
    }

    /// Begins a file.
    pub(super) fn sheet(&self, name: &'static str) -> Result<Sheet, PackError> {
        let path = self.folder.join(name);
        let out = File::create_new(&path).map_err(|source| PackError { path: path.clone(), source })?;
        Ok(Sheet { name, path, out: BufWriter::new(out), hash: Sha256::new() })
    }

    /// Begins the two files of a table.
    pub(super) fn table(
        &self,
        json: &'static str,
        csv: &'static str,
        columns: &'static [&'static str],
    ) -> Result<Table, PackError> {
        let mut table = Table { columns, json: self.sheet(json)?, csv: self.sheet(csv)? };
        table.csv.write(csv_heading(columns).as_bytes())?;
        Ok(table)
    }

    /// Writes a whole file.
    pub(super) fn file(&self, name: &'static str, text: &str) -> Result<Finished, PackError> {
        let mut sheet = self.sheet(name)?;
        sheet.write(text.as_bytes())?;
        sheet.finish()
    }

    /// Adds the checksums, and gives the bundle its name: as an archive with a folder `top` in it, or as a folder. It writes
    /// over nothing.
    pub(super) fn finish(self, path: &Path, archive: Option<&str>, files: Vec<Finished>) -> Result<(), PackError> {
        let failed = |source| PackError { path: path.to_owned(), source };
        let sums: String = files.iter().map(|file| format!("{}  {}\n", file.sum, file.name)).collect();
        let sums = self.file("SHA256SUMS", &sums)?;
        let made = match archive {
            Some(top) => {
                let names = files.iter().chain([&sums]).map(|file| file.name);
                self.pack(top, names).map_err(failed)?
            }
            None => self.folder.clone(),
        };
        durable::name(&made, path).map_err(failed)
    }

    /// No dates, no owners, always in the same order.
    fn pack(&self, top: &str, names: impl Iterator<Item = &'static str>) -> io::Result<PathBuf> {
        let path = self.dir.path().join("archive");
        let file = BufWriter::new(File::create_new(&path)?);
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(file, Compression::default());
        let mut tar = tar::Builder::new(gzip);
        for name in names {
            let file = File::open(self.folder.join(name))?;
            let mut header = tar::Header::new_ustar();
            header.set_size(file.metadata()?.len());
            header.set_mode(if name.ends_with(".py") { 0o755 } else { 0o644 });
            header.set_mtime(0);
            tar.append_data(&mut header, format!("{top}/{name}"), file)?;
        }
        tar.into_inner()?.finish()?.flush()?;
        Ok(path)
    }
}

impl Sheet {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.hash.update(bytes);
        self.out.write_all(bytes).map_err(|source| PackError { path: self.path.clone(), source })
    }

    /// One object, on a line of its own.
    pub(super) fn line(&mut self, object: &Value) -> Result<(), PackError> {
        let mut line = serde_json::to_vec(object).expect("a JSON value can be written");
        line.push(b'\n');
        self.write(&line)
    }

    pub(super) fn finish(mut self) -> Result<Finished, PackError> {
        let written = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        written.map_err(|source| PackError { path: self.path, source })?;
        let sum = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Finished { name: self.name, sum })
    }
}

impl Table {
    pub(super) fn row(&mut self, object: &Value) -> Result<(), PackError> {
        self.json.line(object)?;
        self.csv.write(csv_line(self.columns, object).as_bytes())
    }

    pub(super) fn finish(self) -> Result<[Finished; 2], PackError> {
        Ok([self.json.finish()?, self.csv.finish()?])
    }
}
