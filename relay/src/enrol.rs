//! Enrolling cameras: `pinhole-relay camera add`, `rotate` and `remove`.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::Ipv6Addr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use pinhole_link::{
    CameraName, Enrolment, PrivateKey,
    enrolment::{Endpoint, RelayPeer},
};

use crate::{
    access::changes::Access,
    camera_url::CameraUrl,
    registry::{
        self, BoxEntry, CameraEntry, Document, REGISTRY_FILE, RegistryError, RelayEntry, Source,
    },
    state::{StateDirectory, StateError, StateLock},
};

/// Where an enrolment goes.
#[derive(Clone, Debug)]
pub enum Output {
    /// A new file, for its owner alone to read.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// Why a camera was not added or removed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The registry cannot be read, or written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The name is taken.
    #[error(
        "there is a camera {0} already: choose another name, or run `pinhole-relay camera remove {0}` first; `pinhole-relay camera rotate {0}` gives its box a new key"
    )]
    Taken(CameraName),
    /// There are as many as there may be.
    #[error(
        "there are {0} cameras, and no more are allowed: raise cameras in [limits] of the relay's configuration"
    )]
    TooMany(usize),
    /// It has no key to be changed.
    #[error("camera {0} is no box: it has a URL, and no key")]
    NoBox(CameraName),
    /// There is no such camera.
    #[error("there is no camera {name} in {}; `pinhole-relay camera list` shows all", path.display())]
    Unknown {
        /// The name asked for.
        name: CameraName,
        /// The registry's file.
        path: PathBuf,
    },
    /// It was never said where the relay can be reached.
    #[error(
        "say where boxes reach this relay: --endpoint HOST:PORT, with this host's public name or address and the UDP port of `pinhole-relay run` (51820 unless changed); it is remembered"
    )]
    NoEndpoint,
    /// The enrolment's file exists.
    #[error("{} exists and is not overwritten: name another file with --output FILE", .0.display())]
    OutputExists(PathBuf),
    /// The enrolment cannot be written.
    #[error("cannot write the enrolment to {target}: {source}")]
    Output {
        /// Where it was to go.
        target: String,
        /// Why it could not.
        source: io::Error,
    },
}

impl From<StateError> for EnrolError {
    fn from(error: StateError) -> Self {
        Self::Registry(error.into())
    }
}

/// Enrols a camera's box: draws its key and address, hands the enrolment out,
/// and records the public half. The camera can be seen by those whom `access`
/// names.
///
/// The first box of a relay makes the relay's own key and network too.
///
/// # Errors
/// See [`EnrolError`].
pub fn add(
    state: &StateDirectory,
    name: &CameraName,
    endpoint: Option<Endpoint>,
    access: Access,
    most: usize,
    output: &Output,
) -> Result<Enrolment, EnrolError> {
    let lock = state.lock()?;
    let mut document = open_for(state, name, most)?;
    let (relay, relay_key) = document.relay_or_new(state, endpoint)?;
    let address = document.registry().next_free_address(relay.address);
    let enrolment = enrolment(name, address, relay)?;
    let entry = CameraEntry {
        source: Source::Box(BoxEntry {
            public_key: enrolment.private_key.public_key(),
            address: enrolment.address,
        }),
    };
    document.insert(name.clone(), entry);
    document.set_access(name, access.into_keys().map_err(RegistryError::from)?);
    let added = Change {
        state,
        lock,
        document,
        relay_key,
    };
    added.hand_out(&enrolment, output, |document| {
        document.remove(name);
    })?;
    Ok(enrolment)
}

/// Draws a new key for a camera's box and hands the new enrolment out. The
/// name, the address and all else stay; the box is let in with the new key
/// alone.
///
/// # Errors
/// See [`EnrolError`].
pub fn rotate(
    state: &StateDirectory,
    name: &CameraName,
    endpoint: Option<Endpoint>,
    output: &Output,
) -> Result<Enrolment, EnrolError> {
    let (lock, mut document) = open_with(state, name)?;
    let Source::Box(before) = document.registry().cameras[name].source.clone() else {
        return Err(EnrolError::NoBox(name.clone()));
    };
    let (relay, relay_key) = document.relay_or_new(state, endpoint)?;
    let enrolment = enrolment(name, before.address, relay)?;
    document.set_public_key(name, enrolment.private_key.public_key());
    let rotated = Change {
        state,
        lock,
        document,
        relay_key,
    };
    rotated.hand_out(&enrolment, output, |document| {
        document.set_public_key(name, before.public_key);
    })?;
    Ok(enrolment)
}

/// An enrolment with a key that was never used.
fn enrolment(
    name: &CameraName,
    address: Ipv6Addr,
    relay: RelayEntry,
) -> Result<Enrolment, EnrolError> {
    Ok(Enrolment {
        camera: name.clone(),
        private_key: PrivateKey::generate().map_err(RegistryError::from)?,
        address,
        relay: RelayPeer {
            endpoint: relay.endpoint.ok_or(EnrolError::NoEndpoint)?,
            public_key: relay.public_key,
            address: relay.address,
        },
    })
}

