//! Files that people edit.

use std::{fs, sync::LazyLock};

use pinhole::config::Config;
use pinhole_link::{Enrolment, PrivateKey};
use pinhole_relay::{
    registry::{Document, REGISTRY_FILE},
    state::StateDirectory,
};
use toml::Table;

/// A box's `pinhole.toml`: there is always a configuration; an enrolment that
/// is taken is written as it is read, and one that is not costs one line.
pub fn pinhole_toml(bytes: &[u8]) {
    let config = Config::parse(bytes);
    assert!(config.enrolment.is_some() || !config.problems.is_empty());
    for problem in &config.problems {
        assert!(!problem.to_string().contains('\n'), "{problem}");
    }
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match Enrolment::from_toml(text) {
        Ok(enrolment) => {
            let written = enrolment.to_toml();
            let again = Enrolment::from_toml(&written).unwrap();
            assert_eq!(again.to_toml(), written);
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

/// A relay's `registry.toml`: what is refused costs one line, and a change
/// touches nothing but what is changed.
pub fn registry(bytes: &[u8]) {
    let file = RegistryFile::with(bytes);
    let mut document = match Document::read(&file.state) {
        Ok(document) => document.unwrap(),
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error}"),
    };
    let before: Table = toml::from_slice(bytes).unwrap();
    let cameras = document.registry().cameras.clone();
    let (_, after) = file.rewritten(&document);
    assert_eq!(after, before, "written, it says otherwise");
    let Some((name, entry)) = cameras.first_key_value() else {
        return;
    };
    document.remove(name).unwrap();
    let (read, _) = file.rewritten(&document);
    let mut others = cameras.clone();
    others.remove(name);
    assert_eq!(read.registry().cameras, others, "more is removed");
    document.insert(name.clone(), entry.clone());
    let (read, _) = file.rewritten(&document);
    assert_eq!(read.registry().cameras, cameras, "inserted, it is another");

    let key: PrivateKey = KEY.parse().unwrap();
    let key = key.public_key();
    let mut document = RegistryFile::with(bytes).document();
    if entry.source.as_box().is_none() || String::from_utf8_lossy(bytes).contains(&key.to_string())
    {
        return;
    }
    document.set_public_key(name, key);
    let mut expected = before;
    expected["camera"][name.as_str()]["public_key"] = key.to_string().into();
    let (_, after) = file.rewritten(&document);
    assert_eq!(after, expected, "a new key changes more");
}

/// A box's private key.
const KEY: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";

/// The registry's file, one for all inputs.
struct RegistryFile {
    state: StateDirectory,
}

impl RegistryFile {
    fn with(bytes: &[u8]) -> Self {
        static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
            // In memory, where there is such a place: it is written all the time.
            let in_memory = tempfile::tempdir_in("/dev/shm");
            in_memory.or_else(|_| tempfile::tempdir()).unwrap()
        });
        let state = StateDirectory::new(DIRECTORY.path());
        fs::write(state.join(REGISTRY_FILE), bytes).unwrap();
        Self { state }
    }

    fn document(&self) -> Document {
        Document::read(&self.state).unwrap().unwrap()
    }

    /// What is read once `document` is written: by the relay, and as it stands.
    fn rewritten(&self, document: &Document) -> (Document, Table) {
        let lock = self.state.lock().unwrap();
        document.write(&self.state, &lock).unwrap();
        let text = fs::read_to_string(self.state.join(REGISTRY_FILE)).unwrap();
        (self.document(), toml::from_str(&text).unwrap())
    }
}
