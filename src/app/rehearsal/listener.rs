//! Where the daemon would be seen: the address that it listens at, and the certificates that it shows there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::net::TcpSocket;

use super::{Line, Step, certificates};
use crate::config::Http;
use crate::http::{Certificates, WebConfig};
use crate::ports::Clock;

/// Whether the web configuration can be followed, if there is one.
pub(super) fn web_config(http: &Http, clock: &Arc<dyn Clock>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(file) = &http.web_config_file {
        let (step, path) = (Step::WebConfig, file.display());
        match WebConfig::open(file, Arc::clone(clock)) {
            Err(error) => lines.push(step.fail(format!("{path}: {error}"), "mend the web configuration file")),
            Ok(web) => match web.certificates() {
                None => lines.push(step.pass(format!("{path} can be followed: no TLS"))),
                Some(shown) => {
                    let names = Some(shown.names().join(", ")).filter(|names| !names.is_empty());
                    let names = names.as_deref().unwrap_or("no name");
                    lines.push(step.pass(format!("{path} can be followed: TLS, with a certificate for {names}")));
                    lines.extend(tls(&shown, &http.allowed_hosts, clock.now()));
                }
            },
        }
    }
    lines
}

/// Whether the certificates hold: for long enough, together, and for the names that the listener is asked for.
fn tls(shown: &Certificates, hosts: &[String], now: Timestamp) -> Vec<Line> {
    let step = Step::WebConfig;
    let mut lines = Vec::new();
    for (setting, certificates) in [("cert_file", &shown.chain), ("client_ca_file", &shown.clients)] {
        let first = certificates.iter().filter_map(|der| certificates::expires(der)).min();
        lines.extend(certificates::aging(step, setting, first, now));
    }
    if !certificates::are_linked(&shown.chain) {
        let words =
            "in `cert_file` a certificate is not issued by the one behind it: clients may not find their authority";
        lines.push(step.warn(words, "put the own certificate first, then each one's issuer"));
    }
    for host in hosts.iter().filter(|host| !shown.hold_for(host)) {
        let words = format!("`allowed_hosts` has {host}, and the certificate is not valid for that name");
        lines.push(step.warn(words, "have a certificate made with that name, or take the name out"));
    }
    lines
}

/// Whether the address is free, or that of the process `holder`, which works here. The socket is bound and does not listen: so it is in the way of no daemon
/// that starts just then.
pub(super) fn rehearse(address: SocketAddr, holder: Option<String>) -> Line {
    let step = Step::Listener;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    });
    match (bound, holder) {
        (Ok(()), _) => step.pass(format!("{address} is free")),
        (Err(error), Some(pid)) if error.kind() == io::ErrorKind::AddrInUse => {
            step.pass(format!("{address} is in use, as it should be while process {pid} works here"))
        }
        (Err(error), None) if error.kind() == io::ErrorKind::AddrInUse => {
            let next = format!("find out who listens (`ss -ltnp 'sport = :{}'`), or set `listen`", address.port());
            step.fail(format!("{address} is taken by somebody else"), next)
        }
        (Err(error), _) => {
            step.fail(format!("{address} cannot be listened at: {error}"), "set `listen` to an address of this machine")
        }
    }
}
