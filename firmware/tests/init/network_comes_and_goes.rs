use pinhole::init::system::{Event, Exit};

use crate::rehearsal::Rehearsal;

const CLIENT_ETH1: &str = "spawn /sbin/udhcpc -f -i eth1 -s /usr/libexec/pinhole/udhcpc-event \
    -x hostname:pinhole -t 4 -T 2 -A 5";

#[test]
fn an_interface_that_appears_later_gets_a_client_until_it_goes() {
    Rehearsal::machine()
        .interface("eth1")
        .without("/sys/class/net/eth0")
        .at(10, Event::InterfaceAdded("eth1".into()))
        .at(20, Event::InterfaceRemoved("eth1".into()))
        .at(21, Event::Exited(101, Exit::Signal(15)))
        .at(30, Event::InterfaceAdded("eth1".into()))
        .play(40)
        .expect_after(
            "watchdog:",
            &format!(
                "up eth1
                {CLIENT_ETH1}
                INFO: udhcpc on eth1: started (pid 101)
                spawn /proc/self/exe camera --config /boot/pinhole.toml
                INFO: camera: started (pid 102)
                -- 10 s
                up eth1
                -- 20 s
                signal Process(101) Terminate
                INFO: network: eth1 is gone
                spawn /usr/libexec/pinhole/udhcpc-event deconfig eth1
                -- 30 s
                up eth1
                {CLIENT_ETH1}
                INFO: udhcpc on eth1: started (pid 104)"
            ),
        );
}

#[test]
fn an_interface_whose_end_was_not_heard_of_is_missed_all_the_same() {
    let machine = Rehearsal::machine().file("/sys/class/net/lo/type", "772\n");
    machine.loses(10, "eth0").play(20).expect_after(
        "camera: started",
        "-- 10 s
        signal Process(101) Terminate
        INFO: network: eth0 is gone
        spawn /usr/libexec/pinhole/udhcpc-event deconfig eth0",
    );
}

#[test]
fn only_wired_interfaces_get_one() {
    let machine = Rehearsal::machine()
        .file("/sys/class/net/lo/type", "772\n")
        .file("/sys/class/net/bridge/type", "1\n")
        .interface("wlan0")
        .file("/sys/class/net/wlan0/phy80211/name", "phy0\n")
        .file("/sys/class/net/wg0/type", "65534\n");
    machine.play(0).expect_with(
        &["up ", "udhcpc on"],
        "up lo
        up eth0
        INFO: udhcpc on eth0: started (pid 101)",
    );
}

#[test]
fn a_client_that_dies_is_started_again_and_nothing_reboots() {
    Rehearsal::machine()
        .at(5, Event::Exited(101, Exit::Code(1)))
        .at(7, Event::Exited(103, Exit::Signal(11)))
        .play(30)
        .expect_with(
            &["udhcpc on", "-- ", "stop"],
            "INFO: udhcpc on eth0: started (pid 101)
            -- 5 s
            WARN: udhcpc on eth0: exited (code 1); next start in 1 s
            -- 6 s
            INFO: udhcpc on eth0: started (pid 103)
            -- 7 s
            WARN: udhcpc on eth0: exited (signal 11); next start in 2 s
            -- 9 s
            INFO: udhcpc on eth0: started (pid 104)",
        );
}
