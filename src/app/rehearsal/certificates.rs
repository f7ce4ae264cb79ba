//! Whether certificates hold: when they expire, whether that is soon, and whether they belong together.

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use super::{Line, Step};

/// So long before its end a certificate should be renewed.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Until when a certificate in DER is valid.
pub(super) fn expires(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

/// Until when all certificates in PEM are valid.
pub(super) fn first_to_expire(pem: &[u8]) -> Option<Timestamp> {
    CertificateDer::pem_slice_iter(pem).flatten().filter_map(|der| expires(&der)).min()
}

/// What is to be said of certificates of which the first expires at this time; nothing while they hold for long.
pub(super) fn aging(step: Step, setting: &str, expires: Option<Timestamp>, now: Timestamp) -> Option<Line> {
    match expires? {
        at if at <= now => Some(step.fail(format!("a certificate of `{setting}` expired at {at:.0}"), "renew it")),
        at if is_soon(at, now) => {
            Some(step.warn(format!("a certificate of `{setting}` expires at {at:.0}"), "renew it"))
        }
        _ => None,
    }
}

/// Whether each certificate was issued by the one behind it.
pub(super) fn are_linked(chain: &[CertificateDer<'_>]) -> bool {
    chain.windows(2).all(|pair| match pair {
        [one, next] => match (parse_x509_certificate(one), parse_x509_certificate(next)) {
            (Ok((_, one)), Ok((_, next))) => one.issuer().as_raw() == next.subject().as_raw(),
            _ => false,
        },
        _ => true,
    })
}

/// Whether a certificate should be renewed now.
pub(super) fn is_soon(expires: Timestamp, now: Timestamp) -> bool {
    expires <= now + SOON
}
