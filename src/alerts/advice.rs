//! What to do about a failure at the far end: the step that most often mends it.

use crate::domain::Reason;

/// The next step, as an imperative without a full stop.
pub const fn against(reason: Reason) -> &'static str {
    match reason {
        Reason::Unreachable => "check that the manager runs, and its name, port and route from this machine",
        Reason::Tls => "check the manager's certificate, `ca_file` and the client certificate in the configuration",
        Reason::TimedOut => "check the load of the manager, and `request_timeout` in the configuration",
        Reason::CutOff => "check the proxy or load balancer in front of the manager",
        Reason::CredentialsRefused => "check the key pair of this manager in the configuration",
        Reason::RoleMissing => "give the API key the role that the message names, in the manager's access settings",
        Reason::AddressRefused => "add this machine's address to the API key's access list",
        Reason::Refused => "read what the server said; it will say it again until something there changes",
        Reason::NotFound => "check in the manager that this deployment still has a backup",
        Reason::Conflict => "check the state of this backup in the manager",
        Reason::RateLimited => "lower `requests_per_second` in the configuration, or wait",
        Reason::ServerError => "look into the manager's own log, and at its KMIP server",
        Reason::Unreadable => "check that `url` leads to the manager itself and not to a proxy's page",
        Reason::NotThisWay => "the deployment's own encryption setting governs this key: exclude it here",
        Reason::NotEncrypted => "turn the encryption of this backup on, or exclude it here",
        Reason::Unchanged => "the manager accepted and kept the old key: look at its KMIP server",
        Reason::Withheld => "nothing is wrong with it: it is sent when what held it back is over",
    }
}

/// The same where a project as a whole cannot be listed.
pub(super) const fn against_unread_project(reason: Reason) -> &'static str {
    if let Reason::NotFound = reason {
        "check the project's name or id in the configuration, and the API key's role in it"
    } else {
        against(reason)
    }
}
