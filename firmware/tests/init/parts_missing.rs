use std::io::ErrorKind;

use crate::rehearsal::Rehearsal;

const SAID: [&str; 3] = ["INFO", "WARN", "ERROR"];

#[test]
fn no_boot_partition() {
    let machine = Rehearsal::machine().mount_fails("/boot", ErrorKind::NotFound);
    machine.play(0).expect_after(
        "mount /dev/vda1",
        "ERROR: mounts: /dev/vda1 on /boot: entity not found
        INFO: state: /dev/vda4 is empty
        set clock 1795370400
        INFO: clock: set to 2026-11-22T18:00:00Z (image build time)
        write /dev/vda4 at 0 KiB
        load /lib/modules/6.1.0/media/videodev.ko
        load /lib/modules/6.1.0/media/videobuf2-v4l2.ko
        load /lib/modules/6.1.0/media/uvcvideo.ko
        load /lib/modules/6.1.0/net/wireguard.ko
        INFO: modules: 4 loaded
        INFO: watchdog: started, 15 s
        spawn /proc/self/exe network --config /boot/pinhole.toml as 0 with [NetBindService, NetAdmin, NetRaw]
        INFO: network: started (pid 101)
        spawn /proc/self/exe time as 102 with [SysTime]
        INFO: time: started (pid 102)
        spawn /proc/self/exe camera --config /boot/pinhole.toml as 0 with [NetBindService, NetAdmin, SysAdmin]
        INFO: camera: started (pid 103)",
    );
}

#[test]
fn what_an_initramfs_attached_before_is_there() {
    let machine = Rehearsal::machine()
        .mount_fails("/dev", ErrorKind::ResourceBusy)
        .mount_fails("/proc", ErrorKind::ResourceBusy);
    machine
        .play(0)
        .expect_with(&["mounts"], "INFO: mounts ready");
}

#[test]
fn a_machine_with_next_to_nothing_still_starts_the_camera() {
    let machine = Rehearsal::machine().without("/").without_watchdog();
    machine.play(0).expect_with(
        &SAID,
        "INFO: mounts ready
        WARN: partitions: entity not found
        WARN: modules: kernel release unknown: entity not found
        WARN: boot partition: none, the card has no partition 1
        WARN: state: no partition 4 on the card, the clock is not saved
        WARN: clock: no PINHOLE_BUILD_TIME in seconds since 1970 in /etc/os-release
        INFO: clock: kept at 1970-01-01T00:00:00Z
        INFO: led: none that is known
        INFO: modules: 0 loaded
        WARN: watchdog: none: /dev/watchdog: entity not found
        INFO: network: started (pid 101)
        INFO: time: started (pid 102)
        INFO: camera: started (pid 103)",
    );
}
