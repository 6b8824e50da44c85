//! What of root's power a program has.
//!
//! A worker has the capabilities that it needs (capabilities(7)) and can never
//! get others: they leave its bounding set, and no program that it starts
//! gains any by being started (`no_new_privs`). None leaves a core file, which
//! could hold the box's key.

#![allow(unsafe_code)]

use std::io;

use nix::{
    libc,
    sys::{
        prctl::{set_keepcaps, set_no_new_privs},
        resource::{Resource, setrlimit},
    },
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

/// Whom a program runs as, and what it may beyond that user's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// The number of its user, and of its only group.
    pub user: u32,
    /// What it may.
    pub capabilities: &'static [Capability],
}

/// A part of root's power, by its number in linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// Listens on ports below 1024.
    NetBindService = 10,
    /// Changes interfaces, addresses and routes.
    NetAdmin = 12,
    /// Sends packets of any kind.
    NetRaw = 13,
    /// Makes a network namespace; and very much else.
    SysAdmin = 21,
    /// Sets the clock.
    SysTime = 25,
}

/// More than there are: the masks of capset(2) have so many bits.
const MAX_CAPABILITIES: u32 = 64;

impl Privileges {
    /// Gives up all else, in a process that has root's whole power and one
    /// thread. It allocates nothing, and may be called between fork and exec.
    ///
    /// # Errors
    /// When the kernel refuses a step. The process must not go on.
    pub(super) fn confine(self) -> io::Result<()> {
        let mask = self.mask();
        for number in 0..MAX_CAPABILITIES {
            if mask & (1 << number) == 0 {
                // SAFETY: it takes a number, and changes this process only.
                let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
                // The kernel knows no more of them from here on.
                if dropped != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
                    break;
                }
            }
        }
        setgroups(&[])?;
        let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.user));
        setresgid(group, group, group)?;
        set_keepcaps(true)?;
        setresuid(user, user, user)?;
        set_capabilities(mask)?;
        if self.user != 0 {
            // Who is not root keeps them through exec only so.
            for capability in self.capabilities {
                raise_ambient(*capability as u32)?;
            }
        }
        set_no_new_privs()?;
        Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
    }

    fn mask(self) -> u64 {
        let bits = self.capabilities.iter();
        bits.fold(0, |mask, capability| mask | 1 << *capability as u32)
    }
}

/// `__user_cap_header_struct` of linux/capability.h.
#[repr(C)]
struct Header {
    version: u32,
    process: libc::c_int,
}

/// `__user_cap_data_struct` of linux/capability.h.
#[repr(C)]
struct Masks {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Makes `mask` all that this process has, and hands on through exec.
fn set_capabilities(mask: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header {
        version: VERSION_3,
        process: 0,
    };
    let masks = [mask as u32, (mask >> 32) as u32].map(|half| Masks {
        effective: half,
        permitted: half,
        inheritable: half,
    });
    // SAFETY: version 3 reads a header and two sets of masks, which are there.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, masks.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn raise_ambient(number: u32) -> io::Result<()> {
    // SAFETY: it takes numbers, and changes this process only.
    let raised = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_RAISE,
            libc::c_ulong::from(number),
            0,
            0,
        )
    };
    match raised {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, os::unix::process::CommandExt as _, process::Command};

    use super::*;

    /// What a program that was started so finds in `/proc/self/status`.
    fn status(privileges: Privileges) -> HashMap<String, String> {
        let mut child = Command::new("/bin/cat");
        child.arg("/proc/self/status");
        // SAFETY: it allocates nothing.
        unsafe { child.pre_exec(move || privileges.confine()) };
        let output = child.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once(":\t"));
        lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_worker_has_what_it_is_given_and_no_more() {
        if !Uid::effective().is_root() {
            return;
        }
        for user in [0, 4711] {
            let status = status(Privileges {
                user,
                capabilities: &[Capability::NetAdmin, Capability::SysTime],
            });
            let given = format!("{:016x}", 1 << 12 | 1 << 25);
            for set in ["CapPrm", "CapEff", "CapBnd"] {
                assert_eq!(status[set], given, "{set} of {user}");
            }
            let ids = [user.to_string().as_str(); 4].join("\t");
            assert_eq!((&status["Uid"], &status["Gid"]), (&ids, &ids));
            assert_eq!(status["Groups"].trim(), "");
            assert_eq!(status["NoNewPrivs"], "1");
        }
    }

    #[test]
    fn a_worker_can_be_left_nothing() {
        if !Uid::effective().is_root() {
            return;
        }
        let status = status(Privileges {
            user: 4711,
            capabilities: &[],
        });
        for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
            assert_eq!(status[set], "0000000000000000", "{set}");
        }
    }
}
