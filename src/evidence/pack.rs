//! Puts a bundle where it is wanted: a folder, or an archive with the same bytes each time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

use super::files::Named;

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct PackError {
    /// What could not be written.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes the files into a new folder.
///
/// # Errors
/// If there is something by that name, or it can not be written.
pub fn folder(path: &Path, files: &[Named]) -> Result<(), PackError> {
    fs::create_dir(path).map_err(|source| PackError { path: path.to_owned(), source })?;
    for file in files {
        let path = path.join(file.name);
        fs::write(&path, &file.bytes).map_err(|source| PackError { path, source })?;
    }
    Ok(())
}

/// Writes the files into a new archive, below a folder of this name: no dates, no owners, always in the same order.
///
/// # Errors
/// If there is something by that name, or it can not be written.
pub fn archive(path: &Path, top: &str, files: &[Named]) -> Result<(), PackError> {
    let failed = |source| PackError { path: path.to_owned(), source };
    let file = File::create_new(path).map_err(failed)?;
    write(&file, top, files).and_then(|()| file.sync_all()).map_err(failed)
}

fn write(file: &File, top: &str, files: &[Named]) -> io::Result<()> {
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(file, Compression::default());
    let mut tar = tar::Builder::new(gzip);
    for file in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(if file.name.ends_with(".py") { 0o755 } else { 0o644 });
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{top}/{}", file.name), file.bytes.as_slice())?;
    }
    tar.into_inner()?.finish()?.flush()
}
