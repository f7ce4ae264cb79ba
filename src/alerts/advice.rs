//! What to do about a failure at the far end: the step that most often mends it.

use crate::domain::Reason;

/// What could not be read or rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A whole manager.
    Manager,
    /// One project.
    Project,
    /// One target.
    Target,
}

/// The next step, as an imperative without a full stop.
pub const fn against(about: About, reason: Reason) -> &'static str {
    match (reason, about) {
        (Reason::Unreachable, _) => "check that the manager runs, and its name, port and route from this machine",
        (Reason::Tls, _) => {
            "check the manager's certificate, `ca_file` and the client certificate in the configuration"
        }
        (Reason::TimedOut, _) => "check the load of the manager, and `request_timeout` in the configuration",
        (Reason::CutOff, _) => "check the proxy or load balancer in front of the manager",
        (Reason::CredentialsRefused, _) => "check the key pair of this manager in the configuration",
        (Reason::RoleMissing, _) => {
            "give the API key the roles Project Read Only and Project Backup Admin in each project, in the manager's access settings"
        }
        (Reason::AddressRefused, _) => "add this machine's address to the API key's access list",
        (Reason::NotFound, About::Target) => "check in the manager that this deployment still has a backup",
        (Reason::NotFound, About::Project) => {
            "check its name or id in the configuration, and that the API key belongs to it"
        }
        (Reason::Conflict, About::Target) => "check the state of this backup in the manager",
        (Reason::Refused | Reason::Conflict, _) => {
            "read what the server said; it will say it again until something there changes"
        }
        (Reason::RateLimited, _) => "lower `requests_per_second` in the configuration, or wait",
        (Reason::ServerError, _) => "look into the manager's own log, and at its KMIP server",
        (Reason::NotFound, About::Manager) | (Reason::Unreadable, _) => {
            "check that `url` leads to the manager itself and not to a proxy's page"
        }
        (Reason::NotThisWay, _) => "the deployment's own encryption setting governs this key: exclude it here",
        (Reason::NotEncrypted, _) => "turn the encryption of this backup on, or exclude it here",
        (Reason::Unchanged, _) => "the manager accepted and kept the old key: look at its KMIP server",
        (Reason::Withheld, _) => "nothing is wrong with it: it is sent when what held it back is over",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who wakes up to a project that is not found is not sent to look for a backup, and nobody is sent to a message for what it
    /// does not say.
    #[test]
    fn the_step_fits_what_failed() {
        // What only a target's own key can be refused for.
        let of_keys = [Reason::NotThisWay, Reason::NotEncrypted, Reason::Unchanged];
        for reason in Reason::ALL.iter().copied().filter(|reason| !of_keys.contains(reason)) {
            for about in [About::Manager, About::Project] {
                let step = against(about, reason);
                assert!(!step.contains("backup") && !step.contains("deployment"), "{about:?} {reason:?}: {step}");
            }
        }
        for about in [About::Manager, About::Project, About::Target] {
            let step = against(about, Reason::RoleMissing);
            assert!(step.contains("Project Read Only") && step.contains("Project Backup Admin"), "{step}");
        }
    }
}
