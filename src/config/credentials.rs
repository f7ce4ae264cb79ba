//! Opens the files that the configuration names: secrets and certificates. The only place that reads a secret.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};

use super::document::{Document, Written};
use super::environment::Environment;
use super::managers::{ClientIdentityFiles, ManagerFile, SecretSource};
use super::receivers::{AddressSource, ReceiverFile};
use super::settings::{ClientIdentity, Manager, Receiver, ReceiverForm};
use super::value::Misfit;

/// No key and no bundle of authorities is larger; what is, is something else.
const LARGEST: u64 = 1 << 20;

/// Everyone but the owner, as bits of a file's mode.
const OTHERS: u32 = 0o077;

/// Something could not be opened. What and why is noted in the document, among its problems.
#[derive(Debug)]
pub(super) struct Noted;

/// Opens what a manager needs. Everything is tried before anything is given up.
pub(super) fn open(file: &ManagerFile, document: &Document<'_>, environment: &Environment) -> Result<Manager, Noted> {
    let files = Files { document, credentials: environment.credentials_directory.as_deref() };
    let private_key = file.private_key.as_ref().map(|source| files.one_line("private_key", source)).transpose();
    let ca_pem = file.ca_file.as_ref().map(|path| files.certificates("ca_file", path)).transpose();
    let client_identity = file.client_identity.as_ref().map(|paths| files.client_identity(paths)).transpose();
    let rules = file.rules.as_ref().ok_or(Noted)?;
    Ok(Manager {
        name: file.name.clone().ok_or(Noted)?,
        url: file.url.clone().ok_or(Noted)?,
        public_key: file.public_key.clone().ok_or(Noted)?,
        private_key: private_key?.ok_or(Noted)?,
        ca_pem: ca_pem?,
        client_identity: client_identity?,
        proxy: file.proxy.clone(),
        request_timeout: file.request_timeout,
        max_concurrent: rules.max_concurrent,
        requests_per_second: file.requests_per_second,
        discover_every: file.discover_every,
        projects: rules.projects.iter().map(|rules| rules.project.clone()).collect(),
    })
}

/// Reads a private key that no document names.
pub(super) fn try_out(source: &SecretSource, environment: &Environment) -> Result<(), Misfit> {
    let files = Files { document: &Document::new(""), credentials: environment.credentials_directory.as_deref() };
    files.line_of(source).map(drop)
}

/// Opens the key that signs checkpoints. What is in it is for others to say.
pub(super) fn open_checkpoint_key(
    source: &Written<SecretSource>,
    document: &Document<'_>,
    environment: &Environment,
) -> Option<SecretString> {
    let files = Files { document, credentials: environment.credentials_directory.as_deref() };
    let secret = files.path_of(&source.value).and_then(|path| files.secret(&path));
    files.noted("checkpoint_key", source, secret).ok()
}

/// Opens what a receiver needs. Everything is tried before anything is given up.
pub(super) fn open_receiver(
    file: &ReceiverFile,
    document: &Document<'_>,
    environment: &Environment,
) -> Result<Receiver, Noted> {
    let files = Files { document, credentials: environment.credentials_directory.as_deref() };
    let url = file.url.as_ref().map(|source| files.address(source)).transpose();
    let authorization = file.authorization.as_ref().map(|source| files.one_line("authorization", source)).transpose();
    let ca_pem = file.ca_file.as_ref().map(|path| files.certificates("ca_file", path)).transpose();
    let url = url?.ok_or(Noted)?;
    Ok(Receiver {
        name: file.name.clone().ok_or(Noted)?,
        form: file.form,
        shown: url.origin().ascii_serialization(),
        url: SecretString::from(destination(url, file.form).to_string()),
        authorization: authorization?,
        ca_pem: ca_pem?,
        proxy: file.proxy.clone(),
    })
}

/// An Alertmanager is named by its own address, as everywhere; what takes alerts is a path below that.
fn destination(mut url: Url, form: ReceiverForm) -> Url {
    const ALERTS: &str = "api/v2/alerts";
    match form {
        ReceiverForm::Alertmanager { .. } if !url.path().ends_with(ALERTS) => {
            let path = format!("{}/{ALERTS}", url.path().trim_end_matches('/'));
            url.set_path(&path);
            url
        }
        ReceiverForm::Alertmanager { .. } | ReceiverForm::Webhook { .. } | ReceiverForm::Heartbeat { .. } => url,
    }
}

/// Why a file cannot be read, in words.
pub(super) fn reason(error: &io::Error) -> String {
    let words = [
        (io::ErrorKind::NotFound, "there is no such file"),
        (io::ErrorKind::PermissionDenied, "this user may not read it"),
        (io::ErrorKind::InvalidData, "it is not text in UTF-8"),
        (io::ErrorKind::IsADirectory, "it is a directory"),
    ];
    let known = words.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| words.to_owned())
}

struct Files<'a> {
    document: &'a Document<'a>,
    /// Files in here are guarded by systemd, which may give a group the right to read them.
    credentials: Option<&'a Path>,
}

