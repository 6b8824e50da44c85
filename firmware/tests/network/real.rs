use crate::laboratory::Laboratory;

#[test]
#[ignore = "needs root, busybox and radvd: run scripts/test"]
fn addresses_routes_and_servers_come_with_the_cable_and_go_with_it() {
    let mut laboratory = Laboratory::new("");
    laboratory.plug("eth0", "10.77.0.1/24");
    laboratory.serve_dhcp("eth0", "10.77.0", 600);
    laboratory.serve_ipv6("eth0");
    laboratory.start();
    let up = "eth0 up, address 10.77.0.15/24, gateway 10.77.0.1, name servers 10.77.0.3";
    laboratory.wait_for(up);
    laboratory.wait_until("cat /proc/net/if_inet6", "fd77");
    laboratory.wait_until("ip route", "default via 10.77.0.1 dev eth0");
    laboratory.wait_until("ip -6 route", "default via fe80::");
    let servers = "nameserver 10.77.0.3\nnameserver fd77::53\nnameserver fe80::53%eth0\n";
    laboratory.wait_for_file("run/resolv.conf", servers);
    let time_servers = "run/pinhole/time-servers/eth0";
    laboratory.wait_for_file(time_servers, "10.77.0.4\n");

    laboratory.set_link("eth0", "down");
    laboratory.wait_for("eth0 has no link");
    laboratory.wait_until("ip -brief address show eth0", "DOWN");
    let addresses = laboratory.near("ip -brief address show eth0");
    assert!(
        !addresses.contains("10.77") && !addresses.contains("fd77"),
        "{addresses}"
    );
    assert_eq!(laboratory.near("ip route"), "");
    laboratory.wait_for_file("run/resolv.conf", "");
    laboratory.wait_for_file(time_servers, "");

    laboratory.set_link("eth0", "up");
    laboratory.wait_for_all(&[up, "eth0 up, IPv6 address fd77:"]);
}

#[test]
#[ignore = "needs root and busybox: run scripts/test"]
fn a_lease_that_is_not_renewed_ends_and_the_next_server_gives_another() {
    let mut laboratory = Laboratory::new("");
    laboratory.plug("eth0", "10.77.0.1/24");
    let server = laboratory.serve_dhcp("eth0", "10.77.0", 10);
    laboratory.start();
    laboratory.wait_for("eth0 up, address 10.77.0.15/24");
    laboratory.stop(server);
    laboratory.wait_for("eth0 has no address: the lease has ended");
    let addresses = laboratory.near("ip -brief -4 address show eth0");
    assert!(!addresses.contains("10.77"), "{addresses}");
    laboratory.wait_for("eth0 has no address: no DHCP server answers");
    laboratory.serve_dhcp("eth0", "10.78.0", 600);
    laboratory.wait_for("eth0 up, address 10.78.0.15/24");
}

#[test]
#[ignore = "needs root: run scripts/test"]
fn chosen_addresses_are_set_without_asking_anybody() {
    let mut laboratory = Laboratory::new(
        "[ethernet]\naddress = [\"10.77.0.20/24\", \"fd78::5/64\"]\n\
         gateway = [\"10.77.0.1\", \"fd78::1\"]\nname_servers = \"9.9.9.9\"\n",
    );
    laboratory.plug("eth0", "10.77.0.1/24");
    laboratory.start();
    laboratory.wait_for("eth0 up, address 10.77.0.20/24 fd78::5/64");
    laboratory.wait_until("ip route", "default via 10.77.0.1 dev eth0");
    laboratory.wait_until("ip -6 route", "default via fd78::1 dev eth0");
    laboratory.wait_for_file("run/resolv.conf", "nameserver 9.9.9.9\n");
    assert!(laboratory.processes("udhcpc").is_empty());

    laboratory.set_link("eth0", "down");
    laboratory.wait_for("eth0 has no link");
    laboratory.set_link("eth0", "up");
    laboratory.wait_for("eth0 up, IPv6 address fd78::5/64");
    laboratory.wait_until("ip route", "default via 10.77.0.1 dev eth0");
}

#[test]
#[ignore = "needs root and busybox: run scripts/test"]
fn of_two_cables_the_one_takes_over_from_the_other_at_once() {
    let mut laboratory = Laboratory::new("");
    laboratory.plug("eth0", "10.77.0.1/24");
    laboratory.plug("eth1", "10.78.0.1/24");
    laboratory.serve_dhcp("eth0", "10.77.0", 600);
    laboratory.serve_dhcp("eth1", "10.78.0", 600);
    laboratory.start();
    let way = "ip route get 192.0.2.1";
    laboratory.wait_until("ip route", "default via 10.77.0.1 dev eth0");
    laboratory.wait_until("ip route", "default via 10.78.0.1 dev eth1");
    assert!(laboratory.near(way).contains("dev eth0"));
    let both = "nameserver 10.77.0.3\nnameserver 10.78.0.3\n";
    laboratory.wait_for_file("run/resolv.conf", both);

    // The kernel does that, before the worker takes the address away.
    laboratory.signal("STOP");
    laboratory.set_link("eth0", "down");
    laboratory.wait_until(way, "dev eth1");
    assert!(laboratory.near("ip route").contains("dev eth0"));
    laboratory.signal("CONT");
    laboratory.wait_for("eth0 has no link");
    laboratory.wait_for_file("run/resolv.conf", "nameserver 10.78.0.3\n");

    laboratory.set_link("eth0", "up");
    laboratory.wait_until(way, "dev eth0");
}

#[test]
#[ignore = "needs root and radvd: run scripts/test"]
fn a_network_of_ipv6_alone_gives_all_that_is_needed() {
    let mut laboratory = Laboratory::new("");
    laboratory.plug("eth0", "fd77::1/64");
    laboratory.serve_ipv6("eth0");
    laboratory.start();
    laboratory.wait_for("eth0 up, IPv6 address fd77:");
    let servers = "nameserver fd77::53\nnameserver fe80::53%eth0\n";
    laboratory.wait_until("ip -6 route", "default via fe80::");
    laboratory.wait_for_file("run/resolv.conf", servers);
}

#[test]
#[ignore = "needs root and busybox: run scripts/test"]
fn a_client_that_dies_is_replaced_and_a_worker_that_dies_takes_its_own_along() {
    let mut laboratory = Laboratory::new("");
    laboratory.plug("eth0", "10.77.0.1/24");
    laboratory.serve_dhcp("eth0", "10.77.0", 600);
    laboratory.start();
    laboratory.wait_for("eth0 up, address 10.77.0.15/24");
    let client = laboratory.processes("udhcpc").pop().unwrap();
    laboratory.near(&format!("kill -9 {client}"));
    laboratory.wait_for("udhcpc on eth0: exited (signal 9); next start in 1 s");
    laboratory.wait_for("udhcpc on eth0: started");
    laboratory.wait_for("eth0 up, address 10.77.0.15/24");

    laboratory.kill();
    while !laboratory.processes("udhcpc").is_empty() {
        std::thread::yield_now();
    }
    laboratory.start();
    laboratory.wait_for("eth0 up, address 10.77.0.15/24");
    assert_eq!(laboratory.processes("udhcpc").len(), 1);
}
