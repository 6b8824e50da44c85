//! Cameras that speak HTTPS, with certificates that are right and wrong.

use std::{
    fs,
    io::{self, Read as _},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    http_camera::{HttpCamera, film_plainly, number_of},
    program::{RunningRelay, State, free_port},
    viewer::Viewer,
};

/// A certificate and its key.
type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A camera that films for whoever makes the handshake.
struct TlsCamera(SocketAddr);

impl TlsCamera {
    fn start((certificate, key): Pair) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let config = Arc::new(config.unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(connection, stream.unwrap());
                // A peer that does not like the certificate ends it.
                thread::spawn(move || -> io::Result<()> {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head)?;
                    film_plainly(&mut stream)
                });
            }
        });
        Self(address)
    }

    fn url(&self) -> String {
        format!("https://{}/stream", self.0)
    }
}

fn issuer(common_name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name`, changed by `change`, that `issuer` signs.
fn issued(
    issuer: &CertifiedIssuer<'_, KeyPair>,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> Pair {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    (certificate.der().clone(), key)
}

/// As cameras make them for themselves.
fn self_signed(common_name: &str, is_ca: IsCa) -> Pair {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    (certificate.der().clone(), key)
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn a_camera_over_https_is_trusted_as_this_machine_trusts_and_no_other_is() {
    const OTHER: &str = "cam.example.test";
    let (trusted, stranger) = (issuer("trusted"), issuer("stranger"));
    let own = self_signed("own", IsCa::NoCa);
    let own_authority = self_signed("authority", IsCa::Ca(BasicConstraints::Unconstrained));
    let state = State::new();
    let roots = [trusted.der(), &own.0, &own_authority.0].map(pem).concat();
    fs::write(state.beside("roots.pem"), roots).unwrap();
    let here = "127.0.0.1";
    let cameras = [
        ("right", issued(&trusted, here, |_| ()), None),
        ("own", own, None),
        (
            "stranger",
            issued(&stranger, here, |_| ()),
            Some("is of nobody whom this machine trusts: add its authority"),
        ),
        (
            "other-name",
            issued(&trusted, OTHER, |_| ()),
            Some("is for another name than the URL has"),
        ),
        (
            "old",
            issued(&trusted, here, |params| {
                params.not_after = date_time_ymd(2020, 1, 1);
            }),
            Some("has expired"),
        ),
        (
            "early",
            issued(&trusted, here, |params| {
                params.not_before = date_time_ymd(2090, 1, 1);
            }),
            Some("is not valid yet"),
        ),
        (
            "authority",
            own_authority,
            Some("is none that a server may have: use http://"),
        ),
    ];
    let cameras = cameras.map(|(name, pair, said)| {
        let camera = TlsCamera::start(pair);
        state.add_url(name, &camera.url());
        (name, said)
    });
    let mut command = state.command(&["run", "--self-signed", "--listen", "127.0.0.1:0"]);
    command.args(["--tunnel-listen", &format!("127.0.0.1:{}", free_port())]);
    command.env("SSL_CERT_FILE", state.beside("roots.pem"));
    let mut relay = RunningRelay::spawn(command);
    let port = relay.ready();
    for (name, said) in cameras {
        let mut viewer = Viewer::watch(&state, port, name);
        match said {
            None => assert!(number_of(viewer.next().unwrap().jpeg()).is_some(), "{name}"),
            Some(said) => {
                relay.wait_for(&format!(
                    "camera {name}: interrupted: the camera's certificate {said}"
                ));
            }
        }
    }
    // What is no TLS is told as that.
    let plain = HttpCamera::start(|stream, _, _| film_plainly(stream));
    state.add_url("plain", &format!("https://{}/", plain.authority()));
    relay.wait_for("camera plain: enrolled");
    let _viewer = Viewer::watch(&state, port, "plain");
    let told = relay.wait_for("camera plain: interrupted: ");
    assert!(told.contains("there is no TLS with the camera"), "{told}");
    assert!(told.ends_with("use http://"), "{told}");
}
