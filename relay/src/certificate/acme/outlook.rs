//! How things are with a certificate from an authority, by what is kept.

use std::time::SystemTime;

use super::{Failure, Keeper, Leaf, Pause, renewal};

/// What a relay would find at its start.
#[derive(Debug)]
pub struct Outlook {
    /// The certificate, if there is one of use.
    pub stored: Option<Stored>,
    /// What is kept and cannot be used, each in one line.
    pub damaged: Vec<String>,
    /// How the last order failed, if it did.
    pub failure: Option<Failure>,
    /// Why no order may begin now, if none may.
    pub pause: Option<Pause>,
}

/// A stored certificate.
#[derive(Debug)]
pub struct Stored {
    /// What it says of itself.
    pub leaf: Leaf,
    /// When it is to be renewed.
    pub renewal: SystemTime,
    /// The configured names that it is not for.
    pub missing: Vec<String>,
}

impl Keeper {
    /// Looks at what is kept. The authority is not asked.
    pub(in crate::certificate) fn outlook(&self) -> Outlook {
        let names = &self.settings.names;
        let mut damaged = Vec::new();
        let stored = self.store.certificate().unwrap_or_else(|error| {
            damaged.push(format!("{error}; another one is ordered"));
            None
        });
        let leaf = stored.map(|pair| pair.leaf);
        let stored = leaf.filter(|leaf| self.is_of_use(leaf)).map(|leaf| Stored {
            renewal: renewal(&leaf),
            missing: (names.iter().filter(|name| !leaf.covers(name)))
                .cloned()
                .collect(),
            leaf,
        });
        let attempts = self.store.attempts(names).map_err(|error| {
            damaged.push(format!("{error}; earlier orders are not counted"));
        });
        let mut attempts = attempts.ok();
        let failure = attempts
            .as_ref()
            .and_then(|attempts| attempts.failure().cloned());
        let pause = attempts
            .as_mut()
            .and_then(|attempts| attempts.pause(SystemTime::now()));
        Outlook {
            stored,
            damaged,
            failure,
            pause,
        }
    }
}
