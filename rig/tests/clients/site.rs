//! A relay with one camera.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
};

use pinhole_rig::{
    relay::{Relay, RelaySettings},
    screenshot::Colour,
};

use crate::{PATIENCE, camera::Camera};

/// A relay that serves one camera, `yard`.
pub(crate) struct Site {
    pub(crate) camera: Camera,
    pub(crate) relay: Relay,
    /// For the test's files.
    pub(crate) directory: PathBuf,
}

impl Site {
    /// One that is kept under `name`; the camera shows `colour`.
    pub(crate) fn start(name: &str, colour: Colour) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join("clients")
            .join(name);
        // What an earlier run left has other cameras.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let binary = env::var_os("PINHOLE_RELAY");
        let settings = RelaySettings {
            binary: binary
                .expect("PINHOLE_RELAY is not set: run scripts/test")
                .into(),
            directory: directory.clone(),
            listen: free_tcp_address(),
            tunnel_listen: UdpSocket::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap(),
        };
        let camera = Camera::start(colour);
        settings.add_url("yard", &camera.url()).unwrap();
        let relay = Relay::start(&settings).unwrap();
        // Once it has a picture, nobody who comes soon gets a placeholder first.
        let viewer = relay.viewer(PATIENCE).unwrap();
        let mut stream = viewer.watch("yard", PATIENCE).unwrap();
        stream.next_picture().unwrap();
        Self {
            camera,
            relay,
            directory,
        }
    }

    /// The URL of the camera's stream.
    pub(crate) fn stream(&self) -> String {
        self.url("/yard/stream")
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        self.relay.settings().origin() + path
    }

    /// The relay's certificate, for clients that take one as an authority's.
    pub(crate) fn certificate(&self) -> String {
        self.relay
            .settings()
            .certificate()
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// The path of a file of the test's.
    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }
}

/// An address that nobody has. Another process could take it meanwhile; the
/// system hands ports out in turn, so that this takes long.
pub(crate) fn free_tcp_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
