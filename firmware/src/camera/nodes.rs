//! The video nodes under `/dev`: they come and go with what is plugged in, under
//! any number.

use std::{fs, os::unix::fs::DirEntryExt as _, path::PathBuf};

use crate::paths;

/// Most nodes that are looked at.
const MAX_NODES: usize = 256;

/// A name under `/dev`. What is plugged in again gets a new inode, even if it
/// gets the same name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) path: PathBuf,
    inode: u64,
}

/// The video nodes that exist now, the lowest number first.
pub(super) fn all() -> Vec<Node> {
    let Ok(folder) = fs::read_dir(paths::DEV) else {
        return Vec::new();
    };
    let number = |name: &str| name.strip_prefix("video")?.parse::<u16>().ok();
    let mut nodes: Vec<(u16, Node)> = folder
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let node = Node {
                path: entry.path(),
                inode: entry.ino(),
            };
            Some((number(entry.file_name().to_str()?)?, node))
        })
        .take(MAX_NODES)
        .collect();
    nodes.sort_unstable_by_key(|(number, _)| *number);
    nodes.into_iter().map(|(_, node)| node).collect()
}
