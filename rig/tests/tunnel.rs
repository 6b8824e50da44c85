//! The tunnel's own tests (`link/tests/tunnel`) with a kernel that has
//! WireGuard: the box's, in a guest that holds nothing but those tests.
//! `scripts/test` builds the guest and runs this.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use pinhole_rig::{
    process::Mark,
    qemu::{Boot, Machine, MachineOptions},
};

/// How long the guest may take: several times what it does on a machine that
/// has other work.
const PATIENCE: Duration = Duration::from_secs(900);

/// Tells the kernel of the guest's first process, `rig/tunnel-guest/init`, and
/// that of which tests to run. The kernel's own errors stay off the console, as
/// some tests provoke them.
const ARGUMENTS: &str = "loglevel=3 panic=-1 root=/dev/mmcblk0 ro rootwait tests=kernel \
                         init=/bin/busybox -- sh /etc/tunnel-init";

/// What that process says last.
const ENDED: &str = "tunnel guest: the tests ended with ";

#[test]
#[ignore = "needs the box's kernel: run scripts/test"]
fn the_kernels_tunnel_keeps_the_promises_of_the_tunnel() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tunnel");
    fs::create_dir_all(&directory).unwrap();
    let options = MachineOptions::virt(Boot::Kernel {
        image: given("PINHOLE_IMAGE").join("kernel"),
        initrd: None,
        arguments: ARGUMENTS.to_owned(),
    });
    let card = given("PINHOLE_TUNNEL_GUEST");
    let machine = Machine::boot(&options, Some(&card), &directory).unwrap();
    let console = machine.console();
    let ended = console.wait_for(ENDED, Mark::default(), PATIENCE);
    for line in console.lines_with("", Mark::default()) {
        println!("{line}");
    }
    let (ended, _) = ended.unwrap();
    assert!(ended.ends_with(&format!("{ENDED}0")), "{ended}");
    let results = console.lines_with("test result: ", Mark::default());
    let [result] = results.as_slice() else {
        panic!("one run has one result: {results:?}");
    };
    let passed = result
        .strip_prefix("test result: ok. ")
        .and_then(|counts| counts.split_once(" passed")?.0.parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed > 0), "{result}");
}

/// What `scripts/test` says in an environment variable.
fn given(variable: &str) -> PathBuf {
    let value = env::var_os(variable);
    value.map_or_else(
        || panic!("{variable} is not set: run scripts/test"),
        PathBuf::from,
    )
}
