//! When certificates expire, and whether that is soon.

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

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

/// Whether a certificate should be renewed now.
pub(super) fn is_soon(expires: Timestamp, now: Timestamp) -> bool {
    expires <= now + SOON
}
