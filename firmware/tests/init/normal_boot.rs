use crate::rehearsal::Rehearsal;

#[test]
fn a_whole_machine_comes_up_in_the_order_that_is_promised() {
    Rehearsal::machine().play(5).expect(
        "start watchdog 15 s
        mount devtmpfs /dev devtmpfs Devices
        use kernel log
        mount proc /proc proc Data
        mount sysfs /sys sysfs Data
        mount tmpfs /run tmpfs Data mode=0755,size=16m
        mount tmpfs /tmp tmpfs Data mode=1777,size=64m
        INFO: mounts ready
        write /proc/sys/kernel/printk_devkmsg on
        write /proc/sys/kernel/ctrl-alt-del 0
        write /proc/sys/kernel/hostname pinhole
        up lo
        mount /dev/vda1 /boot vfat ReadOnlyData umask=0077
        INFO: boot partition ready
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