impl Files<'_> {
    fn address(&self, source: &Written<AddressSource>) -> Result<Url, Noted> {
        match &source.value {
            AddressSource::Here(url) => Ok(url.clone()),
            AddressSource::Secret(secret) => {
                let text = self.one_line("url", &Written { value: secret.clone(), spot: source.spot.clone() })?;
                let url = Url::parse(text.expose_secret()).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
                // It is not shown, since it is a secret.
                let url = url.ok_or_else(|| Misfit::new("holds no http or https address"));
                self.noted("url", source, url)
            }
        }
    }

    fn one_line(&self, setting: &str, source: &Written<SecretSource>) -> Result<SecretString, Noted> {
        self.noted(setting, source, self.line_of(&source.value))
    }

    fn line_of(&self, source: &SecretSource) -> Result<SecretString, Misfit> {
        let path = self.path_of(source)?;
        let secret = self.secret(&path)?;
        if secret.expose_secret().contains(['\n', '\r']) {
            return Err(Misfit::new(format!("has more than one line in {}", path.display())));
        }
        Ok(secret)
    }

    fn path_of(&self, source: &SecretSource) -> Result<PathBuf, Misfit> {
        match (source, self.credentials) {
            (SecretSource::File(path), _) => {
                self.document.opened(path);
                Ok(path.clone())
            }
            (SecretSource::Credential(name), Some(directory)) => {
                let path = directory.join(name);
                // A name of which there is no file is not repeated: some will put the key itself there.
                match fs::symlink_metadata(&path) {
                    Ok(_) => Ok(path),
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        let what =
                            format!("names a credential in {}, which this user may not open", directory.display());
                        Err(Misfit::new(what).with_help("come as root: `sudo rekeyd ...`"))
                    }
                    Err(_) => {
                        let what = format!("names a credential that is not in {}", directory.display());
                        Err(Misfit::new(what).with_help("the unit hands it over with LoadCredential=NAME:/PATH"))
                    }
                }
            }
            (SecretSource::Credential(_), None) => {
                let what = "names a credential, but there is no credentials directory";
                Err(Misfit::new(what).with_help(
                    "systemd makes one for the daemon, as long as that runs. While it does not, name the directory that holds a file of that name: `sudo env CREDENTIALS_DIRECTORY=/etc/rekeyd rekeyd ...`",
                ))
            }
        }
    }

    fn client_identity(&self, paths: &ClientIdentityFiles) -> Result<ClientIdentity, Noted> {
        let certificates = self.certificates("client_cert_file", &paths.certificates);
        self.document.opened(&paths.key.value);
        let key = self.secret(&paths.key.value).and_then(|key| {
            PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
                .map(|_| key)
                .map_err(|_| Misfit::new(format!("holds no private key in PEM: {}", paths.key.value.display())))
        });
        let key = self.noted("client_key_file", &paths.key, key);
        Ok(ClientIdentity { certificates_pem: certificates?, key_pem: key? })
    }

    fn certificates(&self, setting: &str, path: &Written<PathBuf>) -> Result<Vec<u8>, Noted> {
        self.document.opened(&path.value);
        let pem = bytes_of(&path.value).and_then(|pem| {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            match certificates {
                Ok(certificates) if !certificates.is_empty() => Ok(pem),
                Ok(_) | Err(_) => Err(Misfit::new(format!("holds no certificates in PEM: {}", path.value.display()))),
            }
        });
        self.noted(setting, path, pem)
    }

    /// The text of a file that nobody else can read, without the line break that editors put at its end.
    fn secret(&self, path: &Path) -> Result<SecretString, Misfit> {
        let bytes = bytes_of(path)?;
        if !self.is_guarded(path) {
            let mode = fs::metadata(path).map_err(|error| unreadable(path, &error))?.permissions().mode();
            if mode & OTHERS != 0 {
                let what =
                    format!("is open to others than its owner: {} has mode {:03o}", path.display(), mode & 0o777);
                return Err(Misfit::new(what).with_help(format!("chmod 600 {}", path.display())));
            }
        }
        let mut text =
            String::from_utf8(bytes).map_err(|_| Misfit::new(format!("is not text in UTF-8: {}", path.display())))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.trim().is_empty() {
            return Err(Misfit::new(format!("is empty: {}", path.display())));
        }
        Ok(SecretString::from(text))
    }

    fn is_guarded(&self, path: &Path) -> bool {
        self.credentials.is_some_and(|directory| path.parent() == Some(directory))
    }

    fn noted<T, S>(&self, setting: &str, written: &Written<S>, result: Result<T, Misfit>) -> Result<T, Noted> {
        result.map_err(|misfit| {
            self.document.problem(&written.spot, format!("`{setting}` {}", misfit.what), misfit.help);
            Noted
        })
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, Misfit> {
    // Asked before opening: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_file() {
        return Err(Misfit::new(format!("is no plain file: {}", path.display())));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > LARGEST => {
            Err(Misfit::new(format!("is larger than {LARGEST} bytes: {}", path.display())))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Misfit {
    Misfit::new(format!("cannot be read: {}: {}", path.display(), reason(error)))
}
