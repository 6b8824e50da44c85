//! A box and its network, made of network namespaces, cables (`veth`) and real
//! servers. The worker runs in a root of its own, which holds what the image
//! has where the image has it.

use std::{
    cell::Cell,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// Makes the root and starts the worker in it, in a mount namespace that goes
/// with it.
const START: &str = r#"
set -e
mount --bind /usr "$1/usr"
mount -t tmpfs none "$1/usr/libexec"
mkdir "$1/usr/libexec/pinhole"
ln -s /pinhole "$1/usr/libexec/pinhole/udhcpc-event"
mount --bind /dev "$1/dev"
mount -t proc none "$1/proc"
mount -t sysfs none "$1/sys"
exec chroot "$1" /pinhole network --config /pinhole.toml
"#;

pub(crate) struct Laboratory {
    /// The namespace of the box, and that of all that its cables lead to.
    box_side: String,
    far_side: String,
    root: tempfile::TempDir,
    worker: Option<Child>,
    servers: Vec<Child>,
    /// How much of the log was seen.
    seen: Cell<usize>,
}

impl Laboratory {
    /// A box that is switched off, with this `pinhole.toml`.
    pub(crate) fn new(pinhole_toml: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("pinhole-{}-{number}-{side}", std::process::id());
        let root = tempfile::tempdir().unwrap();
        for directory in ["usr", "dev", "proc", "sys", "sbin", "run", "tmp"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        for directory in ["bin", "lib", "lib64"] {
            let target = Path::new("usr").join(directory);
            std::os::unix::fs::symlink(target, root.path().join(directory)).unwrap();
        }
        let client = root.path().join("sbin/udhcpc");
        std::os::unix::fs::symlink("/usr/bin/busybox", client).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_pinhole"), root.path().join("pinhole")).unwrap();
        fs::write(root.path().join("pinhole.toml"), pinhole_toml).unwrap();
        let laboratory = Self {
            box_side: name("box"),
            far_side: name("far"),
            root,
            worker: None,
            servers: Vec::new(),
            seen: Cell::new(0),
        };
        for side in [&laboratory.box_side, &laboratory.far_side] {
            run("ip", &["netns", "add", side]);
        }
        // A router that advertises itself must be one.
        laboratory.far("sysctl -qw net.ipv6.conf.all.forwarding=1");
        laboratory
    }

    /// Plugs a cable into a new interface of the box. Its far end is called
    /// `far-…`, and has this address.
    pub(crate) fn plug(&self, interface: &str, address: &str) {
        let far = format!("far-{interface}");
        let (near_side, far_side) = (&self.box_side, &self.far_side);
        #[rustfmt::skip]
        run("ip", &[
            "-n", near_side, "link", "add", interface, "type", "veth",
            "peer", "name", &far, "netns", far_side,
        ]);
        self.far(&format!("ip address add {address} dev {far}"));
        self.far(&format!("ip link set {far} up"));
    }

    /// Starts busybox's DHCP server on the far end of a cable: it gives the
    /// address `N.15` in the network `N`, for so many seconds.
    pub(crate) fn serve_dhcp(&mut self, interface: &str, network: &str, seconds: u32) -> usize {
        let file = |kind: &str| self.root.path().join(format!("{interface}.{kind}"));
        File::create(file("leases")).unwrap();
        let settings = format!(
            "interface far-{interface}\nstart {network}.15\nend {network}.15\n\
             lease_file {}\npidfile {}\nmin_lease 1\noption subnet 255.255.255.0\n\
             option router {network}.1\noption dns {network}.3\noption ntpsrv {network}.4\n\
             option lease {seconds}\n",
            file("leases").display(),
            file("pid").display(),
        );
        fs::write(file("conf"), settings).unwrap();
        let command = format!("busybox udhcpd -f {}", file("conf").display());
        self.serve(&command)
    }

    /// Starts a router that advertises a network and name servers in it.
    pub(crate) fn serve_ipv6(&mut self, interface: &str) -> usize {
        let settings = format!(
            "interface far-{interface} {{ AdvSendAdvert on; MinRtrAdvInterval 3; \
             MaxRtrAdvInterval 4; prefix fd77::/64 {{ }}; RDNSS fd77::53 fe80::53 {{ }}; }};"
        );
        let path = |kind: &str| self.root.path().join(format!("radvd.{kind}"));
        fs::write(path("conf"), settings).unwrap();
        let (conf, pid) = (path("conf"), path("pid"));
        self.serve(&format!(
            "radvd -n -C {} -p {}",
            conf.display(),
            pid.display()
        ))
    }

    /// Ends a server.
    pub(crate) fn stop(&mut self, server: usize) {
        end(&mut self.servers[server]);
    }

    /// Pulls the plug of a cable's far end, or puts it in again.
    pub(crate) fn set_link(&self, interface: &str, state: &str) {
        self.far(&format!("ip link set far-{interface} {state}"));
    }

    /// Switches the worker on.
    pub(crate) fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        let root = self.root.path().to_str().unwrap();
        let worker = Command::new("ip")
            .args(["netns", "exec", &self.box_side, "unshare", "--mount"])
            .args(["sh", "-c", START, "sh", root])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.worker = Some(worker.unwrap());
    }

    /// Kills the worker.
    pub(crate) fn kill(&mut self) {
        end(self.worker.as_mut().unwrap());
    }

    /// Sends the worker a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let worker = self.worker.as_ref().unwrap().id().to_string();
        run("kill", &["-s", signal, &worker]);
    }

    /// The numbers of the box's processes with this name.
    pub(crate) fn processes(&self, name: &str) -> Vec<String> {
        let all = Command::new("ip")
            .args(["netns", "pids", &self.box_side])
            .output();
        let all = String::from_utf8_lossy(&all.unwrap().stdout).into_owned();
        let has_name = |process: &&str| {
            let comm = fs::read_to_string(format!("/proc/{process}/comm"));
            comm.is_ok_and(|comm| comm.trim() == name)
        };
        all.lines().filter(has_name).map(str::to_owned).collect()
    }

    /// Waits for a line of the log with these words, behind the last one that
    /// was waited for.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(self.log_path()).unwrap_or_default();
            let new = log.get(self.seen.get()..).unwrap_or_default();
            let mut end = self.seen.get();
            for line in new.split_inclusive('\n') {
                end += line.len();
                if line.contains(words) && line.ends_with('\n') {
                    self.seen.set(end);
                    return line.to_owned();
                }
            }
            assert!(Instant::now() < deadline, "no {words:?} in\n{log}");
            thread::sleep(GLANCE);
        }
    }

    /// Waits for lines with each of these words, in whichever order they come.
    #[track_caller]
    pub(crate) fn wait_for_all(&self, all: &[&str]) {
        let (start, mut end) = (self.seen.get(), 0);
        for words in all {
            self.seen.set(start);
            self.wait_for(words);
            end = end.max(self.seen.get());
        }
        self.seen.set(end);
    }

    /// Waits until a file of the box holds this and no more.
    #[track_caller]
    pub(crate) fn wait_for_file(&self, path: &str, contents: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.file(path) != contents {
            assert!(
                Instant::now() < deadline,
                "{path} holds {:?}",
                self.file(path)
            );
            thread::sleep(GLANCE);
        }
    }

    /// Waits until a command in the box's namespace prints something with
    /// these words, and gives that.
    #[track_caller]
    pub(crate) fn wait_until(&self, command: &str, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let printed = self.near(command);
            if printed.contains(words) {
                return printed;
            }
            assert!(
                Instant::now() < deadline,
                "{command} printed no {words:?} but\n{printed}\nand the log is\n{}",
                fs::read_to_string(self.log_path()).unwrap_or_default()
            );
            thread::sleep(GLANCE);
        }
    }

    /// What a command in the box's namespace prints.
    pub(crate) fn near(&self, command: &str) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.box_side])
            .args(command.split(' '))
            .output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    }

    /// What a file of the box holds; nothing where there is none.
    fn file(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap_or_default()
    }

    fn far(&self, command: &str) {
        let mut words = vec!["netns", "exec", &self.far_side];
        words.extend(command.split(' '));
        run("ip", &words);
    }

    fn serve(&mut self, command: &str) -> usize {
        let log = File::create(self.root.path().join("servers.log")).unwrap();
        let server = Command::new("ip")
            .args(["netns", "exec", &self.far_side])
            .args(command.split(' '))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.servers.push(server.unwrap());
        self.servers.len() - 1
    }

    fn log_path(&self) -> PathBuf {
        self.root.path().join("log")
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        self.servers
            .iter_mut()
            .chain(&mut self.worker)
            .for_each(end);
        for side in [&self.box_side, &self.far_side] {
            let _ = Command::new("ip").args(["netns", "del", side]).status();
        }
    }
}

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
