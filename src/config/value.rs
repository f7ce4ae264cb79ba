//! What single values mean: each function reads one kind of value and says what is wrong with another.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use reqwest::Url;
use strum::VariantArray;
use toml::de::DeValue;

use crate::domain::{Glob, Moment, Period};
pub(super) use crate::domain::{NAME_RULE, is_name};
use crate::policy::{Cron, Spread, Window};

/// Why a value does not fit its setting.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Continues a sentence that began with the setting's name.
    pub(super) what: String,
    /// What to write instead.
    pub(super) help: Option<String>,
    /// The value may hold a secret and must not be shown.
    pub(super) secret: bool,
}

impl Misfit {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None, secret: false }
    }

    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// For a value that must not be shown.
    pub(super) fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// The kind of a value, with its article.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A string with something in it.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Misfit> {
    match value.as_str() {
        Some(text) if text.trim().is_empty() => Err(Misfit::new("must not be empty")),
        Some(text) => Ok(text),
        None => Err(Misfit::new(format!("must be a string, not {}", kind_of(value)))),
    }
}

/// The same, owned.
pub(super) fn owned_text(value: &DeValue<'_>) -> Result<String, Misfit> {
    text(value).map(str::to_owned)
}

/// A whole number within a range.
pub(super) fn whole_number(range: RangeInclusive<u32>) -> impl FnOnce(&DeValue<'_>) -> Result<u32, Misfit> {
    move |value| {
        let what = format!("must be a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = value else {
            return Err(Misfit::new(format!("{what}, not {}", kind_of(value))));
        };
        u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| Misfit::new(what))
    }
}

/// A length of time.
pub(super) fn period(value: &DeValue<'_>) -> Result<Period, Misfit> {
    let Some(text) = value.as_str() else {
        let what = format!("must be a length of time in a string, not {}", kind_of(value));
        return Err(Misfit::new(what).with_help("write for example \"90d\" or \"2h 30m\""));
    };
    text.parse().map_err(|error| Misfit::new(format!("does not fit: {error}")))
}

/// Hundredths of an interval, or a length of time.
pub(super) fn spread(value: &DeValue<'_>) -> Result<Spread, Misfit> {
    let Some(percent) = text(value)?.trim().strip_suffix('%') else {
        return period(value).map(Spread::Fixed);
    };
    match percent.trim_end().parse() {
        Ok(percent @ 0..=100) => Ok(Spread::Percent(percent)),
        Ok(_) | Err(_) => Err(Misfit::new("must be a whole percentage from \"0%\" to \"100%\", or a length of time")),
    }
}

/// True or false.
pub(super) fn yes_or_no(value: &DeValue<'_>) -> Result<bool, Misfit> {
    value.as_bool().ok_or_else(|| Misfit::new(format!("must be true or false, not {}", kind_of(value))))
}

/// A stretch of the week.
pub(super) fn window(value: &DeValue<'_>) -> Result<Window, Misfit> {
    text(value)?.parse().map_err(|error: crate::policy::WindowError| Misfit::new(error.to_string()))
}

/// A cron expression, by the clocks of a zone.
pub(super) fn cron(value: &DeValue<'_>, zone: &TimeZone) -> Result<Cron, Misfit> {
    Cron::new(text(value)?, zone.clone()).map_err(|error| {
        Misfit::new(error.to_string())
            .with_help("write minute, hour, day of the month, month and day of the week, for example \"0 2 1 * *\"")
    })
}

/// A pattern over names.
pub(super) fn glob(value: &DeValue<'_>) -> Result<Glob, Misfit> {
    text(value).map(Glob::new)
}

/// One of the words of an enum.
pub(super) fn one_of<T: Copy + Into<&'static str> + VariantArray>(value: &DeValue<'_>) -> Result<T, Misfit> {
    let text = text(value)?;
    let word = |variant: &T| -> &'static str { (*variant).into() };
    T::VARIANTS.iter().find(|variant| word(variant) == text).copied().ok_or_else(|| {
        let known: Vec<_> = T::VARIANTS.iter().map(|variant| format!("\"{}\"", word(variant))).collect();
        Misfit::new(match known.as_slice() {
            [one, other] => format!("must be {one} or {other}"),
            _ => format!("must be one of {}", known.join(", ")),
        })
    })
}

