//! Certificates from files, and how they are followed, over real TLS.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

use crate::{
    eventually,
    program::{RunningRelay, State, free_port},
    viewer::{curl, text},
};

/// A certificate for `localhost` and its key, as PEM.
pub(crate) fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A relay that serves the certificate in `c.pem` with the key in `k.pem`.
struct Server {
    state: State,
    relay: RunningRelay,
    port: u16,
}

impl Server {
    /// Starts it; `place` puts its first two files where they belong.
    fn start(place: impl Fn(&State)) -> Self {
        let state = State::new();
        let port = free_port();
        state.enrol("porch", port);
        place(&state);
        let arguments = ["--certificate", "c.pem", "--private-key", "k.pem"];
        let arguments = [&arguments[..], &["--listen", "127.0.0.1:0"]].concat();
        let mut relay = RunningRelay::start_with(&state, port, &arguments);
        let port = relay.ready();
        Self { state, relay, port }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state.beside(name)
    }

    /// Whether a client that trusts `certificate` alone gets the page.
    fn serves(&self, certificate: &str) -> bool {
        let trusted = self.file("trusted.pem");
        fs::write(&trusted, certificate).unwrap();
        let arguments = ["--fail", "--cacert", trusted.to_str().unwrap()];
        curl(&self.state, self.port, "/", &arguments)
            .status
            .success()
    }
}

/// Puts `content` in a file's place in one step.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn certificate_files_are_served() {
    let (certificate, key) = certificate();
    let server = Server::start(|state| {
        fs::write(state.beside("c.pem"), &certificate).unwrap();
        fs::write(state.beside("k.pem"), &key).unwrap();
    });
    assert!(server.serves(&certificate));
    // The state directory has no certificate, so this one must do.
    let kept = server.state.path().join("self-signed.crt");
    fs::copy(server.file("c.pem"), kept).unwrap();
    assert!(text(&server.state, server.port, "/").contains("porch"));
}

/// Whether a client that connects with `config` takes up a session that it had.
fn resumes(config: &Arc<ClientConfig>, port: u16) -> bool {
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[test]
fn sessions_are_resumed_in_both_versions_of_tls() {
    let (certificate, key) = certificate();
    let server = Server::start(|state| {
        fs::write(state.beside("c.pem"), &certificate).unwrap();
        fs::write(state.beside("k.pem"), &key).unwrap();
    });
    for version in [&TLS12, &TLS13] {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        assert!(!resumes(&config, server.port));
        assert!(resumes(&config, server.port), "{version:?}");
    }
}

#[test]
fn changed_files_are_served_without_a_restart() {
    let (old, new) = (certificate(), certificate());
    let mut server = Server::start(|state| {
        fs::write(state.beside("c.pem"), &old.0).unwrap();
        fs::write(state.beside("k.pem"), &old.1).unwrap();
    });
    assert!(server.serves(&old.0));
    // The certificate is written first; without its key it is none.
    fs::write(server.file("c.pem"), &new.0).unwrap();
    let told = server.relay.wait_for("the key is not the certificate's");
    assert!(told.contains("the one from before stays"), "{told}");
    assert!(server.serves(&old.0));
    fs::write(server.file("k.pem"), &new.1).unwrap();
    server.relay.wait_for("c.pem has changed; now served");
    assert!(server.serves(&new.0) && !server.serves(&old.0));
}

#[test]
fn a_damaged_or_missing_new_pair_leaves_the_old_one() {
    let (old, new) = (certificate(), certificate());
    let mut server = Server::start(|state| {
        fs::write(state.beside("c.pem"), &old.0).unwrap();
        fs::write(state.beside("k.pem"), &old.1).unwrap();
    });
    replace(&server.file("c.pem"), &new.0[..new.0.len() / 2]);
    replace(&server.file("k.pem"), &new.1);
    server.relay.wait_for("c.pem holds no certificate");
    assert!(server.serves(&old.0));
    fs::remove_file(server.file("c.pem")).unwrap();
    server.relay.wait_for("cannot read c.pem");
    assert!(server.serves(&old.0));
    replace(&server.file("c.pem"), &new.0);
    server.relay.wait_for("c.pem has changed; now served");
    assert!(server.serves(&new.0));
}

#[test]
fn links_that_certbot_points_elsewhere_are_followed() {
    let (old, new) = (certificate(), certificate());
    let server = Server::start(|state| {
        for (number, (certificate, key)) in [&old, &new].into_iter().enumerate() {
            let archive = state.beside("archive");
            fs::create_dir_all(&archive).unwrap();
            fs::write(archive.join(format!("fullchain{number}.pem")), certificate).unwrap();
            fs::write(archive.join(format!("privkey{number}.pem")), key).unwrap();
        }
        symlink("archive/fullchain0.pem", state.beside("c.pem")).unwrap();
        symlink("archive/privkey0.pem", state.beside("k.pem")).unwrap();
    });
    assert!(server.serves(&old.0));
    for (link, to) in [("k.pem", "privkey1.pem"), ("c.pem", "fullchain1.pem")] {
        fs::remove_file(server.file(link)).unwrap();
        symlink(Path::new("archive").join(to), server.file(link)).unwrap();
    }
    eventually("the new certificate is served", || server.serves(&new.0));
}
