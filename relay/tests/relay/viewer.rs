//! A viewer: curl, which shares no code with the relay.

use std::{
    io::Read as _,
    net::TcpStream,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::SystemTime,
};

use pinhole_link::{Frame, multipart::PartReader};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use smol::{Timer, Unblock, future::FutureExt as _, io::BufReader};

use crate::{PATIENCE, program::State};

/// A connection with TLS on it.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// `curl` on `path` of the relay at `port`, with the relay's own certificate.
pub(crate) fn command(state: &State, port: u16, path: &str) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--no-buffer", "--cacert"])
        .arg(state.path().join("self-signed.crt"))
        .arg(format!("https://localhost:{port}{path}"));
    command
}

/// What curl says to `path`, called with `arguments`.
pub(crate) fn curl(state: &State, port: u16, path: &str, arguments: &[&str]) -> Output {
    let mut command = command(state, port, path);
    command.args(["--max-time", "30"]).args(arguments);
    command.output().unwrap()
}

/// What curl gets of `path`, head included, until `is_enough` says so of it, or it
/// ends, or no more can be waited for.
pub(crate) fn curl_until(
    state: &State,
    port: u16,
    path: &str,
    arguments: &[&str],
    is_enough: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let mut command = command(state, port, path);
    let longest = PATIENCE.as_secs().to_string();
    command.args(["--include", "--max-time", &longest]);
    command.args(arguments);
    let mut curl = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = curl.stdout.take().unwrap();
    let (mut got, mut some) = (Vec::new(), [0; 16 << 10]);
    while !is_enough(&got) {
        match output.read(&mut some).unwrap() {
            0 => break,
            len => got.extend_from_slice(&some[..len]),
        }
    }
    let _ = curl.kill();
    let _ = curl.wait();
    got
}

/// A connection to the viewers' port on which the test says what it wants.
pub(crate) fn tls(state: &State, port: u16) -> Tls {
    tls_over(state, TcpStream::connect(("127.0.0.1", port)).unwrap())
}

/// The same over a connection that the test has made.
pub(crate) fn tls_over(state: &State, stream: TcpStream) -> Tls {
    let certificate = state.path().join("self-signed.crt");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certificate).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(config.into(), name).unwrap();
    StreamOwned::new(connection, stream)
}

/// The body at `path`, as text.
pub(crate) fn text(state: &State, port: u16, path: &str) -> String {
    let output = curl(state, port, path, &[]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The camera's `status.json`.
pub(crate) fn status(state: &State, port: u16, camera: &str) -> serde_json::Value {
    serde_json::from_str(&text(state, port, &format!("/{camera}/status.json"))).unwrap()
}

/// Someone who watches a camera, until dropped.
pub(crate) struct Viewer {
    curl: Child,
    parts: PartReader<BufReader<Unblock<ChildStdout>>>,
}

impl Viewer {
    /// Opens the stream of `camera`.
    pub(crate) fn watch(state: &State, port: u16, camera: &str) -> Self {
        Self::watch_as(state, port, camera, "")
    }

    /// Opens the stream of `camera` for a page of that ID.
    pub(crate) fn watch_as(state: &State, port: u16, camera: &str, page: &str) -> Self {
        Self::open(state, port, &format!("/{camera}/stream?page={page}"), &[])
    }

    /// Opens the stream at `path`, by curl with `arguments`.
    pub(crate) fn open(state: &State, port: u16, path: &str, arguments: &[&str]) -> Self {
        let mut curl = command(state, port, path)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let parts = PartReader::new(BufReader::new(Unblock::new(curl.stdout.take().unwrap())));
        Self { curl, parts }
    }

    /// The next picture; `None` at the stream's end.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let next = async { self.parts.next().await.unwrap() };
        let too_late = async {
            Timer::after(PATIENCE).await;
            panic!("no picture")
        };
        smol::block_on(next.or(too_late))
    }

    /// The first picture that was captured after `moment`.
    pub(crate) fn first_after(&mut self, moment: SystemTime) -> Frame {
        loop {
            let frame = self.next().expect("the stream ended");
            if frame.captured() > moment {
                return frame;
            }
        }
    }

    /// Waits for the stream's end, and whether curl found it proper.
    pub(crate) fn ended_properly(mut self) -> bool {
        while self.next().is_some() {}
        self.curl.wait().unwrap().success()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}