/// A moment or a day, as TOML has them or in a string.
pub(super) fn moment(value: &DeValue<'_>) -> Result<Moment, Misfit> {
    let written = if let DeValue::Datetime(datetime) = value { datetime.to_string() } else { text(value)?.to_owned() };
    written.parse().map_err(|_| {
        Misfit::new("must be a day or a moment").with_help("write for example 2026-12-20 or 2026-12-20T18:00:00")
    })
}

/// A name that can stand in a target's name between slashes, and in a file of its own.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Misfit> {
    let name = text(value)?;
    if is_name(name) { Ok(name.to_owned()) } else { Err(Misfit::new(NAME_RULE)) }
}

/// A public API key, as it goes into a quoted field of the Digest header (RFC 7616, 3.4).
pub(super) fn public_key(value: &DeValue<'_>) -> Result<String, Misfit> {
    let key = text(value)?;
    if is_public_key(key) { Ok(key.to_owned()) } else { Err(Misfit::new(PUBLIC_KEY_RULE)) }
}

/// What a public key must look like, continuing a sentence.
pub(super) const PUBLIC_KEY_RULE: &str = "must consist of letters, digits and signs other than \" \\ and :";

/// Whether a text can be the public half of an API key.
pub(super) fn is_public_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ':'))
}

/// A path from the root: a service's working directory is not its author's.
pub(super) fn absolute_path(value: &DeValue<'_>) -> Result<PathBuf, Misfit> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() { Ok(path) } else { Err(Misfit::new("must be a path from the root, beginning with /")) }
}

/// The path of a unix socket.
pub(super) fn socket_path(value: &DeValue<'_>) -> Result<PathBuf, Misfit> {
    /// What `sun_path` holds on Linux, less the NUL at its end (unix(7)).
    const LONGEST: usize = 107;
    let path = absolute_path(value)?;
    if path.as_os_str().len() <= LONGEST {
        Ok(path)
    } else {
        Err(Misfit::new(format!("must be at most {LONGEST} bytes long, as the path of a socket")))
    }
}

/// An address to listen on.
pub(super) fn socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Misfit> {
    let what = "must be an address and a port";
    text(value)?
        .parse()
        .map_err(|_| Misfit::new(what).with_help("write for example \"127.0.0.1:9848\" or \"[::1]:9848\""))
}

/// A host's name, in small letters and without a port.
pub(super) fn host_name(value: &DeValue<'_>) -> Result<String, Misfit> {
    let host = text(value)?;
    if host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')) {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(Misfit::new("must be a host's name, without scheme, port and path"))
    }
}

/// A time zone by its name.
pub(super) fn time_zone(value: &DeValue<'_>) -> Result<TimeZone, Misfit> {
    let name = text(value)?;
    TimeZone::get(name).map_err(|_| {
        Misfit::new("must be the name of a time zone known on this machine")
            .with_help("write for example \"UTC\" or \"Europe/Paris\"")
    })
}

/// The address of an Ops Manager; its path ends with a slash.
pub(super) fn manager_url(value: &DeValue<'_>) -> Result<Url, Misfit> {
    let mut url = web_url(value)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Misfit::new(
            "must begin with https: what is sent over plain http can be read and changed on the way",
        )
        .with_help("plain http is accepted for this machine only: localhost, 127.0.0.1, [::1]"));
    }
    if url.path().contains("/api/public") {
        return Err(Misfit::new("must be the address of Ops Manager itself")
            .with_help("leave out api/public and what follows it"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The address of a proxy.
pub(super) fn proxy_url(value: &DeValue<'_>) -> Result<Url, Misfit> {
    let url = web_url(value)?;
    if url.path() == "/" { Ok(url) } else { Err(Misfit::new("must have no path, as the address of a proxy")) }
}

/// The address of a receiver of alerts, if it is no secret.
pub(super) fn receiver_url(value: &DeValue<'_>) -> Result<Url, Misfit> {
    web_url(value).map_err(|misfit| {
        misfit.with_help(
            "an address that is itself a secret stands elsewhere: { credential = \"NAME\" } or { file = \"/PATH\" }",
        )
    })
}

/// An http or https address that holds nothing but where to go.
pub(super) fn web_url(value: &DeValue<'_>) -> Result<Url, Misfit> {
    let text = text(value)?;
    // Decided on the text, so that a secret stays hidden in an address that cannot be read, too.
    if text.contains(['@', '?', '#']) {
        return Err(Misfit::new("must hold no user, password, query or fragment").secret());
    }
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err(Misfit::new("must begin with https:// or http://"));
    }
    Url::parse(text).map_err(|error| Misfit::new(format!("is no address: {error}")))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
