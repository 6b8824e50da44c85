//! An ACME authority: Debian's `pebble`, with the name server of its tests,
//! which says of every name that it is this machine.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::{eventually, program::free_port};

/// An authority that looks at `viewers`, which is port 443 to it.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
    port: u16,
    management: u16,
    names: u16,
    names_management: u16,
    programs: Vec<Child>,
}

/// A name that the authority does not issue for.
pub(crate) const FORBIDDEN: &str = "forbidden.example.test";

impl Authority {
    /// One that is not there yet. Its certificates are valid for `seconds`.
    pub(crate) fn new(viewers: u16, seconds: u64) -> Self {
        let authority = Self {
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
            management: free_port(),
            names: free_port(),
            names_management: free_port(),
            programs: Vec::new(),
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(authority.own_root(), certificate.pem()).unwrap();
        fs::write(authority.path("key.pem"), key.serialize_pem()).unwrap();
        let configuration = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", authority.port),
            "managementListenAddress": format!("127.0.0.1:{}", authority.management),
            "certificate": authority.own_root(),
            "privateKey": authority.path("key.pem"),
            "httpPort": 1,
            "tlsPort": viewers,
            "ocspResponderURL": "",
            "domainBlocklist": [FORBIDDEN],
            "certificateValidityPeriod": seconds,
        }});
        fs::write(authority.path("pebble.json"), configuration.to_string()).unwrap();
        authority
    }

    /// As `new`, at work.
    pub(crate) fn started(viewers: u16, seconds: u64) -> Self {
        let mut authority = Self::new(viewers, seconds);
        authority.start();
        authority
    }

    /// Starts it, with no memory of what was before.
    pub(crate) fn start(&mut self) {
        let names = format!("127.0.0.1:{}", self.names);
        let names_management = format!("127.0.0.1:{}", self.names_management);
        let none = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
        let mut name_server = Command::new("pebble-challtestsrv");
        name_server
            .args(none)
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-dns01", &names, "-management", &names_management]);
        let mut pebble = Command::new("pebble");
        pebble
            .args(["-dnsserver", &names, "-config"])
            .arg(self.path("pebble.json"))
            .env("PEBBLE_VA_NOSLEEP", "1");
        for program in [&mut name_server, &mut pebble] {
            let started = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let started = started.expect("Debian's package pebble is needed");
            self.programs.push(started);
        }
        for port in [
            self.names,
            self.names_management,
            self.port,
            self.management,
        ] {
            eventually("the authority answers", || {
                TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
            });
        }
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) {
        for mut program in self.programs.drain(..) {
            let _ = program.kill();
            let _ = program.wait();
        }
    }

    /// The URL of its directory.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// The file of the certificate that its own HTTPS has.
    pub(crate) fn own_root(&self) -> PathBuf {
        self.path("root.pem")
    }

    /// Writes the root of what it issues, which is another at each start, to a
    /// file, and returns its path.
    pub(crate) fn fetch_root(&self) -> PathBuf {
        let root = self.path("issuer.pem");
        let fetched = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .arg(self.own_root())
            .arg("--output")
            .arg(&root)
            .arg(format!("https://127.0.0.1:{}/roots/0", self.management))
            .status();
        assert!(fetched.unwrap().success());
        root
    }

    /// Says from now on that `name` is at `address`; without one, that it
    /// cannot be found out.
    pub(crate) fn set_address(&self, name: &str, address: Option<&str>) {
        let (what, data) = match address {
            Some(address) => ("add-a", json!({ "host": name, "addresses": [address] })),
            None => ("set-servfail", json!({ "host": name })),
        };
        let told = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--data"])
            .arg(data.to_string())
            .arg(format!("http://127.0.0.1:{}/{what}", self.names_management))
            .status();
        assert!(told.unwrap().success());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.stop();
    }
}
