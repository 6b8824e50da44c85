//! What a process of this machine holds (proc(5)), and what the kernel holds for
//! it.

use std::{fs, net::SocketAddr, process::Command};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors, threads and memory of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) threads: u64,
    /// Resident, in KiB.
    pub(crate) memory: u64,
}

impl Held {
    /// What the process of that ID holds now.
    pub(crate) fn by(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.unwrap().split_ascii_whitespace().next();
            number.unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        Self {
            descriptors: descriptors.count(),
            threads: number("Threads:"),
            memory: number("VmRSS:"),
        }
    }
}

/// What the kernel holds for this machine's end of the connection to `client`, in
/// bytes: what is queued in either direction, and what is set aside for it (`skmem`
/// of ss(8)).
pub(crate) fn kernel_memory(client: SocketAddr) -> u64 {
    let client = client.to_string();
    let ss = ["--tcp", "--memory", "--oneline", "--numeric", "--no-header"];
    let output = Command::new("ss").args(ss).args(["dst", &client]).output();
    let line = String::from_utf8(output.unwrap().stdout).unwrap();
    // `skmem:(r0,rb131072,t0,tb2626560,f0,w0,o0,bl0,d0)`
    let (_, fields) = line.split_once("skmem:(").expect(&client);
    let (fields, _) = fields.split_once(')').unwrap();
    let fields = fields.split(',').map(|field| {
        let digits = field.find(|letter: char| letter.is_ascii_digit()).unwrap();
        field.split_at(digits)
    });
    let held = fields.filter(|(name, _)| ["r", "f", "w", "o", "bl"].contains(name));
    held.map(|(_, bytes)| bytes.parse::<u64>().unwrap()).sum()
}

/// Lets this process have so many files open.
pub(crate) fn may_open(files: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        hard >= files,
        "this test needs {files} open files: raise the limit with ulimit -Hn"
    );
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
