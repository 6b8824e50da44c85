//! Whether the ports can be had.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
};

use super::{Finding, Verdict, finding};
use crate::{
    redirect::RedirectListen,
    relay::{Settings, remedy},
    sockets::Sockets,
};

/// The package's unit that holds the viewers' port while no relay runs.
const SOCKET_UNIT: &str = "pinhole-relay.socket";

const UDP: &str = "UDP";

/// Who may have a port that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// The relay that runs with this state.
    Relay,
    /// systemd, for the relay.
    Socket,
    /// Some other program.
    Other,
}

/// A port, and the option that names it.
struct Port {
    kind: &'static str,
    option: &'static str,
    address: SocketAddr,
    /// Whether a relay starts without it.
    is_optional: bool,
}

/// Looks at all ports of `settings`.
pub(super) fn findings(settings: &Settings, is_running: bool) -> Vec<Finding> {
    let redirect = settings
        .redirect_listen
        .address(settings.listen, &settings.certificate);
    let tcp = [
        ("--listen", Some(settings.listen)),
        ("--plain-listen", settings.plain_listen),
        ("--redirect-listen", redirect),
        ("--metrics-listen", settings.metrics_listen),
    ];
    let mut ports: Vec<_> = tcp
        .into_iter()
        .filter_map(|(option, address)| {
            Some(Port {
                kind: "TCP",
                option,
                address: address?,
                is_optional: option == "--redirect-listen"
                    && settings.redirect_listen == RedirectListen::Automatic,
            })
        })
        .collect();
    ports.push(Port {
        kind: UDP,
        option: "--tunnel-listen",
        address: settings.tunnel_listen,
        is_optional: false,
    });
    let look = |port: &Port| {
        let taken = match port.kind {
            UDP => UdpSocket::bind(port.address).map(drop),
            _ => Sockets::default().listen(port.address).map(drop),
        };
        port.finding(taken, || match is_running {
            true => Holder::Relay,
            false if port.kind != UDP && socket_unit_is_active() => Holder::Socket,
            false => Holder::Other,
        })
    };
    ports.iter().map(look).collect()
}

fn socket_unit_is_active() -> bool {
    let status = Command::new("systemctl")
        .args(["is-active", "--quiet", SOCKET_UNIT])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

impl Port {
    /// How it is, if it could be `taken` or not; `holder` says who may have it.
    fn finding(&self, taken: io::Result<()>, holder: impl FnOnce() -> Holder) -> Finding {
        let Self { kind, address, .. } = self;
        let told = |verdict, words: &str| {
            finding(verdict, "port", format_args!("{kind} {address} {words}"))
        };
        let error = match taken {
            Ok(()) => return told(Verdict::Ok, "is free; let it through the firewall"),
            Err(error) => error,
        };
        let holder = (error.kind() == io::ErrorKind::AddrInUse).then(holder);
        match (error.kind(), holder) {
            (_, Some(Holder::Relay)) => told(Verdict::Ok, "is in use, and the relay is running"),
            (_, Some(Holder::Socket)) => told(
                Verdict::Warn,
                &format!(
                    "is in use: right if it is {SOCKET_UNIT} that holds it, as `systemctl status {SOCKET_UNIT}` tells"
                ),
            ),
            (io::ErrorKind::PermissionDenied, _) => told(
                Verdict::Warn,
                "is not for this user: the service may have it (CAP_NET_BIND_SERVICE)",
            ),
            _ if self.is_optional => told(
                Verdict::Warn,
                &format!(
                    "cannot be had ({error}), so that plain HTTP is not sent on to HTTPS; {} off says that it is not wanted",
                    self.option
                ),
            ),
            _ => told(
                Verdict::Fail,
                &format!("cannot be had: {error}{}", remedy(&error, self.option)),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(error: io::ErrorKind, holder: Holder, is_optional: bool) -> Finding {
        let port = Port {
            kind: "TCP",
            option: "--listen",
            address: "[::]:443".parse().unwrap(),
            is_optional,
        };
        port.finding(Err(error.into()), || holder)
    }

    #[test]
    fn a_port_that_our_own_relay_has_is_well() {
        let verdict = |holder| found(io::ErrorKind::AddrInUse, holder, false).verdict;
        assert_eq!(verdict(Holder::Relay), Verdict::Ok);
        assert_eq!(verdict(Holder::Socket), Verdict::Warn);
        assert_eq!(verdict(Holder::Other), Verdict::Fail);
    }

    #[test]
    fn a_port_that_cannot_be_had_is_told_with_what_to_do() {
        for (error, said) in [
            (io::ErrorKind::AddrInUse, "stop the program"),
            (io::ErrorKind::AddrNotAvailable, "address of this machine"),
            (io::ErrorKind::Unsupported, "--listen 0.0.0.0"),
        ] {
            let found = found(error, Holder::Other, false);
            assert_eq!(found.verdict, Verdict::Fail);
            assert!(found.words.contains(said), "{found}");
        }
        let port_80 = found(io::ErrorKind::AddrInUse, Holder::Other, true);
        assert_eq!(port_80.verdict, Verdict::Warn);
    }
}