/// A registry with a box's new key in it, before it is written.
struct Change<'state> {
    state: &'state StateDirectory,
    lock: StateLock,
    document: Document,
    relay_key: PrivateKey,
}

impl Change<'_> {
    /// Writes the registry and hands the enrolment out: both, or, with the help
    /// of `take_back`, neither.
    fn hand_out(
        self,
        enrolment: &Enrolment,
        output: &Output,
        take_back: impl FnOnce(&mut Document),
    ) -> Result<(), EnrolError> {
        let text = as_file(enrolment);
        match output {
            // The enrolment goes out first: one that is in no registry opens
            // nothing, but a key that is in the registry alone could never be
            // used.
            Output::File(path) => {
                write_new(path, &text)?;
                if let Err(error) = self.record() {
                    // The error that led here is the one to tell.
                    let _ = fs::remove_file(path);
                    return Err(error.into());
                }
            }
            // Whoever reads it may take for ever, and must not keep others from
            // the registry meanwhile.
            Output::Stdout => {
                self.record()?;
                let state = self.state;
                drop(self);
                if let Err(error) = print(&text) {
                    undo(state, enrolment, take_back)?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn record(&self) -> Result<(), StateError> {
        registry::write_new_key(self.state, &self.lock, &self.relay_key)?;
        self.document.write(self.state, &self.lock)
    }
}

/// Takes a change back, if the camera is still as the enrolment says.
fn undo(
    state: &StateDirectory,
    enrolment: &Enrolment,
    take_back: impl FnOnce(&mut Document),
) -> Result<(), EnrolError> {
    let lock = state.lock()?;
    let Some(mut document) = Document::read(state)? else {
        return Ok(());
    };
    let entry = document.registry().cameras.get(&enrolment.camera);
    let key = entry.and_then(|entry| Some(entry.source.as_box()?.public_key));
    if key == Some(enrolment.private_key.public_key()) {
        take_back(&mut document);
        document.write(state, &lock)?;
    }
    Ok(())
}

/// Adds a camera that is no box: any that sends MJPEG over HTTP. It can be seen
/// by those whom `access` names.
///
/// # Errors
/// See [`EnrolError`].
pub fn add_url(
    state: &StateDirectory,
    name: &CameraName,
    url: CameraUrl,
    access: Access,
    most: usize,
) -> Result<(), EnrolError> {
    let lock = state.lock()?;
    let mut document = open_for(state, name, most)?;
    let source = Source::Url(url);
    document.insert(name.clone(), CameraEntry { source });
    document.set_access(name, access.into_keys().map_err(RegistryError::from)?);
    Ok(document.write(state, &lock)?)
}

/// The registry, to add a camera of that name to it, if that makes no more than
/// `most`.
fn open_for(
    state: &StateDirectory,
    name: &CameraName,
    most: usize,
) -> Result<Document, EnrolError> {
    let document = Document::open_or_new(state)?;
    let cameras = &document.registry().cameras;
    if cameras.contains_key(name) {
        return Err(EnrolError::Taken(name.clone()));
    }
    match cameras.len() >= most {
        true => Err(EnrolError::TooMany(cameras.len())),
        false => Ok(document),
    }
}

/// Removes a camera: its box is let in no more.
///
/// # Errors
/// See [`EnrolError`].
pub fn remove(state: &StateDirectory, name: &CameraName) -> Result<(), EnrolError> {
    let (lock, mut document) = open_with(state, name)?;
    document.remove(name);
    Ok(document.write(state, &lock)?)
}

/// The registry, to change the camera of that name in it.
fn open_with(
    state: &StateDirectory,
    name: &CameraName,
) -> Result<(StateLock, Document), EnrolError> {
    let unknown = || EnrolError::Unknown {
        name: name.clone(),
        path: state.join(REGISTRY_FILE),
    };
    // A directory is not made for what cannot be in it.
    let lock = match state.path().exists() {
        true => state.lock()?,
        false => return Err(unknown()),
    };
    let document = Document::read(state)?.ok_or_else(unknown)?;
    match document.registry().cameras.contains_key(name) {
        true => Ok((lock, document)),
        false => Err(unknown()),
    }
}

/// The enrolment as the complete `pinhole.toml` of a box.
fn as_file(enrolment: &Enrolment) -> String {
    format!(
        "# The enrolment of the camera \"{}\" with its relay. It holds the camera's\n\
         # private key: keep it secret, and use it for one box only.\n\
         # Put it on the boot partition of the box's card, under the name\n\
         # pinhole.toml; or add what is below to the pinhole.toml that is there.\n\
         \n\
         {}",
        enrolment.camera,
        enrolment.to_toml()
    )
}

/// Makes a file of mode 0600 that holds `text`, or nothing.
fn write_new(path: &Path, text: &str) -> Result<(), EnrolError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => EnrolError::OutputExists(path.to_owned()),
        _ => EnrolError::Output {
            target: path.display().to_string(),
            source,
        },
    };
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|source| {
        let _ = fs::remove_file(path);
        failed(source)
    })
}

fn print(text: &str) -> Result<(), EnrolError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written
        .and_then(|()| stdout.flush())
        .map_err(|source| EnrolError::Output {
            target: "standard output".to_owned(),
            source,
        })
}
