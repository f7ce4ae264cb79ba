//! The faults that come before the deed: some only delay or disturb it, most end the request there.

use hyper::StatusCode;

use super::api;
use super::call::Call;
use super::clock;
use super::exchange::End;
use super::fault::FaultKind;
use super::reply::{ApiError, Reply};
use super::resource::Resource;
use super::respond::unexpected;
use super::state::Shared;

impl Call {
    /// A fault before the deed. `None`: the deed is done all the same.
    pub(super) async fn obstruct(&self, shared: &Shared, kind: FaultKind) -> Option<End> {
        let refuse = |status, code, detail: &str, parameters: &[&str]| {
            let error = ApiError::new(status, code, detail).with(parameters);
            Some(End::Reply(error.into()))
        };
        let (project, cluster) = match &self.resource {
            Some(Resource::EncryptionKey(p, c)) => (p.as_str(), c.as_str()),
            _ => ("", ""),
        };
        match kind {
            FaultKind::Slow(delay) => {
                clock::sleep(delay).await;
                None
            }
            FaultKind::Foreign => {
                let now = clock::now();
                shared.state().world.rotate_foreign(cluster, now);
                None
            }
            FaultKind::Regression => {
                shared.state().world.regress(cluster, clock::now());
                None
            }
            FaultKind::Hang => Some(End::Hang),
            FaultKind::CutBefore => Some(End::Drop),
            FaultKind::ErrorBefore => Some(End::Reply(unexpected())),
            FaultKind::UnavailablePage => Some(End::Page(StatusCode::SERVICE_UNAVAILABLE)),
            FaultKind::Unavailable => {
                refuse(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "Ops Manager is being upgraded.", &[])
            }
            FaultKind::RateLimited { retry_after } => {
                let error = ApiError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "RATE_LIMITED",
                    "Resource is limited to 100 requests every 1 minutes.",
                );
                Some(End::Reply(Reply { retry_after, ..error.into() }))
            }
            FaultKind::WrongRole => Some(End::Reply(ApiError::unauthorized().into())),
            FaultKind::AddressRefused => refuse(
                StatusCode::FORBIDDEN,
                "IP_ADDRESS_NOT_ON_ACCESS_LIST",
                "IP address 203.0.113.9 is not allowed to access this resource.",
                &["203.0.113.9"],
            ),
            FaultKind::Vanished => Some(End::Reply(api::no_cluster(project, cluster).into())),
            FaultKind::Conflict => refuse(
                StatusCode::CONFLICT,
                "CANNOT_GET_BACKUP_CONFIG_INVALID_STATE",
                "The backup configuration cannot be read in its current state.",
                &[cluster],
            ),
            FaultKind::Refuse
            | FaultKind::StaleNonce
            | FaultKind::NeverChanges
            | FaultKind::HangAfter
            | FaultKind::CutAfter
            | FaultKind::CutBody
            | FaultKind::ErrorAfter
            | FaultKind::Malformed
            | FaultKind::GatewayPage
            | FaultKind::HugeBody
            | FaultKind::NoKey => None,
        }
    }
}
