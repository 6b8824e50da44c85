//! Enrolling cameras: `pinhole-relay camera add`, `list` and `remove`.

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
    camera_url::CameraUrl,
    registry::{self, BoxEntry, CameraEntry, Document, REGISTRY_FILE, RegistryError, Source},
    state::{StateDirectory, StateError},
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
        "there is a camera {0} already: choose another name, or run `pinhole-relay camera remove {0}` first"
    )]
    Taken(CameraName),
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
/// and records the public half. Returns the box's address.
///
/// The first box of a relay makes the relay's own key and network too.
///
/// # Errors
/// See [`EnrolError`].
pub fn add(
    state: &StateDirectory,
    name: &CameraName,
    endpoint: Option<Endpoint>,
    output: &Output,
) -> Result<Ipv6Addr, EnrolError> {
    let lock = state.lock()?;
    let mut document = open_for(state, name)?;
    let (relay, relay_key) = document.relay_or_new(state, endpoint)?;
    let relay = RelayPeer {
        endpoint: relay.endpoint.ok_or(EnrolError::NoEndpoint)?,
        public_key: relay.public_key,
        address: relay.address,
    };
    let enrolment = Enrolment {
        camera: name.clone(),
        private_key: PrivateKey::generate().map_err(RegistryError::from)?,
        address: document.registry().next_free_address(relay.address),
        relay,
    };
    let entry = CameraEntry {
        source: Source::Box(BoxEntry {
            public_key: enrolment.private_key.public_key(),
            address: enrolment.address,
        }),
    };
    document.insert(name.clone(), entry.clone());
    let record = || {
        registry::write_new_key(state, &lock, &relay_key)
            .and_then(|()| document.write(state, &lock))
    };
    let text = as_file(&enrolment);
    match output {
        // The enrolment goes out first: one that is in no registry opens
        // nothing, but a key that is in the registry alone could never be used.
        Output::File(path) => {
            write_new(path, &text)?;
            if let Err(error) = record() {
                // The error that led here is the one to tell.
                let _ = fs::remove_file(path);
                return Err(error.into());
            }
        }
        // Whoever reads it may take for ever, and must not keep others from
        // the registry meanwhile.
        Output::Stdout => {
            record()?;
            drop(lock);
            if let Err(error) = print(&text) {
                take_back(state, name, &entry)?;
                return Err(error);
            }
        }
    }
    Ok(enrolment.address)
}

/// Adds a camera that is no box: any that sends MJPEG over HTTP.
///
/// # Errors
/// See [`EnrolError`].
pub fn add_url(
    state: &StateDirectory,
    name: &CameraName,
    url: CameraUrl,
) -> Result<(), EnrolError> {
    let lock = state.lock()?;
    let mut document = open_for(state, name)?;
    let source = Source::Url(url);
    document.insert(name.clone(), CameraEntry { source });
    Ok(document.write(state, &lock)?)
}

/// The registry, to add a camera of that name to it.
fn open_for(state: &StateDirectory, name: &CameraName) -> Result<Document, EnrolError> {
    let document = Document::open_or_new(state)?;
    match document.registry().cameras.contains_key(name) {
        true => Err(EnrolError::Taken(name.clone())),
        false => Ok(document),
    }
}

/// Removes the camera that was added, if it is still that one.
fn take_back(
    state: &StateDirectory,
    name: &CameraName,
    added: &CameraEntry,
) -> Result<(), EnrolError> {
    let lock = state.lock()?;
    if let Some(mut document) = Document::read(state)?
        && document.registry().cameras.get(name) == Some(added)
    {
        document.remove(name);
        document.write(state, &lock)?;
    }
    Ok(())
}

/// Removes a camera: its box is let in no more.
///
/// # Errors
/// See [`EnrolError`].
pub fn remove(state: &StateDirectory, name: &CameraName) -> Result<(), EnrolError> {
    let unknown = || EnrolError::Unknown {
        name: name.clone(),
        path: state.join(REGISTRY_FILE),
    };
    let lock = match state.path().exists() {
        true => state.lock()?,
        false => return Err(unknown()),
    };
    let mut document = Document::read(state)?.ok_or_else(unknown)?;
    document.remove(name).ok_or_else(unknown)?;
    Ok(document.write(state, &lock)?)
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
