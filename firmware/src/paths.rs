//! Every path that the box touches. The image's layout
//! (`images/`, the overlay of `buildroot-external/`) must agree with these.

/// The firmware's own program, whichever name it was called by.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// The FAT partition that the user's computer shows; read-only here.
pub const BOOT: &str = "/boot";
/// The user's one file.
pub const CONFIGURATION: &str = "/boot/pinhole.toml";

/// Device nodes, made by the kernel (devtmpfs).
pub const DEV: &str = "/dev";
/// What is written here appears in the kernel's log, on the serial console.
pub const KERNEL_LOG: &str = "/dev/kmsg";
/// The hardware watchdog.
pub const WATCHDOG: &str = "/dev/watchdog";
/// What is read from here is empty.
pub const NULL: &str = "/dev/null";

/// Processes and kernel settings.
pub const PROC: &str = "/proc";
/// The kernel's release, which names the directory of its modules.
pub const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";
/// Seconds since the kernel was started.
pub const UPTIME: &str = "/proc/uptime";
/// The board's name, where there is a device tree.
pub const MODEL: &str = "/proc/device-tree/model";
/// The machine's name.
pub const HOSTNAME: &str = "/proc/sys/kernel/hostname";
/// Whether the kernel drops lines that come fast through [`KERNEL_LOG`].
pub const KERNEL_LOG_LIMIT: &str = "/proc/sys/kernel/printk_devkmsg";
/// What Ctrl-Alt-Del does: reset at once (1), or SIGINT to pid 1 (0).
pub const CTRL_ALT_DEL: &str = "/proc/sys/kernel/ctrl-alt-del";

/// The kernel's settings for the network, by family of protocols.
pub const NETWORK_SETTINGS: &str = "/proc/sys/net";

/// The kernel's devices and drivers.
pub const SYS: &str = "/sys";
/// All devices, as the tree in which they are attached.
pub const DEVICES: &str = "/sys/devices";
/// Block devices by their number, `major:minor`.
pub const BLOCK_DEVICES: &str = "/sys/dev/block";
/// Network interfaces by name.
pub const INTERFACES: &str = "/sys/class/net";

/// Video devices by the name of their node.
pub const VIDEO_DEVICES: &str = "/sys/class/video4linux";
/// Light-emitting diodes by name.
pub const LEDS: &str = "/sys/class/leds";

/// What lives as long as the machine is up.
pub const RUN: &str = "/run";
/// Name servers; the image's `/etc/resolv.conf` points here.
pub const RESOLV_CONF: &str = "/run/resolv.conf";
/// What each worker says of itself: [`condition`](crate::condition).
pub const CONDITIONS: &str = "/run/pinhole/conditions";
/// What the network's programs need: configurations and sockets, for root only.
pub const NETWORK: &str = "/run/pinhole/network";
/// Where the DHCP clients' events go.
pub const DHCP_EVENTS: &str = "/run/pinhole/network/dhcp-events";
/// Control sockets of `wpa_supplicant`, by interface.
pub const SUPPLICANT_CONTROL: &str = "/run/pinhole/network/wpa_supplicant";
/// Time servers that networks offer: a file for each interface, one address a
/// line.
pub const TIME_SERVERS: &str = "/run/pinhole/time-servers";
/// What the camera service leaves for others.
pub const CAMERA: &str = "/run/pinhole/camera";
/// What the relay says of the time: `time::relay_word`.
pub const RELAY_WORD: &str = "/run/pinhole/camera/relay-time";
/// Scratch space.
pub const TMP: &str = "/tmp";

/// Says which image this is, and when it was built (`PINHOLE_BUILD_TIME`, in
/// seconds since 1970).
pub const OS_RELEASE: &str = "/etc/os-release";
/// Kernel modules, in a directory for each kernel release.
pub const MODULES: &str = "/lib/modules";
/// Busybox's DHCP client.
pub const DHCP_CLIENT: &str = "/sbin/udhcpc";
/// What the DHCP client calls at each event: the firmware by another name.
pub const DHCP_EVENT: &str = "/usr/libexec/pinhole/udhcpc-event";
/// Joins Wi-Fi networks.
pub const SUPPLICANT: &str = "/usr/sbin/wpa_supplicant";
